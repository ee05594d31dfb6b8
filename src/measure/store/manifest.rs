//! What a store holds: the file `store.json` of an embedded one, a value of its own in a remote one.

use super::layout::{Form, Group, Owner};
use crate::{
    base::{Error, Result, error::Place},
    data::{dataset::EncodedFeature, schema::Schema},
    export::Metadata,
};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Version of the JSON form and of the rows that it describes.
pub const SCHEMA_VERSION: u32 = 1;

/// No row of features is longer: what says so is damaged.
const LONGEST_ROW_BYTES: usize = 1 << 24;

/// What can be done about a store that does not fit.
pub const LOAD_AGAIN: &str = "fill it again with `store load`";

/// Content and layout of a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of this layout.
    pub schema_version: u32,
    /// Version of the program that filled the store.
    pub tool_version: String,
    /// Hash of the schema.
    pub schema_hash: String,
    /// Hash of the encoders that made the values.
    pub encoder_hash: String,
    /// Hash of the rows that the values come from.
    pub rows_hash: String,
    /// Users with rows; 0 where no group is theirs.
    pub users: u64,
    /// Items with rows; 0 where no group is theirs.
    pub items: u64,
    /// Pairs with rows; 0 where no group is theirs.
    pub pairs: u64,
    /// What is stored together, in the order of the schema.
    pub groups: Vec<Group>,
    /// Where the store is, for messages: whoever opens one says it.
    #[serde(skip)]
    pub place: String,
}

/// A group that a reader was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Place in the reader's list.
    pub(super) wanted: usize,
    /// Place in [`Manifest::groups`].
    pub(super) group: usize,
    /// Bytes of its rows.
    pub(super) row_bytes: usize,
}

impl Manifest {
    /// Of a store that is still to be filled: with no keys.
    pub fn new(schema: &Schema, encoded: &[EncodedFeature], encoder_hash: String, rows_hash: String) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            schema_hash: schema.hash(),
            encoder_hash,
            rows_hash,
            users: 0,
            items: 0,
            pairs: 0,
            groups: super::layout::groups(schema, encoded),
            place: "the store".to_owned(),
        }
    }

    /// Of a store without groups.
    pub(super) fn of_nothing() -> Self {
        let none = String::new;
        Self {
            schema_version: SCHEMA_VERSION,
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            schema_hash: none(),
            encoder_hash: none(),
            rows_hash: none(),
            users: 0,
            items: 0,
            pairs: 0,
            groups: Vec::new(),
            place: none(),
        }
    }

    /// How many keys an owner has.
    pub fn keys(&self, owner: Owner) -> u64 {
        match owner {
            Owner::User => self.users,
            Owner::Item => self.items,
            Owner::Pair => self.pairs,
        }
    }

    /// Bytes of all rows, without keys and whatever a store adds.
    pub fn row_bytes(&self) -> u64 {
        let bytes =
            self.groups.iter().map(|group| (group.row_bytes as u64).saturating_mul(self.keys(group.owner)));
        bytes.fold(0, u64::saturating_add)
    }

    /// Sorts `groups`, which a reader was made for, by their owners; owners of none are left out.
    pub(super) fn by_owner(&self, groups: &[usize]) -> Vec<(Owner, Vec<Wanted>)> {
        let wanted = |owner| {
            let of = |(wanted, &group): (usize, &usize)| {
                let Group { owner: whose, row_bytes, .. } = self.groups[group];
                (whose == owner).then_some(Wanted { wanted, group, row_bytes })
            };
            (owner, groups.iter().enumerate().filter_map(of).collect::<Vec<_>>())
        };
        Owner::ALL.map(wanted).into_iter().filter(|(_, groups)| !groups.is_empty()).collect()
    }

    /// Fails when this program cannot read the store at `place`, or when its numbers contradict each other.
    pub fn check(&self, place: &Path) -> Result<()> {
        let wrong =
            |field: &str, problem: String| Err(Error::input(place, Place::field(field), problem, LOAD_AGAIN));
        if self.schema_version != SCHEMA_VERSION {
            let problem = format!("is {}, this program reads {SCHEMA_VERSION}", self.schema_version);
            return wrong("schema_version", problem);
        }
        for group in &self.groups {
            let odd = |feature: &&super::layout::StoredFeature| {
                let bytes = feature.length.checked_mul(feature.value_bytes);
                let end = bytes.and_then(|bytes| feature.offset.checked_add(bytes));
                let value = match feature.form {
                    Form::Ids => matches!(feature.value_bytes, 1 | 2 | 4),
                    Form::Number => (feature.value_bytes, feature.length) == (size_of::<f32>(), 1),
                };
                !value || end.is_none_or(|end| end > group.row_bytes)
            };
            if let Some(feature) = group.features.iter().find(odd) {
                let problem = format!("group `{}` has no room for it in its rows", group.name);
                return wrong(&feature.name, problem);
            }
            // Each fits, so none of the products is too large.
            let filled = group.features.iter().map(|feature| feature.length * feature.value_bytes);
            if filled.fold(0, usize::saturating_add) != group.row_bytes {
                return wrong(&group.name, "its features do not fill its rows".to_owned());
            }
            if group.row_bytes > LONGEST_ROW_BYTES {
                return wrong(&group.name, format!("its rows have more than {LONGEST_ROW_BYTES} bytes"));
            }
        }
        Ok(())
    }

    /// Fails when the values of the store at `place` mean something else than what a model was trained on.
    pub fn check_serves(&self, place: &Path, model: &Metadata) -> Result<()> {
        let wrong = |what: &str| {
            let problem = format!("the store was filled with {what} than the model's");
            let fix = "fill a store with the schema and encoders of the model's package: `store load`";
            Err(Error::input(place, Place::whole(), problem, fix))
        };
        match () {
            () if self.encoder_hash != model.encoder_hash => wrong("other encoders"),
            () if self.schema_hash != model.schema_hash => wrong("another schema"),
            () => Ok(()),
        }
    }
}
