//! What is trained: teacher, supernet, derived networks. The only room that uses candle.

pub mod metrics;
pub mod network;
