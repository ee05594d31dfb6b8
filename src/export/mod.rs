//! What leaves: a network as ONNX in the layout of a serving system, with its companions. Runs no engine.

pub mod signature;
