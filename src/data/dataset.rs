//! Encoded rows, ready for training and for requests.

use super::{column::Column, ids::Ids, shard::Part};
use crate::base::{Error, Result, hash::Hasher};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Where a feature's value stands in an encoded row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Slot {
    /// `length` consecutive entries of the row's ids: 1 for a categorical or bucketed value, more for a sequence.
    Ids {
        /// First entry.
        start: usize,
        /// Number of entries.
        length: usize,
    },
    /// One entry of the row's numbers (NaN: missing).
    Number {
        /// The entry.
        index: usize,
    },
}

/// One feature of an encoded data set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncodedFeature {
    /// The schema's name.
    pub name: String,
    /// Where its value stands.
    pub slot: Slot,
    /// Ids are below this (0 for numbers): rows of the embedding table.
    pub cardinality: u32,
}

/// An encoded data set, in memory or on the disk ([`Column`]). Rows are stored one after the other, so that a batch or a
/// candidate is a few copies.
#[derive(Debug, Clone, Default)]
pub struct Dataset {
    /// All features in schema order.
    pub features: Vec<EncodedFeature>,
    /// Ids per row.
    pub ids: Ids,
    /// Numbers per row.
    pub number_slots: usize,
    /// `rows × number_slots`, row after row.
    pub numbers: Column<f32>,
    /// 0 or 1 per row.
    pub labels: Column<f32>,
    /// Further labels by name.
    pub other_labels: Vec<(String, Column<f32>)>,
    /// Sample weights; all 1 without a weight column.
    pub weights: Column<f32>,
    /// Key of the GAUC group, when there is a group column.
    pub groups: Option<Column<u64>>,
    /// Dense index of the partition per row; all 0 without a partition column.
    pub partitions: Column<u32>,
    /// Number of partitions, at least 1.
    pub partition_count: u32,
    /// Ready teacher scores, when there is a column.
    pub teacher_scores: Option<Column<f32>>,
    /// Request of each row, when there is a column.
    pub requests: Option<Column<u64>>,
    /// User of each row, when there is a column. Text keys are hashed to 64 bits.
    pub user_keys: Option<Column<u64>>,
    /// Item of each row, when there is a column.
    pub item_keys: Option<Column<u64>>,
    /// The hash of the rows, where the folder that they are mapped from states it: reading them all to compute it again
    /// would take as long as an epoch.
    pub stated_hash: Option<String>,
}

impl Dataset {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.labels.len()
    }

    /// The feature of that name.
    pub fn feature(&self, name: &str) -> Result<&EncodedFeature> {
        self.features.iter().find(|feature| feature.name == name).ok_or_else(|| {
            Error::usage(
                format!("the encoded data lack the feature `{name}`"),
                "encode the data with the schema of this experiment, with which its networks were trained",
            )
        })
    }

    /// The numbers of a row.
    pub fn numbers_of(&self, row: usize) -> &[f32] {
        &self.numbers[row * self.number_slots..(row + 1) * self.number_slots]
    }

    /// The share of each partition among `rows`.
    ///
    /// Counted in whole numbers: singles stop counting at 2^24 rows, and adding up shares loses digits long before.
    pub fn partition_shares(&self, rows: &[u32]) -> Vec<f32> {
        let mut counts = vec![0u64; self.partition_count as usize];
        rows.iter().for_each(|&row| counts[self.partitions[row as usize] as usize] += 1);
        counts.into_iter().map(|count| (count as f64 / rows.len() as f64) as f32).collect()
    }

    /// Fails when one of the `rows`, any of which may come several times, holds an id that its feature's encoder cannot have
    /// given, as in a damaged encoded folder. Tables end there, and an engine may not survive an id beyond them.
    pub fn check_ids(&self, rows: impl IntoIterator<Item = u32>) -> Result<()> {
        let slots: Vec<(&EncodedFeature, Range<usize>)> = (self.features.iter())
            .filter_map(|feature| match feature.slot {
                Slot::Ids { start, length } => Some((feature, start..start + length)),
                Slot::Number { .. } => None,
            })
            .collect();
        let mut seen = vec![false; self.rows()];
        for row in rows {
            if std::mem::replace(&mut seen[row as usize], true) {
                continue;
            }
            for (feature, slot) in &slots {
                if let Some(id) =
                    self.ids.of(row as usize, slot.clone()).find(|&id| id >= feature.cardinality)
                {
                    return Err(Error::usage(
                        format!(
                            "row {} of the encoded data holds the id {id} of `{}`, whose ids end at {}",
                            u64::from(row) + 1,
                            feature.name,
                            feature.cardinality
                        ),
                        "encode the data again with `data encode`",
                    ));
                }
            }
        }
        Ok(())
    }
}

