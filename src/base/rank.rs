//! Rank statistics that both the quality of a ranking and the agreement of two price lists are judged by.

use std::cmp::Ordering;

/// Ranks from 1 in ascending order; equal values share the mean of the ranks that they occupy.
///
/// NaN ranks above everything else; callers that cannot bear that check first.
pub fn mid_ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&i, &j| values[i].total_cmp(&values[j]));
    let mut ranks = vec![0.0; values.len()];
    let mut begin = 0;
    // `==` and not bit equality, so that 0 and −0 (neighbours in the total order) tie.
    for run in order.chunk_by(|&i, &j| values[i] == values[j]) {
        let shared = begin as f64 + (run.len() + 1) as f64 / 2.0;
        run.iter().for_each(|&i| ranks[i] = shared);
        begin += run.len();
    }
    ranks
}

/// Whether a label, or what stands for one, counts as positive.
pub fn is_positive(label: f32) -> bool {
    label > 0.5
}

/// Probability that a random positive scores above a random negative; ties count half.
///
/// AUC = pairs in order / (P·N), by [`ordered_pairs`]. None when a class is missing or a score is
/// NaN: a network that diverged has no AUC. Labels above 0.5 count as positive.
pub fn auc(scores: &[f32], labels: &[f32]) -> Option<f64> {
    let positives = labels.iter().filter(|&&y| is_positive(y)).count() as f64;
    let pairs = positives * (labels.len() as f64 - positives);
    let ordered = ordered_pairs(scores, labels)?;
    (pairs > 0.0).then(|| ordered / pairs)
}

/// Standard error of an AUC found on so many rows of each label, as if each of the two had been drawn at random:
///
/// error² = (A(1−A) + (P−1)(Q₁−A²) + (N−1)(Q₂−A²)) / (P·N), with Q₁ = A/(2−A) and Q₂ = 2A²/(1+A)
///
/// (Hanley and McNeil 1982, "The meaning and use of the area under a receiver operating characteristic (ROC) curve"). The rarer
/// label decides it: 100 positives leave about 0.03 whatever the number of rows. An AUC below ½ has the error of its mirror image.
/// None when a label is missing.
pub fn auc_error(auc: f64, positives: usize, negatives: usize) -> Option<f64> {
    if positives == 0 || negatives == 0 {
        return None;
    }
    let (a, p, n) = (auc.max(1.0 - auc), positives as f64, negatives as f64);
    let (q1, q2) = (a / (2.0 - a), 2.0 * a * a / (1.0 + a));
    Some(((a * (1.0 - a) + (p - 1.0) * (q1 - a * a) + (n - 1.0) * (q2 - a * a)) / (p * n)).sqrt())
}

/// Pairs of a positive and a negative whose positive scores higher; ties count half.
///
/// Σ ranks of the positives − P(P+1)/2, with mid-ranks. None when a score is NaN.
pub fn ordered_pairs(scores: &[f32], labels: &[f32]) -> Option<f64> {
    if scores.iter().any(|s| s.is_nan()) {
        return None;
    }
    let positives = labels.iter().filter(|&&y| is_positive(y)).count() as f64;
    let scores: Vec<f64> = scores.iter().map(|&s| f64::from(s)).collect();
    let ranks = mid_ranks(&scores);
    let sum: f64 = ranks.iter().zip(labels).filter(|&(_, &y)| is_positive(y)).map(|(rank, _)| rank).sum();
    Some(sum - positives * (positives + 1.0) / 2.0)
}

