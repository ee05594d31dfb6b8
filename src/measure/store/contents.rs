//! What is put into a store: the values of a data set, by key.
//!
//! Of every user, every item and every pair the last row counts, as in [`workload`](crate::measure::workload).

use super::{
    layout::{Form, Group, Owner, StoredFeature},
    manifest::Manifest,
};
use crate::{
    base::{Error, Result},
    data::{
        dataset::{Dataset, Slot},
        schema::Schema,
    },
};

/// Keys in ascending order, each with its last row.
type LastRows<K> = Vec<(K, u32)>;

/// The rows of a store that is to be filled.
pub struct Contents<'a> {
    data: &'a Dataset,
    manifest: Manifest,
    /// Of every group, where its features stand in a row of the data.
    slots: Vec<Vec<Slot>>,
    users: LastRows<u64>,
    items: LastRows<u64>,
    pairs: LastRows<[u64; 2]>,
}

impl<'a> Contents<'a> {
    /// Finds the last row of every key that some group of `schema` is stored by.
    ///
    /// Fails when nothing is to be stored, when the data does not say which rows belong to whom, and when it holds ids that
    /// no encoder gives.
    pub fn of(schema: &Schema, encoder_hash: String, data: &'a Dataset) -> Result<Self> {
        let mut manifest = Manifest::new(schema, &data.features, encoder_hash, data.rows_hash());
        if manifest.groups.is_empty() {
            let fix = "set `source = \"store\"` for those features of the schema that a store serves";
            return Err(Error::usage("no feature of the schema comes from a store", fix));
        }
        let (users, items) = crate::measure::workload::keys(data)?;
        let stored = |owner| manifest.groups.iter().any(|group| group.owner == owner);
        let users_rows = if stored(Owner::User) { last_rows(users.iter().copied()) } else { Vec::new() };
        let item_rows = if stored(Owner::Item) { last_rows(items.iter().copied()) } else { Vec::new() };
        let pair_rows = match stored(Owner::Pair) {
            true => last_rows(users.iter().zip(items).map(|(&user, &item)| [user, item])),
            false => Vec::new(),
        };
        let kept = [&users_rows, &item_rows].into_iter().flatten().map(|&(_, row)| row);
        data.check_ids(kept.chain(pair_rows.iter().map(|&(_, row)| row)))?;
        (manifest.users, manifest.items, manifest.pairs) =
            (users_rows.len() as u64, item_rows.len() as u64, pair_rows.len() as u64);
        let slot = |feature: &StoredFeature| {
            let encoded = data.features.iter().find(|encoded| encoded.name == feature.name);
            encoded.expect("groups are made of the data's features").slot
        };
        let slots = manifest.groups.iter().map(|group| group.features.iter().map(slot).collect()).collect();
        Ok(Self { data, manifest, slots, users: users_rows, items: item_rows, pairs: pair_rows })
    }

    /// What the store will hold.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Every user with its last row, by ascending key; none where no group is theirs.
    pub fn users(&self) -> &[(u64, u32)] {
        &self.users
    }

    /// Every item with its last row, by ascending key; none where no group is theirs.
    pub fn items(&self) -> &[(u64, u32)] {
        &self.items
    }

    /// Every pair of user and item with its last row, by ascending keys; none where no group is theirs.
    pub fn pairs(&self) -> &[([u64; 2], u32)] {
        &self.pairs
    }

    /// Appends what a group (its place in [`Manifest::groups`]) stores of a row of the data.
    pub fn pack(&self, group: usize, row: u32, out: &mut Vec<u8>) {
        let Group { features, .. } = &self.manifest.groups[group];
        for (feature, slot) in features.iter().zip(&self.slots[group]) {
            match (feature.form, *slot) {
                (Form::Ids, Slot::Ids { start, length }) => {
                    for id in self.data.ids.of(row as usize, start..start + length) {
                        out.extend_from_slice(&id.to_le_bytes()[..feature.value_bytes]);
                    }
                }
                (_, Slot::Number { index }) => {
                    out.extend_from_slice(&self.data.numbers_of(row as usize)[index].to_le_bytes());
                }
                (Form::Number, Slot::Ids { .. }) => unreachable!("the form was made from the slot"),
            }
        }
    }
}

/// The last row of every key, by ascending key.
fn last_rows<K: Ord>(keys: impl Iterator<Item = K>) -> LastRows<K> {
    let mut rows: LastRows<K> = keys.zip(0..).collect();
    // Of equal keys the last row comes first, and is the one that is kept.
    rows.sort_unstable_by(|(a, row_a), (b, row_b)| a.cmp(b).then(row_b.cmp(row_a)));
    rows.dedup_by(|(later, _), (kept, _)| later == kept);
    rows
}
