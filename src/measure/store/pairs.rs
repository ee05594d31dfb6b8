//! All pairs of a user as one stored value: the items in ascending order, then their rows in the same order.
//!
//! A request has one user, so a store that keeps a user's pairs together is asked once for all candidates, and the candidates
//! are searched among few.

use super::{contents::Rows, layout::Owner};
use crate::base::Result;

/// Appends items to a value, before their rows.
fn pack(items: &[u64], rows: &[u8]) -> Vec<u8> {
    items.iter().flat_map(|item| item.to_le_bytes()).chain(rows.iter().copied()).collect()
}

/// A stored value.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pairs<'a> {
    items: &'a [[u8; 8]],
    rows: &'a [u8],
    row_bytes: usize,
}

impl<'a> Pairs<'a> {
    /// None when the value is none of rows of `row_bytes` bytes.
    pub(super) fn parse(value: &'a [u8], row_bytes: usize) -> Option<Self> {
        let pairs = value.len() / (8 + row_bytes);
        let (items, rows) = value.split_at(8 * pairs);
        (rows.len() == pairs * row_bytes).then_some(Self { items: items.as_chunks().0, rows, row_bytes })
    }

    /// The row of an item.
    pub(super) fn row(&self, item: u64) -> Option<&'a [u8]> {
        let place = self.items.binary_search_by_key(&item, |bytes| u64::from_le_bytes(*bytes)).ok()?;
        Some(&self.rows[place * self.row_bytes..][..self.row_bytes])
    }

    /// Every item with its row.
    pub(super) fn each(&self) -> impl Iterator<Item = (u64, &'a [u8])> {
        let items = self.items.iter().map(|bytes| u64::from_le_bytes(*bytes));
        items.zip(self.rows.chunks_exact(self.row_bytes.max(1)))
    }
}

/// Gives `put` what is stored of a group of `source`, by ascending key of user or item: rows of users and items as they are, of pairs
/// all of a user as one value. `advance` is called for every row, and ends it by failing.
pub(super) fn each_value(
    source: &dyn Rows,
    group: usize,
    mut advance: impl FnMut() -> Result<()>,
    mut put: impl FnMut(u64, &[u8]) -> Result<()>,
) -> Result<()> {
    let owner = source.manifest().groups[group].owner;
    let mut gathering = Gathering::default();
    source.each(group, &mut |key, row| {
        match owner {
            Owner::User | Owner::Item => put(key[0], row)?,
            Owner::Pair => gathering.add(key, row).map_or(Ok(()), |(user, value)| put(user, &value))?,
        }
        advance()
    })?;
    gathering.finish().map_or(Ok(()), |(user, value)| put(user, &value))
}

/// Gathers the rows of pairs, which come by ascending key, into values by ascending user.
#[derive(Default)]
struct Gathering {
    user: Option<u64>,
    items: Vec<u64>,
    rows: Vec<u8>,
}

impl Gathering {
    /// Adds a pair; gives the user before it with its value, when that is whole by then.
    fn add(&mut self, [user, item]: [u64; 2], row: &[u8]) -> Option<(u64, Vec<u8>)> {
        let whole = if self.user == Some(user) { None } else { self.finish() };
        self.user = Some(user);
        self.items.push(item);
        self.rows.extend_from_slice(row);
        whole
    }

    /// The last user.
    fn finish(&mut self) -> Option<(u64, Vec<u8>)> {
        let user = self.user.take()?;
        let value = pack(&self.items, &self.rows);
        self.items.clear();
        self.rows.clear();
        Some((user, value))
    }
}
