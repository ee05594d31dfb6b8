//! How a choice is read off the search's end.

use crate::base::{
    check::{self, Checked},
    objective::{Objective, written},
};
use serde::{Deserialize, Serialize};

/// Which features are kept once θ is learned. In every Mixop the operator of the largest α is kept, unless a budget says otherwise.
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
    /// Those that a latency budget pays for: by falling θ, all that still fits; then features and operators are exchanged as long
    /// as the supernet's own judgement of the networks rises.
    Budget(Budget),
}

/// A latency budget, stated in one of two ways. Neither has a default that makes sense.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    /// Features and mean service time together, in ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_ms: Option<f64>,
    /// Features and a percentile of the response together, such as `"p99=20ms"`, under the load that `[traffic]` states.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "written")]
    pub objective: Option<Objective>,
    /// Megabytes (10⁶ bytes) that embedding tables and layers may take together in single precision; no cap where it is left
    /// out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mb: Option<f64>,
}

impl Budget {
    /// A budget of the mean.
    pub fn of_mean(budget_ms: f64) -> Self {
        Self { budget_ms: Some(budget_ms), ..Self::default() }
    }

    /// The same limit times `factor`, with the same memory cap.
    pub fn scaled(self, factor: f64) -> Self {
        let objective =
            self.objective.map(|objective| Objective { limit_us: factor * objective.limit_us, ..objective });
        Self { budget_ms: self.budget_ms.map(|ms| factor * ms), objective, ..self }
    }

    /// What features and network may take together, in ms.
    pub fn limit_ms(&self) -> f64 {
        let stated = self.objective.map(|objective| objective.limit_us / 1e3);
        stated.or(self.budget_ms).unwrap_or(f64::INFINITY)
    }

    fn check(&self) -> Checked {
        if let Some(memory_mb) = self.memory_mb {
            check::positive("memory_mb", memory_mb)?;
        }
        let how = "give budget_ms for the mean, or objective = \"p99=20ms\" for a percentile under load";
        match (self.budget_ms, self.objective) {
            (Some(budget_ms), None) => check::positive("budget_ms", budget_ms),
            (None, Some(_)) => Ok(()),
            (None, None) => check::ensure(false, "budget_ms", "no budget is stated", how),
            (Some(_), Some(_)) => {
                check::ensure(false, "objective", "the budget is stated twice", format!("remove one: {how}"))
            }
        }
    }
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
            Self::Budget(budget) => budget.check(),
        }
    }

    /// The budget, where one is stated.
    pub fn budget(&self) -> Option<Budget> {
        match *self {
            Self::Budget(budget) => Some(budget),
            Self::Threshold { .. } | Self::TopK { .. } => None,
        }
    }
}
