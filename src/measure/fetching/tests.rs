use super::*;
use crate::price::fetch_table::Serving;
use crate::{
    base::{names::EngineName, progress::Silent},
    measure::{
        engine::{self, Inputs, Session, SessionOptions},
        replay::clock::{Waited, virtual_time::VirtualClock},
        store::{Keys, Reader, RowSink, contents::Contents, examples, memory::MemoryStore},
    },
};
use std::{
    cell::Cell,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

const KEYS: [(u64, u64); 6] = [(1, 10), (2, 11), (2, 10), (1, 10), (1, 12), (3, 13)];

/// Milliseconds that a request waits for a row of each group, in the order of the manifest.
const TRIPS: [f64; 5] = [0.1, 0.2, 1.0, 0.5, 0.7];

/// A store whose groups take their trips on a virtual clock, times the number of candidates.
struct Slow<'a> {
    store: MemoryStore,
    clock: &'a VirtualClock,
}

struct SlowReader<'a> {
    reader: Box<dyn Reader + 'a>,
    trips_ms: f64,
    clock: &'a VirtualClock,
}

impl FeatureStore for Slow<'_> {
    fn manifest(&self) -> &Manifest {
        self.store.manifest()
    }

    fn reader(&self, groups: &[usize]) -> Result<Box<dyn Reader + '_>> {
        let trips_ms = groups.iter().map(|&group| TRIPS[group]).sum();
        Ok(Box::new(SlowReader { reader: self.store.reader(groups)?, trips_ms, clock: self.clock }))
    }
}

impl Reader for SlowReader<'_> {
    fn fetch(&mut self, keys: Keys<'_>, sink: &mut dyn RowSink) -> Result<()> {
        self.clock.pass(Duration::from_secs_f64(self.trips_ms * keys.items.len() as f64 / 1e3));
        self.reader.fetch(keys, sink)
    }
}

fn effort(candidates: &[usize]) -> FetchEffort {
    FetchEffort {
        candidates: candidates.to_vec(),
        workers: 1,
        layout: Layout::UserOnce,
        passes: 2,
        block: 3,
        seed: 1,
        displaced_bytes: 64,
    }
}

fn measured(effort: &FetchEffort, stop: &Stop) -> Result<FetchTable> {
    let (data, schema) = (examples::data(&KEYS), examples::schema());
    let clock = VirtualClock::default();
    let store = MemoryStore::of(&Contents::of(&schema, "e".into(), &data)?)?;
    let (store, engine) = (Slow { store, clock: &clock }, engine::engine(EngineName::Null)?);
    let priced = Priced { data: &data, schema: &schema, store: &store, name: "slow", engine: &*engine };
    measure_prices(priced, effort, None, &clock, &Silent, stop, &mut |_| Ok(()))
}

#[test]
fn the_trip_of_every_group_is_found_at_every_candidate_count() {
    let table = measured(&effort(&[3, 1]), &Stop::default()).unwrap();
    assert_eq!((table.store.as_str(), table.workers), ("slow", 1));
    let counts: Vec<usize> = table.buckets.iter().map(|bucket| bucket.candidates).collect();
    assert_eq!(counts, [1, 3]);
    let serving = Serving { workers: 1, layout: Layout::UserOnce, network_ms: 0.0 };
    let prices = table.prices(&examples::schema(), 3, serving).unwrap();
    let manifest_order = ["user_id", "hour", "profile", "list", "seen"];
    for (group, trip_ms) in manifest_order.iter().zip(TRIPS) {
        let at = table.buckets[1].groups.iter().position(|known| known.name == *group).unwrap();
        let all: Vec<usize> = prices.groups[at].features.iter().map(|&(feature, _)| feature).collect();
        let ms = prices.selected_ms(&all, examples::schema().features.len());
        assert!((ms - 3.0 * trip_ms).abs() < 0.05 * 3.0 * trip_ms, "{group}: {ms} ms");
    }
    let fit = table.buckets[1].fit;
    assert!(fit.held_out > 0 && fit.held_out_mape_pct < 5.0, "{fit:?}");
    // On a clock that nothing else moves, what comes with the request costs nothing.
    assert!(table.buckets[1].observations.iter().all(|observed| observed.decode_ms == 0.0));
}

/// What was done, by stores and sessions that write it down.
type Log = Mutex<Vec<&'static str>>;

struct Logged<'a>(Slow<'a>, &'a Log);

struct LoggedReader<'a>(Box<dyn Reader + 'a>, &'a Log);

impl FeatureStore for Logged<'_> {
    fn manifest(&self) -> &Manifest {
        self.0.manifest()
    }

    fn reader(&self, groups: &[usize]) -> Result<Box<dyn Reader + '_>> {
        Ok(Box::new(LoggedReader(self.0.reader(groups)?, self.1)))
    }
}

