use super::*;
use crate::{
    base::progress::Silent,
    measure::{
        replay::clock::virtual_time::VirtualClock,
        store::{Keys, Reader, RowSink, contents::Contents, examples, memory::MemoryStore},
    },
};
use std::time::Duration;

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
    FetchEffort { candidates: candidates.to_vec(), workers: 1, passes: 2, block: 3, seed: 1 }
}

fn measured(effort: &FetchEffort, stop: &Stop) -> Result<FetchTable> {
    let (data, schema) = (examples::data(&KEYS), examples::schema());
    let clock = VirtualClock::default();
    let store = MemoryStore::of(&Contents::of(&schema, "e".into(), &data)?)?;
    let store = Slow { store, clock: &clock };
    let priced = Priced { data: &data, schema: &schema, store: &store, name: "slow" };
    measure_prices(priced, effort, &clock, &Silent, stop)
}

#[test]
fn the_trip_of_every_group_is_found_at_every_candidate_count() {
    let table = measured(&effort(&[3, 1]), &Stop::default()).unwrap();
    assert_eq!((table.store.as_str(), table.workers), ("slow", 1));
    let counts: Vec<usize> = table.buckets.iter().map(|bucket| bucket.candidates).collect();
    assert_eq!(counts, [1, 3]);
    let prices = table.prices(&examples::schema(), 3).unwrap();
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
