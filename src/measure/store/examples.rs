//! A small log with everything that a store may hold, for tests.

use crate::{
    base::names::Layout,
    data::{
        dataset::{Dataset, EncodedFeature, Slot},
        ids::Ids,
        schema::{Schema, Side},
    },
    export::signature::{Content, ElementType, Field, Rows, Signature, TensorSpec},
    measure::store::{FetchCounts, RowCounts, StoreKind, StoreSummary, StoreUse},
};

/// A user's number that is passed along; a user's id and the context of it in groups by themselves; items with one byte, two and
/// four, a sequence and a number in one group, and an id alone; pairs with a number and a sequence.
pub(crate) const SCHEMA: &str = r#"
[data]
label = "y"
user_key = "user"
item_key = "item"
[defaults]
width = 4
categorical = { encoding = "hash", buckets = 99 }
numeric = { encoding = "standardize" }
sequence = { encoding = "hash", buckets = 99 }
user = { source = "store", fetch_ms = 0.1 }
context = { source = "store", fetch_ms = 0.1 }
item = { source = "store", fetch_group = "profile", fetch_ms = 0.1 }
interactive = { source = "store", fetch_group = "seen", fetch_ms = 0.1 }
[[feature]]
name = "age"
kind = "user"
type = "numeric"
source = "matching"
[[feature]]
name = "user_id"
kind = "user"
type = "categorical"
[[feature]]
name = "hour"
kind = "context"
type = "categorical"
[[feature]]
name = "small"
kind = "item"
type = "categorical"
[[feature]]
name = "middle"
kind = "item"
type = "categorical"
buckets = 9999
encoding = "hash"
[[feature]]
name = "alone"
kind = "item"
type = "categorical"
fetch_group = "list"
[[feature]]
name = "large"
kind = "item"
type = "categorical"
encoding = "hash"
buckets = 99999
[[feature]]
name = "tags"
kind = "item"
type = "sequence"
length = 2
[[feature]]
name = "price"
kind = "item"
type = "numeric"
[[feature]]
name = "times"
kind = "interactive"
type = "numeric"
[[feature]]
name = "acts"
kind = "interactive"
type = "sequence"
length = 2
"#;

pub(crate) fn schema() -> Schema {
    Schema::parse(SCHEMA, "s.toml".as_ref()).unwrap()
}

/// Features in schema order: name, ids (0: a number), cardinality.
const FEATURES: [(&str, usize, u32); 11] = [
    ("age", 0, 0),
    ("user_id", 1, 100),
    ("hour", 1, 100),
    ("small", 1, 100),
    ("middle", 1, 10_000),
    ("alone", 1, 100),
    ("large", 1, 100_000),
    ("tags", 2, 100),
    ("price", 0, 0),
    ("times", 0, 0),
    ("acts", 2, 100),
];

/// Rows of these users and items. Ids of row r are r plus something that no other feature of it has.
pub(crate) fn data(keys: &[(u64, u64)]) -> Dataset {
    let (mut start, mut index) = (0, 0);
    let features = FEATURES.map(|(name, length, cardinality)| {
        let slot = match length {
            0 => Slot::Number { index },
            length => Slot::Ids { start, length },
        };
        (start, index) = (start + length, index + usize::from(length == 0));
        EncodedFeature { name: name.into(), slot, cardinality }
    });
    let row = |r: u32| [1, 11, 21, 1031, 41, 70_051, 61, 71, 81, 91].map(|base| base + r % 9);
    let numbers =
        |r: u32| [0.25, 1000.5, -3.0].map(|base: f32| if r % 4 == 3 { f32::NAN } else { base + r as f32 });
    let rows = keys.len() as u32;
    Dataset {
        features: features.to_vec(),
        ids: Ids::from_rows(10, &(0..rows).flat_map(row).collect::<Vec<_>>()),
        number_slots: 3,
        numbers: (0..rows).flat_map(numbers).collect(),
        labels: vec![0.0; keys.len()].into(),
        weights: vec![1.0; keys.len()].into(),
        partitions: vec![0; keys.len()].into(),
        user_keys: Some(keys.iter().map(|&(user, _)| user).collect()),
        item_keys: Some(keys.iter().map(|&(_, item)| item).collect()),
        ..Dataset::default()
    }
}

/// All features but `middle`, in the order of the schema, in the tensors of a layout.
pub(crate) fn signature(layout: Layout) -> Signature {
    let schema = schema();
    let field = |(feature, length, cardinality): (&str, usize, u32)| Field {
        feature: feature.to_owned(),
        columns: length.max(1),
        cardinality,
    };
    let fields = |users: Option<bool>, ids: bool| -> Vec<Field> {
        let mut read = Vec::new();
        for (feature, &of) in schema.features.iter().zip(&FEATURES) {
            let user = feature.kind.side() == Side::User;
            if of.0 != "middle" && ids == (of.1 > 0) && users.is_none_or(|users| users == user) {
                read.push(field(of));
            }
        }
        read
    };
    let tensor = |name: &str, rows, element, fields| TensorSpec {
        name: name.into(),
        rows,
        element,
        content: Content::Values,
        fields,
    };
    let (one, all) = (Rows::One, Rows::Candidates);
    let (i64, f32) = (ElementType::I64, ElementType::F32);
    let tensors = match layout {
        Layout::UserOnce => vec![
            tensor("user_ids", one, i64, fields(Some(true), true)),
            tensor("item_ids", all, i64, fields(Some(false), true)),
            tensor("user_num", one, f32, fields(Some(true), false)),
            tensor("item_num", all, f32, fields(Some(false), false)),
        ],
        _ => vec![tensor("ids", all, i64, fields(None, true)), tensor("num", all, f32, fields(None, false))],
    };
    Signature { layout, tensors }
}

/// Of ten requests with 2 candidates each, for one group of items; three rows were missing.
pub(crate) fn summary() -> StoreSummary {
    let usage = StoreUse {
        kind: StoreKind::Memory,
        place: "stores/first".into(),
        rows_hash: "ab".into(),
        groups: vec!["profile".into()],
        features: 4,
    };
    let items = RowCounts { asked: 20, missing: 3 };
    StoreSummary::of(usage, FetchCounts { requests: 10, bytes: 17 * 1000, items, ..FetchCounts::default() })
}
