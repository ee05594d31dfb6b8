//! What leaves: a network as ONNX in the layout of a serving system, with its companions. Runs no engine.

pub mod check;
pub mod companions;
mod embed;
mod graph;
mod layers;
pub mod model;
pub mod probe;
pub mod signature;
pub mod triton;

pub use companions::write_package;
pub use model::{Metadata, OnnxModel, onnx, read_signature};
