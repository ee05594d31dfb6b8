//! A store in the memory of the process: the in-memory data set that the paper speaks of, for item sets that fit.
//!
//! All groups of an owner have the same keys, so a key is looked up once per request, whatever number of groups is fetched; the
//! rows of a group lie one after the other in one block of memory. A user's pairs are neighbours in ascending order of their
//! items: a request has one user, so its candidates are searched among few.

use super::{
    BLOCK, FeatureStore, Keys, Reader, RowSink,
    contents::{RowKey, Rows},
    layout::Owner,
    manifest::{LOAD_AGAIN, Manifest, Wanted},
};
use crate::base::{Error, Result, error::Place};
use hashbrown::HashMap;
use std::ops::Range;

/// The number of a row that is not there.
const NONE: u32 = u32::MAX;
/// Rows by key, all in memory.
#[derive(Debug)]
pub struct MemoryStore {
    manifest: Manifest,
    users: HashMap<u64, u32>,
    items: HashMap<u64, u32>,
    /// Where a user's pairs begin and end in `pair_items`.
    pairs: HashMap<u64, Range<u32>>,
    /// Items of all pairs, user after user; a place here is the number of the pair's row.
    pair_items: Vec<u64>,
    /// Per group, row after row.
    rows: Vec<Vec<u8>>,
}

impl MemoryStore {
    /// Takes all rows of another store, or those that one is filled with.
    ///
    /// Fails when they cannot be read, when groups of one owner have different keys, or a row another length than its group's.
    pub fn of(source: &dyn Rows) -> Result<Self> {
        let manifest = source.manifest().clone();
        let mut keys: [Option<Vec<RowKey>>; 3] = Default::default();
        let mut rows = Vec::with_capacity(manifest.groups.len());
        for (place, group) in manifest.groups.iter().enumerate() {
            let (mut own, mut packed) = (Vec::new(), Vec::new());
            source.each(place, &mut |key, row| {
                own.push(key);
                packed.extend_from_slice(row);
                Ok(())
            })?;
            let known = &mut keys[group.owner as usize];
            let fits = known.as_ref().is_none_or(|known| *known == own)
                && own.len() as u64 == manifest.keys(group.owner);
            if !fits || packed.len() != own.len() * group.row_bytes {
                let problem = "it has other rows than the manifest says";
                return Err(Error::input(&manifest.place, Place::field(&group.name), problem, LOAD_AGAIN));
            }
            packed.shrink_to_fit();
            known.get_or_insert(own);
            rows.push(packed);
        }
        let [users, items, pairs] = keys.map(Option::unwrap_or_default);
        let numbered = |keys: Vec<RowKey>| keys.into_iter().map(|[key, _]| key).zip(0..).collect();
        let mut segments: HashMap<u64, Range<u32>> = HashMap::new();
        for (&[user, _], place) in pairs.iter().zip(0..) {
            segments.entry(user).or_insert(place..place).end = place + 1;
        }
        let pair_items = pairs.into_iter().map(|[_, item]| item).collect();
        Ok(Self {
            manifest,
            users: numbered(users),
            items: numbered(items),
            pairs: segments,
            pair_items,
            rows,
        })
    }

    /// The numbers of the rows that an owner's keys have.
    fn find(&self, owner: Owner, keys: Keys<'_>, numbers: &mut Vec<u32>) {
        numbers.clear();
        match owner {
            Owner::User => numbers.push(self.users.get(&keys.user).copied().unwrap_or(NONE)),
            Owner::Item => {
                numbers.extend(keys.items.iter().map(|key| self.items.get(key).copied().unwrap_or(NONE)));
            }
            Owner::Pair => {
                let own = self.pairs.get(&keys.user).cloned().unwrap_or_default();
                let items = &self.pair_items[own.start as usize..own.end as usize];
                let number = |item: &u64| items.binary_search(item).map_or(NONE, |at| own.start + at as u32);
                numbers.extend(keys.items.iter().map(number));
            }
        }
    }
}

impl FeatureStore for MemoryStore {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn reader(&self, groups: &[usize]) -> Result<Box<dyn Reader + '_>> {
        let owners = self.manifest.by_owner(groups);
        Ok(Box::new(MemoryReader { store: self, owners, numbers: Vec::new() }))
    }
}

struct MemoryReader<'a> {
    store: &'a MemoryStore,
    owners: Vec<(Owner, Vec<Wanted>)>,
    numbers: Vec<u32>,
}

impl Reader for MemoryReader<'_> {
    fn fetch(&mut self, keys: Keys<'_>, sink: &mut dyn RowSink) -> Result<()> {
        let Self { store, owners, numbers } = self;
        for (owner, groups) in owners {
            store.find(*owner, keys, numbers);
            for &Wanted { wanted, group, row_bytes: bytes } in &*groups {
                let rows = &store.rows[group];
                let row = |number: u32| -> Option<&[u8]> {
                    (number != NONE).then(|| &rows[number as usize * bytes..][..bytes])
                };
                let mut block = [None; BLOCK];
                for (numbers, first) in numbers.chunks(BLOCK).zip((0..).step_by(BLOCK)) {
                    let block = &mut block[..numbers.len()];
                    block.iter_mut().zip(numbers).for_each(|(to, &number)| *to = row(number));
                    sink.take(wanted, first, block);
                }
            }
        }
        Ok(())
    }
}
