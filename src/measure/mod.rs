//! How it really runs: engines, replay, proof, probes, measurements.

pub mod assemble;
pub mod engine;
pub mod evaluate;
pub mod prove;
