//! What every room may use: errors, keys that users write and the ranges of settings, files that are whole or not there,
//! hashes and seeded generators, written dates, progress and requests to stop, ranks, Student's t, the allocator, panics of libraries, the names
//! of engines, layouts and precisions, and objectives. Nothing here knows about data, networks or measurements.

pub mod calendar;
pub mod check;
pub mod error;
pub mod fsio;
pub mod hash;
pub mod keys;
pub mod memory;
pub mod names;
pub mod objective;
pub mod panics;
pub mod progress;
pub mod rank;
pub mod rng;
pub mod shell;
pub mod stop;
pub mod student;

pub use error::{Error, Result};
