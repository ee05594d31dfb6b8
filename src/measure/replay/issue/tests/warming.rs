//! What happens before the clock starts, and what a run costs afterwards.

use super::*;
use crate::{
    base::names::EngineName,
    measure::engine::{InputTensor, SessionOptions, TensorData, engine},
};
use std::path::Path;

/// Requests with these numbers of candidates; assembling one costs a copy of its rows into buffers that are used again.
struct Counts {
    candidates: Vec<usize>,
    prepared: Mutex<Vec<usize>>,
}

impl Counts {
    fn of(candidates: &[usize]) -> Self {
        Self { candidates: candidates.to_vec(), prepared: Mutex::new(Vec::with_capacity(100_000)) }
    }
}

impl Workload for Counts {
    fn requests(&self) -> usize {
        self.candidates.len()
    }
    fn candidates(&self, request: usize) -> usize {
        self.candidates[request]
    }
    fn inputs(&self) -> Inputs {
        let tensor = InputTensor { name: "x".into(), shape: [0, 3], data: TensorData::I64(Vec::new()) };
        Inputs { candidates: 0, tensors: vec![tensor] }
    }
    fn prepare(&self, request: usize, inputs: &mut Inputs) -> Result<()> {
        self.prepared.lock().unwrap().push(request);
        inputs.candidates = self.candidates[request];
        inputs.tensors[0].shape[0] = inputs.candidates;
        let TensorData::I64(ids) = &mut inputs.tensors[0].data else { panic!("ids expected") };
        ids.clear();
        ids.resize(3 * inputs.candidates, 7);
        Ok(())
    }
}

/// Answers as many scores as there are candidates; the first request of every number of candidates takes a millisecond,
/// others 10 µs.
struct Planner {
    clock: Arc<VirtualClock>,
    planned: Vec<usize>,
}

impl Session for Planner {
    fn run(&mut self, inputs: &Inputs, scores: &mut Vec<f32>) -> Result<()> {
        let known = self.planned.contains(&inputs.candidates);
        self.clock.pass(Duration::from_micros(if known { 10 } else { 1000 }));
        self.planned.push(inputs.candidates);
        scores.resize(inputs.candidates, 0.0);
        Ok(())
    }
}

#[test]
fn every_number_of_candidates_is_met_before_the_clock_starts_and_its_first_run_reported_apart() {
    let workload = Counts::of(&[5, 9, 9, 5, 2]);
    let clock = Arc::new(VirtualClock::default());
    let session = Box::new(Planner { clock: clock.clone(), planned: Vec::new() });
    let options = IssueOptions { warmup: 3, ..IssueOptions::default() };
    let recording = issue(&workload, &evenly(5, 2000), &mut [session], &*clock, &options).unwrap();
    let expected = [2, 5, 9].map(|candidates| ColdRuns { candidates, us: vec![1000.0] });
    assert_eq!(recording.cold, expected);
    assert_eq!((recording.warmup.count(), recording.warmup.summary().max), (9, Some(10.0)));
    assert_eq!((recording.service.count(), recording.service.summary().max), (5, Some(10.0)));
    // The cold run of every bucket, three more of each, then the schedule.
    let prepared = workload.prepared.into_inner().unwrap();
    assert_eq!(prepared[..12], [4, 0, 1, 4, 4, 4, 0, 3, 0, 1, 2, 1]);
    assert_eq!(prepared[12..], [0, 1, 2, 3, 4]);
}

#[test]
fn a_bucket_of_several_numbers_of_candidates_is_met_first_with_its_largest() {
    // Up to 16 | 17 to 20 | 21 to 23 candidates.
    let workload = Counts::of(&[15, 16, 17, 18, 19, 20, 21, 22, 23]);
    let null = engine(EngineName::Null).unwrap();
    let session = null.load(Path::new("none"), &SessionOptions::PLAIN).unwrap();
    let options = IssueOptions { warmup: 1, ..IssueOptions::default() };
    let recording = issue(&workload, &[0; 9], &mut [session], &RealClock::start(), &options).unwrap();
    let buckets: Vec<usize> = recording.cold.iter().map(|cold| cold.candidates).collect();
    assert_eq!(buckets, [16, 20, 23]);
    assert_eq!(workload.prepared.into_inner().unwrap()[..6], [1, 5, 8, 0, 2, 6]);
}

