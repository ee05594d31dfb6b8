//! The columns of encoded rows by name, and the hash that tells whether two sets of rows are the same.

use super::{column::Column, dataset::Dataset};
use crate::base::hash::{self, Hasher};
use bytemuck::Pod;
use rayon::prelude::*;
use std::collections::BTreeMap;

impl Dataset {
    /// Every column that is there, as bytes, with its name.
    pub(super) fn columns(&self) -> Vec<(String, &[u8])> {
        fn named<'a, T: Pod>(name: &str, column: &'a Column<T>) -> (String, &'a [u8]) {
            (name.to_owned(), bytemuck::cast_slice(column))
        }
        let mut columns = vec![
            named(name::IDS, self.ids.bytes()),
            named(name::NUMBERS, &self.numbers),
            named(name::LABELS, &self.labels),
            named(name::WEIGHTS, &self.weights),
            named(name::PARTITIONS, &self.partitions),
        ];
        columns.extend(
            (self.other_labels.iter().enumerate())
                .map(|(i, (_, labels))| named(&name::other_label(i), labels)),
        );
        let keys = [
            (name::REQUESTS, &self.requests),
            (name::USERS, &self.user_keys),
            (name::ITEMS, &self.item_keys),
        ];
        columns.extend(keys.into_iter().filter_map(|(name, keys)| Some(named(name, keys.as_ref()?))));
        columns.extend(self.groups.iter().map(|groups| named(name::GROUPS, groups)));
        columns.extend(self.teacher_scores.iter().map(|scores| named(name::TEACHER_SCORES, scores)));
        columns
    }

    /// SHA-256 of the encoded rows with all that belongs to them: whatever changes a value, a label, a weight or a key
    /// changes it.
    pub fn rows_hash(&self) -> String {
        if let Some(stated) = &self.stated_hash {
            return stated.clone();
        }
        let mut hasher = RowsHasher::default();
        hasher.add(self);
        hasher.finish()
    }
}

/// Names of columns, in hashes and as files.
pub(super) mod name {
    pub const IDS: &str = "ids";
    pub const NUMBERS: &str = "numbers";
    pub const LABELS: &str = "labels";
    pub const WEIGHTS: &str = "weights";
    pub const PARTITIONS: &str = "partitions";
    pub const REQUESTS: &str = "requests";
    pub const USERS: &str = "user_keys";
    pub const ITEMS: &str = "item_keys";
    pub const GROUPS: &str = "groups";
    pub const TEACHER_SCORES: &str = "teacher_scores";

    /// Of the label that stands at `index` among the other ones.
    pub fn other_label(index: usize) -> String {
        format!("other_label{index}")
    }
}

/// [`Dataset::rows_hash`] of rows that come in pieces.
#[derive(Default)]
pub(super) struct RowsHasher(BTreeMap<String, Hasher>);

impl RowsHasher {
    pub(super) fn add(&mut self, rows: &Dataset) {
        let columns = rows.columns();
        for (name, _) in &columns {
            self.0.entry(name.clone()).or_default();
        }
        self.0.par_iter_mut().for_each(|(name, hasher)| {
            if let Some((_, bytes)) = columns.iter().find(|(column, _)| column == name) {
                hasher.bytes(bytes);
            }
        });
    }

    /// An absent column is not an empty one: its name is missing.
    pub(super) fn finish(self) -> String {
        let columns: BTreeMap<_, _> =
            self.0.into_iter().map(|(name, hasher)| (name, hasher.finish())).collect();
        hash::sha256(&serde_json::to_vec(&columns).expect("names and hashes are plain data"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ids::Ids;

    fn data() -> Dataset {
        Dataset {
            ids: Ids::from_rows(2, &[1, 2, 3, 4]),
            number_slots: 1,
            numbers: vec![0.5, f32::NAN].into(),
            labels: vec![0.0, 1.0].into(),
            weights: vec![1.0, 1.0].into(),
            partitions: vec![0, 0].into(),
            user_keys: Some(vec![7, 8].into()),
            ..Dataset::default()
        }
    }

    #[test]
    fn the_hash_of_rows_changes_with_every_column_and_with_nothing_else() {
        let hash = data().rows_hash();
        assert_eq!(data().rows_hash(), hash);
        let changes: [fn(&mut Dataset); 10] = [
            |data| data.ids = Ids::from_rows(2, &[1, 2, 3, 5]),
            |data| data.numbers.to_mut()[0] = 0.25,
            |data| data.labels.to_mut()[0] = 1.0,
            |data| data.weights.to_mut()[1] = 2.0,
            |data| data.partitions.to_mut()[1] = 1,
            |data| data.user_keys = Some(vec![7, 9].into()),
            |data| data.user_keys = None,
            |data| data.item_keys = Some(vec![].into()),
            |data| data.teacher_scores = Some(vec![0.5, 0.5].into()),
            |data| data.other_labels = vec![("buy".to_owned(), vec![0.0, 0.0].into())],
        ];
        for (index, change) in changes.iter().enumerate() {
            let mut other = data();
            change(&mut other);
            assert_ne!(other.rows_hash(), hash, "change {index}");
        }
    }

    #[test]
    fn the_hash_of_rows_does_not_depend_on_the_pieces_they_come_in() {
        let piece = |row: usize| Dataset {
            ids: Ids::from_rows(2, &[[1, 2], [3, 4]][row]),
            numbers: vec![data().numbers[row]].into(),
            labels: vec![data().labels[row]].into(),
            weights: vec![1.0].into(),
            partitions: vec![0].into(),
            user_keys: Some(vec![data().user_keys.unwrap()[row]].into()),
            ..data()
        };
        let mut hasher = RowsHasher::default();
        [0, 1].into_iter().for_each(|row| hasher.add(&piece(row)));
        assert_eq!(hasher.finish(), data().rows_hash());
    }
}