/// Row numbers of a data set that are trained on and validated on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Split {
    /// Training rows.
    pub train: Column<u32>,
    /// Validation rows.
    pub valid: Column<u32>,
}

impl Split {
    /// SHA-256 of both lists.
    pub fn hash(&self) -> String {
        let mut hasher = Hasher::default();
        hasher.column(&self.train, u32::to_le_bytes);
        hasher.column(&self.valid, u32::to_le_bytes);
        hasher.finish()
    }
}

/// Some rows of a data set, copied together.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// The rows of the data set it was made from.
    pub index: Vec<u32>,
    /// `rows × id_slots`.
    pub ids: Vec<u32>,
    /// `rows × number_slots`.
    pub numbers: Vec<f32>,
    /// One per row.
    pub labels: Vec<f32>,
    /// One per row.
    pub weights: Vec<f32>,
    /// One per row.
    pub partitions: Vec<u32>,
    /// Where its lists end, where it is made of whole lists.
    pub lists: Vec<u32>,
    /// What it is a part of, where several processes train on one batch.
    pub part: Option<Part>,
}

impl Batch {
    /// Copies the rows of `index`.
    pub fn of(data: &Dataset, index: &[u32]) -> Self {
        let mut batch = Batch {
            index: index.to_vec(),
            ids: Vec::with_capacity(index.len() * data.ids.slots()),
            numbers: Vec::with_capacity(index.len() * data.number_slots),
            ..Batch::default()
        };
        for &row in index {
            let row = row as usize;
            batch.ids.extend(data.ids.of_row(row));
            batch.numbers.extend_from_slice(data.numbers_of(row));
            batch.labels.push(data.labels[row]);
            batch.weights.push(data.weights[row]);
            batch.partitions.push(data.partitions[row]);
        }
        batch
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.index.len()
    }

    /// The ids of a row of the batch.
    pub fn ids_of(&self, row: usize) -> &[u32] {
        let slots = self.ids.len() / self.rows();
        &self.ids[row * slots..][..slots]
    }

    /// The numbers of a row of the batch.
    pub fn numbers_of(&self, row: usize) -> &[f32] {
        let slots = self.numbers.len() / self.rows();
        &self.numbers[row * slots..][..slots]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_beyond_its_feature_is_found_in_the_rows_that_are_asked_for() {
        let feature = |name: &str, start, length, cardinality| EncodedFeature {
            name: name.into(),
            slot: Slot::Ids { start, length },
            cardinality,
        };
        let data = Dataset {
            features: vec![feature("a", 0, 1, 3), feature("b", 1, 2, 5)],
            ids: Ids::from_rows(3, &[2, 4, 4, 2, 0, 5, 3, 0, 0]),
            labels: vec![0.0; 3].into(),
            ..Dataset::default()
        };
        assert!(data.check_ids([0, 0]).is_ok());
        let found = |rows: &[u32]| data.check_ids(rows.iter().copied()).unwrap_err().to_string();
        assert!(
            found(&[0, 1]).contains("row 2 of the encoded data holds the id 5 of `b`, whose ids end at 5")
        );
        assert!(found(&[2]).contains("id 3 of `a`") && found(&[2]).contains("data encode"));
    }

    #[test]
    fn partition_shares_are_exact_for_more_rows_than_a_single_can_add_up() {
        let rows = 3_000_000;
        let data =
            Dataset { partitions: vec![0; rows as usize].into(), partition_count: 2, ..Dataset::default() };
        assert_eq!(data.partition_shares(&(0..rows).collect::<Vec<_>>()), [1.0, 0.0]);
    }

    #[test]
    fn the_hash_of_a_split_tells_which_rows_validate() {
        let split = |train: &[u32], valid: &[u32]| {
            Split { train: train.to_vec().into(), valid: valid.to_vec().into() }.hash()
        };
        assert_eq!(split(&[1, 2], &[3]), split(&[1, 2], &[3]));
        assert_ne!(split(&[1, 2], &[3]), split(&[1], &[2, 3]));
    }
}
