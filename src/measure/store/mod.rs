//! The feature store in the request path: where a pre-ranker gets the features from that the matching stage does not pass
//! along (F2 of the paper, `source = "store"` in the schema).
//!
//! A store returns **rows**, not values: the features of one `fetch_group` live in one row ([`layout`]), so the first one that
//! is selected pays the trip and the others their bytes. A group belongs to users (their context included), to items, or to
//! pairs of both. What a store holds stands in its [`Manifest`]; what is put into it comes from the last row of every key of a
//! data set ([`contents`]).
//!
//! [`FeatureStore`] is opened once. Every worker has a [`Reader`] of its own, made for the groups that its model selects a
//! feature of, and fetches one request at a time: one user and n candidates. Rows reach whoever asked through a [`RowSink`],
//! in blocks and without a copy, so that [`assemble`](super::assemble) decodes them straight into the engine's inputs.
//!
//! A key that the store does not have is no error: its row is absent, its values are "missing" (id 0, NaN), and it is counted
//! ([`FetchCounts`]).

pub mod choice;
pub mod contents;
pub mod embedded;
pub mod layout;
pub mod lmdb;
pub mod manifest;
pub mod memory;
mod pairs;
pub mod redis;
mod trust;

pub use choice::{StoreChoice, StoreKind};
pub use layout::{Group, Owner};
pub use manifest::Manifest;
pub(super) use trust::reasons;

use crate::base::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Rows that stores in this process hand on at a time: what their values are decoded into fits the fastest cache.
const BLOCK: usize = 64;

/// A store, opened once and shared by all workers.
pub trait FeatureStore: Send + Sync {
    /// What it holds.
    fn manifest(&self) -> &Manifest;

    /// A worker's own access to `groups`, which are places in [`Manifest::groups`].
    ///
    /// Fails when the store cannot be reached.
    fn reader(&self, groups: &[usize]) -> Result<Box<dyn Reader + '_>>;
}

/// Who is asked for, and about which items.
#[derive(Debug, Clone, Copy)]
pub struct Keys<'a> {
    /// The user.
    pub user: u64,
    /// One per candidate.
    pub items: &'a [u64],
}

/// One worker's access to a store.
pub trait Reader: Send {
    /// Gives `sink` the rows of all its groups: the user's, every candidate's, and those of every pair of both.
    ///
    /// Fails when the store does not answer, or answers something that is no row. What `sink` got until then is then void.
    fn fetch(&mut self, keys: Keys<'_>, sink: &mut dyn RowSink) -> Result<()>;
}

/// Takes rows as a store finds them.
pub trait RowSink {
    /// Rows of neighbouring candidates, of which `first` is the first one's place in [`Keys::items`]; of a user's group one row,
    /// with 0. `group` is the place in the list that the [`Reader`] was made for. A key without a row has none.
    fn take(&mut self, group: usize, first: usize, rows: &[Option<&[u8]>]);
}

/// What a worker has fetched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FetchCounts {
    /// Requests, failed ones included.
    pub requests: u64,
    /// Requests that the store failed to answer.
    pub failures: u64,
    /// Bytes of all rows that came.
    pub bytes: u64,
    /// Of users, one per group and request.
    pub users: RowCounts,
    /// Of items, one per group and candidate.
    pub items: RowCounts,
    /// Of pairs, one per group and candidate: the log saw few of the pairs that requests ask for.
    pub pairs: RowCounts,
}

/// Rows of one owner.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RowCounts {
    /// That were asked for.
    pub asked: u64,
    /// That the store does not have.
    pub missing: u64,
}

impl FetchCounts {
    /// The rows of an owner.
    pub fn of(&mut self, owner: Owner) -> &mut RowCounts {
        match owner {
            Owner::User => &mut self.users,
            Owner::Item => &mut self.items,
            Owner::Pair => &mut self.pairs,
        }
    }

    /// Adds what another worker has fetched.
    pub fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.failures += other.failures;
        self.bytes += other.bytes;
        let pairs =
            [(&mut self.users, other.users), (&mut self.items, other.items), (&mut self.pairs, other.pairs)];
        for (mine, theirs) in pairs {
            mine.asked += theirs.asked;
            mine.missing += theirs.missing;
        }
    }
}

/// What a model fetches from a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoreUse {
    /// What kind of store it is.
    pub kind: StoreKind,
    /// Where it is.
    pub place: String,
    /// Hash of the rows that it was filled with.
    pub rows_hash: String,
    /// Names of the groups that are fetched: those that the model selects a feature of.
    pub groups: Vec<String>,
    /// Features that the model selects of them.
    pub features: usize,
}

/// What became of it in a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StoreSummary {
    /// What was asked for.
    #[serde(flatten)]
    pub usage: StoreUse,
    /// Bytes of rows that came, per request.
    pub bytes_per_request: f64,
    /// All that was counted.
    pub fetches: FetchCounts,
}

impl StoreSummary {
    /// Of a run that has fetched so much.
    pub fn of(usage: StoreUse, fetches: FetchCounts) -> Self {
        let bytes_per_request = fetches.bytes as f64 / fetches.requests.max(1) as f64;
        Self { usage, bytes_per_request, fetches }
    }
}

#[cfg(test)]
pub(crate) mod examples;
#[cfg(test)]
mod tests;
