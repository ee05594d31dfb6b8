//! What is put into a store: the values of a data set, by key.
//!
//! Of every user, every item and every pair the last row counts, as in [`workload`](crate::measure::workload).

use super::{
    layout::{Owner, StoredFeature},
    manifest::Manifest,
};
use crate::{
    base::{Error, Result, progress::Progress, stop::Stop},
    data::{
        dataset::{Dataset, Slot},
        schema::Schema,
    },
    measure::workload::keys,
};

/// Keys of a row: a user's or an item's first, a pair's user and item. The second is 0 where there is one only.
pub type RowKey = [u64; 2];

/// All rows of a store, to be copied into another one.
pub trait Rows {
    /// What they are.
    fn manifest(&self) -> &Manifest;

    /// Gives `visit` the rows of a group (its place in [`Manifest::groups`]) by ascending key, and ends with its first error.
    fn each(&self, group: usize, visit: &mut dyn FnMut(RowKey, &[u8]) -> Result<()>) -> Result<()>;
}

/// Keys in ascending order, each with its last row.
type LastRows = Vec<(RowKey, u32)>;

/// How many rows are written between two words about it.
const NEWS: u64 = 20_000;

/// Tells `progress` of the rows of a store: to be called for every one that is written. Fails when somebody has asked to stop.
pub(super) fn news(manifest: &Manifest, progress: &dyn Progress, stop: &Stop) -> impl FnMut() -> Result<()> {
    let total = manifest.groups.iter().map(|group| manifest.keys(group.owner)).sum();
    progress.stage("fill the store", total);
    let mut done = 0;
    move || {
        done += 1;
        if done % NEWS == 0 || done == total {
            progress.advance(done, "rows");
        }
        stop.check()
    }
}

/// The rows of a store that is to be filled.
pub struct Contents<'a> {
    data: &'a Dataset,
    manifest: Manifest,
    /// Of every group, where its features stand in a row of the data.
    slots: Vec<Vec<Slot>>,
    /// Of users, items and pairs; empty where no group is theirs.
    rows: [LastRows; 3],
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
        let (users, items) = keys(data)?;
        let rows = Owner::ALL.map(|owner| {
            let stored = manifest.groups.iter().any(|group| group.owner == owner);
            match owner {
                _ if !stored => LastRows::new(),
                Owner::User => last_rows(users.iter().map(|&user| [user, 0])),
                Owner::Item => last_rows(items.iter().map(|&item| [item, 0])),
                Owner::Pair => last_rows(users.iter().zip(items).map(|(&user, &item)| [user, item])),
            }
        });
        data.check_ids(rows.iter().flatten().map(|&(_, row)| row))?;
        [manifest.users, manifest.items, manifest.pairs] =
            [&rows[0], &rows[1], &rows[2]].map(|rows| rows.len() as u64);
        let slot = |feature: &StoredFeature| {
            let encoded = data.features.iter().find(|encoded| encoded.name == feature.name);
            encoded.expect("groups are made of the data's features").slot
        };
        let slots = manifest.groups.iter().map(|group| group.features.iter().map(slot).collect()).collect();
        Ok(Self { data, manifest, slots, rows })
    }

    /// Appends what a group stores of a row of the data.
    fn pack(&self, group: usize, row: u32, out: &mut Vec<u8>) {
        for (feature, slot) in self.manifest.groups[group].features.iter().zip(&self.slots[group]) {
            match *slot {
                Slot::Ids { start, length } => {
                    for id in self.data.ids.of(row as usize, start..start + length) {
                        out.extend_from_slice(&id.to_le_bytes()[..feature.value_bytes]);
                    }
                }
                Slot::Number { index } => {
                    out.extend_from_slice(&self.data.numbers_of(row as usize)[index].to_le_bytes());
                }
            }
        }
    }
}

impl Rows for Contents<'_> {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn each(&self, group: usize, visit: &mut dyn FnMut(RowKey, &[u8]) -> Result<()>) -> Result<()> {
        let mut packed = Vec::new();
        for &(key, row) in &self.rows[self.manifest.groups[group].owner as usize] {
            packed.clear();
            self.pack(group, row, &mut packed);
            visit(key, &packed)?;
        }
        Ok(())
    }
}

/// The last row of every key, by ascending key.
fn last_rows(keys: impl Iterator<Item = RowKey>) -> LastRows {
    let mut rows: LastRows = keys.zip(0..).collect();
    // Of equal keys the last row comes first, and is the one that is kept.
    rows.sort_unstable_by_key(|&(key, row)| (key, std::cmp::Reverse(row)));
    rows.dedup_by_key(|(key, _)| *key);
    rows
}
