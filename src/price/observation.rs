//! A whole network that was timed: what isolated layers are held against.

use super::{LayerPrices, entry::order_inputs, path::path_ms};
use crate::{
    base::{Error, Result},
    space::{Input, InputLoad, InputWidths, SearchSpace, Subnet},
};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// Service time of one whole network, under the circumstances of the bucket that holds it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observation {
    /// Name for reports.
    pub network: String,
    /// Hidden widths.
    pub widths: Vec<usize>,
    /// Embedded columns of the input.
    pub input: InputWidths,
    /// What the input is made of.
    pub load: InputLoad,
    /// Typical service time, measured as [`super::table::TableEntry::mean_ms`] is.
    pub measured_ms: f64,
    /// Standard error of that, in percent.
    pub noise_pct: f64,
    /// The same after something else has gone through the caches, where that was measured: it corrects and judges nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cold_ms: Option<f64>,
    /// Index into [`super::table::LatencyTable::origins`] of the table that holds it.
    #[serde(default)]
    pub origin: usize,
}

impl Observation {
    /// A measured subnet.
    pub fn of(space: &SearchSpace, subnet: &Subnet, measured_ms: f64, noise_pct: f64) -> Self {
        Self {
            network: subnet.id(space),
            widths: subnet.layer_widths(),
            input: subnet.input_widths(space),
            load: subnet.input(space).load,
            measured_ms,
            noise_pct,
            cold_ms: None,
            origin: 0,
        }
    }

    /// What `prices` say about this network.
    pub fn predicted_ms(&self, prices: &dyn LayerPrices) -> Result<f64> {
        path_ms(&self.widths, self.whole_input(), prices)
    }

    /// Whether `prices` know all of its layers.
    pub fn has_price(&self, prices: &dyn LayerPrices) -> bool {
        !matches!(self.predicted_ms(prices), Err(Error::MissingPrice { .. }))
    }

    /// The input as prices see it.
    pub fn whole_input(&self) -> Input {
        Input { widths: self.input, load: self.load }
    }

    /// Orders observations by what was measured: equal for the same layers over the same input.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        self.widths.cmp(&other.widths).then_with(|| order_inputs(&self.whole_input(), &other.whole_input()))
    }

    pub(super) fn problem(&self) -> Option<String> {
        let sound = self.measured_ms.is_finite()
            && self.measured_ms > 0.0
            && self.noise_pct.is_finite()
            && self.noise_pct >= 0.0;
        (!sound).then(|| {
            format!("network {}: {} ms ± {} % is no latency", self.network, self.measured_ms, self.noise_pct)
        })
    }
}
