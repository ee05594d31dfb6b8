//! Inference runtimes behind two small traits; each runtime's crate is used in one file or folder only.

mod counts;
mod null;
mod onnxruntime;
mod settings;
mod tract;

pub use counts::{CandidateCounts, bucket_of};
pub use onnxruntime::{ForeignInput, ForeignModel, ForeignValues, NumberType};
pub use settings::{EngineSettings, OnnxRuntimeSettings, Setting, TractSettings};

use crate::base::{
    Error, Result,
    names::{EngineName, Provider, TractPlan},
};
use half::f16;
use serde::{Deserialize, Serialize};
use std::{path::Path, time::Duration};

/// The values of one input tensor of one request.
#[derive(Debug, Clone, PartialEq)]
pub enum TensorData {
    /// Encoded ids, row after row.
    I64(Vec<i64>),
    /// Numbers, row after row.
    F32(Vec<f32>),
    /// Rows of an item table, one after the other.
    F16(Vec<f16>),
    /// Rows of an item table, one after the other.
    I8(Vec<i8>),
}

/// One input tensor of one request.
#[derive(Debug, Clone, PartialEq)]
pub struct InputTensor {
    /// Name in the graph.
    pub name: String,
    /// Rows and columns.
    pub shape: [usize; 2],
    /// `rows × columns` values.
    pub data: TensorData,
}

/// All inputs of one request, in the order of the graph's signature. Buffers are reused from request to request.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Inputs {
    /// Number of candidates.
    pub candidates: usize,
    /// One per tensor of the signature.
    pub tensors: Vec<InputTensor>,
}

/// How a session is to be made. Recorded with every measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionOptions {
    /// Where ONNX Runtime computes; tract has only the CPU.
    pub provider: Provider,
    /// Intra-op threads.
    pub threads: usize,
    /// The candidate count of all requests, where they have the same: tract optimises for it. Other counts still work.
    pub candidates_hint: Option<usize>,
    /// The candidate counts of the requests, where they differ and are known beforehand.
    #[serde(default)]
    pub candidate_counts: CandidateCounts,
    /// What only one runtime has.
    #[serde(default)]
    pub settings: EngineSettings,
}

impl SessionOptions {
    /// One thread on the processor, for any number of candidates, with every setting at its default: what every engine can
    /// do.
    pub const PLAIN: Self = Self {
        provider: Provider::Cpu,
        threads: 1,
        candidates_hint: None,
        candidate_counts: CandidateCounts::UNKNOWN,
        settings: EngineSettings::DEFAULT,
    };

    /// What is known of the candidate counts, be it one or several.
    pub fn known_counts(&self) -> CandidateCounts {
        self.candidates_hint.map_or_else(|| self.candidate_counts.clone(), CandidateCounts::one)
    }

    /// These, with that plan of tract.
    pub fn with_plan(&self, plan: TractPlan) -> Self {
        let mut options = self.clone();
        options.settings.tract.get_or_insert_default().plan = plan;
        options
    }

    /// Candidate counts that sessions have plans of their own for, so that each of them can be compared before it is
    /// timed. None where one plan serves every count.
    pub fn planned_counts(&self, engine: EngineName) -> Vec<usize> {
        match (engine, self.settings.tract().plan, self.candidates_hint) {
            (EngineName::Tract, TractPlan::Auto | TractPlan::Bucketed, _) => self.known_counts().buckets(),
            (_, _, Some(count)) => vec![count],
            (_, _, None) => Vec::new(),
        }
    }
}

/// Where the time of one run went, for a session that has memory of its own for inputs and outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Parts {
    /// Copying the inputs there.
    pub copy_in: Duration,
    /// Computing.
    pub run: Duration,
    /// Copying the scores back.
    pub copy_out: Duration,
}

/// What to do when a runtime refuses a model.
const LOAD_FIX: &str = "export the model again with `autofas-bench export`, and see with `autofas-bench doctor` what this machine has";
/// What to do when a runtime fails on a request.
const RUN_FIX: &str =
    "see whether `autofas-bench evaluate` scores rows with this model and engine; if not, export it again";

/// A runtime that can load models.
pub trait Engine: Send + Sync {
    /// Which one.
    fn name(&self) -> EngineName;
    /// Version of the runtime, for the table's key.
    fn version(&self) -> String;
    /// Where the runtime says that it can compute. Whether a device is there shows only when a model is loaded.
    fn providers(&self) -> Vec<Provider> {
        vec![Provider::Cpu]
    }
    /// Loads a model; nothing is computed yet.
    fn load(&self, model: &Path, options: &SessionOptions) -> Result<Box<dyn Session>>;
}

/// A loaded model: the system under test. One per worker.
pub trait Session: Send {
    /// Scores all candidates of one request into `scores`, whose old content is replaced. A graph whose output has
    /// more than one column (a probe) gives all its values, row after row.
    ///
    /// Ids must lie within the signature's cardinalities: a runtime may panic on others. What
    /// [`crate::measure::assemble`] fills does. One that does panic in Rust ends as an error of this call.
    fn run(&mut self, inputs: &Inputs, scores: &mut Vec<f32>) -> Result<()>;

    /// Where the time of the last run went, if this session can tell.
    fn parts(&self) -> Option<Parts> {
        None
    }
}

/// Fails where an answer does not give every candidate one finite score.
pub fn check_scores(scores: &[f32], candidates: usize) -> Result<()> {
    let wrong = |fix: &str, found: String| Err(Error::engine("the engine", "answer a request", fix, found));
    if scores.len() != candidates {
        return wrong(
            "export the model again: it has to give one score per candidate",
            format!("{} scores for {candidates} candidates", scores.len()),
        );
    }
    match scores.iter().position(|score| !score.is_finite()) {
        None => Ok(()),
        Some(candidate) => wrong(
            "look whether its training diverged, or another engine or layout gives finite scores, and export it again",
            format!("the score of candidate {} of {candidates} is {}", candidate + 1, scores[candidate]),
        ),
    }
}

/// The engine of that name.
///
/// Fails when ONNX Runtime's library is not found or cannot be loaded; the message says how to get it.
pub fn engine(name: EngineName) -> Result<Box<dyn Engine>> {
    Ok(match name {
        EngineName::Tract => Box::new(tract::Tract),
        EngineName::OnnxRuntime => Box::new(onnxruntime::OnnxRuntime::load()?),
        EngineName::Null => Box::new(null::Null),
    })
}

#[cfg(test)]
mod tests;
