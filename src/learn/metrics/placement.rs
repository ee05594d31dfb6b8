//! How far two AUCs on the same rows differ, and how much of that is chance.
//!
//! The placement of a row is the share of the rows of the other label that it is on the right side of, ties counting half. The AUC is
//! the mean placement of the positives, and that of the negatives. Two networks that score the same rows have placements in pairs,
//! and with their differences d
//!
//! ```text
//! ΔAUC = mean d over the positives,    error² = var(d of positives)/P + var(d of negatives)/N
//! ```
//!
//! (DeLong, DeLong and Clarke-Pearson 1988, "Comparing the areas under two or more correlated receiver operating characteristic
//! curves".)

use crate::base::rank::{is_positive, mid_ranks};

/// The placements of one network's scores.
#[derive(Debug, Clone, PartialEq)]
pub struct Placements {
    positives: Vec<f32>,
    negatives: Vec<f32>,
}

/// A difference of AUCs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gain {
    /// By how much one is higher.
    pub auc: f64,
    /// Standard error of that.
    pub error: f64,
}

impl Gain {
    /// Whether the gain is above so many standard errors, and above 0.
    pub fn is_above(&self, errors: f64) -> bool {
        self.auc > 0.0 && self.auc > errors * self.error
    }
}

impl Placements {
    /// Of the scores of rows with these labels; None where one label is missing or a score is NaN.
    pub fn of(scores: &[f32], labels: &[f32]) -> Option<Self> {
        if scores.iter().any(|score| score.is_nan()) {
            return None;
        }
        let (positive, negative): (Vec<usize>, Vec<usize>) =
            (0..labels.len()).partition(|&row| is_positive(labels[row]));
        if positive.is_empty() || negative.is_empty() {
            return None;
        }
        let ranks =
            |rows: &[usize]| mid_ranks(&rows.iter().map(|&r| f64::from(scores[r])).collect::<Vec<_>>());
        let all = ranks(&(0..labels.len()).collect::<Vec<_>>());
        // Rows of the other label below a row: its rank among all without its rank among its own.
        let below = |rows: &[usize]| -> Vec<f64> {
            rows.iter().zip(ranks(rows)).map(|(&row, own)| all[row] - own).collect()
        };
        let (wins, losses) = (below(&positive), below(&negative));
        let (p, n) = (positive.len() as f64, negative.len() as f64);
        Some(Self {
            positives: wins.into_iter().map(|wins| (wins / n) as f32).collect(),
            negatives: losses.into_iter().map(|losses| ((p - losses) / p) as f32).collect(),
        })
    }

    /// A network whose AUC is known without chance.
    #[cfg(test)]
    pub(in crate::learn) fn exactly(auc: f64) -> Self {
        Self { positives: vec![auc as f32], negatives: vec![auc as f32] }
    }

    /// The mean placement.
    pub fn auc(&self) -> f64 {
        mean(self.positives.iter().map(|&v| f64::from(v)))
    }

    /// By how much the AUC is above that of `other` on the same rows.
    pub fn gain_over(&self, other: &Self) -> Gain {
        let variance = |ours: &[f32], theirs: &[f32]| {
            let differences = || ours.iter().zip(theirs).map(|(a, b)| f64::from(*a) - f64::from(*b));
            let (count, middle) = (ours.len() as f64, mean(differences()));
            let squares: f64 = differences().map(|d| (d - middle).powi(2)).sum();
            // One row has no variance to tell.
            squares / (count - 1.0).max(1.0) / count
        };
        let error = variance(&self.positives, &other.positives) + variance(&self.negatives, &other.negatives);
        Gain { auc: self.auc() - other.auc(), error: error.sqrt() }
    }
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    sum / count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{rank::auc, rng};

    #[test]
    fn placements_are_those_counted_by_hand() {
        // Positives 0.9 and 0.4, negatives 0.5, 0.4 and 0.1: wins 3 of 3, and 1 and a half.
        let labels = [1.0, 0.0, 1.0, 0.0, 0.0];
        let found = Placements::of(&[0.9, 0.5, 0.4, 0.4, 0.1], &labels).unwrap();
        assert_eq!(found.positives, [1.0, 0.5]);
        assert_eq!(found.negatives, [0.5, 0.75, 1.0]);
        assert!((found.auc() - 0.75).abs() < 1e-7);
        // Against scores that are all alike every placement is ½: differences ½, 0 and 0, ¼, ½.
        let flat = Placements::of(&[0.3; 5], &labels).unwrap();
        let gain = found.gain_over(&flat);
        let wanted = (0.125f64 / 2.0 + 0.0625 / 3.0).sqrt();
        assert!((gain.auc - 0.25).abs() < 1e-7 && (gain.error - wanted).abs() < 1e-7, "{gain:?}");
        assert!(Placements::of(&[0.1, 0.2], &[1.0, 1.0]).is_none());
        assert!(Placements::of(&[0.1, f32::NAN], &[1.0, 0.0]).is_none());
    }

    #[test]
    fn the_error_is_how_far_gains_scatter_over_samples() {
        // Two scores of one signal with noise of their own, on many samples of 300 rows.
        let sample = |seed| {
            let draw = |what: &str| rng::normals(300, 1.0, &mut rng::generator(seed, what));
            let (signal, a, b) = (draw("signal"), draw("a"), draw("b"));
            let labels: Vec<f32> = draw("label")
                .iter()
                .zip(&signal)
                .map(|(noise, s)| f32::from(u8::from(s + noise > 0.0)))
                .collect();
            let scores = |noise: &[f32], by: f32| -> Vec<f32> {
                signal.iter().zip(noise).map(|(s, n)| s + by * n).collect()
            };
            let (a, b) = (scores(&a, 0.5), scores(&b, 1.0));
            let placements = Placements::of(&a, &labels).unwrap();
            assert!((placements.auc() - auc(&a, &labels).unwrap()).abs() < 1e-6);
            placements.gain_over(&Placements::of(&b, &labels).unwrap())
        };
        let gains: Vec<Gain> = (0..400).map(sample).collect();
        let middle = mean(gains.iter().map(|g| g.auc));
        let scatter = mean(gains.iter().map(|g| (g.auc - middle).powi(2))).sqrt();
        let stated = mean(gains.iter().map(|g| g.error));
        assert!((stated / scatter - 1.0).abs() < 0.15, "{stated} stated, {scatter} seen");
        assert!(gains.iter().filter(|gain| gain.is_above(2.0)).count() > 200);
    }
}
