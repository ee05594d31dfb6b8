//! How well scores rank and how well they are calibrated. Pure functions of slices.
//!
//! Labels are 0 or 1 (anything above 0.5 counts as positive), scores are probabilities.

mod bootstrap;
mod calibration;
mod placement;
mod scored;

pub use crate::base::rank::auc;
use crate::base::rank::is_positive;
pub use bootstrap::{Bootstrap, Draws, Ranked};
pub use calibration::{BINS, Calibration};
pub use placement::{Gain, Placements};
use schemars::JsonSchema;
pub use scored::{ScoredCuts, ScoredPoint, ScoredRecall, ScoredSums, ScoringOrder};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use std::collections::BTreeMap;

/// The metrics that every trained model is reported with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Metrics {
    /// Area under the ROC curve; absent when only one class is there.
    pub auc: Option<f64>,
    /// Mean AUC of the groups, weighted by their rows; absent without groups that hold both classes.
    pub gauc: Option<f64>,
    /// Mean negative log likelihood, in nats.
    pub logloss: f64,
    /// The same for every label that is evaluated beside the one that was trained on, by column.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub other_labels: BTreeMap<String, Metrics>,
}

impl Metrics {
    /// The metrics of `scores` for one label; `groups` holds the GAUC group of each row.
    pub fn of(scores: &[f32], labels: &[f32], groups: Option<&[u64]>) -> Self {
        Self {
            auc: auc(scores, labels),
            gauc: groups.and_then(|groups| gauc(scores, labels, groups)),
            logloss: logloss(scores, labels),
            other_labels: BTreeMap::new(),
        }
    }
}

/// Mean of the groups' AUC, each weighted by its number of rows; groups with one class only are left out.
///
/// None when no group has both classes.
pub fn gauc(scores: &[f32], labels: &[f32], groups: &[u64]) -> Option<f64> {
    let mut mean = WeightedMean::default();
    mean.add_groups(scores, labels, groups);
    mean.value()
}

/// A GAUC whose groups come some at a time, each of them whole.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct WeightedMean {
    sum: f64,
    weight: f64,
}

impl WeightedMean {
    /// Adds the AUC of every group of these rows.
    pub fn add_groups(&mut self, scores: &[f32], labels: &[f32], groups: &[u64]) {
        each_list(groups, |list| {
            let of = |values: &[f32]| list.iter().map(|&row| values[row]).collect::<Vec<_>>();
            if let Some(auc) = auc(&of(scores), &of(labels)) {
                self.sum += auc * list.len() as f64;
                self.weight += list.len() as f64;
            }
        });
    }

    /// The mean; none of nothing.
    pub fn value(&self) -> Option<f64> {
        (self.weight > 0.0).then(|| self.sum / self.weight)
    }
}

/// Hands the rows of every key to `take`, in the order of the keys.
pub fn each_list(keys: &[u64], take: impl FnMut(&[usize])) {
    let mut order: Vec<usize> = (0..keys.len()).collect();
    order.sort_by_key(|&row| keys[row]);
    order.chunk_by(|&i, &j| keys[i] == keys[j]).for_each(take);
}

/// Mean of −y·ln p − (1−y)·ln(1−p), with p clipped to [1e-7, 1 − 1e-7]. NaN for no rows.
pub fn logloss(scores: &[f32], labels: &[f32]) -> f64 {
    const CLIP: f64 = 1e-7;
    let total: f64 = scores
        .iter()
        .zip(labels)
        .map(|(&p, &y)| {
            let p = f64::from(p).clamp(CLIP, 1.0 - CLIP);
            if is_positive(y) { -p.ln() } else { -(1.0 - p).ln() }
        })
        .sum();
    total / scores.len() as f64
}

/// Positions of the `k` highest scores, best first; of equal scores the earlier position wins.
pub fn top_k(scores: &[f32], k: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&i, &j| scores[j].total_cmp(&scores[i]));
    order.truncate(k);
    order
}

/// Share of one list's relevant candidates (relevance above 0.5) that the `k` highest scores hold.
///
/// None when nothing is relevant.
fn recall_at_k(scores: &[f32], relevance: &[f32], k: usize) -> Option<f64> {
    let relevant = relevance.iter().filter(|&&r| is_positive(r)).count();
    let found = top_k(scores, k).into_iter().filter(|&i| is_positive(relevance[i])).count();
    (relevant > 0).then(|| found as f64 / relevant as f64)
}

