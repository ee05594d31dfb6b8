//! A network as an ONNX model in either layout, and the metadata that travels inside the file.

use super::{
    check,
    graph::{Dim, Graph},
    layers,
    signature::Signature,
};
use crate::{
    base::{Error, Result, error::Place, fsio, names::Layout},
    learn::network::{Embedding, Network},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::Path};

/// Where a model comes from. Kept in the model's `metadata_props` under keys that begin with `autofas.`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    /// Hash of the schema that the data was read with.
    pub schema_hash: String,
    /// Hash of the encoders that made the ids: inputs encoded by others mean something else.
    pub encoder_hash: String,
    /// Canonical id of the subnet, or the name of a baseline.
    pub subnet: String,
    /// Version of the latency table that the search paid with.
    pub table_version: Option<u32>,
    /// Metrics on the validation rows by name.
    pub metrics: BTreeMap<String, f64>,
    /// Version of this program.
    pub tool_version: String,
}

/// An exported model.
#[derive(Debug, Clone, PartialEq)]
pub struct OnnxModel {
    /// Content of the file.
    pub bytes: Vec<u8>,
    /// Its inputs.
    pub signature: Signature,
}

impl OnnxModel {
    /// Writes the file atomically.
    pub fn write(&self, path: &Path) -> Result<()> {
        fsio::write(path, &self.bytes)
    }
}

/// The largest message that protobuf readers accept.
pub(super) const LARGEST_BYTES: usize = i32::MAX as usize;

/// Exports `network` with tables, first layer and sigmoid inside: `scores` f32\[candidates\].
///
/// Fails when the network's numbers do not fit its own shapes, or when the file would pass protobuf's 2 GB.
pub fn onnx(network: &Network, layout: Layout, meta: &Metadata) -> Result<OnnxModel> {
    check(network)?;
    let parts = layers::parts(&network.inputs, layout);
    let mut graph = Graph::new("pre_ranking");
    let mut x = layers::first(&mut graph, network, &parts);
    for (index, layer) in network.layers.iter().enumerate().skip(1) {
        x = layers::relu(&mut graph, index, &x);
        x = layers::dense(&mut graph, index + 1, layer, &x);
    }
    let probability = graph.node("Sigmoid", "sigmoid", &[&x]);
    let axis = graph.integers("score_axis", &[1], &[1]);
    let scores = graph.node("Squeeze", "scores", &[&probability, &axis]);
    graph.output(&scores, &[Dim::Candidates]);
    finish(graph, layers::signature(&parts, layout), meta)
}

/// Adds the metadata and encodes.
pub(super) fn finish(graph: Graph, signature: Signature, meta: &Metadata) -> Result<OnnxModel> {
    let bytes = graph.encode(properties(&signature, meta));
    if bytes.len() > LARGEST_BYTES {
        return Err(Error::usage(
            format!("the ONNX model would have {} bytes, and readers stop at 2 GB", bytes.len()),
            "raise `min_count` or hash the features with the largest vocabularies",
        ));
    }
    Ok(OnnxModel { bytes, signature })
}

fn properties(signature: &Signature, meta: &Metadata) -> Vec<(String, String)> {
    let json = |value: serde_json::Result<String>| value.expect("plain data with text keys");
    let features: Vec<_> =
        signature.tensors.iter().flat_map(|t| &t.fields).map(|f| f.feature.as_str()).collect();
    let table_version = meta.table_version.map(|version| version.to_string()).unwrap_or_default();
    [
        (SIGNATURE, json(serde_json::to_string(signature))),
        ("schema_hash", meta.schema_hash.clone()),
        ("encoder_hash", meta.encoder_hash.clone()),
        ("features", features.join(",")),
        ("subnet", meta.subnet.clone()),
        ("table_version", table_version),
        ("metrics", json(serde_json::to_string(&meta.metrics))),
        ("tool_version", meta.tool_version.clone()),
    ]
    .into_iter()
    .map(|(key, value)| (format!("{PREFIX}{key}"), value))
    .collect()
}

const PREFIX: &str = "autofas.";
const SIGNATURE: &str = "signature";
/// Columns of all inputs together that are believed: a thousand rows of them are half a gigabyte.
const MOST_COLUMNS: usize = 1 << 16;

/// Reads what [`onnx`] wrote into a file's metadata, after [`check::read`] has found the file harmless: an engine is given no
/// model whose signature was not read. A model from elsewhere is an error with its fix.
pub fn read_signature(path: &Path) -> Result<(Signature, Metadata)> {
    let foreign = |problem: String| {
        Error::input(path, Place::whole(), problem, "export the model with `autofas-bench export`")
    };
    let model = check::read(path, &check::Limits::STANDARD)?;
    let found: BTreeMap<_, _> = model
        .metadata_props
        .into_iter()
        .filter_map(|entry| Some((entry.key.strip_prefix(PREFIX)?.to_owned(), entry.value)))
        .collect();
    let text = |key: &str| {
        found.get(key).cloned().ok_or_else(|| foreign(format!("the metadata lacks `{PREFIX}{key}`")))
    };
    let unreadable = |key: &str, e: &dyn std::fmt::Display| {
        foreign(format!("the metadata `{PREFIX}{key}` is not readable ({e})"))
    };
    let signature: Signature =
        serde_json::from_str(&text(SIGNATURE)?).map_err(|e| unreadable(SIGNATURE, &e))?;
    let mut columns = signature.tensors.iter().flat_map(|tensor| &tensor.fields).map(|field| field.columns);
    if columns.try_fold(0usize, usize::checked_add).is_none_or(|columns| columns > MOST_COLUMNS) {
        return Err(foreign(format!("the model reads more than {MOST_COLUMNS} columns")));
    }
    let table_version = match text("table_version")?.as_str() {
        "" => None,
        version => Some(version.parse().map_err(|e| unreadable("table_version", &e))?),
    };
    let metadata = Metadata {
        schema_hash: text("schema_hash")?,
        encoder_hash: text("encoder_hash")?,
        subnet: text("subnet")?,
        table_version,
        metrics: serde_json::from_str(&text("metrics")?).map_err(|e| unreadable("metrics", &e))?,
        tool_version: text("tool_version")?,
    };
    Ok((signature, metadata))
}

/// Shapes that the graph builder relies on.
fn check(network: &Network) -> Result<()> {
    let wrong = |problem: String| Err(Error::usage(problem, "train or load the network again"));
    if network.inputs.is_empty() || network.layers.is_empty() {
        return wrong("the network has no features or no layers".to_owned());
    }
    for input in &network.inputs {
        let fits = input.width > 0
            && match &input.embedding {
                Embedding::Table { rows } => !rows.is_empty() && rows.len() % input.width == 0,
                Embedding::Pooled { rows, length } => {
                    *length > 0 && !rows.is_empty() && rows.len() % input.width == 0
                }
                Embedding::Number { scale, missing } => {
                    scale.len() == input.width && missing.len() == input.width
                }
            };
        if !fits {
            return wrong(format!(
                "the embedding of `{}` does not have width {}",
                input.feature, input.width
            ));
        }
    }
    let mut width = network.input_width();
    for (index, layer) in network.layers.iter().enumerate() {
        let fits = layer.inputs == width
            && layer.weight.len() == layer.inputs * layer.outputs
            && layer.bias.len() == layer.outputs;
        if !fits {
            return wrong(format!("layer {} does not take {width} values", index + 1));
        }
        width = layer.outputs;
    }
    if width != 1 {
        return wrong(format!("the last layer has {width} outputs instead of one"));
    }
    Ok(())
}