#[test]
fn sessions_are_checked_after_their_cold_runs_and_before_the_others_and_not_where_the_clock_starts_cold() {
    let issued = |warmup, fails: bool| {
        let runs = Arc::new(Mutex::new(Vec::new()));
        let session = |worker: usize| {
            let runs = runs.clone();
            scripted(move |run| {
                runs.lock().unwrap().push((worker, run));
                Ok(2)
            })
        };
        let checked = Mutex::new(Vec::new());
        let check: Check<'_> = &|worker, session| {
            let before = runs.lock().unwrap().iter().filter(|(of, _)| *of == worker).count();
            checked.lock().unwrap().push((worker, before));
            session.run(&Inputs { candidates: 2, tensors: Vec::new() }, &mut Vec::new())?;
            if fails { Err(Error::usage("scores differ", "mend it")) } else { Ok(()) }
        };
        let options = IssueOptions { warmup, ..IssueOptions::default() };
        let mut sessions = [session(0), session(1)];
        let clock = RealClock::start();
        let found = issue_checked(&numbers(4), &[0; 4], &mut sessions, &clock, &options, check);
        let mut checked = checked.into_inner().unwrap();
        checked.sort_unstable();
        (found, checked)
    };
    let (recording, checked) = issued(3, false);
    // One bucket: one cold run before the check.
    assert_eq!(checked, [(0, 1), (1, 1)]);
    assert_eq!((recording.unwrap().requests()), 4);
    assert!(issued(3, true).0.unwrap_err().to_string().contains("scores differ"));
    assert_eq!(issued(0, true).1, []);
}

#[test]
fn cold_runs_of_all_workers_are_kept_and_without_warm_up_there_are_none() {
    let run = |warmup| {
        let options = IssueOptions { warmup, ..IssueOptions::default() };
        let mut sessions = [scripted(|_| Ok(2)), scripted(|_| Ok(2))];
        issue(&numbers(4), &[0; 4], &mut sessions, &RealClock::start(), &options).unwrap()
    };
    let cold = run(1).cold;
    assert_eq!((cold.len(), cold[0].us.len()), (1, 2));
    assert!(run(0).cold.is_empty());
}

#[test]
fn the_loop_itself_allocates_nothing_once_it_is_warm() {
    let counts: Vec<usize> = (0..5000).map(|i| 1 + i * 7 % 40).collect();
    let null = engine(EngineName::Null).unwrap();
    let load = || null.load(Path::new("none"), &SessionOptions::PLAIN).unwrap();
    let limited = IssueOptions { max_queue: Some(9), ..IssueOptions::default() };
    let modes = [Loop::Open, Loop::Closed, Loop::Offline];
    let unlimited = modes.map(|mode| IssueOptions { mode, ..IssueOptions::default() });
    for options in unlimited.into_iter().chain([limited]) {
        let options = IssueOptions { warmup: 2, ..options };
        let (workload, schedule) = (Counts::of(&counts), evenly(5000, 3));
        let mut sessions = [load(), load()];
        let recording = issue(&workload, &schedule, &mut sessions, &RealClock::start(), &options).unwrap();
        assert_eq!((recording.requests(), recording.cost.allocations), (5000, Some(0)), "{options:?}");
    }
    // It would be seen.
    let mut allocating = [scripted(|n| {
        drop(std::hint::black_box(vec![n; 100]));
        Ok(2)
    })];
    let options = IssueOptions { warmup: 1, ..IssueOptions::default() };
    let workload = Counts::of(&[2; 500]);
    let recording = issue(&workload, &[0; 500], &mut allocating, &RealClock::start(), &options).unwrap();
    assert_eq!(recording.cost.allocations, Some(500));
}

#[cfg(target_os = "linux")]
#[test]
fn the_cost_of_serving_is_counted_and_the_waiting_of_the_generator_apart() {
    // One request of at least 20 ms on the processor, after 30 ms of waiting.
    let spend = || {
        let usage = || crate::measure::cost::Usage::of_thread().unwrap().cpu;
        let begun = usage();
        while usage() - begun < Duration::from_millis(20) {
            std::hint::spin_loop();
        }
    };
    let session = scripted(move |_| {
        spend();
        Ok(2)
    });
    let options = IssueOptions::default();
    let recording = issue(&numbers(1), &[30_000], &mut [session], &RealClock::start(), &options).unwrap();
    let (workers, process) = (recording.cost.workers.unwrap(), recording.cost.process.unwrap());
    let limit = |cpu: Duration| cpu.saturating_sub(recording.cost.spun);
    assert!(limit(workers.cpu) >= Duration::from_millis(19), "{:?}", recording.cost);
    assert!(process.cpu >= workers.cpu);
    assert!(workers.voluntary_switches >= 1, "it slept");
    assert!(recording.cost.peak_bytes.is_none_or(|bytes| bytes > 1 << 20));
}
