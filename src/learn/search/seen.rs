//! What a search remembers of its steps, beside parameters and moments.

use serde::{Deserialize, Serialize};

/// Weight of the past in the baseline of single paths: about ten steps.
const PAST: f64 = 0.9;

/// Sums over the steps of a search.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Seen {
    /// What Loss2 without latency came to lately; nothing before the first step.
    pub(super) baseline: Option<f64>,
    steps: u64,
    /// Σ of Loss1's gradient to the free parameter of every feature.
    sums: Vec<f64>,
    /// Σ of its squares.
    squares: Vec<f64>,
}

impl Seen {
    /// Adds a step with this loss and this gradient to the free parameters.
    pub(super) fn add(&mut self, taught: f64, by_free: Option<&[f32]>) {
        self.baseline = Some(self.baseline.map_or(taught, |past| PAST * past + (1.0 - PAST) * taught));
        let Some(by_free) = by_free else { return };
        self.steps += 1;
        self.sums.resize(by_free.len(), 0.0);
        self.squares.resize(by_free.len(), 0.0);
        for ((sum, square), &g) in self.sums.iter_mut().zip(&mut self.squares).zip(by_free) {
            *sum += f64::from(g);
            *square += f64::from(g).powi(2);
        }
    }

    /// Mean of every feature's gradient over its standard error. 0 for what has no gradient; nothing before the second step.
    pub(super) fn t_values(&self) -> Option<Vec<f64>> {
        if self.steps < 2 {
            return None;
        }
        let steps = self.steps as f64;
        let of = |(sum, squares): (&f64, &f64)| {
            let variance = (squares - sum * sum / steps).max(0.0) / (steps - 1.0);
            if *sum == 0.0 { 0.0 } else { sum / (steps * variance).sqrt() }
        };
        Some(self.sums.iter().zip(&self.squares).map(of).collect())
    }

    /// Steps whose gradients were added.
    pub(super) fn steps(&self) -> u64 {
        self.steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t_is_the_mean_over_its_standard_error() {
        let mut seen = Seen::default();
        seen.add(1.0, None);
        assert_eq!((seen.t_values(), seen.baseline), (None, Some(1.0)));
        for gradient in [[1.0f32, -3.0, 0.0], [2.0, 3.0, 0.0], [6.0, 0.0, 0.0]] {
            seen.add(2.0, Some(&gradient));
        }
        // 1, 2, 6: mean 3, variance 7, so 3/√(7/3).
        let t = seen.t_values().unwrap();
        assert!((t[0] - 3.0 / (7.0f64 / 3.0).sqrt()).abs() < 1e-12, "{t:?}");
        assert_eq!(t[1..], [0.0, 0.0]);
        assert!((seen.baseline.unwrap() - (2.0 - 0.9f64.powi(3))).abs() < 1e-12);
    }
}
