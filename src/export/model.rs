//! A network as an ONNX model in any layout, and the metadata that travels inside the file.

use super::{
    check,
    encode::{self, Encoder, External, LARGEST_BYTES},
    form::Form,
    format::{Format, IntegerLayer},
    graph::{Dim, Edge, Graph},
    layers::{self, First, Inputs},
    outside::{self, Tables},
    partitions,
    rows::ItemTableSpec,
    signature::Signature,
    towers, trees,
};
use crate::{
    base::{Error, Result, error::Place, fsio, names::Precision},
    learn::network::{Body, Dense, Mlp, Network, PlainOnly},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fmt::Display,
    path::{Path, PathBuf},
};

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

/// An exported model: one graph, or two where items have rows, and the tables that lie beside them.
///
/// Its constants are the network's own numbers, which go from there into the file.
#[derive(Debug, Clone, PartialEq)]
pub struct OnnxModel<'n> {
    /// Its inputs.
    pub signature: Signature,
    /// What the item table holds, where it has one.
    pub item_table: Option<ItemTableSpec>,
    graph: Graph<'n>,
    pub(super) properties: Vec<(String, String)>,
    external_data_over: u64,
    /// The graph that fills the item table.
    item: Option<Box<OnnxModel<'n>>>,
    tables: Option<Tables<'n>>,
}

/// The graph that fills the item table, beside the model.
pub const ITEM_MODEL: &str = "item.onnx";

/// The file of that name that belongs to `model`. A file that is not called `model.onnx` may share its folder with other
/// models: its companions begin with its own name.
pub fn beside(model: &Path, name: &str) -> PathBuf {
    match model.file_stem() {
        Some(stem) if stem != "model" => model.with_file_name(format!("{}.{name}", stem.display())),
        _ => model.with_file_name(name),
    }
}

impl OnnxModel<'_> {
    /// Writes the model to `path`, and beside it (see [`beside`]) what it has of [`ITEM_MODEL`],
    /// [`TABLES`](super::outside::TABLES) with [`MANIFEST`](super::outside::MANIFEST), and the constants of a large model as
    /// `model.onnx.data`. Each file is whole or not there.
    pub fn write(&self, path: &Path) -> Result<()> {
        if let Some(item) = &self.item {
            item.write(&beside(path, ITEM_MODEL))?;
        }
        if let Some(tables) = &self.tables {
            tables.write(&beside(path, outside::TABLES), &beside(path, outside::MANIFEST))?;
        }
        let external = match Encoder::new(&self.graph, &self.properties, None).bytes() {
            bytes if bytes <= self.external_data_over => None,
            _ => Some(self.write_external(path)?),
        };
        let encoder = Encoder::new(&self.graph, &self.properties, external.as_ref());
        if encoder.bytes() > LARGEST_BYTES {
            return Err(Error::usage(
                format!("the ONNX model would have {} bytes, and readers stop at 2 GB", encoder.bytes()),
                "leave --external-data-over at its default, so that its tables get a file of their own",
            ));
        }
        fsio::write_with(path, |out| encoder.write(out))
    }

    fn write_external(&self, path: &Path) -> Result<External> {
        let name = format!("{}.data", path.file_name().unwrap_or_default().display());
        let mut written = None;
        fsio::write_with(&path.with_file_name(&name), |out| {
            written = Some(encode::write_external(&self.graph, name.clone(), out)?);
            Ok(())
        })?;
        Ok(written.expect("written, for nothing failed"))
    }

    /// The content of the file that [`OnnxModel::write`] makes of a model that keeps its tables.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let encoder = Encoder::new(&self.graph, &self.properties, None);
        encoder.write(&mut bytes).expect("memory takes what is written");
        bytes
    }

    /// The same model with numbers of its own, which outlives its network.
    pub fn into_owned(self) -> OnnxModel<'static> {
        OnnxModel {
            signature: self.signature,
            item_table: self.item_table,
            graph: self.graph.into_owned(),
            properties: self.properties,
            external_data_over: self.external_data_over,
            item: self.item.map(|item| Box::new(item.into_owned())),
            tables: self.tables.map(Tables::into_owned),
        }
    }

    /// The graph that fills the item table; none where everything is computed in the request.
    pub fn item_model(&self) -> Option<&Self> {
        self.item.as_deref()
    }
}

/// Exports `network` with first layer and sigmoid inside: `scores` f32\[candidates\].
///
/// Fails when the network's numbers do not fit its own shapes.
pub fn onnx<'n>(network: &'n Network, form: impl Into<Form>, meta: &Metadata) -> Result<OnnxModel<'n>> {
    onnx_in(&Format::Fp32, network, form, meta)
}

