//! autofas-bench.
#![warn(missing_docs)]

pub mod app;
pub mod base;
pub mod data;
pub mod export;
pub mod learn;
pub mod measure;
pub mod price;
pub mod space;
