//! Encoded rows, ready for training and for requests.

use super::shard::Part;
use crate::base::hash::Hasher;
use serde::{Deserialize, Serialize};

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

/// An encoded data set. Rows are stored one after the other, so that a batch or a candidate is a few copies.
#[derive(Debug, Clone, Default)]
pub struct Dataset {
    /// All features in schema order.
    pub features: Vec<EncodedFeature>,
    /// Ids per row.
    pub id_slots: usize,
    /// Numbers per row.
    pub number_slots: usize,
    /// `rows × id_slots`, row after row.
    pub ids: Vec<u32>,
    /// `rows × number_slots`, row after row.
    pub numbers: Vec<f32>,
    /// 0 or 1 per row.
    pub labels: Vec<f32>,
    /// Further labels by name.
    pub other_labels: Vec<(String, Vec<f32>)>,
    /// Sample weights; all 1 without a weight column.
    pub weights: Vec<f32>,
    /// Dense index of the GAUC group, when there is a group column.
    pub groups: Option<Vec<u32>>,
    /// Dense index of the partition per row; all 0 without a partition column.
    pub partitions: Vec<u32>,
    /// Number of partitions, at least 1.
    pub partition_count: u32,
    /// Ready teacher scores, when there is a column.
    pub teacher_scores: Option<Vec<f32>>,
    /// Request of each row, when there is a column.
    pub requests: Option<Vec<u64>>,
    /// User of each row, when there is a column. Text keys are hashed to 64 bits.
    pub user_keys: Option<Vec<u64>>,
    /// Item of each row, when there is a column.
    pub item_keys: Option<Vec<u64>>,
}

impl Dataset {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.labels.len()
    }

    /// The ids of a row.
    pub fn ids_of(&self, row: usize) -> &[u32] {
        &self.ids[row * self.id_slots..(row + 1) * self.id_slots]
    }

    /// The numbers of a row.
    pub fn numbers_of(&self, row: usize) -> &[f32] {
        &self.numbers[row * self.number_slots..(row + 1) * self.number_slots]
    }

    /// SHA-256 of the encoded rows with all that belongs to them: whatever changes a value, a label, a weight or a key
    /// changes it.
    pub fn rows_hash(&self) -> String {
        let mut hasher = Hasher::default();
        hasher.count(self.id_slots);
        hasher.count(self.number_slots);
        hasher.column(&self.ids, u32::to_le_bytes);
        for numbers in [&self.numbers, &self.labels, &self.weights] {
            hasher.column(numbers, f32::to_le_bytes);
        }
        for (name, labels) in &self.other_labels {
            hasher.column(name.as_bytes(), |byte| [byte]);
            hasher.column(labels, f32::to_le_bytes);
        }
        hasher.column(&self.partitions, u32::to_le_bytes);
        // An absent column is not an empty one.
        for column in [&self.requests, &self.user_keys, &self.item_keys] {
            hasher.count(usize::from(column.is_some()));
            hasher.column(column.as_deref().unwrap_or_default(), u64::to_le_bytes);
        }
        hasher.count(usize::from(self.groups.is_some()));
        hasher.column(self.groups.as_deref().unwrap_or_default(), u32::to_le_bytes);
        hasher.count(usize::from(self.teacher_scores.is_some()));
        hasher.column(self.teacher_scores.as_deref().unwrap_or_default(), f32::to_le_bytes);
        hasher.finish()
    }
}

/// Row numbers of a data set that are trained on and validated on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Split {
    /// Training rows.
    pub train: Vec<u32>,
    /// Validation rows.
    pub valid: Vec<u32>,
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
    /// What it is a part of, where several processes train on one batch.
    pub part: Option<Part>,
}

impl Batch {
    /// Copies the rows of `index`.
    pub fn of(data: &Dataset, index: &[u32]) -> Self {
        let mut batch = Batch {
            index: index.to_vec(),
            ids: Vec::with_capacity(index.len() * data.id_slots),
            numbers: Vec::with_capacity(index.len() * data.number_slots),
            ..Batch::default()
        };
        for &row in index {
            let row = row as usize;
            batch.ids.extend_from_slice(data.ids_of(row));
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

    fn data() -> Dataset {
        Dataset {
            id_slots: 2,
            number_slots: 1,
            ids: vec![1, 2, 3, 4],
            numbers: vec![0.5, f32::NAN],
            labels: vec![0.0, 1.0],
            weights: vec![1.0, 1.0],
            partitions: vec![0, 0],
            user_keys: Some(vec![7, 8]),
            ..Dataset::default()
        }
    }

    #[test]
    fn the_hash_of_rows_changes_with_every_column_and_with_nothing_else() {
        let hash = data().rows_hash();
        assert_eq!(data().rows_hash(), hash);
        let changes: [fn(&mut Dataset); 9] = [
            |data| data.ids[3] = 5,
            |data| data.numbers[0] = 0.25,
            |data| data.labels[0] = 1.0,
            |data| data.weights[1] = 2.0,
            |data| data.partitions[1] = 1,
            |data| data.user_keys = Some(vec![7, 9]),
            |data| data.user_keys = None,
            |data| data.item_keys = Some(vec![]),
            |data| data.teacher_scores = Some(vec![0.5, 0.5]),
        ];
        for (index, change) in changes.iter().enumerate() {
            let mut other = data();
            change(&mut other);
            assert_ne!(other.rows_hash(), hash, "change {index}");
        }
    }

    #[test]
    fn the_hash_of_a_split_tells_which_rows_validate() {
        let split = |train: &[u32], valid: &[u32]| Split { train: train.into(), valid: valid.into() }.hash();
        assert_eq!(split(&[1, 2], &[3]), split(&[1, 2], &[3]));
        assert_ne!(split(&[1, 2], &[3]), split(&[1], &[2, 3]));
    }
}
