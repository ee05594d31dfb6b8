//! What leaves: a network as ONNX in the layout of a serving system, with its companions. Runs no engine.

pub mod check;
pub mod companions;
mod embed;
mod encode;
pub mod form;
pub mod format;
mod graph;
mod layers;
pub mod model;
pub mod outside;
mod partitions;
pub mod probe;
mod qdq;
pub mod quantise;
pub mod rows;
pub mod signature;
mod towers;
mod trees;
pub mod triton;

pub use companions::{COMPANIONS, write_package};
pub use form::Form;
pub use format::Format;
pub use model::{Described, Metadata, OnnxModel, describe, onnx, onnx_in, read_signature};
pub use quantise::Reference;
