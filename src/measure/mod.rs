//! How it really runs: engines, replay, proof, probes, measurements.

pub mod engine;
