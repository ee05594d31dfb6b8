//! Distillation within lists: not what the teacher scores, but how it orders the rows of one list. Pure functions of slices; the
//! gradients are closed forms.
//!
//! Both see the student's logits z and the teacher's probabilities r, and neither changes when a constant is added to all z of a
//! list, which is what ranking a list is about.

use std::ops::Range;

/// What of a list is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListLoss {
    /// Σ (r_i − r_j)·ln(1 + e^−(z_i − z_j)) / Σ (r_i − r_j) over the pairs with r_i > r_j: RankNet's logistic loss (Burges et al.
    /// 2005), every pair weighted by how far the teacher holds it apart.
    Pairwise,
    /// −Σ_i softmax(logit r)_i·ln softmax(z)_i: ListNet's top-one cross entropy (Cao et al. 2007) of the distributions that
    /// both sides' logits give.
    Listwise,
}

/// Chances of a teacher nearer to 0 or 1 than this count as so far from it: their logits would be infinite.
const CLIP: f64 = 1e-6;

/// Σ over lists of their losses, and its gradient to the logits.
///
/// `ends` says where lists end; they lie one after the other. A list whose rows the teacher does not tell apart, as one of a single
/// row, adds nothing to the pairwise loss; one of a single row adds nothing to either.
pub fn over_lists(loss: ListLoss, logits: &[f32], teacher: &[f32], ends: &[u32]) -> (f64, Vec<f64>) {
    let wide = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
    let (logits, teacher) = (wide(logits), wide(teacher));
    let mut gradient = vec![0.0; logits.len()];
    let mut sum = 0.0;
    for list in ranges(ends) {
        let (z, r, g) = (&logits[list.clone()], &teacher[list.clone()], &mut gradient[list]);
        sum += match loss {
            ListLoss::Pairwise => pairwise(z, r, g),
            ListLoss::Listwise => listwise(z, r, g),
        };
    }
    (sum, gradient)
}

/// The rows of every list.
fn ranges(ends: &[u32]) -> impl Iterator<Item = Range<usize>> + '_ {
    let starts = std::iter::once(0).chain(ends.iter().map(|&end| end as usize));
    starts.zip(ends).map(|(start, &end)| start..end as usize)
}

/// ∂/∂z_i = Σ_j w_ij·(σ(z_i − z_j) − 1) / Σw for every pair with r_i > r_j, and the opposite for z_j.
fn pairwise(z: &[f64], r: &[f64], gradient: &mut [f64]) -> f64 {
    let (mut sum, mut weights) = (0.0, 0.0);
    let rows = 0..z.len();
    let pairs = rows.clone().flat_map(|i| rows.clone().map(move |j| (i, j)));
    for (i, j) in pairs.filter(|&(i, j)| r[i] > r[j]) {
        let (weight, apart) = (r[i] - r[j], z[i] - z[j]);
        weights += weight;
        sum += weight * softplus(-apart);
        let slope = weight * sigmoid(-apart);
        gradient[i] -= slope;
        gradient[j] += slope;
    }
    if weights == 0.0 {
        return 0.0;
    }
    gradient.iter_mut().for_each(|g| *g /= weights);
    sum / weights
}

/// ∂/∂z = softmax(z) − softmax(logit r).
fn listwise(z: &[f64], r: &[f64], gradient: &mut [f64]) -> f64 {
    let odds = r.iter().map(|r| {
        let r = r.clamp(CLIP, 1.0 - CLIP);
        (r / (1.0 - r)).ln()
    });
    let (wanted, found) = (log_softmax(&odds.collect::<Vec<_>>()), log_softmax(z));
    let mut sum = 0.0;
    for ((wanted, found), g) in wanted.iter().zip(&found).zip(gradient) {
        sum -= wanted.exp() * found;
        *g = found.exp() - wanted.exp();
    }
    sum
}

