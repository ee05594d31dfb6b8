//! How it really runs: engines, replay, proof, probes, measurements.

pub mod assemble;
pub mod campaign;
pub mod capacity;
pub mod child;
pub mod conditions;
pub mod cost;
pub mod engine;
pub mod environment;
pub mod evaluate;
pub mod hlog;
pub mod job;
pub mod latency;
pub mod measurement;
pub mod order;
pub mod peak;
mod pinning;
pub mod planted;
pub mod probe;
pub mod prove;
pub mod regression;
pub mod replay;
pub mod service;
pub mod traced;
pub mod validity;
pub mod vectors;
pub mod workload;