/// [`onnx`] in a number format. That of integers must have been made for this network and this form.
pub fn onnx_in<'n>(
    format: &Format,
    network: &'n Network,
    form: impl Into<Form>,
    meta: &Metadata,
) -> Result<OnnxModel<'n>> {
    network.check().map_err(|problem| Error::usage(problem, "train or load the network again"))?;
    let form = form.into();
    if form.layout.rows().is_some() {
        network.mlp(PlainOnly::ItemTable)?;
    }
    if let Format::Int8(_) = format {
        network.mlp(PlainOnly::Integers)?;
    }
    let mut model = match &network.body {
        Body::Mlp(layers) => plain(Mlp { inputs: &network.inputs, layers }, format, &form, meta)?,
        Body::TwoTower(towers) => {
            let mut graph = Graph::new("pre_ranking");
            let (logits, signature) = towers::logits(&mut graph, &network.inputs, towers, format, &form);
            score(&mut graph, &logits);
            finish(graph, signature, &form, None, meta)
        }
        Body::Partitioned(parts) => {
            let mut graph = Graph::new("pre_ranking");
            let (logits, signature) = partitions::logits(&mut graph, &network.inputs, parts, format, &form)?;
            score(&mut graph, &logits);
            finish(graph, signature, &form, None, meta)
        }
        Body::Forest(forest) => {
            let mut graph = Graph::new("pre_ranking");
            let (scores, signature) = trees::scores(&mut graph, &network.inputs, forest, format, &form)?;
            graph.output(&scores, &[Dim::Candidates]);
            finish(graph, signature, &form, None, meta)
        }
    };
    model.properties.push(precision(format.precision()));
    model.tables = Tables::of(network, &form);
    Ok(model)
}

/// Layers one behind the other, and the graph that fills the item table where the form has one.
fn plain<'n>(network: Mlp<'n>, format: &Format, form: &Form, meta: &Metadata) -> Result<OnnxModel<'n>> {
    let Mlp { inputs, layers } = network;
    let outputs = layers[0].outputs;
    let parts = Inputs::new(inputs, outputs, form);
    check_integers(format, layers, &parts)?;
    let first = First::new(&layers[0], inputs, |_| true);
    let mut graph = Graph::new("pre_ranking");
    let x = parts.first(&mut graph, &first, format);
    let logits = layers::behind(&mut graph, "layer", layers, x, format);
    score(&mut graph, &logits);
    let table = ItemTableSpec::of(inputs, outputs, form);
    let mut model = finish(graph, parts.signature(), form, table.clone(), meta);
    let mut graph = Graph::new("item_table");
    if let (Some(rows), Some(signature)) =
        (parts.item_rows(&mut graph, &first, format), parts.item_signature())
    {
        graph.output(&rows, &[Dim::Candidates, Dim::Fixed(outputs)]);
        model.item = Some(Box::new(finish(graph, signature, form, table, meta)));
    }
    Ok(model)
}

/// The scores of logits [candidates, 1], which leave the graph.
fn score(graph: &mut Graph<'_>, logits: &Edge) {
    let probability = graph.node("Sigmoid", "sigmoid", &[logits]);
    let axis = graph.integers("score_axis", &[1], &[1]);
    let scores = graph.node("Squeeze", "scores", &[&probability, &axis]);
    graph.output(&scores, &[Dim::Candidates]);
}

/// Adds the metadata.
pub(super) fn finish<'n>(
    graph: Graph<'n>,
    signature: Signature,
    form: &Form,
    item_table: Option<ItemTableSpec>,
    meta: &Metadata,
) -> OnnxModel<'n> {
    OnnxModel {
        properties: properties(&signature, item_table.as_ref(), meta),
        signature,
        item_table,
        graph,
        external_data_over: form.external_data_over,
        item: None,
        tables: None,
    }
}

fn properties(
    signature: &Signature,
    item_table: Option<&ItemTableSpec>,
    meta: &Metadata,
) -> Vec<(String, String)> {
    let json = |value: serde_json::Result<String>| value.expect("plain data with text keys");
    let own = signature.tensors.iter().filter(|tensor| tensor.content.is_of_features());
    let features: Vec<_> = own.flat_map(|tensor| &tensor.fields).map(|f| f.feature.as_str()).collect();
    let table_version = meta.table_version.map(|version| version.to_string()).unwrap_or_default();
    let known = [
        (SIGNATURE, json(serde_json::to_string(signature))),
        ("schema_hash", meta.schema_hash.clone()),
        ("encoder_hash", meta.encoder_hash.clone()),
        ("features", features.join(",")),
        ("subnet", meta.subnet.clone()),
        ("table_version", table_version),
        ("metrics", json(serde_json::to_string(&meta.metrics))),
        ("tool_version", meta.tool_version.clone()),
    ];
    let item_table = item_table.map(|table| (ITEM_TABLE, json(serde_json::to_string(table))));
    known.into_iter().chain(item_table).map(|(key, value)| (format!("{PREFIX}{key}"), value)).collect()
}

/// The metadata entry of a number format.
pub(super) fn precision(precision: Precision) -> (String, String) {
    (format!("{PREFIX}{PRECISION}"), precision.name().to_owned())
}

const PREFIX: &str = "autofas.";
const SIGNATURE: &str = "signature";
/// Columns of all inputs together that are believed: a thousand rows of them are half a gigabyte.
const MOST_COLUMNS: usize = 1 << 16;
const ITEM_TABLE: &str = "item_table";
const PRECISION: &str = "precision";