/// Kendall's τ-b of two lists of equal length, in O(n log n) (Knight 1966):
/// τ = (concordant − discordant) / √((pairs − ties in a)·(pairs − ties in b)).
///
/// None when a list is constant, shorter than two, of another length than the other, or holds a NaN.
pub fn kendall_tau(a: &[f64], b: &[f64]) -> Option<f64> {
    if !comparable(a, b) {
        return None;
    }
    // Ranks instead of values: equal values compare equal, and no NaN is left.
    let (a, b) = (mid_ranks(a), mid_ranks(b));
    let mut order: Vec<usize> = (0..a.len()).collect();
    order.sort_by(|&i, &j| a[i].total_cmp(&a[j]).then(b[i].total_cmp(&b[j])));
    let ties_a = tied_pairs(&order, |i, j| a[i] == a[j]);
    let ties_both = tied_pairs(&order, |i, j| a[i] == a[j] && b[i] == b[j]);
    let mut by_a: Vec<f64> = order.iter().map(|&i| b[i]).collect();
    let discordant = sort_counting_inversions(&mut by_a) as f64;
    order.sort_by(|&i, &j| b[i].total_cmp(&b[j]));
    let ties_b = tied_pairs(&order, |i, j| b[i] == b[j]);

    let pairs = pairs_among(a.len());
    let scale = ((pairs - ties_a) * (pairs - ties_b)).sqrt();
    (scale > 0.0).then(|| (pairs - ties_a - ties_b + ties_both - 2.0 * discordant) / scale)
}

/// Spearman's ρ: the correlation of the mid-ranks of two lists of equal length. None as for [`kendall_tau`].
pub fn spearman(a: &[f64], b: &[f64]) -> Option<f64> {
    if !comparable(a, b) {
        return None;
    }
    // All mid-ranks sum up to n(n + 1)/2.
    let mean = (a.len() + 1) as f64 / 2.0;
    let centred = |values: &[f64]| mid_ranks(values).into_iter().map(|rank| rank - mean).collect::<Vec<_>>();
    let (a, b) = (centred(a), centred(b));
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let scale = (product(&a, &a) * product(&b, &b)).sqrt();
    (scale > 0.0).then(|| product(&a, &b) / scale)
}

fn comparable(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.len() >= 2 && !a.iter().chain(b).any(|v| v.is_nan())
}

fn pairs_among(n: usize) -> f64 {
    n as f64 * (n as f64 - 1.0) / 2.0
}

fn tied_pairs(order: &[usize], equal: impl Fn(usize, usize) -> bool) -> f64 {
    order.chunk_by(|&i, &j| equal(i, j)).map(|run| pairs_among(run.len())).sum()
}

