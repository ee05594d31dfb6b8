//! Where the loop's measurements come from: child processes in earnest, scripts in tests.

use crate::{
    app::config::{Settings, Stage},
    base::{Result, names::EngineName, progress::Progress},
    measure::{job::DataFiles, measurement::Measurement},
    price::table::{TableContext, TableEntry},
    space::SearchSpace,
};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A model to be timed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedModel {
    /// Name for reports.
    pub name: String,
    /// The ONNX file.
    pub path: PathBuf,
}

/// Mean service time of one model.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ServiceTime {
    /// Mean, in ms.
    pub mean_ms: f64,
    /// Spread between two interleaved halves of the measurement, in percent.
    pub noise_pct: f64,
}

/// What a replay needs beside the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traffic {
    /// The trace's file.
    pub trace: PathBuf,
    /// The rows that users and items are looked up in.
    pub data: DataFiles,
    /// Where each network's histograms go, named after network and engine.
    pub hlogs: PathBuf,
}

/// Times models.
pub trait Meter {
    /// The circumstances that an engine's measurements belong to.
    fn context(&self, engine: EngineName) -> Result<TableContext>;
    /// Every layer of the space alone, at the target's candidate count.
    fn probe(&self, engine: EngineName, space: &SearchSpace, progress: &dyn Progress) -> Result<Vec<TableEntry>>;
    /// Whole networks, interleaved, in their order.
    fn service(&self, engine: EngineName, models: &[NamedModel], progress: &dyn Progress) -> Result<Vec<ServiceTime>>;
    /// Networks under replayed traffic, in their order.
    fn replay(&self, engine: EngineName, models: &[NamedModel], traffic: &Traffic) -> Result<Vec<Measurement>>;
    /// Writes what machine this is.
    fn describe(&self, path: &Path) -> Result<()>;
}
