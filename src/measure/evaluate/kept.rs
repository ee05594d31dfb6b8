//! What is kept of every scored row, and the metrics made from it a part at a time: rows are divided by their key where
//! lists are compared, and by their score where all rows are. A part is a share of the memory that the whole would need, and
//! takes one more look at all rows.

use super::no_groups;
use crate::{
    base::{
        Result,
        hash::Hasher,
        rank::{is_positive, ordered_pairs},
    },
    data::{column::Column, dataset::Dataset, growing::Growing},
    learn::metrics::{
        Metrics, ScoredCuts, ScoredRecall, ScoredSums, TopLists, TopSums, WeightedMean, auc, each_list,
        logloss,
    },
};
use std::ops::Range;

/// Rows of a part, about: their metrics take some tens of megabytes.
pub(super) const PART_ROWS: usize = 1 << 20;

/// Columns of what was scored so far.
#[derive(Default)]
pub(super) struct Kept {
    scores: Growing<f32>,
    labels: Growing<f32>,
    other_labels: Vec<(String, Growing<f32>)>,
    groups: Option<Growing<u64>>,
    lists: Option<(Growing<u64>, Growing<f32>)>,
}

/// The same when all rows are there.
pub(super) struct Rows {
    scores: Column<f32>,
    labels: Column<f32>,
    other_labels: Vec<(String, Column<f32>)>,
    groups: Option<Column<u64>>,
    /// Request and teacher score.
    lists: Option<(Column<u64>, Column<f32>)>,
}

/// The metrics of one GAUC group.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupMetrics {
    /// Key of the group: a whole number as it is, other values hashed.
    pub key: u64,
    /// Its rows.
    pub rows: usize,
    /// Rows whose label is 1.
    pub positives: usize,
    /// Mean of their scores: above the share of positives, the model promises too much.
    pub mean_score: f64,
    /// Absent when one class is missing.
    pub auc: Option<f64>,
    /// In nats.
    pub logloss: f64,
}

impl Kept {
    /// Rows so far.
    pub(super) fn rows(&self) -> usize {
        self.scores.len()
    }

