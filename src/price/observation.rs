//! A whole network that was timed: what isolated layers are held against.

use super::{LayerPrices, path::path_ms};
use crate::{
    base::Result,
    space::{InputWidths, SearchSpace, Subnet},
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
    /// Typical service time, measured as [`super::table::TableEntry::mean_ms`] is.
    pub measured_ms: f64,
    /// Standard error of that, in percent.
    pub noise_pct: f64,
}

impl Observation {
    /// A measured subnet.
    pub fn of(space: &SearchSpace, subnet: &Subnet, measured_ms: f64, noise_pct: f64) -> Self {
        Self {
            network: subnet.id(space),
            widths: subnet.layer_widths(),
            input: subnet.input_widths(space),
            measured_ms,
            noise_pct,
        }
    }

    /// What `prices` say about this network.
    pub fn predicted_ms(&self, prices: &dyn LayerPrices) -> Result<f64> {
        path_ms(&self.widths, self.input, prices)
    }

    /// Orders observations by what was measured: equal for the same layers over the same input widths.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        let (a, b) = (self.input, other.input);
        self.widths
            .cmp(&other.widths)
            .then_with(|| a.user.total_cmp(&b.user))
            .then_with(|| a.item.total_cmp(&b.item))
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
