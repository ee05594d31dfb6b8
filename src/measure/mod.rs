//! How it really runs: engines, replay, proof, probes, measurements.

pub mod engine;
pub mod environment;
pub mod hlog;
pub mod latency;
pub mod measurement;
pub mod replay;
pub mod service;
