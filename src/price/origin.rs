//! Where measurements come from. A table holds a list of [`Origin`]s, and every entry and observation the index of its own, so
//! that a table that was joined from several machines keeps what is known of each value.

use super::table::{Bucket, LatencyTable, Operation, TableContext};
use crate::base::{Error, Result};
use serde::{Deserialize, Serialize};

/// Who measured, and when.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// Fingerprint of the host.
    pub host: String,
    /// Version of the program.
    pub program_version: String,
    /// End of the measuring, in seconds since 1970-01-01 UTC; absent in the tables of a run, whose files do not depend on the
    /// time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured_unix_s: Option<u64>,
    /// What first layers gathered from: their prices go together only where it is the same. Absent where nobody stated it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<Gathered>,
    /// [`LatencyTable::id`] of the table that a merge took the values from; absent for those of this very table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
}

/// What first layers gathered from, as hashes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gathered {
    /// Of every feature's name, form, width and rows: what any first layer gathers from.
    pub features: String,
    /// Of the sets of features that stand for the grid of input widths. Other sets of the same widths cost something else.
    pub grid: String,
}

impl Origin {
    /// What this program measures on `host`.
    fn this_program(host: &str) -> Self {
        Self {
            host: host.to_owned(),
            program_version: env!("CARGO_PKG_VERSION").to_owned(),
            measured_unix_s: None,
            inputs: None,
            table: None,
        }
    }
}

impl LatencyTable {
    /// Index of the origin of what this program measures now on `host`.
    pub(super) fn own_origin(&mut self, host: &str) -> usize {
        let own = Origin::this_program(host);
        self.origins.iter().position(|known| *known == own).unwrap_or_else(|| {
            self.origins.push(own);
            self.origins.len() - 1
        })
    }

    /// States what the table itself does not know of its own measurements. What was stated before stays.
    pub fn state_origin(&mut self, measured_unix_s: Option<u64>, inputs: Option<Gathered>) {
        for origin in self.origins.iter_mut().filter(|origin| origin.table.is_none()) {
            origin.measured_unix_s = origin.measured_unix_s.or(measured_unix_s);
            origin.inputs = origin.inputs.take().or_else(|| inputs.clone());
        }
    }

    /// Fails where first layers under these circumstances gathered from other features or embedding tables than `features` says
    /// ([`Gathered::features`]): they cost something else. What nobody stated is believed. `or` is what else may help, before the
    /// command that measures a table.
    pub fn check_features(
        &self,
        context: &TableContext,
        candidates: usize,
        features: &str,
        or: &str,
    ) -> Result<()> {
        let stated = self.stated_inputs(context);
        if stated.into_iter().all(|inputs| inputs.features == features) {
            return Ok(());
        }
        let problem = format!(
            "first layers of {context} gathered from other features or embedding tables in the latency table {} than in the experiment",
            self.id()
        );
        Err(Error::usage(problem, format!("{or}{}", context.probe_anew(candidates))))
    }

    /// What first layers under these circumstances gathered from, as far as it is stated.
    pub fn stated_inputs(&self, context: &TableContext) -> Vec<&Gathered> {
        let buckets = self.buckets.iter().filter(|bucket| bucket.context == *context);
        let origins = buckets.flat_map(Bucket::first_layer_origins);
        let mut stated: Vec<_> =
            origins.filter_map(|origin| self.origins.get(origin)?.inputs.as_ref()).collect();
        stated.sort_unstable();
        stated.dedup();
        stated
    }

    /// A value whose origin is not in the list, in words.
    pub(super) fn lost_origin(&self) -> Option<String> {
        let named = self.buckets.iter().flat_map(Bucket::named_origins);
        let lost = named.copied().find(|&origin| origin >= self.origins.len());
        lost.map(|origin| format!("has no number {origin}, which a value names"))
    }
}

impl Bucket {
    fn named_origins(&self) -> impl Iterator<Item = &usize> {
        let entries = self.entries.iter().map(|entry| &entry.origin);
        let networks = self.observations.iter().chain(&self.held_out).map(|network| &network.origin);
        entries.chain(self.inputs.iter().map(|entry| &entry.origin)).chain(networks)
    }

    fn first_layer_origins(&self) -> impl Iterator<Item = usize> {
        let first = self.entries.iter().filter(|e| matches!(e.operation, Operation::First { .. }));
        first.map(|e| e.origin).chain(self.inputs.iter().map(|e| e.origin))
    }

    /// Replaces every index of an origin.
    pub(super) fn rename_origins(&mut self, to: impl Fn(usize) -> usize) {
        let entries = self.entries.iter_mut().map(|entry| &mut entry.origin);
        let networks =
            self.observations.iter_mut().chain(&mut self.held_out).map(|network| &mut network.origin);
        let all = entries.chain(self.inputs.iter_mut().map(|entry| &mut entry.origin)).chain(networks);
        all.for_each(|origin| *origin = to(*origin));
    }
}
