//! The inputs of an exported graph: which tensor carries which feature in which column.
//!
//! `user-once` takes `user_ids` i64[1, ·], `item_ids` i64[candidates, ·], `user_num` f32[1, ·], `item_num`
//! f32[candidates, ·]; `concat` takes `ids` i64[candidates, ·] and `num` f32[candidates, ·] with the user's part
//! repeated in every row. Tensors without columns are left out. A sequence takes `length` columns.

use crate::base::names::Layout;
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
    /// Standardised numbers, NaN when missing; or the dense input of a probe.
    F32,
}

/// A run of columns that belong to one feature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// The schema's name.
    pub feature: String,
    /// Columns: 1, or the length of a sequence.
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
    /// i64 or f32.
    pub element: ElementType,
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
