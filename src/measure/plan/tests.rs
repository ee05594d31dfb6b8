use super::*;
use crate::{
    base::names::Provider,
    measure::replay::{clock::virtual_time::VirtualClock, examples::Counts},
};
use std::sync::{Arc, Mutex};

/// Takes `symbolic_ns` per candidate without buckets and `bucketed_ns` per row of a bucket, on a virtual clock.
struct Scripted {
    name: EngineName,
    symbolic_ns: u64,
    bucketed_ns: u64,
    /// What plans per bucket add to every score.
    bucketed_off: f32,
    clock: Arc<VirtualClock>,
    loaded: Mutex<Vec<(TractPlan, Vec<usize>)>>,
}

struct ScriptedSession {
    ns: u64,
    off: f32,
    buckets: Vec<usize>,
    clock: Arc<VirtualClock>,
    runs: u64,
}

impl Engine for Scripted {
    fn name(&self) -> EngineName {
        self.name
    }
    fn version(&self) -> String {
        "scripted".into()
    }
    fn load(&self, _: &Path, options: &SessionOptions) -> Result<Box<dyn Session>> {
        let plan = options.settings.tract().plan;
        let buckets = options.planned_counts(EngineName::Tract);
        self.loaded.lock().unwrap().push((plan, buckets.clone()));
        let (ns, off) = match plan {
            TractPlan::Symbolic => (self.symbolic_ns, 0.0),
            _ => (self.bucketed_ns, self.bucketed_off),
        };
        Ok(Box::new(ScriptedSession { ns, off, buckets, clock: self.clock.clone(), runs: 0 }))
    }
}

impl Session for ScriptedSession {
    fn run(&mut self, inputs: &Inputs, scores: &mut Vec<f32>) -> Result<()> {
        // The first runs are slow, and so is every fifth: neither is what the plan costs.
        self.runs += 1;
        let disturbed = if self.runs <= 24 || self.runs.is_multiple_of(5) { 10 } else { 1 };
        let rows = padded_to(&self.buckets, inputs.candidates) as u64;
        self.clock.pass(Duration::from_nanos(disturbed * self.ns * rows));
        *scores = vec![0.5 + self.off; inputs.candidates];
        Ok(())
    }
}

fn engine(symbolic_ns: u64, bucketed_ns: u64) -> Scripted {
    let (clock, loaded) = (Arc::default(), Mutex::default());
    Scripted { name: EngineName::Tract, symbolic_ns, bucketed_ns, bucketed_off: 0.0, clock, loaded }
}

fn decided(engine: &Scripted, counts: &[usize], plan: TractPlan) -> (SessionOptions, Option<PlanChoice>) {
    let options = SessionOptions {
        candidate_counts: CandidateCounts::of(counts.iter().copied()),
        ..SessionOptions::PLAIN.with_plan(plan)
    };
    let decision =
        decide(engine, Path::new("m"), &options, &Counts(counts.to_vec()), &*engine.clock).unwrap();
    (decision.options, decision.choice)
}

#[test]
fn the_faster_plan_is_taken_and_both_times_are_told() {
    for (symbolic_ns, bucketed_ns, taken) in
        [(300, 100, TractPlan::Bucketed), (100, 300, TractPlan::Symbolic)]
    {
        let engine = engine(symbolic_ns, bucketed_ns);
        let (options, choice) = decided(&engine, &[1000, 2000, 1000, 2000], TractPlan::Auto);
        let choice = choice.unwrap();
        assert_eq!(
            (options.settings.tract().plan, choice.taken, choice.asked),
            (taken, taken, TractPlan::Auto)
        );
        // 1,500 rows on average.
        assert_eq!(choice.symbolic_us, Some(symbolic_ns as f64 * 1.5));
        assert_eq!(choice.bucketed_us, Some(bucketed_ns as f64 * 1.5));
        assert_eq!((choice.requests, choice.padding), (4, None), "two counts are two buckets");
        let buckets = if taken == TractPlan::Bucketed { vec![1000, 2000] } else { vec![] };
        assert_eq!(choice.buckets, buckets);
    }
}