/// What a file says about itself.
#[derive(Debug, Clone)]
pub struct Described {
    /// What a request has to hand in.
    pub signature: Signature,
    /// Where the model comes from.
    pub metadata: Metadata,
    /// In which numbers it computes.
    pub precision: Precision,
    /// Its rows of items; none where it has none.
    pub item_table: Option<ItemTableSpec>,
}

/// Reads what [`onnx`] and [`onnx_in`] wrote into a file's metadata, after [`check::read`] has found the file harmless: an engine is
/// given no model whose signature was not read. A model from elsewhere is an error with its fix.
pub fn describe(path: &Path) -> Result<Described> {
    let properties = Properties::read(path)?;
    let (signature, metadata) = (properties.signature()?, properties.metadata()?);
    let (precision, item_table) = (properties.precision()?, properties.item_table()?);
    Ok(Described { signature, metadata, precision, item_table })
}

/// What [`describe`] says first: what a request has to hand in, and where the model comes from.
pub fn read_signature(path: &Path) -> Result<(Signature, Metadata)> {
    let Described { signature, metadata, .. } = describe(path)?;
    Ok((signature, metadata))
}

/// This program's metadata of a file.
struct Properties<'p> {
    path: &'p Path,
    known: BTreeMap<String, String>,
}

impl<'p> Properties<'p> {
    fn read(path: &'p Path) -> Result<Self> {
        let model = check::read(path, &check::Limits::STANDARD)?;
        let own = |entry: tract_onnx::pb::StringStringEntryProto| {
            Some((entry.key.strip_prefix(PREFIX)?.to_owned(), entry.value))
        };
        Ok(Self { path, known: model.metadata_props.into_iter().filter_map(own).collect() })
    }

    fn foreign(&self, problem: String) -> Error {
        Error::input(self.path, Place::whole(), problem, "export the model with `autofas-bench export`")
    }

    fn text(&self, key: &str) -> Result<&str> {
        let found = self.known.get(key).map(String::as_str);
        found.ok_or_else(|| self.foreign(format!("the metadata lacks `{PREFIX}{key}`")))
    }

    /// A value that `parse` reads.
    fn parsed<'a, T, E: Display>(
        &self,
        key: &str,
        text: &'a str,
        parse: impl Fn(&'a str) -> std::result::Result<T, E>,
    ) -> Result<T> {
        let unreadable = |e| self.foreign(format!("the metadata `{PREFIX}{key}` is not readable ({e})"));
        parse(text).map_err(unreadable)
    }

    fn signature(&self) -> Result<Signature> {
        let signature: Signature = self.parsed(SIGNATURE, self.text(SIGNATURE)?, serde_json::from_str)?;
        let mut columns =
            signature.tensors.iter().flat_map(|tensor| &tensor.fields).map(|field| field.columns);
        if columns.try_fold(0usize, usize::checked_add).is_none_or(|columns| columns > MOST_COLUMNS) {
            return Err(self.foreign(format!("the model reads more than {MOST_COLUMNS} columns")));
        }
        Ok(signature)
    }

    fn metadata(&self) -> Result<Metadata> {
        let table_version = match self.text("table_version")? {
            "" => None,
            version => Some(self.parsed("table_version", version, str::parse)?),
        };
        Ok(Metadata {
            schema_hash: self.text("schema_hash")?.to_owned(),
            encoder_hash: self.text("encoder_hash")?.to_owned(),
            subnet: self.text("subnet")?.to_owned(),
            table_version,
            metrics: self.parsed("metrics", self.text("metrics")?, serde_json::from_str)?,
            tool_version: self.text("tool_version")?.to_owned(),
        })
    }

    /// Single precision where the file says nothing.
    fn precision(&self) -> Result<Precision> {
        let told = self.known.get(PRECISION);
        told.map_or(Ok(Precision::Fp32), |name| self.parsed(PRECISION, name, str::parse))
    }

    fn item_table(&self) -> Result<Option<ItemTableSpec>> {
        let told = self.known.get(ITEM_TABLE);
        told.map(|text| self.parsed(ITEM_TABLE, text, serde_json::from_str)).transpose()
    }
}

/// Integer layers of another network would give a graph of wrong shapes.
fn check_integers(format: &Format, layers: &[Dense], inputs: &Inputs<'_>) -> Result<()> {
    let Format::Int8(integers) = format else { return Ok(()) };
    let fits = |(layer, dense): (&Option<IntegerLayer>, &Dense)| {
        layer.as_ref().is_none_or(|layer| {
            layer.weight.len() == dense.weight.len()
                && [&layer.weight_scales, &layer.bias].iter().all(|values| values.len() == dense.outputs)
        })
    };
    let same = integers.layers.len() == layers.len()
        && (integers.layers[0].is_none() || integers.features == inputs.for_integers())
        && integers.layers.iter().zip(layers).all(fits);
    if same {
        return Ok(());
    }
    Err(Error::usage("the integer layers are of another network or layout", "quantise this network"))
}
