//! Whether a replay may be believed. It may not, with the reasons in words, when
//! - a request failed, or found the queue full;
//! - it has fewer requests than [`Limits`] say, repetitions in further passes not counted, or took less time, in all passes
//!   together;
//! - its engine failed in a pass, or somebody stopped it, before all passes were done;
//! - an engine that computes something was not compared with the scores of the model's package;
//! - the trace's own requests were scored differently by another session, plan, pass or engine;
//! - the feature store lacks more than 5 % of the users' or items' rows, or held other rows in another pass;
//! - the generator itself was late: at any percentile that is reported, the dispatch lag exceeds 50 µs + 5 % of the
//!   response time of the same percentile (lag adds to response, so a valid run is distorted by no more than about that);
//! - the load was more than the workers can serve: they were busy for 95 % of the time, or for 80 % while the responses
//!   more than doubled between the first and the last quarter. Such responses tell how long the run was, not how fast the
//!   engine is;
//! - more threads were runnable than cores were given;
//! - the machine changed: see `steadiness`.

mod steadiness;

use super::{
    latency::Latencies,
    measurement::{Load, Pass, Plan, Setup},
    replay::{issue::Loop, recorder::Recording},
    scores::TraceOutputs,
    store,
};
use crate::base::names::EngineName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The least that a result has to stand on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Limits {
    /// Answered requests of the trace; further passes repeat them and add none.
    pub min_requests: u64,
    /// From the begin of the schedule to the last answer, in seconds, in all passes together.
    pub min_duration_s: f64,
}

const LAG_FLOOR_US: f64 = 50.0;
const LAG_SHARE: f64 = 0.05;
/// The percentiles of a [`LatencySummary`](super::latency::LatencySummary), with their names.
const REPORTED: [(f64, &str); 4] = [(0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p99.9")];
/// From this share on, a queue in front of the workers has no bounded length that a replay could show.
pub(super) const OVERLOADED_SHARE: f64 = 0.95;
/// Where the last responses are that many times the first, the queue grew …
const GROWTH: f64 = 2.0;
/// … if the workers were busy for this share: bursts alone make some quarter slower than another.
const GROWING_SHARE: f64 = 0.8;

/// Why the passes, whose recordings together are `total`, may not be believed; empty when they may. There is at least one.
/// `failure` says how the engine failed, where it did, and `outputs` how scores agreed.
pub(super) fn reasons(
    passes: &[Pass],
    total: &Recording,
    plan: &Plan,
    failure: Option<&str>,
    outputs: Option<&TraceOutputs>,
) -> Vec<String> {
    let Some(first) = passes.first() else { return Vec::new() };
    let setup = &first.setup;
    let mut reasons = Vec::new();
    if total.errors > 0 {
        let first = total.first_error.as_deref().unwrap_or("unknown");
        reasons.push(format!("{} requests failed, the first with: {first}", total.errors));
    }
    if total.rejected > 0 {
        reasons.push(format!(
            "{} requests found the queue full and were rejected; lower the rate, add workers, or allow a longer queue",
            total.rejected
        ));
    }
    reasons.extend(completeness(passes, plan, failure));
    reasons.extend(amount(total, plan.limits));
    // The null engine has no outputs: what is measured with it is the harness.
    if passes.iter().any(|pass| pass.outputs.is_none()) && setup.engine != EngineName::Null {
        reasons.push(
            "outputs not compared: no test_vectors.json with scores lies beside the model; take the whole package that \
             `autofas-bench export` writes"
                .to_owned(),
        );
    }
    reasons.extend(outputs.and_then(TraceOutputs::reason));
    reasons.extend(store::reasons(passes.iter().filter_map(|pass| pass.store.as_ref()), &total.fetches));
    reasons.extend(lateness(&total.response, &total.dispatch_lag));
    // Each pass starts anew: a queue that grows does so within one.
    reasons.extend(passes.iter().find_map(|pass| overload(&pass.recording, setup, &pass.load)));
    let (threads, cores) = (setup.threads, first.environment.cores);
    if threads * setup.workers > cores {
        reasons.push(format!(
            "{} workers with {threads} threads each on {cores} cores disturb each other; use fewer",
            setup.workers
        ));
    }
    reasons.extend(steadiness::reasons(passes, total));
    reasons
}

fn completeness(passes: &[Pass], plan: &Plan, failure: Option<&str>) -> Option<String> {
    let whole = passes.iter().filter(|pass| !pass.recording.interrupted).count();
    let missing = format!("only {whole} of {} passes came to their end", plan.repeats);
    match failure {
        Some(failure) if whole == plan.repeats => Some(format!(
            "{failure}; the pass was made once more, but requests of a server would have been lost: see why, and run it again"
        )),
        Some(failure) => Some(format!("{failure}; {missing}: mend that and run it again")),
        None => (whole < plan.repeats).then(|| format!("stopped: {missing}; run it again")),
    }
}

fn amount(total: &Recording, limits: Limits) -> Vec<String> {
    let mut reasons = Vec::new();
    let (answered, seconds) = (total.response.distinct(), total.span.as_secs_f64());
    if answered < limits.min_requests {
        reasons.push(format!(
            "only {answered} requests of the trace were answered, not {}: too few for its percentiles; use a longer trace, since \
             more passes repeat the same",
            limits.min_requests
        ));
    }
    if seconds < limits.min_duration_s {
        reasons.push(format!(
            "all passes together took {seconds:.1} s, not {} s; use a longer trace or more repeats",
            limits.min_duration_s
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
    let fetch_us = recording.fetch.mean_us().unwrap_or(0.0);
    let work_us = recording.service.mean_us()? + recording.assembly.mean_us()? + fetch_us;
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
            recording.answered(Times {
                part,
                due: zero,
                free: zero,
                begun,
                assembled: begun,
                fetched: None,
                completed,
            });
        }
        recording
    }

    /// `count` requests that are served at once, request i in `service_us(i)`.
    pub(crate) fn serving(count: u64, service_us: impl Fn(u64) -> u64) -> Recording {
        let mut recording = Recording::default();
        for i in 0..count {
            let part = Part::of(i as usize, count as usize);
            let (zero, completed) = (Duration::ZERO, Duration::from_micros(service_us(i)));
            recording.answered(Times {
                part,
                due: zero,
                free: zero,
                begun: zero,
                assembled: zero,
                fetched: None,
                completed,
            });
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
            recording.answered(Times {
                part,
                due,
                free: begun,
                begun,
                assembled: begun,
                fetched: None,
                completed,
            });
        }
        recording
    }
}

#[cfg(test)]
mod tests;
