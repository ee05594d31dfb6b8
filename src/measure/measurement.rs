//! What a replay means: summaries of a [`Recording`] and whether it may be believed, as `validity` judges it.

use super::{
    environment::Environment,
    latency::LatencySummary,
    replay::{issue::Loop, recorder::Recording, trace::Pacing},
    validity,
    vectors::OutputCheck,
};
use crate::base::names::{EngineName, Layout, Provider};
use serde::{Deserialize, Serialize};

/// Version of the replay results that this program writes.
pub const SCHEMA_VERSION: u32 = 2;

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
    /// How the scores of these very sessions agreed with the package's before the clock started; absent when they were
    /// not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<OutputCheck>,
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
        outputs: Option<OutputCheck>,
        environment: Environment,
        provenance: Provenance,
    ) -> Self {
        let reasons = validity::reasons(recording, &setup, &load, outputs, environment.cores);
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
            outputs,
            environment,
            provenance,
        }
    }
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
            pinned_cores: None,
            memory_bytes: None,
            os: "linux".into(),
            kernel: None,
            governor: None,
            program_version: "0".into(),
            program_sha256: "0".into(),
        };
        Measurement::of(recording, setup(workers), load, None, environment, Provenance::default())
    }
}

#[cfg(test)]
mod tests {
    use super::{examples::measurement, *};
    use crate::measure::validity::examples::recording;

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
