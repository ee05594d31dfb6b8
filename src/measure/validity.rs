//! Whether a replay may be believed. It may not, with the reasons in words, when
//! - a request failed;
//! - the median response is not earned (fewer than 7 requests);
//! - an engine that computes something was not compared with the scores of the model's package;
//! - the generator itself was late: at any percentile that is reported, the dispatch lag exceeds 50 µs + 5 % of the
//!   response time of the same percentile (lag adds to response, so a valid run is distorted by no more than about that);
//! - the load was more than the workers can serve: they were busy for 95 % of the time, or for 80 % while the responses
//!   more than doubled between the first and the last quarter. Such responses tell how long the run was, not how fast the
//!   engine is;
//! - more threads were runnable than cores were given.

use super::{
    latency::Latencies,
    measurement::{Load, Setup},
    replay::{issue::Loop, recorder::Recording},
    vectors::OutputCheck,
};
use crate::base::names::EngineName;

const LAG_FLOOR_US: f64 = 50.0;
const LAG_SHARE: f64 = 0.05;
/// The percentiles of a [`LatencySummary`](super::latency::LatencySummary), with their names.
const REPORTED: [(f64, &str); 4] = [(0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p99.9")];
/// From this share on, a queue in front of the workers has no bounded length that a replay could show.
const OVERLOADED_SHARE: f64 = 0.95;
/// Where the last responses are that many times the first, the queue grew …
const GROWTH: f64 = 2.0;
/// … if the workers were busy for this share: bursts alone make some quarter slower than another.
const GROWING_SHARE: f64 = 0.8;

/// Why the recording may not be believed; empty when it may.
pub(super) fn reasons(
    recording: &Recording,
    setup: &Setup,
    load: &Load,
    outputs: Option<OutputCheck>,
    cores: usize,
) -> Vec<String> {
    let mut reasons = Vec::new();
    if recording.errors > 0 {
        let first = recording.first_error.as_deref().unwrap_or("unknown");
        reasons.push(format!("{} requests failed, the first with: {first}", recording.errors));
    }
    if recording.response.quantile_us(0.5).is_none() {
        let answered = recording.response.count();
        reasons.push(format!(
            "only {answered} requests were answered: too few for a median; use a longer trace"
        ));
    }
    // The null engine has no outputs: what is measured with it is the harness.
    if outputs.is_none() && setup.engine != EngineName::Null {
        reasons.push(
            "outputs not compared: no test_vectors.json with scores lies beside the model; take the whole package that \
             `autofas-bench export` writes"
                .to_owned(),
        );
    }
    reasons.extend(lateness(&recording.response, &recording.dispatch_lag));
    reasons.extend(overload(recording, setup, load));
    if setup.threads * setup.workers > cores {
        reasons.push(format!(
            "{} workers with {} threads each on {cores} cores disturb each other; use fewer",
            setup.workers, setup.threads
        ));
    }
    reasons
}

fn lateness(response: &Latencies, lag: &Latencies) -> Option<String> {
    REPORTED.into_iter().find_map(|(quantile, name)| {
        let (lag_us, response_us) = (lag.quantile_us(quantile)? as f64, response.quantile_us(quantile)? as f64);
        (lag_us > LAG_FLOOR_US + LAG_SHARE * response_us).then(|| {
            format!(
                "the generator was late: {name} of the dispatch lag is {lag_us} µs at a response of {response_us} µs; \
                 leave a core idle or lower the rate"
            )
        })
    })
}

fn overload(recording: &Recording, setup: &Setup, load: &Load) -> Option<String> {
    let (Loop::Open, Some(offered_qps)) = (setup.mode, load.offered_qps) else { return None };
    let work_us = recording.service.mean_us()? + recording.assembly.mean_us()?;
    let busy = work_us * offered_qps / 1e6 / setup.workers as f64;
    let fix = "lower the rate or add workers";
    let pct = 100.0 * busy;
    if busy >= OVERLOADED_SHARE {
        return Some(format!(
            "overloaded: the offered rate is {pct:.0} % of what the workers can serve; {fix}"
        ));
    }
    let (first, last) = (recording.first_quarter.quantile_us(0.5)?, recording.last_quarter.quantile_us(0.5)?);
    (busy > GROWING_SHARE && last as f64 > GROWTH * first as f64).then(|| {
        format!(
            "overloaded: the median response grew from {first} µs in the first quarter to {last} µs in the last, at \
             {pct:.0} % of what the workers can serve; {fix}"
        )
    })
}

#[cfg(test)]
pub(crate) mod examples {
    use super::*;
    use crate::measure::replay::recorder::{Part, Times};
    use std::time::Duration;

    /// `count` requests that respond within 1 ms, of which the last `late` began `lag_us` late.
    pub(crate) fn recording(count: u64, late: u64, lag_us: u64) -> Recording {
        let mut recording = Recording::default();
        for i in 0..count {
            let begun = Duration::from_micros(if i >= count - late { lag_us } else { 0 });
            let completed = begun.max(Duration::from_micros(1000));
            let part = Part::of(i as usize, count as usize);
            let zero = Duration::ZERO;
            recording.answered(Times { part, due: zero, free: zero, begun, assembled: begun, completed });
        }
        recording
    }

    /// 1,000 requests of 1 ms of work each; request i waits for `wait_us(i)` before it.
    pub(crate) fn waiting(wait_us: impl Fn(u64) -> u64) -> Recording {
        let mut recording = Recording::default();
        for i in 0..1000 {
            let begun = Duration::from_micros(wait_us(i));
            let completed = begun + Duration::from_millis(1);
            let (part, due) = (Part::of(i as usize, 1000), Duration::ZERO);
            recording.answered(Times { part, due, free: begun, begun, assembled: begun, completed });
        }
        recording
    }
}

#[cfg(test)]
mod tests {
    use super::{
        examples::{recording, waiting},
        *,
    };
    use crate::{
        base::Error,
        measure::measurement::examples::{measurement, setup},
    };

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

    fn judged(recording: &Recording, engine: EngineName, mode: Loop, offered_qps: f64) -> Vec<String> {
        let load = Load {
            offered_qps: Some(offered_qps),
            answered_qps: offered_qps,
            mean_candidates: 1.0,
            max_candidates: 1,
        };
        reasons(recording, &Setup { engine, mode, ..setup(1) }, &load, None, 2)
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
}