impl Reader for LoggedReader<'_> {
    fn fetch(&mut self, keys: Keys<'_>, sink: &mut dyn RowSink) -> Result<()> {
        self.1.lock().unwrap().push("fetch");
        self.0.fetch(keys, sink)
    }
}

struct LoggedEngine(&'static Log);

struct LoggedSession(&'static Log);

impl engine::Engine for LoggedEngine {
    fn name(&self) -> EngineName {
        EngineName::Null
    }

    fn version(&self) -> String {
        "0".into()
    }

    fn load(&self, model: &Path, _: &SessionOptions) -> Result<Box<dyn Session>> {
        assert!(model.exists());
        Ok(Box::new(LoggedSession(self.0)))
    }
}

impl Session for LoggedSession {
    fn run(&mut self, inputs: &Inputs, _: &mut Vec<f32>) -> Result<()> {
        assert_eq!(inputs.candidates, 2);
        assert!(inputs.tensors.iter().any(|tensor| tensor.shape[0] == 2), "no network is of users alone");
        self.0.lock().unwrap().push("run");
        Ok(())
    }
}

#[test]
fn networks_run_between_fetches_as_a_replay_runs_them() {
    static LOG: Log = Mutex::new(Vec::new());
    let (data, schema) = (examples::data(&KEYS), examples::schema());
    let clock = VirtualClock::default();
    let store = MemoryStore::of(&Contents::of(&schema, "e".into(), &data).unwrap()).unwrap();
    let (store, engine) = (Logged(Slow { store, clock: &clock }, &LOG), LoggedEngine(&LOG));
    let priced = Priced { data: &data, schema: &schema, store: &store, name: "logged", engine: &engine };
    let effort = effort(&[2]);
    let table =
        measure_prices(priced, &effort, None, &clock, &Silent, &Stop::default(), &mut |_| Ok(())).unwrap();
    // On a clock that nothing moves, a sweep makes no fetch longer.
    assert!(table.buckets[0].displaced.networks.is_empty());
    let log = LOG.lock().unwrap();
    let runs = log.iter().filter(|&&done| done == "run").count();
    assert_eq!(runs, displacing::NETWORKS.len() * effort.passes * (effort.block + 1));
    let after = |done| log.windows(2).filter(move |pair| pair[0] == done && pair[1] == "run").count();
    assert_eq!((after("fetch"), after("run")), (runs, 0), "every run follows a fetch of its own");
}

#[test]
fn every_feature_is_fetched_and_the_judges_are_sets_of_their_own() {
    let (data, schema) = (examples::data(&KEYS), examples::schema());
    let store = MemoryStore::of(&Contents::of(&schema, "e".into(), &data).unwrap()).unwrap();
    let shapes = shapes(&schema, &data, store.manifest());
    assert_eq!(shapes[0].name, "request (user)");
    let sets = design(&shapes, 7);
    let all: Vec<usize> = (0..schema.features.len()).collect();
    assert!(sets.iter().any(|(set, judges)| *set == all && !judges));
    for shape in &shapes {
        let own: Vec<usize> = shape.features.iter().map(|&(feature, _)| feature).collect();
        assert!(sets.iter().any(|(set, _)| set.len() == 1 && own.contains(&set[0])), "{}", shape.name);
    }
    let distinct: BTreeSet<_> = sets.iter().map(|(set, _)| set).collect();
    assert_eq!(distinct.len(), sets.len(), "none twice, whether it fits or judges");
    assert!(sets.iter().any(|(_, judges)| *judges));
    assert_eq!(design(&shapes, 7), sets);
}

#[test]
fn more_candidates_than_items_and_an_effort_of_nothing_are_refused() {
    let refused = |effort: &FetchEffort| measured(effort, &Stop::default()).unwrap_err().to_string();
    assert!(refused(&effort(&[5])).contains("has 4 items"));
    assert!(refused(&effort(&[])).contains("measures nothing"));
    assert!(refused(&FetchEffort { workers: 0, ..effort(&[1]) }).contains("measures nothing"));
}

#[test]
fn it_stops_when_it_is_asked_to() {
    let stop = Stop::default();
    stop.request(2);
    assert!(matches!(measured(&effort(&[1]), &stop), Err(Error::Interrupted { .. })));
}

/// Time that passes for every thread alone.
struct ThreadClock;

thread_local! {
    static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

impl Clock for ThreadClock {
    fn now(&self) -> Duration {
        NOW.get()
    }

    fn wait_until(&self, due: Duration) -> Waited {
        Waited { now: due, spun: Duration::ZERO }
    }
}

/// A store for two workers at a time: a fetch takes 1 ms while both are at work, and 100 ms while one of them has not begun or has
/// ended. The second one starts late and is slow.
struct Crowd {
    store: MemoryStore,
    readers: AtomicUsize,
    /// Of the present pair: who has fetched, and who has gone.
    at_work: Mutex<[usize; 2]>,
    /// The second reader's fetch that fails.
    failing: usize,
}

struct CrowdReader<'a> {
    crowd: &'a Crowd,
    reader: Box<dyn Reader + 'a>,
    late: bool,
    fetches: usize,
}

impl FeatureStore for Crowd {
    fn manifest(&self) -> &Manifest {
        self.store.manifest()
    }

    fn reader(&self, groups: &[usize]) -> Result<Box<dyn Reader + '_>> {
        let late = self.readers.fetch_add(1, Ordering::SeqCst) % 2 == 1;
        Ok(Box::new(CrowdReader { crowd: self, reader: self.store.reader(groups)?, late, fetches: 0 }))
    }
}

impl Reader for CrowdReader<'_> {
    fn fetch(&mut self, keys: Keys<'_>, sink: &mut dyn RowSink) -> Result<()> {
        if self.late {
            std::thread::sleep(Duration::from_millis(if self.fetches == 0 { 20 } else { 1 }));
        }
        let mut at_work = self.crowd.at_work.lock().unwrap();
        at_work[0] += usize::from(self.fetches == 0);
        let ms = if *at_work == [2, 0] { 1 } else { 100 };
        drop(at_work);
        NOW.set(NOW.get() + Duration::from_millis(ms));
        self.fetches += 1;
        if self.late && self.fetches == self.crowd.failing {
            return Err(Error::usage("the second worker's store is gone", "look for it"));
        }
        self.reader.fetch(keys, sink)
    }
}