    pub(super) fn add(&mut self, scores: &[f32], data: &Dataset, rows: &[u32]) -> Result<()> {
        let picked = |values: &[f32]| rows.iter().map(|&row| values[row as usize]).collect::<Vec<_>>();
        let keys = |values: &[u64]| rows.iter().map(|&row| values[row as usize]).collect::<Vec<_>>();
        self.scores.extend(scores)?;
        self.labels.extend(&picked(&data.labels))?;
        if self.other_labels.is_empty() {
            self.other_labels =
                data.other_labels.iter().map(|(name, _)| (name.clone(), Growing::default())).collect();
        }
        for ((_, kept), (_, labels)) in self.other_labels.iter_mut().zip(&data.other_labels) {
            kept.extend(&picked(labels))?;
        }
        if let Some(groups) = &data.groups {
            self.groups.get_or_insert_default().extend(&keys(groups))?;
        }
        if let (Some(requests), Some(teacher)) = (&data.requests, &data.teacher_scores) {
            let (kept_requests, kept_teacher) = self.lists.get_or_insert_default();
            kept_requests.extend(&keys(requests))?;
            kept_teacher.extend(&picked(teacher))?;
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<Rows> {
        Ok(Rows {
            scores: self.scores.finish()?,
            labels: self.labels.finish()?,
            other_labels: (self.other_labels.into_iter())
                .map(|(name, labels)| Ok((name, labels.finish()?)))
                .collect::<Result<_>>()?,
            groups: self.groups.map(Growing::finish).transpose()?,
            lists: match self.lists {
                Some((requests, teacher)) => Some((requests.finish()?, teacher.finish()?)),
                None => None,
            },
        })
    }
}

impl Rows {
    pub(super) fn rows(&self) -> usize {
        self.scores.len()
    }

    /// AUC, GAUC and logloss of every label, from parts of about `part` rows.
    pub(super) fn metrics(&self, part: usize) -> Metrics {
        let other = self.other_labels.iter().map(|(name, labels)| (name.clone(), self.of(labels, part)));
        Metrics { other_labels: other.collect(), ..self.of(&self.labels, part) }
    }

    fn of(&self, labels: &[f32], part: usize) -> Metrics {
        let gauc = self.groups.as_ref().and_then(|groups| {
            let mut mean = WeightedMean::default();
            by_key(groups, part, |rows| {
                mean.add_groups(&pick(&self.scores, rows), &pick(labels, rows), &pick(groups, rows));
            });
            mean.value()
        });
        Metrics {
            auc: auc_in_parts(&self.scores, labels, part),
            gauc,
            logloss: logloss(&self.scores, labels),
            other_labels: Default::default(),
        }
    }

    /// What the scores keep of the teacher's favourites.
    pub(super) fn top_lists(&self, part: usize, at: &[usize]) -> TopLists {
        let mut sums = TopSums::default();
        if let Some((requests, teacher)) = &self.lists {
            by_key(requests, part, |rows| {
                sums.add(&pick(&self.scores, rows), &pick(teacher, rows), &pick(requests, rows), at);
            });
        }
        sums.means()
    }

    /// What is kept of the teacher's favourites where only some candidates of a request are scored; none without lists.
    pub(super) fn scored(&self, part: usize, at: &[usize], cuts: &ScoredCuts) -> Option<Vec<ScoredRecall>> {
        let (requests, teacher) = self.lists.as_ref()?;
        let mut sums = ScoredSums::new(cuts.clone());
        by_key(requests, part, |rows| {
            sums.add(&pick(&self.scores, rows), &pick(teacher, rows), &pick(requests, rows), at);
        });
        Some(sums.means())
    }

    /// Hash of the requests and the teacher's scores of all rows, in their order: the same for every model that is evaluated on
    /// them.
    pub(super) fn lists_hash(&self) -> Option<String> {
        let (requests, teacher) = self.lists.as_ref()?;
        let mut hasher = Hasher::default();
        hasher.column(requests, u64::to_le_bytes);
        hasher.column(teacher, f32::to_le_bytes);
        Some(hasher.finish())
    }

    /// Hands the metrics of every group to `take`: in the order of their keys where all rows are one part.
    pub(super) fn each_group(
        &self,
        part: usize,
        take: &mut dyn FnMut(&GroupMetrics) -> Result<()>,
    ) -> Result<()> {
        let groups = self.groups.as_ref().ok_or_else(no_groups)?;
        let mut result = Ok(());
        by_key(groups, part, |rows| {
            each_list(&pick(groups, rows), |list| {
                let of_group: Vec<u32> = list.iter().map(|&place| rows[place]).collect();
                let (scores, labels) = (pick(&self.scores, &of_group), pick(&self.labels, &of_group));
                let metrics = GroupMetrics {
                    key: groups[of_group[0] as usize],
                    rows: of_group.len(),
                    positives: labels.iter().filter(|&&label| is_positive(label)).count(),
                    mean_score: scores.iter().map(|&s| f64::from(s)).sum::<f64>() / scores.len() as f64,
                    auc: auc(&scores, &labels),
                    logloss: logloss(&scores, &labels),
                };
                if result.is_ok() {
                    result = take(&metrics);
                }
            });
        });
        result
    }
}

fn pick<T: Copy>(values: &[T], rows: &[u32]) -> Vec<T> {
    rows.iter().map(|&row| values[row as usize]).collect()
}

/// Hands the rows to `take` in parts of about `part`, where rows of one key are together.
fn by_key(keys: &[u64], part: usize, mut take: impl FnMut(&[u32])) {
    let parts = keys.len().div_ceil(part).max(1) as u64;
    // Keys are often small numbers, whose low bits would divide them as well; those of hashes do in any case.
    let of = |key: u64| (key ^ (key >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    for wanted in 0..parts {
        let rows: Vec<u32> =
            (0..keys.len() as u32).filter(|&row| of(keys[row as usize]) % parts == wanted).collect();
        take(&rows);
    }
}

/// Bits of a score that divide rows.
const HIGH_BITS: u32 = 16;

/// Order as of the scores; −0 is 0.
fn ascending(score: f32) -> u32 {
    let bits = (score + 0.0).to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

/// [`auc`] from parts that hold all rows within a range of scores: pairs across parts are in order by their place, and only
/// those within a part have to be sorted. Rows whose scores agree in their highest bits stay together however many they are.
fn auc_in_parts(scores: &[f32], labels: &[f32], part: usize) -> Option<f64> {
    let high = |score: f32| (ascending(score) >> (32 - HIGH_BITS)) as usize;
    let (mut positives, mut negatives, mut ordered) = (0.0, 0.0, 0.0);
    for range in ranges(scores.iter().map(|&score| high(score)), part) {
        let rows: Vec<u32> =
            (0..scores.len() as u32).filter(|&row| range.contains(&high(scores[row as usize]))).collect();
        let (scores, labels) = (pick(scores, &rows), pick(labels, &rows));
        let own = labels.iter().filter(|&&label| is_positive(label)).count() as f64;
        ordered += ordered_pairs(&scores, &labels)? + own * negatives;
        positives += own;
        negatives += rows.len() as f64 - own;
    }
    let pairs = positives * negatives;
    (pairs > 0.0).then(|| ordered / pairs)
}

/// Neighbouring values together as long as they have no more than `part` rows.
fn ranges(values: impl Iterator<Item = usize>, part: usize) -> Vec<Range<usize>> {
    let mut counts = vec![0usize; 1 << HIGH_BITS];
    values.for_each(|value| counts[value] += 1);
    let (mut ranges, mut begin, mut rows) = (Vec::new(), 0, 0);
    for (value, &count) in counts.iter().enumerate() {
        if rows > 0 && rows + count > part {
            ranges.push(begin..value);
            (begin, rows) = (value, 0);
        }
        rows += count;
    }
    ranges.push(begin..counts.len());
    ranges
}

#[cfg(test)]
mod tests;
