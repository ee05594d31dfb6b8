//! Layers that all rows share and one MLP per partition: the teacher as it is.
//!
//! A request tells its partition by a feature that reads the partition column: the feature's id is looked up in a list.

use super::{Dense, dense};
use serde::{Deserialize, Serialize};

/// Shared layers, and a head per partition (business line, scenario).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Partitioned {
    /// Place among the network's inputs of the feature whose id tells the partition: one with a table.
    pub input: usize,
    /// The partition of every id of that feature.
    pub partition_of: Vec<u32>,
    /// At least one, each with a ReLU behind it.
    pub shared: Vec<Dense>,
    /// Per partition: at least one layer with ReLU between, all alike in shape; the last has one output.
    pub heads: Vec<Vec<Dense>>,
}

impl Partitioned {
    /// Of the shared layers and one head.
    pub(super) fn multiply_adds(&self) -> usize {
        let head = self.heads.first().map_or(0, |head| dense::multiply_adds(head));
        dense::multiply_adds(&self.shared) + head
    }

    /// Of the concatenated embeddings of one row, whose partition is that of `id`.
    pub(super) fn logit(&self, embedded: &[f32], id: usize) -> f32 {
        let head = &self.heads[self.partition_of[id] as usize];
        dense::behind(head, dense::forward(&self.shared, embedded))[0]
    }
}
