//! What a replay means: summaries of a [`Recording`] and whether it may be believed.
//!
//! A run is invalid, with the reasons in words, when
//! - a request failed;
//! - the median response is not earned (fewer than 7 requests);
//! - the generator itself was late: at the median, or at the highest earned percentile up to p99, the dispatch lag
//!   exceeds 50 µs + 5 % of the response time of the same percentile (lag adds to response, so a valid run is
//!   distorted by no more than about that);
//! - more threads were runnable than cores were given.

use super::{
    environment::Environment,
    latency::{Latencies, LatencySummary},
    replay::{issue::Loop, recorder::Recording, trace::Pacing},
};
use crate::base::names::{EngineName, Layout, Provider};
use serde::{Deserialize, Serialize};

/// Version of the replay results that this program writes.
pub const SCHEMA_VERSION: u32 = 2;

const LAG_FLOOR_US: f64 = 50.0;
const LAG_SHARE: f64 = 0.05;

/// What was run, as asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Setup {
    /// The runtime.
    pub engine: EngineName,
    /// Its version.
    pub engine_version: String,
    /// Where it computed.
    pub provider: Provider,
    /// Layout of the graph.
    pub layout: Layout,
    /// Intra-op threads of every session.
    pub threads: usize,
    /// Candidate count that sessions were made for; absent when requests of the trace differ in it.
    pub candidates_hint: Option<usize>,
    /// Sessions, one thread each.
    pub workers: usize,
    /// Open or closed loop.
    #[serde(rename = "loop")]
    pub mode: Loop,
    /// How the trace was spaced.
    pub pacing: Pacing,
}

/// From which files a result came.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// The model's file.
    pub model: String,
    /// SHA-256 of the model.
    pub model_sha256: String,
    /// The trace's file.
    pub trace: String,
    /// SHA-256 of the trace.
    pub trace_sha256: String,
    /// Hash of the encoders that model and trace belong to.
    pub encoder_hash: String,
    /// Hash of the encoded rows that values were taken from.
    pub rows_hash: String,
    /// The arrivals in words.
    pub arrivals: String,
    /// What the trace says about itself: stand-ins, clamped counts.
    pub notes: Vec<String>,
}

/// Offered and served load.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// Mean rate of the schedule; absent in closed loop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offered_qps: Option<f64>,
    /// Answered requests per second of the run.
    pub answered_qps: f64,
    /// Mean number of candidates.
    pub mean_candidates: f64,
    /// Largest number of candidates.
    pub max_candidates: usize,
}

/// The result of one replay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// Version of this layout.
    pub schema_version: u32,
    /// What was run.
    #[serde(flatten)]
    pub setup: Setup,
    /// Whether the numbers may be believed.
    pub valid: bool,
    /// Why not.
    pub reasons: Vec<String>,
    /// Requests issued, failed ones included.
    pub requests: u64,
    /// Requests that failed; they are in no latency.
    pub errors: u64,
    /// The first failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_error: Option<String>,
    /// From the schedule's start to the last completion.
    pub span_ms: f64,
    /// Offered and served.
    pub load: Load,
    /// Completion − scheduled arrival: waiting, assembly and service.
    pub response_us: LatencySummary,
    /// The engine's own run.
    pub service_us: LatencySummary,
    /// How late the generator began work that could have begun.
    pub dispatch_lag_us: LatencySummary,
    /// Filling the input tensors.
    pub assembly_us: LatencySummary,
    /// The engine's runs before the clock started.
    pub warmup_us: LatencySummary,
    /// The machine.
    pub environment: Environment,
    /// The files.
    pub provenance: Provenance,
}

impl Measurement {
    /// Summarises and judges a recording.
    pub fn of(
        recording: &Recording,
        setup: Setup,
        load: Load,
        environment: Environment,
        provenance: Provenance,
    ) -> Self {
        let reasons = reasons(recording, &setup, environment.cores);
        Self {
            schema_version: SCHEMA_VERSION,
            valid: reasons.is_empty(),
            reasons,
            requests: recording.response.count() + recording.errors,
            errors: recording.errors,
            first_error: recording.first_error.clone(),
            span_ms: recording.span.as_secs_f64() * 1e3,
            response_us: recording.response.summary(),
            service_us: recording.service.summary(),
            dispatch_lag_us: recording.dispatch_lag.summary(),
            assembly_us: recording.assembly.summary(),
            warmup_us: recording.warmup.summary(),
            setup,
            load,
            environment,
            provenance,
        }
    }
}