/// Share of the teacher's top `k` of one list that is in the scores' top `k` as well. Lists shorter than `k` count
/// whole. None for an empty list or `k` = 0.
fn overlap_at_k(scores: &[f32], teacher: &[f32], k: usize) -> Option<f64> {
    let mut wanted = vec![0.0; teacher.len()];
    top_k(teacher, k).into_iter().for_each(|i| wanted[i] = 1.0);
    recall_at_k(scores, &wanted, k)
}

/// How much of what a teacher ranks highest survives, as means over the lists of one request each. A list of K candidates
/// or fewer loses nothing at K and is left out; where every list is so short, K is absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TopLists {
    /// By K: the share of the teacher's best, as many as the smallest K, among the K highest scores.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "by_k")]
    pub recall_at: BTreeMap<usize, f64>,
    /// By K: the share of the teacher's top K among the K highest scores.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "by_k")]
    pub overlap_at: BTreeMap<usize, f64>,
}

/// Numbers by K. Keys of JSON are text, and serde makes numbers of them only where nothing is flattened.
fn by_k<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<usize, f64>, D::Error> {
    let by_text = BTreeMap::<String, f64>::deserialize(deserializer)?;
    by_text.into_iter().map(|(k, value)| Ok((k.parse().map_err(D::Error::custom)?, value))).collect()
}

impl TopLists {
    /// Of rows with these scores, teacher scores and requests, at every K of `at`.
    pub fn of(scores: &[f32], teacher: &[f32], requests: &[u64], at: &[usize]) -> Self {
        let mut sums = TopSums::default();
        sums.add(scores, teacher, requests, at);
        sums.means()
    }
}

/// [`TopLists`] of requests that come some at a time, each of them whole.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TopSums(BTreeMap<usize, (f64, f64, f64)>);

impl TopSums {
    /// Adds the lists of these rows.
    pub fn add(&mut self, scores: &[f32], teacher: &[f32], requests: &[u64], at: &[usize]) {
        let least = at.iter().copied().min().unwrap_or(0);
        each_list(requests, |list| {
            let of = |values: &[f32]| list.iter().map(|&row| values[row]).collect::<Vec<_>>();
            let (scores, teacher) = (of(scores), of(teacher));
            let mut best = vec![0.0; list.len()];
            top_k(&teacher, least).into_iter().for_each(|i| best[i] = 1.0);
            for &k in at.iter().filter(|&&k| k < list.len()) {
                let both = recall_at_k(&scores, &best, k).zip(overlap_at_k(&scores, &teacher, k));
                let Some((recall, overlap)) = both else { continue };
                let (recalls, overlaps, lists) = self.0.entry(k).or_default();
                (*recalls, *overlaps, *lists) = (*recalls + recall, *overlaps + overlap, *lists + 1.0);
            }
        });
    }

