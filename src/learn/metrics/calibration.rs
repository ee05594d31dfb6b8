//! Whether a score is the probability that it claims to be.

use crate::base::rank::is_positive;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bins that [`Calibration::of`] is asked for where nothing else is said.
pub const BINS: usize = 20;

/// How far scores lie from the frequencies that they promise.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Calibration {
    /// Expected calibration error: Σ_b n_b/n·|mean score − share of positives| over bins of equal mass, which neighbours in
    /// order of their scores make up. Few bins hide errors that cancel, many add the noise of their few rows: compare scores
    /// of the same rows only.
    pub expected_error: f64,
    /// Mean score over the share of positives: 1 where as many positives are promised as come. Absent without any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicted_over_observed: Option<f64>,
}

impl Calibration {
    /// Of scores and their labels in `bins` bins at most; bins differ by one row where they cannot be alike. None without rows,
    /// or where a score is no number.
    ///
    /// Rows of equal score lie where the order of the rows puts them, so a score of one value is judged bin by bin by what
    /// happens to lie there: its error is above that of one bin by noise.
    pub fn of(scores: &[f32], labels: &[f32], bins: usize) -> Option<Self> {
        if scores.is_empty() || scores.iter().any(|score| score.is_nan()) {
            return None;
        }
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|&i, &j| scores[i].total_cmp(&scores[j]));
        let bins = bins.clamp(1, scores.len());
        let mut error = 0.0;
        let (mut promised, mut observed) = (0.0, 0.0);
        for bin in 0..bins {
            let rows = &order[bin * scores.len() / bins..(bin + 1) * scores.len() / bins];
            let score: f64 = rows.iter().map(|&row| f64::from(scores[row])).sum();
            let positives = rows.iter().filter(|&&row| is_positive(labels[row])).count() as f64;
            error += (score - positives).abs();
            promised += score;
            observed += positives;
        }
        Some(Self {
            expected_error: error / scores.len() as f64,
            predicted_over_observed: (observed > 0.0).then(|| promised / observed),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_of_two_bins_is_that_worked_out_by_hand() {
        // Lower half 0.1, 0.2, 0.3 with one positive of three: |0.6 − 1| = 0.4. Upper half 0.6, 0.8, 1.0 with two: |2.4 − 2|.
        let scores = [0.8, 0.1, 0.3, 1.0, 0.2, 0.6];
        let labels = [1.0, 0.0, 1.0, 1.0, 0.0, 0.0];
        let found = Calibration::of(&scores, &labels, 2).unwrap();
        assert!((found.expected_error - 0.8 / 6.0).abs() < 1e-7, "{found:?}");
        assert!((found.predicted_over_observed.unwrap() - 1.0).abs() < 1e-7);
        // In one bin both errors cancel; with a bin per row nothing does.
        assert!(Calibration::of(&scores, &labels, 1).unwrap().expected_error < 1e-7);
        let single = Calibration::of(&scores, &labels, 99).unwrap().expected_error;
        assert!((single - (0.2 + 0.1 + 0.7 + 0.0 + 0.2 + 0.6) / 6.0).abs() < 1e-7);
    }

    #[test]
    fn bins_of_an_uneven_number_of_rows_hold_them_all() {
        let scores = [0.0, 0.0, 1.0, 1.0, 1.0];
        let found = Calibration::of(&scores, &[0.0, 0.0, 1.0, 1.0, 0.0], 2).unwrap();
        assert!((found.expected_error - 0.2).abs() < 1e-12);
        assert!((found.predicted_over_observed.unwrap() - 1.5).abs() < 1e-12);
    }

    #[test]
    fn what_has_no_calibration_has_none() {
        assert_eq!(Calibration::of(&[], &[], 3), None);
        assert_eq!(Calibration::of(&[f32::NAN], &[1.0], 3), None);
        assert_eq!(Calibration::of(&[0.5], &[0.0], 3).unwrap().predicted_over_observed, None);
    }
}
