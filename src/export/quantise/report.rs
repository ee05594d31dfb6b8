//! What quantisation did to each layer, and what it costs.

use super::judge::{ListKind, ScoreLoss};
use crate::base::names::RangeMethod;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What became of one layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerReport {
    /// Its name in the graph.
    pub layer: String,
    /// `int8` or `fp32`.
    pub format: LayerFormat,
    /// Why it stayed float; absent for int8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How the range of its input was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<RangeMethod>,
    /// Whether the channels of its input were brought to one scale: it loses less so.
    #[serde(default)]
    pub equalised: bool,
    /// Root mean squared change of the logit with this layer alone in integers, in percent of the logit's standard
    /// deviation, by method.
    pub logit_error_pct: BTreeMap<RangeMethod, f64>,
}

/// Number format of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LayerFormat {
    /// Integers.
    Int8,
    /// Floats.
    Fp32,
}

/// What quantisation did, found on calibration rows by computing with the same integers as engines do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QuantisationReport {
    /// Version of this format.
    pub schema_version: u32,
    /// Calibration rows.
    pub rows: usize,
    /// Labelled rows that the loss was found on.
    pub judged_rows: usize,
    /// Bits of a weight.
    pub weight_bits: u32,
    /// One per layer.
    pub layers: Vec<LayerReport>,
    /// What the lists of the overlap are.
    pub lists: ListKind,
    /// What int8 costs on the judged rows and on lists like them.
    pub loss: ScoreLoss,
    /// Root mean squared change of the logit, in percent of its standard deviation.
    pub logit_error_pct: f64,
}

impl QuantisationReport {
    /// The file of a package that holds it.
    pub const FILE: &str = "quantisation.json";
    /// Version of this format that this program writes.
    pub const SCHEMA_VERSION: u32 = 1;

    /// A line per layer: its format, its loss by each method, and why it stayed float.
    pub fn table(&self) -> String {
        let line = |layer: &LayerReport| {
            let errors = layer.logit_error_pct.iter().map(|(method, pct)| {
                let chosen = if layer.method == Some(*method) { "*" } else { "" };
                format!("{method}{chosen} {pct:.3} %")
            });
            let errors = errors.collect::<Vec<_>>().join(", ");
            let format = match layer.format {
                LayerFormat::Int8 => "int8",
                LayerFormat::Fp32 => "fp32",
            };
            let reason = layer.reason.as_ref().map(|why| format!("; {why}")).unwrap_or_default();
            let equalised = if layer.equalised { ", channels equalised" } else { "" };
            format!("{} {format}: logit error {errors}{equalised}{reason}", layer.layer)
        };
        let lines: Vec<_> = self.layers.iter().map(line).collect();
        let Self { rows, judged_rows, logit_error_pct: error, loss, .. } = self;
        format!(
            "{}\ntogether: logit error {error:.3} % on {rows} calibration rows, {loss} on {judged_rows} rows of the training",
            lines.join("\n")
        )
    }
}