fn log_softmax(values: &[f64]) -> Vec<f64> {
    let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = values.iter().map(|v| (v - largest).exp()).sum();
    values.iter().map(|v| v - largest - sum.ln()).collect()
}

/// ln(1 + eˣ), for any x.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three lists: of three, one and four rows, the last with a tie.
    const ENDS: [u32; 3] = [3, 4, 8];
    const TEACHER: [f32; 8] = [0.9, 0.2, 0.4, 0.7, 0.3, 0.3, 0.8, 0.05];
    const LOGITS: [f32; 8] = [0.5, -1.0, 0.75, 2.0, -0.25, 0.5, 1.25, 1.0];

    #[test]
    fn gradients_are_the_slopes_of_the_losses() {
        for loss in [ListLoss::Pairwise, ListLoss::Listwise] {
            let (_, gradient) = over_lists(loss, &LOGITS, &TEACHER, &ENDS);
            for (row, found) in gradient.iter().enumerate() {
                let at = |step: f32| {
                    let mut moved = LOGITS;
                    moved[row] += step;
                    over_lists(loss, &moved, &TEACHER, &ENDS).0
                };
                // A power of two, which every logit can be moved by exactly.
                let step = 2f32.powi(-12);
                let slope = (at(step) - at(-step)) / f64::from(2.0 * step);
                assert!((found - slope).abs() < 1e-6, "{loss:?}, row {row}: {found} {slope}");
            }
            assert_eq!(gradient[3], 0.0, "alone in its list");
        }
    }

    #[test]
    fn two_rows_have_their_closed_forms() {
        // One pair: ln(1 + e^−(z₀ − z₁)), whatever the teacher's difference.
        let (value, _) = over_lists(ListLoss::Pairwise, &[0.25, 1.0], &[0.75, 0.5], &[2]);
        assert!((value - (1.0 + 0.75f64.exp()).ln()).abs() < 1e-12);
        // Odds 3 and 1: softmax ¾ and ¼; logits ln 3 and 0 match them, so the loss is their entropy and rests.
        let logits = [3f32.ln() + 0.5, 0.5];
        let (value, gradient) = over_lists(ListLoss::Listwise, &logits, &[0.75, 0.5], &[2]);
        let entropy = -(0.75 * 0.75f64.ln() + 0.25 * 0.25f64.ln());
        assert!((value - entropy).abs() < 1e-6 && gradient[0].abs() < 1e-6, "{value} {gradient:?}");
    }

    #[test]
    fn adding_a_constant_to_a_list_changes_nothing() {
        let moved: Vec<f32> =
            LOGITS.iter().enumerate().map(|(i, z)| z + if i < 3 { 2.0 } else { -4.0 }).collect();
        for loss in [ListLoss::Pairwise, ListLoss::Listwise] {
            let (before, after) =
                (over_lists(loss, &LOGITS, &TEACHER, &ENDS), over_lists(loss, &moved, &TEACHER, &ENDS));
            assert!((before.0 - after.0).abs() < 1e-12, "{loss:?}");
        }
    }

    #[test]
    fn lists_that_say_nothing_add_nothing_and_nothing_overflows() {
        assert_eq!(over_lists(ListLoss::Pairwise, &[3.0, -2.0], &[0.5, 0.5], &[2]), (0.0, vec![0.0; 2]));
        assert_eq!(over_lists(ListLoss::Listwise, &[7.0], &[0.5], &[1]), (0.0, vec![0.0]));
        assert_eq!(over_lists(ListLoss::Pairwise, &[], &[], &[]), (0.0, vec![]));
        for loss in [ListLoss::Pairwise, ListLoss::Listwise] {
            let (value, gradient) = over_lists(loss, &[-900.0, 900.0], &[1.0, 0.0], &[2]);
            assert!(
                (value - 1800.0).abs() < 0.01 && gradient.iter().all(|g| g.is_finite()),
                "{loss:?} {value}"
            );
        }
    }
}
