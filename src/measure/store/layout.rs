//! What a stored row looks like.
//!
//! Features with `source = "store"` are grouped by their `fetch_group`; one without a group is a group by itself. A row is the
//! packed encoded values of all features of its group in schema order, side by side: ids little-endian in as few bytes as the
//! feature's cardinality needs, numbers as f32, a sequence as `length` ids. So every row of a group has the same length.

use crate::data::{
    dataset::{EncodedFeature, Slot},
    ids::id_bytes,
    schema::{Kind, Schema, Source},
};
use serde::{Deserialize, Serialize};

/// Whose values a row holds, and so what it is fetched by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Owner {
    /// A user's, with the context that was last seen with it: by the user's key.
    User,
    /// An item's: by the item's key.
    Item,
    /// A pair's: by the keys of user and item.
    Pair,
}

impl Owner {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::User, Self::Item, Self::Pair];
}

impl From<Kind> for Owner {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::User | Kind::Context => Self::User,
            Kind::Item => Self::Item,
            Kind::Interactive => Self::Pair,
        }
    }
}

/// What the values of a feature are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// Ids, 0 for "missing".
    Ids,
    /// An f32, NaN for "missing".
    Number,
}

/// Where a feature stands in its group's rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredFeature {
    /// The schema's name.
    pub name: String,
    /// Ids or a number.
    pub form: Form,
    /// First byte in the row.
    pub offset: usize,
    /// Values: 1, or the length of a sequence.
    pub length: usize,
    /// Bytes of each value: 1, 2 or 4.
    pub value_bytes: usize,
    /// Ids are below this; 0 for numbers.
    pub cardinality: u32,
}

/// Features that one row holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// The `fetch_group` of the schema, or the name of the only feature.
    pub name: String,
    /// Whose rows they are.
    pub owner: Owner,
    /// Bytes of every row.
    pub row_bytes: usize,
    /// In schema order.
    pub features: Vec<StoredFeature>,
}

impl Group {
    fn push(&mut self, encoded: &EncodedFeature) {
        let (form, length, value_bytes) = match encoded.slot {
            Slot::Ids { length, .. } => (Form::Ids, length, id_bytes(encoded.cardinality)),
            Slot::Number { .. } => (Form::Number, 1, size_of::<f32>()),
        };
        let (name, cardinality) = (encoded.name.clone(), encoded.cardinality);
        let offset = self.row_bytes;
        self.row_bytes += length * value_bytes;
        self.features.push(StoredFeature { name, form, offset, length, value_bytes, cardinality });
    }
}

/// The groups of a schema in the order of their first features. `encoded` are its features, encoded, in the same order.
pub fn groups(schema: &Schema, encoded: &[EncodedFeature]) -> Vec<Group> {
    // A feature without a group may have the name of another one's.
    let mut groups: Vec<(Option<&str>, Group)> = Vec::new();
    let stored = schema.features.iter().zip(encoded).filter(|(feature, _)| feature.source == Source::Store);
    for (feature, encoded) in stored {
        let shared = feature.fetch_group.as_deref();
        let known = groups.iter().position(|(name, _)| name.is_some() && *name == shared);
        let place = known.unwrap_or_else(|| {
            let name = shared.unwrap_or(&feature.name).to_owned();
            groups.push((
                shared,
                Group { name, owner: feature.kind.into(), row_bytes: 0, features: Vec::new() },
            ));
            groups.len() - 1
        });
        groups[place].1.push(encoded);
    }
    groups.into_iter().map(|(_, group)| group).collect()
}
