//! The inputs of an exported graph: which tensor carries which feature in which column.
//!
//! `user-once` takes `user_ids` i64[1, ·], `item_ids` i64[candidates, ·], `user_num` f32[1, ·], `item_num`
//! f32[candidates, ·]; `concat` takes `ids` i64[candidates, ·] and `num` f32[candidates, ·] with the user's part
//! repeated in every row. Tensors without columns are left out. A sequence takes `length` columns.
//!
//! `item-cached` is `user-once` with what of the item is looked up in place of what of it is computed: `item_rows`
//! [candidates, outputs] in the layout's format, with `item_scales` f32[candidates, 1] where that is i8; `item_ids` and
//! `item_num` hold the rest of the candidate. With embeddings outside, `*_emb` f32[·, Σ width] takes the place of `*_ids`.

use crate::{
    base::names::Layout,
    data::{
        dataset::{EncodedFeature, Slot},
        schema::Side,
    },
};
use serde::{Deserialize, Serialize};

/// Name of the symbolic axis that counts a request's candidates.
pub const CANDIDATES: &str = "candidates";

/// Rows of an input tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rows {
    /// One, the request's.
    One,
    /// One per candidate.
    Candidates,
}

/// Element type of an input tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ElementType {
    /// Encoded ids.
    I64,
    /// Standardised numbers, NaN when missing; embedded vectors; rows and scales of an item table; the input of a probe.
    F32,
    /// Rows of an item table.
    F16,
    /// Rows of an item table.
    I8,
}

/// What the columns of an input tensor hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Content {
    /// Encoded values of features.
    #[default]
    Values,
    /// Embedded vectors of features, looked up in the model's own tables: a sequence is their mean.
    Embedded,
    /// The rows of the candidates in the model's item table.
    ItemRows,
    /// What each of those rows is multiplied by.
    ItemScales,
}

impl Content {
    /// Of features, as they are or embedded.
    pub fn is_of_features(self) -> bool {
        matches!(self, Self::Values | Self::Embedded)
    }

    fn is_values(&self) -> bool {
        *self == Self::Values
    }
}

/// A run of columns that belong to one feature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// The schema's name.
    pub feature: String,
    /// Columns: 1, or the length of a sequence; the width of what is embedded or looked up.
    pub columns: usize,
    /// Ids are below this; 0 for numbers.
    pub cardinality: u32,
}

/// One input tensor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorSpec {
    /// Name in the graph.
    pub name: String,
    /// One row or one per candidate.
    pub rows: Rows,
    /// Type of its values.
    pub element: ElementType,
    /// What they are.
    #[serde(default, skip_serializing_if = "Content::is_values")]
    pub content: Content,
    /// Features in column order.
    pub fields: Vec<Field>,
}

impl TensorSpec {
    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.fields.iter().map(|field| field.columns).sum()
    }
}

/// All inputs of a graph. The output is always `scores` f32\[candidates\].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// The layout it belongs to.
    pub layout: Layout,
    /// Input tensors in the graph's order.
    pub tensors: Vec<TensorSpec>,
}

impl Signature {
    /// Inputs of a network that reads these features with its tables inside, each with the side that it is on. A layout with an item
    /// table is taken for user-once: what the table holds is not to be among them.
    pub fn of_features<'a>(
        layout: Layout,
        features: impl IntoIterator<Item = (Side, &'a EncodedFeature)>,
    ) -> Self {
        let features: Vec<_> = features.into_iter().collect();
        let tensor = |name: &str, rows, element, sides: &[Side]| {
            let field = |encoded: &EncodedFeature| {
                let (own, columns) = match encoded.slot {
                    Slot::Ids { length, .. } => (ElementType::I64, length),
                    Slot::Number { .. } => (ElementType::F32, 1),
                };
                let feature = encoded.name.clone();
                (own == element).then_some(Field { feature, columns, cardinality: encoded.cardinality })
            };
            let ordered = sides.iter().flat_map(|side| features.iter().filter(move |(own, _)| own == side));
            let fields = ordered.filter_map(|(_, encoded)| field(encoded)).collect();
            TensorSpec { name: name.to_owned(), rows, element, content: Content::Values, fields }
        };
        let (one, each, ids, numbers) = (Rows::One, Rows::Candidates, ElementType::I64, ElementType::F32);
        let tensors = match layout {
            Layout::Concat => {
                let both = [Side::User, Side::Item];
                vec![tensor("ids", each, ids, &both), tensor("num", each, numbers, &both)]
            }
            _ => vec![
                tensor("user_ids", one, ids, &[Side::User]),
                tensor("item_ids", each, ids, &[Side::Item]),
                tensor("user_num", one, numbers, &[Side::User]),
                tensor("item_num", each, numbers, &[Side::Item]),
            ],
        };
        Self { layout, tensors: tensors.into_iter().filter(|tensor| !tensor.fields.is_empty()).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tensor's name and rows, and of each of its features the name, the columns and the cardinality.
    type Shown = (String, Rows, Vec<(String, usize, u32)>);

    #[test]
    fn features_stand_in_the_tensors_of_their_layout_with_the_users_first() {
        let feature = |name: &str, slot, cardinality| EncodedFeature { name: name.into(), slot, cardinality };
        let features = [
            (Side::Item, feature("tags", Slot::Ids { start: 1, length: 2 }, 9)),
            (Side::User, feature("id", Slot::Ids { start: 0, length: 1 }, 5)),
            (Side::User, feature("age", Slot::Number { index: 0 }, 0)),
        ];
        let of = |layout| -> Vec<Shown> {
            let made =
                Signature::of_features(layout, features.iter().map(|(side, feature)| (*side, feature)));
            let fields = |tensor: &TensorSpec| {
                tensor.fields.iter().map(|f| (f.feature.clone(), f.columns, f.cardinality)).collect()
            };
            made.tensors.iter().map(|tensor| (tensor.name.clone(), tensor.rows, fields(tensor))).collect()
        };
        let (id, tags, age) = (("id".into(), 1, 5), ("tags".into(), 2, 9), ("age".into(), 1, 0));
        let each = Rows::Candidates;
        assert_eq!(
            of(Layout::Concat),
            [("ids".into(), each, vec![id.clone(), tags.clone()]), ("num".into(), each, vec![age.clone()])]
        );
        assert_eq!(
            of(Layout::UserOnce),
            [
                ("user_ids".into(), Rows::One, vec![id]),
                ("item_ids".into(), each, vec![tags]),
                ("user_num".into(), Rows::One, vec![age])
            ]
        );
    }
}
