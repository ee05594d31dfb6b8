//! How it really runs: engines, replay, proof, probes, measurements.

pub mod assemble;
pub mod child;
pub mod cost;
pub mod engine;
pub mod environment;
pub mod evaluate;
pub mod hlog;
pub mod job;
pub mod latency;
pub mod measurement;
mod pinning;
pub mod probe;
pub mod prove;
pub mod replay;
pub mod service;
pub mod traced;
mod validity;
pub mod vectors;
pub mod workload;
