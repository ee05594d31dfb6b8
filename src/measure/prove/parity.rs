//! What a proof found, as it is kept beside the model.

use crate::{
    base::names::{EngineName, RowFormat},
    measure::gate::GateReport,
};
use serde::{Deserialize, Serialize};

/// One engine's distance from the reference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EngineParity {
    /// Which runtime.
    pub engine: EngineName,
    /// Its version.
    pub version: String,
    /// The largest |Δscore| over all rows and the request. The reference reads this engine's item table, where there is one.
    pub max_abs_difference: f64,
    /// How many of the logged rows were compared in this engine, the first ones, where that is not all: trees in tract, which
    /// would take hours. Its joined requests have no more candidates than that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<usize>,
    /// The item table that this engine filled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_table: Option<TableParity>,
}

/// How far an item table is from the network that it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TableParity {
    /// Number format of its rows.
    pub rows: RowFormat,
    /// Items that were compared.
    pub items: usize,
    /// The largest |Δ| of a row's value from the reference's, beyond what rounding explains.
    pub max_abs_difference: f64,
    /// The largest |Δscore| from the reference that computes everything in f32: what rounding costs.
    pub max_abs_rounding: f64,
    /// The limit that it kept.
    pub rounding_tolerance: f64,
}

/// What was compared, and how far apart the scores were.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ParityReport {
    /// Version of this format.
    pub schema_version: u32,
    /// The limit that every difference kept.
    pub tolerance: f64,
    /// Logged rows that were compared.
    pub rows: usize,
    /// Candidates of each joined request, ascending.
    pub request_candidates: Vec<usize>,
    /// Each engine against the reference.
    pub engines: Vec<EngineParity>,
    /// The largest |Δscore| between any two engines.
    pub between_engines: f64,
    /// What rounding costs against fp32; absent where nothing is rounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<GateReport>,
}

impl ParityReport {
    /// Version of this format that this program writes.
    pub const SCHEMA_VERSION: u32 = 2;

    /// The largest difference from the reference in any engine.
    pub fn worst(&self) -> f64 {
        self.engines.iter().fold(0.0, |worst, engine| worst.max(engine.max_abs_difference))
    }
}
