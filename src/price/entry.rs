//! What is measured and goes into a latency table: layers alone, first layers over sets of features, whole networks.

use super::observation::Observation;
use crate::space::Input;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// A layer as it is probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Operation {
    /// A run that computes next to nothing: what every call costs, and so every layer that is probed alone.
    Call,
    /// From encoded ids (gathers and concatenation included) to width `to`.
    First {
        /// Embedded columns of the user's side.
        user: usize,
        /// Embedded columns of the item's side.
        item: usize,
        /// Outputs.
        to: usize,
    },
    /// From `from` values to `to`; `to` = 1 is the output node.
    Layer {
        /// Inputs.
        from: usize,
        /// Outputs.
        to: usize,
    },
}

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Call => write!(f, "call"),
            Self::First { user, item, to } => write!(f, "first layer (user {user}, item {item}) → {to}"),
            Self::Layer { from, to } => write!(f, "layer {from} → {to}"),
        }
    }
}

/// Percentiles of single timed runs, interruptions included: no price reads them. Absent is what too few runs earn, by the rule of
/// replays (7 runs for p50, 44 for p90, 459 for p99).
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunQuantiles {
    /// Median, in ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50_ms: Option<f64>,
    /// 90th percentile, in ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p90_ms: Option<f64>,
    /// 99th percentile, in ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99_ms: Option<f64>,
}

impl RunQuantiles {
    /// Those that `value` knows, given 0.5, 0.9 and 0.99.
    pub fn of(value: impl Fn(f64) -> Option<f64>) -> Self {
        let [p50_ms, p90_ms, p99_ms] = [0.5, 0.9, 0.99].map(value);
        Self { p50_ms, p90_ms, p99_ms }
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn is_sound(&self) -> bool {
        let known: Vec<f64> = [self.p50_ms, self.p90_ms, self.p99_ms].into_iter().flatten().collect();
        known.iter().all(|ms| ms.is_finite() && *ms >= 0.0) && known.is_sorted()
    }
}

/// One probed layer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableEntry {
    /// The layer.
    pub operation: Operation,
    /// Number of timed runs.
    pub samples: u64,
    /// Typical service time: the median over short blocks of the mean of each block's faster three quarters, so that a
    /// disturbed run or block does not count.
    pub mean_ms: f64,
    /// Standard error of that value, in percent of it, from the spread of the blocks.
    pub noise_pct: f64,
    /// Of the timed runs; empty in tables of programs that did not keep them.
    #[serde(default, skip_serializing_if = "RunQuantiles::is_empty")]
    pub quantiles: RunQuantiles,
    /// Index into [`super::table::LatencyTable::origins`].
    #[serde(default)]
    pub origin: usize,
}

/// A first layer over a set of features that is no point of the grid: it tells apart what inputs are made of.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputEntry {
    /// The features' input.
    pub input: Input,
    /// Outputs.
    pub to: usize,
    /// Number of timed runs.
    pub samples: u64,
    /// Typical service time, as [`TableEntry::mean_ms`].
    pub mean_ms: f64,
    /// Its standard error, in percent.
    pub noise_pct: f64,
    /// Of the timed runs, as [`TableEntry::quantiles`].
    #[serde(default, skip_serializing_if = "RunQuantiles::is_empty")]
    pub quantiles: RunQuantiles,
    /// Index into [`super::table::LatencyTable::origins`].
    #[serde(default)]
    pub origin: usize,
}

/// One measurement on its way into a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Value {
    /// A layer alone.
    Layer(TableEntry),
    /// A first layer at a point of the grid of input widths, and what its input was made of.
    Grid(TableEntry, Input),
    /// A first layer over another set of features.
    Input(InputEntry),
    /// A whole network, to learn from.
    Network(Observation),
    /// A whole network, to judge by.
    HeldOut(Observation),
}

impl Value {
    /// Standard error, in percent.
    pub fn noise_pct(&self) -> f64 {
        match self {
            Self::Layer(entry) | Self::Grid(entry, _) => entry.noise_pct,
            Self::Input(entry) => entry.noise_pct,
            Self::Network(observation) | Self::HeldOut(observation) => observation.noise_pct,
        }
    }
}

/// By widths alone: points of a grid.
pub(super) fn order_widths(a: &Input, b: &Input) -> Ordering {
    let (a, b) = (a.widths, b.widths);
    a.user.total_cmp(&b.user).then_with(|| a.item.total_cmp(&b.item))
}

/// By widths, then by what they are made of.
pub(super) fn order_inputs(a: &Input, b: &Input) -> Ordering {
    let (x, y) = (a.load.array(), b.load.array());
    let loads = x.iter().zip(&y).map(|(a, b)| a.total_cmp(b));
    let mut loads = loads.filter(|order| order.is_ne());
    order_widths(a, b).then_with(|| loads.next().unwrap_or(Ordering::Equal))
}

impl InputEntry {
    pub(super) fn order(&self, other: &Self) -> Ordering {
        self.to.cmp(&other.to).then_with(|| order_inputs(&self.input, &other.input))
    }

    pub(super) fn problem(&self) -> Option<String> {
        let widths = self.input.widths;
        let (ms, noise_pct) = (self.mean_ms, self.noise_pct);
        let sound =
            ms.is_finite() && ms >= 0.0 && noise_pct.is_finite() && noise_pct >= 0.0 && self.samples > 0;
        let sound = sound && self.quantiles.is_sound();
        (!sound).then(|| {
            format!(
                "first layer (user {}, item {}) → {}: {ms} ms ± {noise_pct} % is no latency",
                widths.user, widths.item, self.to
            )
        })
    }
}

impl TableEntry {
    pub(super) fn problem(&self) -> Option<String> {
        let latency = |value: f64| value.is_finite() && value >= 0.0;
        let sound = latency(self.mean_ms) && latency(self.noise_pct) && self.samples > 0;
        let sound = sound && self.quantiles.is_sound();
        (!sound).then(|| {
            format!(
                "{}: {} ms ± {} % of {} samples is no latency",
                self.operation, self.mean_ms, self.noise_pct, self.samples
            )
        })
    }
}
