//! Models of nobody's weights, so that the latency table can be built by running them: single layers, and whole networks.
//!
//! Their weights are random but seeded, their inputs are those of a schema's features, laid out as those of every exported
//! network. A single layer's only output is named `scores`, like a model's, and has the shape \[candidates, to\]: nothing
//! behind the layer is timed.

use super::{
    form::Form,
    format::{Affine, FirstPart, Format, Integers},
    graph::{Dim, Graph},
    layers::{self, First, Inputs},
    model::{self, Metadata, OnnxModel},
    qdq::{self, Addend},
    quantise,
    signature::{Content, ElementType, Field, Rows, Signature, TensorSpec},
};
use crate::{
    base::{
        Error, Result,
        names::{Layout, Precision},
        rng,
    },
    data::schema::{Feature, Refresh, Side},
    learn::network::{Body, Dense, Embedding, Network, NetworkInput},
    space::Group,
};
use tract_onnx::pb::tensor_proto::DataType;

/// A feature, and how many rows its embedding table has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ProbeFeature<'a> {
    /// The feature.
    pub feature: &'a Feature,
    /// Rows of its table; numbers have none.
    pub cardinality: usize,
}

/// The shape of a plain input: equal features on both sides, one id each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlainInput {
    /// Features that come once per request.
    pub user_features: usize,
    /// Features that come once per candidate.
    pub item_features: usize,
    /// Width of every embedding.
    pub width_per_feature: usize,
    /// Rows of every embedding table.
    pub cardinality: usize,
}

impl PlainInput {
    /// The inputs of a network over it.
    pub fn inputs(self) -> Vec<NetworkInput> {
        let sides = [(Side::User, "user", self.user_features), (Side::Item, "item", self.item_features)];
        let mut rng = rng::generator(0, "probe/plain");
        let width = self.width_per_feature;
        let mut input = |side, feature: String| NetworkInput {
            feature,
            side,
            width,
            embedding: Embedding::Table { rows: rng::uniforms(self.cardinality * width, 0.1, &mut rng) },
        };
        let all = sides.into_iter().flat_map(|(side, name, count)| (0..count).map(move |i| (side, name, i)));
        all.map(|(side, name, i)| input(side, format!("{name}{i}"))).collect()
    }
}

/// The inputs of a network over features, in their order.
pub fn inputs(features: &[ProbeFeature]) -> Vec<NetworkInput> {
    let mut rng = rng::generator(0, "probe/inputs");
    let input = |&ProbeFeature { feature, cardinality }: &ProbeFeature| {
        let width = feature.width;
        let mut values = |rows: usize| rng::uniforms(rows * width, 0.1, &mut rng);
        let embedding = match Group::of(feature) {
            Group::Ids { .. } => Embedding::Table { rows: values(cardinality) },
            Group::Sequences { length, .. } => Embedding::Pooled { rows: values(cardinality), length },
            Group::Numbers => Embedding::Number { scale: values(1), missing: values(1) },
        };
        NetworkInput { feature: feature.name.clone(), side: feature.kind.side(), width, embedding }
    };
    features.iter().map(input).collect()
}

/// From ids and numbers to the first layer's output: embeddings, the split product, and the ReLU when `to` > 1. In a layout
/// with rows of items, `inputs` are what is left of a request, and rows come in beside them.
pub fn first_layer(
    inputs: Vec<NetworkInput>,
    to: usize,
    layout: Layout,
    precision: Precision,
) -> Result<OnnxModel<'static>> {
    let (inputs, form) = with_rows(inputs, layout);
    let from: usize = inputs.iter().map(|input| input.width).sum();
    let rows = |input: &NetworkInput| match &input.embedding {
        Embedding::Table { rows } | Embedding::Pooled { rows, .. } => rows.len(),
        Embedding::Number { scale, .. } => scale.len(),
    };
    if from == 0 || to == 0 || inputs.iter().any(|input| rows(input) == 0) {
        return Err(Error::usage(
            "a probe of the first layer needs features, ids and outputs",
            "ask for at least one of each",
        ));
    }
    let layers = vec![random_dense(from, to, &mut rng::generator(0, "probe/first"))];
    let parts = Inputs::new(&inputs, to, &form);
    let format = format(precision, &layers, EMBEDDED, parts.for_integers());
    let mut graph = Graph::new("probe_first_layer");
    let product = parts.first(&mut graph, &First::new(&layers[0], &inputs, |_| true), &format);
    Ok(close(graph, &product, to, precision, parts.signature()))
}

/// What a probe's rows stand for.
const LOOKED_UP: &str = "looked_up";

/// Adds one feature that rows stand for, where the layout has rows: whatever stands behind a row, the graph that is timed
/// sees the row alone.
fn with_rows(mut inputs: Vec<NetworkInput>, layout: Layout) -> (Vec<NetworkInput>, Form) {
    let mut form = Form::from(layout);
    if layout.rows().is_some() {
        form.cacheable.insert(LOOKED_UP.to_owned(), Refresh::Static);
        inputs.push(NetworkInput {
            feature: LOOKED_UP.to_owned(),
            side: Side::Item,
            width: 1,
            embedding: Embedding::Number { scale: vec![1.0], missing: vec![0.0] },
        });
    }
    (inputs, form)
}

