//! How networks are judged by training.

use crate::base::check::{self, Checked};
use serde::{Deserialize, Serialize};

/// `[finals]`: networks that are trained to be judged, by cross-validation on the training rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FinalsSettings {
    /// Whether the layers that a search ends with are set beside others by training.
    pub layers: bool,
    /// Whether, without a budget, features are exchanged for others where the supernet finds that surely better, whatever they cost. With `layers` both choices are trained, and the one of the lower log loss and price
    /// stands. Nothing is exchanged where `[search] held_out` is 0.
    pub features: bool,
    /// Parts of the training rows; a network is trained once without each, and judged there.
    pub folds: usize,
    /// Training rows that are divided, at most: of more, some are drawn.
    pub max_rows: usize,
}

impl Default for FinalsSettings {
    fn default() -> Self {
        Self { layers: true, features: true, folds: 3, max_rows: 1 << 20 }
    }
}

impl FinalsSettings {
    /// The first setting outside its range.
    pub fn check(&self) -> Checked {
        check::at_least("folds", self.folds, 2)?;
        check::at_least("max_rows", self.max_rows, self.folds)
    }
}
