use super::{
    examples::{recording, waiting},
    *,
};
use crate::{
    base::Error,
    measure::measurement::{
        Measurement,
        examples::{self, measurement, pass, plan},
    },
};
use std::time::Duration;

#[test]
fn a_quiet_run_with_enough_requests_is_valid() {
    let measurement = measurement(&recording(1000, 0, 0), 2, 2);
    assert!(measurement.valid && measurement.reasons.is_empty(), "{:?}", measurement.reasons);
    assert_eq!((measurement.requests, measurement.response_us.p99.is_some()), (1000, true));
}

#[test]
fn a_generator_that_is_late_at_any_reported_percentile_makes_the_run_invalid() {
    // At a response of 1,000 µs the limit is 100 µs, at every percentile.
    assert!(measurement(&recording(1000, 1000, 99), 1, 2).valid);
    for (count, late, percentile) in
        [(1000, 1000, "p50"), (1000, 120, "p90"), (1000, 20, "p99"), (5000, 10, "p99.9")]
    {
        let measurement = measurement(&recording(count, late, 120), 1, 2);
        let reasons = measurement.reasons;
        assert!(!measurement.valid && reasons[0].contains(&format!("{percentile} of")), "{reasons:?}");
    }
    assert!(measurement(&recording(1000, 5, 900), 1, 2).valid, "no percentile that is reported is late");
}

#[test]
fn errors_few_samples_and_crowded_cores_are_reasons() {
    let mut failing = recording(1000, 0, 0);
    failing.failed(&Error::engine("tract", "run", "mend it", "bad id"));
    failing.failed(&Error::engine("tract", "run", "mend it", "another"));
    let failed = measurement(&failing, 1, 2);
    assert_eq!((failed.errors, failed.requests, failed.response_us.count), (2, 1002, 1000));
    assert!(
        !failed.valid
            && failed.reasons[0].contains("2 requests failed")
            && failed.reasons[0].contains("bad id")
    );
    assert!(measurement(&recording(6, 0, 0), 1, 2).reasons[0].contains("only 6"));
    assert!(measurement(&recording(100, 0, 0), 3, 2).reasons[0].contains("3 workers"));
}

#[test]
fn too_few_requests_and_too_short_a_time_are_reasons_and_passes_add_time_but_no_requests() {
    let of = |min_requests, passes: usize, seconds| {
        let limits = Limits { min_requests, min_duration_s: 10.0 };
        let one = Recording { span: Duration::from_secs(seconds), ..recording(1000, 0, 0) };
        let passes = vec![pass(one, 1, 2); passes];
        Measurement::of(&passes, &Plan { limits, ..plan(passes.len()) }).unwrap().0.reasons
    };
    assert_eq!(of(1000, 2, 5), Vec::<String>::new());
    let few = of(1001, 2, 5);
    assert!(few.len() == 1 && few[0].contains("only 1000 requests"), "{few:?}");
    let short = of(1000, 2, 4);
    assert!(short.len() == 1 && short[0].contains("took 8.0 s, not 10 s"), "{short:?}");
}

fn judged(recording: &Recording, engine: EngineName, mode: Loop, offered_qps: f64) -> Vec<String> {
    let mut pass = pass(recording.clone(), 1, 2);
    pass.load.offered_qps = Some(offered_qps);
    pass.setup = Setup { engine, mode, ..examples::setup(1) };
    reasons(&[pass], recording, &plan(1), None, None)
}

#[test]
fn an_engine_whose_outputs_were_not_compared_is_not_believed() {
    let quiet = recording(1000, 0, 0);
    let found = judged(&quiet, EngineName::Tract, Loop::Open, 1.0);
    assert!(found.len() == 1 && found[0].contains("outputs not compared"), "{found:?}");
    assert!(judged(&quiet, EngineName::Null, Loop::Open, 1.0).is_empty(), "it has no outputs");
}

#[test]
fn a_rate_that_the_workers_cannot_serve_is_a_reason() {
    // 1 ms of work per request: 1,000 per second fill one worker.
    let steady = waiting(|_| 0);
    let found = |qps| judged(&steady, EngineName::Null, Loop::Open, qps);
    assert!(found(949.0).is_empty());
    assert!(found(951.0)[0].contains("95 % of what"), "{:?}", found(951.0));
    assert!(judged(&steady, EngineName::Null, Loop::Closed, 951.0).is_empty(), "nothing was offered");
}

#[test]
fn responses_that_grow_under_a_high_load_are_a_reason_and_a_slow_quarter_alone_is_none() {
    // Medians of the first and the last quarter: 1.25 and 2.75 ms.
    let growing = waiting(|i| 2 * i);
    let found = judged(&growing, EngineName::Null, Loop::Open, 850.0);
    assert!(found.len() == 1 && found[0].contains("first quarter"), "{found:?}");
    assert!(judged(&growing, EngineName::Null, Loop::Open, 750.0).is_empty());
    // 1.125 and 1.875 ms.
    let slowly = waiting(|i| i);
    assert!(judged(&slowly, EngineName::Null, Loop::Open, 850.0).is_empty(), "less than twice");
}
