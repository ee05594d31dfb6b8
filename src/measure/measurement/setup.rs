//! What was run, from which files, under which load.

use crate::{
    base::names::{Denormals, EngineName, Layout, Provider},
    measure::{
        engine::EngineSettings,
        plan::PlanChoice,
        planted::Planted,
        replay::{issue::Loop, trace::Pacing},
        validity::Limits,
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What was run, as asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// What else the sessions were made with: every setting that their runtime has.
    pub engine_settings: EngineSettings,
    /// What became of numbers below the normal range, the same for every engine.
    pub denormals: Denormals,
    /// How the plan of tract's sessions was chosen before the clock started; absent where there was nothing to choose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_choice: Option<PlanChoice>,
    /// Sessions, one thread each.
    pub workers: usize,
    /// Open or closed loop.
    #[serde(rename = "loop")]
    pub mode: Loop,
    /// How the trace was spaced.
    pub pacing: Pacing,
    /// Requests of every bucket of candidate counts that every session ran before the clock of a pass started, after the cold
    /// ones.
    pub warmup_requests: usize,
    /// Requests that might wait at once; absent where that was not limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_queue: Option<usize>,
    /// Time that was added to every run of a session on purpose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planted: Option<Planted>,
}

/// From which files a result came.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Load {
    /// Mean rate of the schedule; absent without a schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offered_qps: Option<f64>,
    /// Answered requests per second of the run.
    pub answered_qps: f64,
    /// Mean number of candidates.
    pub mean_candidates: f64,
    /// Largest number of candidates.
    pub max_candidates: usize,
    /// Mean number of candidates in the first and in the last half of the trace.
    pub half_candidates: [f64; 2],
}

/// How the passes were made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// Passes over the trace that were asked for.
    pub repeats: usize,
    /// Of the order in which engines and models take turns.
    pub seed: u64,
    /// Least requests and duration of a result that may be believed.
    #[serde(flatten)]
    pub limits: Limits,
}
