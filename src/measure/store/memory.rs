//! A store in the memory of the process: the in-memory data set that the paper speaks of, for item sets that fit.
//!
//! All groups of an owner have the same keys, so a key is looked up once per request, whatever number of groups is fetched; the
//! rows of a group lie one after the other in one block of memory. A user's pairs are neighbours in ascending order of their
//! items: a request has one user, so its candidates are searched among few.

use super::{FeatureStore, Keys, Reader, RowSink, contents::Contents, layout::Owner, manifest::Manifest};
use crate::base::Result;
use hashbrown::HashMap;
use std::ops::Range;

/// The number of a row that is not there.
const NONE: u32 = u32::MAX;
/// Rows that are handed on at a time: what their values are decoded into fits the fastest cache.
const BLOCK: usize = 64;

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
    /// Takes all rows of `contents`.
    pub fn of(contents: &Contents<'_>) -> Self {
        let manifest = contents.manifest().clone();
        let rows_of = |owner| -> Vec<u32> {
            match owner {
                Owner::User => contents.users().iter().map(|&(_, row)| row).collect(),
                Owner::Item => contents.items().iter().map(|&(_, row)| row).collect(),
                Owner::Pair => contents.pairs().iter().map(|&(_, row)| row).collect(),
            }
        };
        let packed = |(place, group): (usize, &super::Group)| {
            let mut packed = Vec::new();
            rows_of(group.owner).into_iter().for_each(|row| contents.pack(place, row, &mut packed));
            packed
        };
        let rows = manifest.groups.iter().enumerate().map(packed).collect();
        let mut pairs: HashMap<u64, Range<u32>> = HashMap::new();
        for (&([user, _], _), place) in contents.pairs().iter().zip(0..) {
            pairs.entry(user).or_insert(place..place).end = place + 1;
        }
        Self {
            users: contents.users().iter().map(|&(key, _)| key).zip(0..).collect(),
            items: contents.items().iter().map(|&(key, _)| key).zip(0..).collect(),
            pairs,
            pair_items: contents.pairs().iter().map(|&([_, item], _)| item).collect(),
            manifest,
            rows,
        }
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
        let wanted = |owner| {
            let of_owner = |(_, group): &(usize, &usize)| self.manifest.groups[**group].owner == owner;
            let groups: Vec<_> = groups.iter().enumerate().filter(of_owner).map(|(i, &g)| (i, g)).collect();
            (owner, groups)
        };
        let mut owners = [Owner::User, Owner::Item, Owner::Pair].map(wanted).to_vec();
        owners.retain(|(_, groups)| !groups.is_empty());
        Ok(Box::new(MemoryReader { store: self, owners, numbers: Vec::new() }))
    }
}

struct MemoryReader<'a> {
    store: &'a MemoryStore,
    /// Owners with the groups that are wanted of them: the place in the list of wanted ones, and in the manifest.
    owners: Vec<(Owner, Vec<(usize, usize)>)>,
    numbers: Vec<u32>,
}

impl Reader for MemoryReader<'_> {
    fn fetch(&mut self, keys: Keys<'_>, sink: &mut dyn RowSink) -> Result<()> {
        let Self { store, owners, numbers } = self;
        for (owner, groups) in owners {
            store.find(*owner, keys, numbers);
            for &(wanted, group) in &*groups {
                let (rows, bytes) = (&store.rows[group], store.manifest.groups[group].row_bytes);
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