/// Merge sort that counts the strictly descending pairs it straightens.
fn sort_counting_inversions(values: &mut [f64]) -> u64 {
    if values.len() < 2 {
        return 0;
    }
    let (left, right) = values.split_at_mut(values.len() / 2);
    let mut inversions = sort_counting_inversions(left) + sort_counting_inversions(right);
    let mut merged = Vec::with_capacity(left.len() + right.len());
    let (mut i, mut j) = (0, 0);
    while i < left.len() && j < right.len() {
        if left[i].total_cmp(&right[j]) == Ordering::Greater {
            inversions += (left.len() - i) as u64;
            merged.push(right[j]);
            j += 1;
        } else {
            merged.push(left[i]);
            i += 1;
        }
    }
    merged.extend_from_slice(&left[i..]);
    merged.extend_from_slice(&right[j..]);
    values.copy_from_slice(&merged);
    inversions
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn equal_values_share_the_mean_of_their_ranks() {
        assert_eq!(mid_ranks(&[30.0, 10.0, 20.0, 20.0]), [4.0, 1.0, 2.5, 2.5]);
        assert_eq!(mid_ranks(&[0.0, -0.0, 1.0]), [1.5, 1.5, 3.0]);
    }

    #[test]
    fn the_error_of_an_auc_is_that_worked_out_by_hand() {
        // One pair is right or wrong: A(1−A). With A = 3/4: Q₁ = 3/5 and Q₂ = 9/14.
        for (positives, negatives, variance) in [
            (1, 1, 0.1875),
            (2, 1, (0.1875 + 0.6 - 0.5625) / 2.0),
            (1, 3, (0.1875 + 2.0 * (9.0 / 14.0 - 0.5625)) / 3.0),
        ] {
            let error = auc_error(0.75, positives, negatives).unwrap();
            assert!((error * error - variance).abs() < 1e-12, "{positives}, {negatives}: {error}");
        }
        // Without any knowledge (P + N + 1) / (12·P·N), the variance of the rank sum test.
        let chance = auc_error(0.5, 100, 10_000).unwrap();
        assert!((chance - (10_101.0f64 / 12e6).sqrt()).abs() < 1e-12);
        assert_eq!(auc_error(0.25, 7, 30), auc_error(0.75, 7, 30));
        assert_eq!(auc_error(1.0, 7, 30), Some(0.0));
        assert_eq!((auc_error(0.5, 0, 9), auc_error(0.5, 9, 0)), (None, None));
    }

    #[test]
    fn correlations_of_hand_made_lists() {
        let a = [1.0, 2.0, 3.0, 4.0];
        assert_eq!(kendall_tau(&a, &[10.0, 20.0, 30.0, 40.0]), Some(1.0));
        assert_eq!(kendall_tau(&a, &[4.0, 3.0, 2.0, 1.0]), Some(-1.0));
        // One of six pairs is swapped: (5 − 1) / 6.
        assert!((kendall_tau(&a, &[1.0, 3.0, 2.0, 4.0]).unwrap() - 4.0 / 6.0).abs() < 1e-12);
    }

    #[test]
    fn spearman_is_one_minus_the_squared_distances_of_ranks_and_knows_ties() {
        let a = [1.0, 2.0, 3.0, 4.0];
        // 1 − 6·Σd²/(n(n² − 1)) with d = 0, 1, −1, 0.
        assert!((spearman(&a, &[1.0, 30.0, 20.0, 40.0]).unwrap() - 0.8).abs() < 1e-12);
        assert_eq!(spearman(&a, &[4.0, 3.0, 2.0, 1.0]), Some(-1.0));
        // Ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4: 4.5 / √(4.5·5).
        assert!((spearman(&[1.0, 2.0, 2.0, 9.0], &a).unwrap() - 4.5 / 22.5f64.sqrt()).abs() < 1e-12);
        assert_eq!(spearman(&a, &[5.0; 4]), None);
    }

    #[test]
    fn correlations_that_mean_nothing_are_absent() {
        assert_eq!(kendall_tau(&[1.0, 2.0], &[5.0, 5.0]), None);
        assert_eq!(kendall_tau(&[1.0], &[2.0]), None);
        assert_eq!(kendall_tau(&[1.0, f64::NAN], &[1.0, 2.0]), None);
        assert_eq!(kendall_tau(&[1.0, 2.0], &[1.0, 2.0, 3.0]), None);
    }

    proptest! {
        #[test]
        fn kendall_equals_the_count_over_all_pairs(
            pairs in prop::collection::vec((0u8..6, 0u8..6), 2..40),
        ) {
            let a: Vec<f64> = pairs.iter().map(|p| f64::from(p.0)).collect();
            let b: Vec<f64> = pairs.iter().map(|p| f64::from(p.1)).collect();
            let (mut score, mut untied_a, mut untied_b) = (0.0f64, 0.0f64, 0.0f64);
            for i in 0..a.len() {
                for j in 0..i {
                    let (x, y) = (a[i] - a[j], b[i] - b[j]);
                    score += if x * y > 0.0 { 1.0 } else if x * y < 0.0 { -1.0 } else { 0.0 };
                    untied_a += f64::from(u8::from(x != 0.0));
                    untied_b += f64::from(u8::from(y != 0.0));
                }
            }
            let expected = (untied_a * untied_b > 0.0).then(|| score / (untied_a * untied_b).sqrt());
            match (kendall_tau(&a, &b), expected) {
                (Some(found), Some(expected)) => prop_assert!((found - expected).abs() < 1e-12),
                (found, expected) => prop_assert_eq!(found, expected),
            }
        }
    }
}
