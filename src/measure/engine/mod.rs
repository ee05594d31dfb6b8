//! Inference runtimes behind two small traits; each runtime's crate is used in one file only.

mod null;
mod onnxruntime;
mod tract;

use crate::base::{
    Result,
    names::{EngineName, Provider},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The values of one input tensor of one request.
#[derive(Debug, Clone, PartialEq)]
pub enum TensorData {
    /// Encoded ids, row after row.
    I64(Vec<i64>),
    /// Numbers, row after row.
    F32(Vec<f32>),
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SessionOptions {
    /// Where ONNX Runtime computes; tract has only the CPU.
    pub provider: Provider,
    /// Intra-op threads.
    pub threads: usize,
    /// Candidate count that is known beforehand: tract optimises for it. Other counts still work.
    pub candidates_hint: Option<usize>,
}

impl SessionOptions {
    /// One thread on the processor, for any number of candidates: what every engine can do.
    pub const PLAIN: Self = Self { provider: Provider::Cpu, threads: 1, candidates_hint: None };
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
    /// [`crate::measure::assemble`] fills does.
    fn run(&mut self, inputs: &Inputs, scores: &mut Vec<f32>) -> Result<()>;
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
