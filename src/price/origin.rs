//! Where measurements come from. A table holds a list of [`Origin`]s, and every entry and observation the index of its own, so
//! that a table that was joined from several machines keeps what is known of each value.

use super::table::{Bucket, LatencyTable};
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
    /// Hash of what first layers gathered from (features, their widths and rows): prices of first layers go together only where
    /// it is the same. Absent where nobody stated it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<String>,
    /// [`LatencyTable::id`] of the table that a merge took the values from; absent for those of this very table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
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
    pub fn state_origin(&mut self, measured_unix_s: Option<u64>, inputs: Option<String>) {
        for origin in self.origins.iter_mut().filter(|origin| origin.table.is_none()) {
            origin.measured_unix_s = origin.measured_unix_s.or(measured_unix_s);
            origin.inputs = origin.inputs.take().or_else(|| inputs.clone());
        }
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

    /// Replaces every index of an origin.
    pub(super) fn rename_origins(&mut self, to: impl Fn(usize) -> usize) {
        let entries = self.entries.iter_mut().map(|entry| &mut entry.origin);
        let networks =
            self.observations.iter_mut().chain(&mut self.held_out).map(|network| &mut network.origin);
        let all = entries.chain(self.inputs.iter_mut().map(|entry| &mut entry.origin)).chain(networks);
        all.for_each(|origin| *origin = to(*origin));
    }
}
