//! What an export looks like: the layout, and what else a serving system may choose.

use super::encode::LARGEST_BYTES;
use crate::{
    base::names::{Embeddings, Layout},
    data::schema::{Refresh, Schema},
    learn::network::NetworkInput,
};
use std::collections::BTreeMap;

/// How a network is laid out in its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    /// How a request becomes inputs.
    pub layout: Layout,
    /// Features of the item that keep their values long enough for a row to be computed beforehand. Looked at where the
    /// layout has rows.
    pub cacheable: BTreeMap<String, Refresh>,
    /// Items whose rows are kept, where that is known: for stating the memory that they take.
    pub items: Option<u64>,
    /// Where the embedding tables are.
    pub embeddings: Embeddings,
    /// A model with more bytes than this keeps its tables in a second file, `model.onnx.data`.
    pub external_data_over: u64,
}

impl From<Layout> for Form {
    /// The layout with embeddings inside and one file, for a network of which nothing is known to keep its values.
    fn from(layout: Layout) -> Self {
        Self {
            layout,
            cacheable: BTreeMap::new(),
            items: None,
            embeddings: Embeddings::Inside,
            external_data_over: LARGEST_BYTES,
        }
    }
}

impl Form {
    /// The layout for networks over the features of `schema`.
    pub fn of(layout: Layout, schema: &Schema) -> Self {
        let lasting = schema.features.iter().filter(|feature| feature.lasts());
        let cacheable = lasting.map(|feature| (feature.name.clone(), feature.refresh)).collect();
        Self { cacheable, ..layout.into() }
    }

    /// Whether the first layer's part of this feature comes from the item table.
    pub fn caches(&self, input: &NetworkInput) -> bool {
        self.layout.rows().is_some() && self.cacheable.contains_key(&input.feature)
    }
}
