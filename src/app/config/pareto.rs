//! `[pareto]`: the budgets that `search --budgets` and `search --pareto` search one after the other.

use crate::base::check::{self, Checked};
use serde::{Deserialize, Serialize};

/// Budgets of a Pareto front, stated in one of two ways or not at all.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ParetoSettings {
    /// Features and mean service time together, in ms, for each network.
    pub budgets_ms: Vec<f64>,
    /// How many budgets are spaced geometrically from the cheapest network up to the whole; 0 for none.
    pub points: usize,
}

impl ParetoSettings {
    /// Whether there is any.
    pub fn asked(&self) -> bool {
        self.points > 0 || !self.budgets_ms.is_empty()
    }

    /// The first setting outside its range.
    pub fn check(&self) -> Checked {
        for &budget_ms in &self.budgets_ms {
            check::positive("budgets_ms", budget_ms)?;
        }
        let once = self.points == 0 || self.budgets_ms.is_empty();
        check::ensure(once, "points", "budgets are stated twice", "give budgets_ms, or how many points")
    }

    /// The budgets, ascending, each once. Geometric ones lie between `cheapest_ms` and `whole_ms`, of which the latter is the
    /// last: cheapest·(whole/cheapest)^(i/N) for i from 1 to N.
    pub fn budgets_ms(&self, cheapest_ms: f64, whole_ms: f64) -> Vec<f64> {
        let spaced = |i: usize| cheapest_ms * (whole_ms / cheapest_ms).powf(i as f64 / self.points as f64);
        let mut budgets = match self.points {
            0 => self.budgets_ms.clone(),
            points => (1..=points).map(spaced).collect(),
        };
        budgets.sort_by(f64::total_cmp);
        budgets.dedup();
        budgets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_spaced_geometrically_or_as_stated() {
        let spaced = ParetoSettings { points: 3, ..Default::default() }.budgets_ms(0.5, 4.0);
        assert!(
            spaced.iter().zip([1.0, 2.0, 4.0]).all(|(a, b): (&f64, f64)| (a - b).abs() < 1e-12),
            "{spaced:?}"
        );
        let stated = ParetoSettings { budgets_ms: vec![4.0, 1.0, 4.0], points: 0 };
        assert_eq!(stated.budgets_ms(0.5, 9.0), [1.0, 4.0]);
        let twice = ParetoSettings { budgets_ms: vec![1.0], points: 2 };
        assert_eq!(twice.check().unwrap_err().key, "points");
        assert!(ParetoSettings { budgets_ms: vec![0.0], points: 0 }.check().is_err());
    }
}