impl Drop for CrowdReader<'_> {
    fn drop(&mut self) {
        let mut at_work = self.crowd.at_work.lock().unwrap();
        at_work[1] += 1;
        if *at_work == [2, 2] {
            *at_work = [0, 0];
        }
    }
}

fn visited_by_two(failing: usize) -> Result<Times> {
    let (data, schema) = (examples::data(&KEYS), examples::schema());
    let store = MemoryStore::of(&Contents::of(&schema, "e".into(), &data)?)?;
    let crowd = Crowd { store, readers: AtomicUsize::new(0), at_work: Mutex::default(), failing };
    let requests = requests(&data, 2, 1)?;
    let all: Vec<usize> = (0..schema.features.len()).collect();
    let signature = signature(&schema, &data, Layout::UserOnce, &all);
    let workload =
        TraceWorkload::fetching(&requests, &data, &schema, &signature, &crowd, &Lookups::default())?;
    visit(&workload, Visit { workers: 2, first: 0, block: 6, displaced_bytes: 0 }, &ThreadClock)
}

#[test]
fn what_two_workers_are_timed_at_they_do_at_the_same_time() {
    for _ in 0..3 {
        let times = visited_by_two(0).unwrap();
        assert!((times.fetch_ms - 1.0).abs() < 1e-9, "{times:?}");
    }
}

#[test]
fn a_worker_whose_store_fails_ends_the_visit_of_all() {
    // While it gets warm, in its block, and behind it.
    for failing in [1, 4, 7] {
        let error = visited_by_two(failing).map(drop).unwrap_err().to_string();
        assert!(error.contains("the second worker's store is gone"), "{error}");
    }
}

#[test]
fn what_was_measured_before_a_failure_is_kept_and_gone_on_with() {
    let (data, schema) = (examples::data(&KEYS), examples::schema());
    let clock = VirtualClock::default();
    let store = MemoryStore::of(&Contents::of(&schema, "e".into(), &data).unwrap()).unwrap();
    let (store, engine) = (Slow { store, clock: &clock }, engine::engine(EngineName::Null).unwrap());
    let stop = Stop::default();
    let price = |name: &str, begun, keep: &mut dyn FnMut(&FetchTable) -> Result<()>| {
        let priced = Priced { data: &data, schema: &schema, store: &store, name, engine: &*engine };
        measure_prices(priced, &effort(&[1, 3, 2]), begun, &clock, &Silent, &stop, keep)
    };
    let mut kept = Vec::new();
    let failed = price("slow", None, &mut |table| {
        kept.push(table.clone());
        stop.request(if table.buckets.len() == 2 { 2 } else { 0 });
        Ok(())
    });
    assert!(matches!(failed, Err(Error::Interrupted { .. })));
    let left: Vec<_> = kept.iter().map(|table| table.unfinished.clone()).collect();
    assert_eq!(left, [vec![2, 3], vec![3]]);
    stop.request(0);
    let begun = kept.pop();
    let first_two = begun.clone().unwrap().buckets;
    let mut again = 0;
    let whole = price("slow", begun.clone(), &mut |_| {
        again += 1;
        Ok(())
    });
    let whole = whole.unwrap();
    assert_eq!((again, whole.unfinished.len(), &whole.buckets[..2]), (1, 0, &first_two[..]));
    assert!(price("other", begun, &mut |_| Ok(())).unwrap_err().to_string().contains("begun for store slow"));
}
