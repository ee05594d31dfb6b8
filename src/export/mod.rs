//! What leaves: a network as ONNX in the layout of a serving system, with its companions. Runs no engine.

pub mod check;
pub mod companions;
mod embed;
mod encode;
pub mod form;
mod graph;
mod layers;
pub mod model;
pub mod outside;
pub mod probe;
pub mod rows;
pub mod signature;
pub mod triton;

pub use companions::{COMPANIONS, write_package};
pub use form::Form;
pub use model::{Metadata, OnnxModel, onnx, read_item_table, read_signature};
