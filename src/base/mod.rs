//! What every room may use: errors, seeded generators, atomic file writes, progress, requests to
//! stop, ranks, and the names of engines,
//! layouts and precisions. Nothing here knows about data, networks or measurements.

pub mod check;
pub mod error;
pub mod fsio;
pub mod hash;
pub mod keys;
pub mod memory;
pub mod names;
pub mod progress;
pub mod rank;
pub mod rng;
pub mod stop;

pub use error::{Error, Result};
