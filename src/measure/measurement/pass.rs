//! One pass of a model over the whole trace: raw, and summarised.

use super::{Load, Provenance, Setup};
use crate::measure::{
    conditions::Conditions, environment::Environment, latency::LatencySummary, replay::recorder::Recording,
    scores::PassScores, store::StoreUse, vectors::OutputCheck,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One pass of a model over the whole trace, raw: what a measuring process hands to its parent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pass {
    /// What was run.
    pub setup: Setup,
    /// Offered and served.
    pub load: Load,
    /// The comparison with the package's scores.
    pub outputs: Option<OutputCheck>,
    /// Scores of some of the trace's own requests; none of the null engine, nor where somebody asked to stop before.
    pub scores: Option<PassScores>,
    /// What was fetched from a store; none without one.
    #[serde(default)]
    pub store: Option<StoreUse>,
    /// What happened.
    pub recording: Recording,
    /// What the machine did meanwhile.
    pub conditions: Conditions,
    /// The machine.
    pub environment: Environment,
    /// The files.
    pub provenance: Provenance,
}

/// One pass, summarised.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PassSummary {
    /// Requests issued, failed and rejected ones included.
    pub requests: u64,
    /// From the schedule's start to the last completion.
    pub span_ms: f64,
    /// Answered requests per second.
    pub answered_qps: f64,
    /// Completion − scheduled arrival.
    pub response_us: LatencySummary,
    /// The engine's own run.
    pub service_us: LatencySummary,
    /// How late the generator began work that could have begun.
    pub dispatch_lag_us: LatencySummary,
    /// What the machine did meanwhile.
    pub conditions: Conditions,
}

impl PassSummary {
    pub(super) fn of(pass: &Pass) -> Self {
        let recording = &pass.recording;
        Self {
            requests: recording.requests(),
            span_ms: recording.span.as_secs_f64() * 1e3,
            answered_qps: recording.answered_qps(),
            response_us: recording.response.summary(),
            service_us: recording.service.summary(),
            dispatch_lag_us: recording.dispatch_lag.summary(),
            conditions: pass.conditions,
        }
    }
}
