//! Weighted least squares under lower bounds, from rows and priors that come one after the other.

use super::cholesky::{Square, minimise_above};

/// Normal equations of a sum of squares.
pub(super) struct LeastSquares {
    a: Square,
    b: Vec<f64>,
}

impl LeastSquares {
    /// The empty sum.
    pub(super) fn of(unknowns: usize) -> Self {
        Self { a: Square::zeros(unknowns), b: vec![0.0; unknowns] }
    }

    /// Adds the square of (Σ v·x − target) / deviation; v holds (unknown, value) pairs of distinct unknowns.
    pub(super) fn add(&mut self, v: &[(usize, f64)], target: f64, deviation: f64) {
        let weight = deviation.powi(-2);
        self.a.add_outer(v, weight);
        v.iter().for_each(|&(at, value)| self.b[at] += weight * value * target);
    }

    /// The x ≥ `lower` of the smallest sum. None where unknowns above their bounds have no one solution; one that no square pulls off its bound stays there.
    pub(super) fn least_above(&self, lower: &[f64]) -> Option<Vec<f64>> {
        minimise_above(&self.a, &self.b, lower)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_weighted_by_deviations_and_stays_above_its_bound() {
        let mut squares = LeastSquares::of(1);
        squares.add(&[(0, 1.5)], 5.0, 0.5);
        squares.add(&[(0, 4.0)], 5.0, 1.0);
        // (1.5 · 5 / 0.5² + 4 · 5) / (1.5² / 0.5² + 4²)
        assert_eq!(squares.least_above(&[0.0]), Some(vec![2.0]));
        assert_eq!(squares.least_above(&[3.0]), Some(vec![3.0]));
        assert_eq!(LeastSquares::of(1).least_above(&[0.0]), Some(vec![0.0]));
    }
}
