//! Joint search of features and layers for **pre-ranking**, with measured latency in the loop.
//!
//! A pre-ranker scores thousands of candidates of one user within milliseconds. Which features it fetches and which
//! layers it runs decide its latency together, so this crate chooses them together: AutoFAS (Li et al., KDD 2022,
//! arXiv 2205.09394), with prices that were measured by replaying real requests into the very graphs that are served.
//!
//! # The tree
//!
//! Eight rooms, each answering one question. A room uses only the rooms below it; a test reads every path and fails on
//! one that points up.
//!
//! | room | question | begin reading at |
//! | --- | --- | --- |
//! | [`app`] | what does the user touch? | [`app::iterate`]: the loop as a pipeline |
//! | [`measure`] | how does it really run? | [`measure::engine`], [`measure::replay`] |
//! | [`export`] | what leaves? | [`export::model`] |
//! | [`learn`] | what is trained? The only user of candle | [`learn::search`] |
//! | [`price`] | what does it cost? Values and gradients, no tensors | [`price::expected`], [`price::table`] |
//! | [`space`] | what can be chosen? | [`space::Subnet`] |
//! | [`data`] | what comes in? | [`data::schema`], [`data::dataset`] |
//! | [`base`] | what may everybody use? | [`base::Error`] |
//!
//! # The way of the data
//!
//! ```text
//! Schema + Dataset ─► SearchSpace ─► Supernet ─► Subnet ─► Network ─► OnnxModel
//!                                       ▲                                 │
//!                                       │ prices                          ▼
//!                          LatencyTable n+1 ◄── Measurement ◄── Session + Trace
//! ```
//!
//! A [`space::Subnet`] is a choice: a set of features and one operator per Mixop. A [`learn::network::Network`] is that
//! choice with trained weights, as plain data. [`export`] turns it into an ONNX graph, [`measure`] runs the graph inside
//! this process or a child of it, and [`price`] learns from what was measured.
//!
//! # Examples
//!
//! In the folder `examples`, each with its command at its head: `search_parquet` drafts a schema of a file and searches on it;
//! `price_subnet` prices a network and its neighbours by a latency table; `replay_onnx` replays arrivals into any ONNX model;
//! `client` scores the request that travels with a package; `trees` grows gradient boosted trees and packs them.
//!
//! # Conventions
//!
//! Latencies are in milliseconds wherever a loss sees them and carry their unit in every name. Errors name the file, the
//! place and the next step ([`base::Error`]). Random draws come from one seeded stream per purpose ([`base::rng`]).
//! Files are whole or not there ([`base::fsio`]).
#![warn(missing_docs)]

pub mod app;
pub mod base;
pub mod data;
pub mod export;
pub mod learn;
pub mod measure;
pub mod price;
pub mod space;

// The types of the way above, and what an experiment begins and ends with, for those who write `use autofas_bench::…`.
// Inside the crate every path goes through its room.
pub use app::config::Experiment;
pub use base::{Error, Result};
pub use data::{dataset::Dataset, schema::Schema};
pub use export::OnnxModel;
pub use learn::{network::Network, supernet::Supernet};
pub use measure::{
    engine::{Engine, Session},
    measurement::Measurement,
    replay::trace::Trace,
};
pub use price::table::LatencyTable;
pub use space::{SearchSpace, Subnet};
