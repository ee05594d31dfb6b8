//! How a choice is read off the search's end.

use crate::base::check::{self, Checked};
use serde::{Deserialize, Serialize};

/// Which features are kept once θ is learned. In every Mixop the operator of the largest α is kept.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "rule", rename_all = "snake_case")]
pub enum DeriveSettings {
    /// Those whose θ is above a threshold.
    Threshold {
        /// The threshold.
        #[serde(default = "half")]
        theta: f64,
    },
    /// The strongest.
    TopK {
        /// How many.
        #[serde(default = "thirty")]
        k: usize,
    },
    /// The largest set within a latency budget: by falling θ, all that still fits.
    Budget {
        /// Features and network together, in ms. Has no default that makes sense: 0 is refused.
        #[serde(default)]
        budget_ms: f64,
    },
}

fn half() -> f64 {
    0.5
}

fn thirty() -> usize {
    30
}

impl Default for DeriveSettings {
    fn default() -> Self {
        Self::Threshold { theta: half() }
    }
}

impl DeriveSettings {
    /// The first setting outside its range.
    pub fn check(&self) -> Checked {
        match *self {
            Self::Threshold { theta } => check::share("theta", theta),
            Self::TopK { k } => check::at_least("k", k, 1),
            Self::Budget { budget_ms } => check::positive("budget_ms", budget_ms),
        }
    }
}