    /// Means over the lists.
    pub fn means(&self) -> TopLists {
        TopLists {
            recall_at: self.0.iter().map(|(&k, (recalls, _, lists))| (k, recalls / lists)).collect(),
            overlap_at: self.0.iter().map(|(&k, (_, overlaps, lists))| (k, overlaps / lists)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auc_counts_ordered_pairs_and_halves_ties() {
        // Positives 0.8, 0.4 against negatives 0.6, 0.4, 0.1: 3 + (0 + ½ + 1) of 6 pairs.
        let auc = auc(&[0.8, 0.6, 0.4, 0.4, 0.1], &[1.0, 0.0, 1.0, 0.0, 0.0]).unwrap();
        assert!((auc - 4.5 / 6.0).abs() < 1e-12);
    }

    #[test]
    fn auc_of_constant_scores_is_one_half() {
        assert_eq!(auc(&[0.3; 5], &[1.0, 0.0, 0.0, 1.0, 0.0]), Some(0.5));
    }

    #[test]
    fn auc_is_absent_with_one_class_or_a_nan() {
        assert_eq!(auc(&[0.1, 0.2], &[1.0, 1.0]), None);
        assert_eq!(auc(&[0.1, 0.2], &[0.0, 0.0]), None);
        assert_eq!(auc(&[0.1, f32::NAN], &[0.0, 1.0]), None);
        assert_eq!(auc(&[], &[]), None);
    }

    #[test]
    fn gauc_weighs_groups_by_their_rows_and_skips_those_of_one_class() {
        // Group 7 (interleaved): AUC 1 of 2 rows; group 3: AUC ½ of 3 rows (0.9 ✓, 0.1 ✗ for the negative 0.5);
        // group 5 has one class.
        let scores = [0.2, 0.9, 0.8, 0.5, 0.1, 0.4];
        let labels = [0.0, 1.0, 1.0, 0.0, 1.0, 1.0];
        let groups = [7, 3, 7, 3, 3, 5];
        let gauc = gauc(&scores, &labels, &groups).unwrap();
        assert!((gauc - (1.0 * 2.0 + 0.5 * 3.0) / 5.0).abs() < 1e-12);
        assert_eq!(super::gauc(&[0.4], &[1.0], &[0]), None);
    }

    #[test]
    fn logloss_of_known_probabilities() {
        let expected = (-(0.8f64.ln()) - 0.75f64.ln()) / 2.0;
        assert!((logloss(&[0.8, 0.25], &[1.0, 0.0]) - expected).abs() < 1e-7);
        assert!((logloss(&[0.0], &[1.0]) - -(1e-7f64.ln())).abs() < 1e-9, "a certain error is clipped");
    }

    #[test]
    fn the_top_k_is_in_order_and_stable() {
        assert_eq!(top_k(&[0.1, 0.9, 0.5, 0.9], 3), [1, 3, 2]);
        assert_eq!(top_k(&[0.1, 0.9], 5), [1, 0]);
    }

    #[test]
    fn recall_counts_the_relevant_that_were_kept() {
        let scores = [0.9, 0.8, 0.7, 0.6, 0.5];
        let relevance = [0.0, 1.0, 0.0, 1.0, 1.0];
        assert_eq!(recall_at_k(&scores, &relevance, 2), Some(1.0 / 3.0));
        assert_eq!(recall_at_k(&scores, &relevance, 4), Some(2.0 / 3.0));
        assert_eq!(recall_at_k(&scores, &relevance, 9), Some(1.0));
        assert_eq!(recall_at_k(&scores, &[0.0; 5], 2), None);
    }

    #[test]
    fn overlap_compares_two_top_lists() {
        let scores = [0.9, 0.8, 0.1, 0.2];
        let teacher = [0.7, 0.1, 0.2, 0.6];
        assert_eq!(overlap_at_k(&scores, &teacher, 2), Some(0.5));
        assert_eq!(overlap_at_k(&scores, &teacher, 3), Some(2.0 / 3.0));
        assert_eq!(overlap_at_k(&scores, &teacher, 4), Some(1.0));
        assert_eq!(overlap_at_k(&scores, &teacher, 0), None);
    }

    #[test]
    fn top_lists_are_means_over_the_requests_that_k_cuts() {
        // Request 8 (interleaved): the teacher ranks its rows a, c, b, the scores b, a, c. Request 5: both d, e. Request 3: alone.
        let requests = [8, 5, 8, 8, 5, 3];
        let teacher = [0.9, 0.8, 0.1, 0.5, 0.2, 0.7];
        let scores = [0.5, 0.6, 0.9, 0.2, 0.1, 0.3];
        let lists = TopLists::of(&scores, &teacher, &requests, &[2, 1, 3]);
        // At 1, request 8 keeps nothing and request 5 all. At 2, only request 8 is cut: {b, a} holds the teacher's best, a,
        // and half of {a, c}. No list has more than three.
        assert_eq!(lists.recall_at, BTreeMap::from([(1, 0.5), (2, 1.0)]));
        assert_eq!(lists.overlap_at, BTreeMap::from([(1, 0.5), (2, 0.5)]));
        assert_eq!(TopLists::of(&scores, &teacher, &requests, &[]), TopLists::default());
    }

    #[test]
    fn metrics_without_groups_have_no_gauc() {
        let metrics = Metrics::of(&[0.2, 0.8], &[0.0, 1.0], None);
        assert_eq!((metrics.auc, metrics.gauc), (Some(1.0), None));
        let json = serde_json::to_string(&metrics).unwrap();
        assert_eq!(serde_json::from_str::<Metrics>(&json).unwrap(), metrics);
    }
}