fn reasons(recording: &Recording, setup: &Setup, cores: usize) -> Vec<String> {
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
    reasons.extend(lateness(&recording.response, &recording.dispatch_lag));
    if setup.threads * setup.workers > cores {
        reasons.push(format!(
            "{} workers with {} threads each on {cores} cores disturb each other; use fewer",
            setup.workers, setup.threads
        ));
    }
    reasons
}

fn lateness(response: &Latencies, lag: &Latencies) -> Option<String> {
    let highest = [0.99, 0.9].into_iter().find(|&q| lag.quantile_us(q).is_some());
    [Some(0.5), highest].into_iter().flatten().find_map(|quantile| {
        let (lag_us, response_us) = (lag.quantile_us(quantile)? as f64, response.quantile_us(quantile)? as f64);
        (lag_us > LAG_FLOOR_US + LAG_SHARE * response_us).then(|| {
            format!(
                "the generator was late: p{:.0} of the dispatch lag is {lag_us} µs at a response of {response_us} µs; \
                 leave a core idle or lower the rate",
                quantile * 100.0
            )
        })
    })
}

#[cfg(test)]
pub(crate) mod examples {
    use super::*;

    pub(crate) fn setup(workers: usize) -> Setup {
        Setup {
            engine: EngineName::Null,
            engine_version: "1".into(),
            provider: Provider::Cpu,
            layout: Layout::UserOnce,
            threads: 1,
            candidates_hint: None,
            workers,
            mode: Loop::Open,
            pacing: Pacing::Speed { factor: 1.0 },
        }
    }

    pub(crate) fn measurement(recording: &Recording, workers: usize, cores: usize) -> Measurement {
        let load =
            Load { offered_qps: Some(1.0), answered_qps: 1.0, mean_candidates: 1.0, max_candidates: 1 };
        let environment = Environment {
            host: "h".into(),
            cpu: None,
            cores,
            memory_bytes: None,
            os: "linux".into(),
            kernel: None,
            governor: None,
            program_version: "0".into(),
            program_sha256: "0".into(),
        };
        Measurement::of(recording, setup(workers), load, environment, Provenance::default())
    }
}

#[cfg(test)]
mod tests {
    use super::{examples::measurement, *};
    use crate::{base::Error, measure::replay::recorder::Times};
    use std::time::Duration;

    /// `count` requests that respond within 1 ms, of which the last `late` began `lag_us` late.
    fn recording(count: u64, late: u64, lag_us: u64) -> Recording {
        let mut recording = Recording::default();
        for i in 0..count {
            let begun = Duration::from_micros(if i >= count - late { lag_us } else { 0 });
            let completed = begun.max(Duration::from_micros(1000));
            let zero = Duration::ZERO;
            recording.answered(Times { due: zero, free: zero, begun, assembled: begun, completed });
        }
        recording
    }

    #[test]
    fn a_quiet_run_with_enough_requests_is_valid() {
        let measurement = measurement(&recording(1000, 0, 0), 2, 2);
        assert!(measurement.valid && measurement.reasons.is_empty(), "{:?}", measurement.reasons);
        assert_eq!((measurement.requests, measurement.response_us.p99.is_some()), (1000, true));
    }

    #[test]
    fn a_late_generator_makes_the_run_invalid() {
        // At a response of 1,000 µs the limit is 100 µs, at the median as well as at p99.
        assert!(measurement(&recording(1000, 1000, 99), 1, 2).valid);
        for (late, percentile) in [(1000, "p50"), (20, "p99")] {
            let measurement = measurement(&recording(1000, late, 120), 1, 2);
            assert!(
                !measurement.valid && measurement.reasons[0].contains(percentile),
                "{:?}",
                measurement.reasons
            );
        }
        assert!(measurement(&recording(1000, 5, 900), 1, 2).valid, "beyond p99 it is not judged");
    }

    #[test]
    fn errors_few_samples_and_crowded_cores_are_reasons() {
        let mut failing = recording(1000, 0, 0);
        failing.failed(&Error::engine("tract", "run", "bad id"));
        failing.failed(&Error::engine("tract", "run", "another"));
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
    fn the_json_has_the_agreed_names_and_reads_back() {
        let measurement = measurement(&recording(1000, 0, 0), 1, 2);
        let json = serde_json::to_value(&measurement).unwrap();
        for key in ["schema_version", "engine", "provider", "valid", "reasons", "requests", "environment"] {
            assert!(json.get(key).is_some(), "{key}");
        }
        assert_eq!(json["loop"], "open");
        assert_eq!(json["response_us"]["count"], 1000);
        assert!(json["response_us"].get("p99").is_some() && json["response_us"].get("p999").is_none());
        assert_eq!(serde_json::from_value::<Measurement>(json).unwrap(), measurement);
    }
}