#[test]
fn the_cost_of_padding_is_that_of_the_added_rows() {
    // Nine counts share the bucket of 1,024, which ends at the largest of them.
    let counts: Vec<usize> = (0..9).map(|i| 900 + 10 * i).collect();
    let engine = engine(1000, 100);
    let (_, choice) = decided(&engine, &counts, TractPlan::Bucketed);
    let choice = choice.unwrap();
    assert_eq!((choice.symbolic_us, choice.taken), (None, TractPlan::Bucketed), "nothing was left to choose");
    let padding = choice.padding.unwrap();
    // 900 to 970 become 980; 980 is not padded.
    assert_eq!(padding.requests, 8);
    assert!((padding.padded_us - 98.0).abs() < 1e-9 && (padding.exact_us - 93.5).abs() < 1e-9, "{padding:?}");
    let added = 100.0 * (980.0 / 935.0 - 1.0);
    assert!((padding.added_candidates_pct - added).abs() < 1e-9, "{padding:?}");
    assert!((padding.added_time_pct - added).abs() < 1e-9, "{padding:?}");
    let exact = (TractPlan::Bucketed, counts[..8].to_vec());
    assert!(engine.loaded.lock().unwrap().contains(&exact), "{:?}", engine.loaded);
}

#[test]
fn one_plan_for_any_count_other_engines_and_unknown_counts_leave_nothing_to_decide() {
    let tract = engine(1, 1);
    let (options, choice) = decided(&tract, &[5, 6], TractPlan::Symbolic);
    assert_eq!((options.settings.tract().plan, choice), (TractPlan::Symbolic, None));
    let unknown = SessionOptions { provider: Provider::Cpu, ..SessionOptions::PLAIN };
    let found = decide(&tract, Path::new("m"), &unknown, &Counts(vec![5]), &*tract.clock).unwrap();
    assert_eq!(found, Decision { options: unknown, choice: None, difference: None });
    let other = Scripted { name: EngineName::OnnxRuntime, ..engine(1, 1) };
    assert_eq!(decided(&other, &[5, 6], TractPlan::Auto).1, None);
    assert!(tract.loaded.lock().unwrap().is_empty() && other.loaded.lock().unwrap().is_empty());
}

#[test]
fn a_known_single_count_is_compared_on_a_plan_for_it() {
    let engine = engine(200, 100);
    let options = SessionOptions { candidates_hint: Some(700), ..SessionOptions::PLAIN };
    let Decision { options, choice, .. } =
        decide(&engine, Path::new("m"), &options, &Counts(vec![700; 40]), &*engine.clock).unwrap();
    let choice = choice.unwrap();
    assert_eq!((choice.buckets, choice.requests), (vec![700], 24));
    assert_eq!((options.settings.tract().plan, options.candidates_hint), (TractPlan::Bucketed, Some(700)));
}

#[test]
fn plans_that_score_differently_are_told_with_the_request_and_the_scores() {
    let difference = |bucketed_off| {
        let engine = Scripted { bucketed_off, ..engine(100, 100) };
        let options =
            SessionOptions { candidate_counts: CandidateCounts::of([5, 6]), ..SessionOptions::PLAIN };
        decide(&engine, Path::new("m"), &options, &Counts(vec![5, 6]), &*engine.clock)
            .unwrap()
            .difference
            .unwrap()
    };
    assert_eq!(difference(0.0).abs_difference, 0.0);
    let found = difference(0.25);
    assert_eq!((found.request, found.candidate, found.score, found.other_score), (1, 1, 0.5, 0.75));
    assert!(found.engine.contains("any count") && found.other_engine.contains("per bucket"), "{found:?}");
}