/// A later layer: `x` f32\[candidates, from\] → \[candidates, to\], with the ReLU when `to` > 1.
///
/// In a network, a layer of integers takes bytes and gives bytes. So its probe takes `x` i64\[candidates, 1\], rows of a table
/// of bytes, whose gather costs next to nothing, and goes on to the bytes of the next layer.
pub fn layer(from: usize, to: usize, precision: Precision) -> Result<OnnxModel<'static>> {
    if from == 0 || to == 0 {
        return Err(Error::usage("a probe needs inputs and outputs", "ask for widths of at least 1"));
    }
    let mut rng = rng::generator(0, "probe/layer");
    let dense = random_dense(from, to, &mut rng);
    let format = format(precision, std::slice::from_ref(&dense), ACTIVATED, vec![FirstPart::Bytes]);
    let (element, columns, cardinality) = match precision {
        Precision::Fp32 | Precision::Fp16 => (ElementType::F32, from, 0),
        Precision::Int8 => (ElementType::I64, 1, TABLE_ROWS),
    };
    let spec = TensorSpec {
        name: "x".to_owned(),
        rows: Rows::Candidates,
        element,
        content: Content::Values,
        fields: vec![Field { feature: "x".to_owned(), columns, cardinality: cardinality as u32 }],
    };
    let mut graph = Graph::new("probe_layer");
    let x = graph.input(&spec);
    let product = match format.integers(0) {
        None => layers::dense(&mut graph, "layer", 1, &dense, &x, &format),
        Some(integers) => {
            let values = rng::uniforms(TABLE_ROWS * from, 1.0, &mut rng);
            let bytes = values.into_iter().map(|v| integers.input.quantise(v.abs())).collect();
            let table = graph.raw("table", DataType::Uint8, &[TABLE_ROWS, from], bytes);
            let rows = graph.node_with("Gather", "rows", &[&table, &x], ("axis", 0));
            let shape = graph.integers("flat_shape", &[2], &[0, from as i64]);
            let bytes = graph.node("Reshape", "flat", &[&rows, &shape]);
            let bias = Addend::Constant(integers.bias.clone().into());
            qdq::product(&mut graph, "layer1", &bytes, integers, &integers.weight, bias)
        }
    };
    let signature = Signature { layout: Layout::Concat, tensors: vec![spec] };
    Ok(close(graph, &product, to, precision, signature))
}

/// Rows of the table that the bytes of a later layer's probe come from.
const TABLE_ROWS: usize = 1024;

/// The values of an embedding, and those behind an activation.
const EMBEDDED: (f32, f32) = (-0.1, 0.1);
const ACTIVATED: (f32, f32) = (0.0, 1.0);

/// Layers in that precision, the input of the first in the range `first`; that one in floats where no feature may be integers.
fn format(precision: Precision, layers: &[Dense], first: (f32, f32), features: Vec<FirstPart>) -> Format {
    let integers = |(index, dense): (usize, &Dense)| {
        let (low, high) = if index == 0 { first } else { ACTIVATED };
        let may = index > 0 || features.contains(&FirstPart::Bytes);
        may.then(|| quantise::plain_layer(dense, Affine::of_range(low, high)))
    };
    match precision {
        Precision::Fp32 => Format::Fp32,
        Precision::Fp16 => Format::Fp16,
        Precision::Int8 => {
            let layers = layers.iter().enumerate().map(integers).collect();
            Format::Int8(Integers { layers, features })
        }
    }
}

/// A whole network over these inputs with these hidden widths, exported as every other; with rows of items as in
/// [`first_layer`].
pub fn network(
    inputs: Vec<NetworkInput>,
    widths: &[usize],
    layout: Layout,
    precision: Precision,
    name: &str,
) -> Result<OnnxModel<'static>> {
    let (inputs, form) = with_rows(inputs, layout);
    let from: usize = inputs.iter().map(|input| input.width).sum();
    let mut rng = rng::generator(0, "probe/network");
    let before = std::iter::once(from).chain(widths.iter().copied());
    let after = widths.iter().copied().chain(std::iter::once(1));
    let layers: Vec<_> = before.zip(after).map(|(from, to)| random_dense(from, to, &mut rng)).collect();
    let features = Inputs::new(&inputs, layers[0].outputs, &form).for_integers();
    let format = format(precision, &layers, EMBEDDED, features);
    let network = Network { inputs, body: Body::Mlp(layers) };
    Ok(model::onnx_in(&format, &network, form, &metadata(name))?.into_owned())
}

/// Names the output; without an activation to carry the name, an `Identity` does.
fn close(
    mut graph: Graph<'_>,
    product: &super::graph::Edge,
    to: usize,
    precision: Precision,
    signature: Signature,
) -> OnnxModel<'static> {
    let scores = match (to, precision) {
        (1, _) => graph.node("Identity", "scores", &[product]),
        (_, Precision::Int8) => {
            let next = Affine::of_range(ACTIVATED.0, ACTIVATED.1);
            let positive = graph.node("Relu", "relu", &[product]);
            let bytes = qdq::quantise(&mut graph, "next", &positive, next);
            qdq::dequantise(&mut graph, "scores", &bytes, next)
        }
        (_, Precision::Fp32 | Precision::Fp16) => graph.node("Relu", "scores", &[product]),
    };
    graph.output(&scores, &[Dim::Candidates, Dim::Fixed(to)]);
    let form = Form::from(signature.layout);
    let mut model = model::finish(graph, signature, &form, None, &metadata("probe")).into_owned();
    model.properties.push(model::precision(precision));
    model
}

fn metadata(subnet: &str) -> Metadata {
    let tool_version = env!("CARGO_PKG_VERSION").to_owned();
    Metadata { tool_version, subnet: subnet.to_owned(), ..Metadata::default() }
}

fn random_dense(inputs: usize, outputs: usize, rng: &mut rng::Generator) -> Dense {
    let bound = (1.0 / inputs as f32).sqrt();
    Dense {
        inputs,
        outputs,
        weight: rng::uniforms(inputs * outputs, bound, rng),
        bias: rng::uniforms(outputs, bound, rng),
    }
}
