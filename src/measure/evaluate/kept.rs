//! What is kept of every scored row, and the metrics made from it a part at a time: rows are divided by their key where
//! lists are compared, and by their score where all rows are. A part is a share of the memory that the whole would need, and
//! takes one more look at all rows.

use crate::{
    base::{Error, Result, rank::ordered_pairs},
    data::{column::Column, dataset::Dataset, growing::Growing},
    learn::metrics::{Metrics, TopLists, TopSums, WeightedMean, auc, each_list, logloss},
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

    /// Hands the metrics of every group to `take`: in the order of their keys where all rows are one part.
    pub(super) fn each_group(
        &self,
        part: usize,
        take: &mut dyn FnMut(&GroupMetrics) -> Result<()>,
    ) -> Result<()> {
        let Some(groups) = &self.groups else {
            return Err(Error::usage(
                "the schema names no group column",
                "add `group = \"…\"` to its [data]",
            ));
        };
        let mut result = Ok(());
        by_key(groups, part, |rows| {
            each_list(&pick(groups, rows), |list| {
                let of_group: Vec<u32> = list.iter().map(|&place| rows[place]).collect();
                let (scores, labels) = (pick(&self.scores, &of_group), pick(&self.labels, &of_group));
                let metrics = GroupMetrics {
                    key: groups[of_group[0] as usize],
                    rows: of_group.len(),
                    positives: labels.iter().filter(|&&label| label > 0.5).count(),
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
        let own = labels.iter().filter(|&&label| label > 0.5).count() as f64;
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
mod tests {
    use super::*;
    use crate::{base::rng, learn::train::metrics_of};
    use rand::RngExt;

    /// Rows with ties, with negative and tiny scores, in requests of one to about twenty rows.
    fn scored(rows: usize) -> (Vec<f32>, Dataset) {
        let mut rng = rng::generator(5, "test/kept");
        let coarse = |rng: &mut rng::Generator| rng.random_range(-40..400) as f32 / 256.0;
        let scores = (0..rows).map(|row| if row % 7 == 0 { 1e-20 * row as f32 } else { coarse(&mut rng) });
        let scores: Vec<f32> = scores.collect();
        let label = |rng: &mut rng::Generator| f32::from(rng.random_range(0..3) == 0);
        let mut labels = || (0..rows).map(|_| label(&mut rng)).collect::<Column<f32>>();
        let data = Dataset {
            labels: labels(),
            other_labels: vec![("buy".to_owned(), labels())],
            groups: Some((0..rows as u64).map(|row| row * 7919 % 97).collect()),
            requests: Some((0..rows as u64).map(|row| row * row % 101).collect()),
            teacher_scores: Some((0..rows).map(|row| (row * 31 % 257) as f32 / 257.0).collect()),
            ..Dataset::default()
        };
        (scores, data)
    }

    fn kept(scores: &[f32], data: &Dataset) -> Rows {
        let mut kept = Kept::default();
        let every: Vec<u32> = (0..scores.len() as u32).collect();
        // In pieces of another size than the parts.
        every
            .chunks(333)
            .for_each(|rows| kept.add(&scores[rows[0] as usize..][..rows.len()], data, rows).unwrap());
        kept.finish().unwrap()
    }

    #[test]
    fn metrics_of_parts_are_those_of_the_whole() {
        let (scores, data) = scored(2000);
        let rows = kept(&scores, &data);
        let every: Vec<u32> = (0..2000).collect();
        let whole = metrics_of(&scores, &data, &every);
        let lists = TopLists::of(
            &scores,
            data.teacher_scores.as_ref().unwrap(),
            data.requests.as_ref().unwrap(),
            &[3, 10],
        );
        assert!(lists.recall_at[&3] > 0.0 && lists.overlap_at[&10] < 1.0);
        assert_eq!(rows.metrics(2000), whole);
        assert_eq!(rows.top_lists(2000, &[3, 10]), lists);
        for part in [1, 17, 500, 1999] {
            let parts = rows.metrics(part);
            assert_eq!(parts.auc, whole.auc, "pairs are counted, whatever the part");
            let close = |a: Option<f64>, b: Option<f64>| (a.unwrap() - b.unwrap()).abs() < 1e-12;
            assert!(close(parts.gauc, whole.gauc) && parts.logloss == whole.logloss, "{part}");
            assert!(close(parts.other_labels["buy"].gauc, whole.other_labels["buy"].gauc));
            assert_eq!(parts.other_labels["buy"].auc, whole.other_labels["buy"].auc);
            let found = rows.top_lists(part, &[3, 10]);
            assert!((found.recall_at[&3] - lists.recall_at[&3]).abs() < 1e-12);
            assert!((found.overlap_at[&10] - lists.overlap_at[&10]).abs() < 1e-12);
        }
    }

    #[test]
    fn parts_are_as_small_as_they_were_asked_to_be() {
        let (scores, data) = scored(2000);
        let mut sizes = Vec::new();
        by_key(data.groups.as_ref().unwrap(), 100, |rows| sizes.push(rows.len()));
        assert_eq!((sizes.len(), sizes.iter().sum::<usize>()), (20, 2000));
        // 97 groups of 20 or 21 rows do not divide evenly.
        assert!(sizes.iter().all(|&size| size <= 300), "{sizes:?}");
        let high = |score: f32| (ascending(score) >> (32 - HIGH_BITS)) as usize;
        let ranges = ranges(scores.iter().map(|&score| high(score)), 100);
        let rows =
            |range: &Range<usize>| scores.iter().filter(|&&score| range.contains(&high(score))).count();
        assert!(ranges.len() >= 20 && ranges.iter().all(|range| rows(range) <= 100));
        assert_eq!(ranges.iter().map(rows).sum::<usize>(), 2000);
        assert!(ascending(-1.0) < ascending(-0.5) && ascending(-0.5) < ascending(-0.0));
        assert!(ascending(-0.0) == ascending(0.0) && ascending(0.0) < ascending(1e-20));
    }

    #[test]
    fn a_score_that_is_no_number_leaves_no_auc() {
        assert_eq!(auc_in_parts(&[0.5, f32::NAN, 0.25], &[1.0, 0.0, 0.0], 1), None);
        assert_eq!(auc_in_parts(&[0.5, 0.25], &[1.0, 1.0], 1), None);
    }

    #[test]
    fn every_group_has_the_metrics_of_its_rows() {
        let data = Dataset {
            labels: vec![1.0, 0.0, 0.0, 1.0].into(),
            groups: Some(vec![8, 3, 8, 8].into()),
            ..Dataset::default()
        };
        let rows = kept(&[0.5, 0.25, 0.75, 0.875], &data);
        let mut found = Vec::new();
        rows.each_group(10, &mut |group| {
            found.push(group.clone());
            Ok(())
        })
        .unwrap();
        let of = |key: u64, rows, positives, mean_score, auc, logloss: f64| GroupMetrics {
            key,
            rows,
            positives,
            mean_score,
            auc,
            logloss,
        };
        let eight = (0.5f64.ln() + 0.25f64.ln() + 0.875f64.ln()) / -3.0;
        assert_eq!(
            found,
            [of(3, 1, 0, 0.25, None, -0.75f64.ln()), of(8, 3, 2, 2.125 / 3.0, Some(0.5), eight)]
        );
        assert!(rows.each_group(1, &mut |_| Err(Error::usage("full", "stop"))).is_err());
        let without = kept(&[0.5], &Dataset { labels: vec![1.0].into(), ..Dataset::default() });
        let text = without.each_group(1, &mut |_| Ok(())).unwrap_err().to_string();
        assert!(text.contains("no group column"), "{text}");
    }
}
