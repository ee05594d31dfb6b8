//! Small models that isolate one layer, so that the latency table can be built by running them.
//!
//! Their weights are random but seeded. A probe's only output is named `scores`, like a model's, and has the shape
//! \[candidates, to\]: nothing behind the layer is timed.

use super::{
    form::Form,
    format::{Affine, Format, Integers},
    graph::{Dim, Graph},
    layers,
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
    data::schema::{Refresh, Side},
    learn::network::{Dense, Embedding, Network, NetworkInput},
};
use tract_onnx::pb::tensor_proto::DataType;

/// The shape of a first-layer probe's input: equal features on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbeInput {
    /// Features that come once per request.
    pub user_features: usize,
    /// Features that come once per candidate.
    pub item_features: usize,
    /// Width of every embedding.
    pub width_per_feature: usize,
    /// Rows of every embedding table.
    pub cardinality: usize,
}

impl ProbeInput {
    fn input_width(self) -> usize {
        (self.user_features + self.item_features) * self.width_per_feature
    }

    fn features(self, rng: &mut rng::Generator) -> Vec<NetworkInput> {
        let sides = [(Side::User, "user", self.user_features), (Side::Item, "item", self.item_features)];
        sides
            .into_iter()
            .flat_map(|(side, name, count)| (0..count).map(move |i| (side, format!("{name}{i}"))))
            .map(|(side, feature)| NetworkInput {
                feature,
                side,
                width: self.width_per_feature,
                embedding: Embedding::Table {
                    rows: rng::uniforms(self.cardinality * self.width_per_feature, 0.1, rng),
                },
            })
            .collect()
    }
}

/// From ids to the first layer's output: gathers, the split product, and the ReLU when `to` > 1. In a layout with rows, those
/// come in beside what is left of the candidate.
pub fn first_layer(
    input: ProbeInput,
    to: usize,
    layout: Layout,
    precision: Precision,
) -> Result<OnnxModel<'static>> {
    let looked_up = layout.rows().is_some();
    if (input.input_width() == 0 && !looked_up) || input.cardinality == 0 || to == 0 {
        return Err(Error::usage(
            "a probe of the first layer needs features, ids and outputs",
            "ask for at least one of each",
        ));
    }
    let mut rng = rng::generator(0, "probe/first");
    let mut inputs = input.features(&mut rng);
    let mut form = Form::from(layout);
    if looked_up {
        // Whatever stands behind a row, the graph that is timed sees the row alone.
        form.cacheable.insert(LOOKED_UP.to_owned(), Refresh::Static);
        inputs.push(NetworkInput {
            feature: LOOKED_UP.to_owned(),
            side: Side::Item,
            width: 1,
            embedding: Embedding::Number { scale: vec![1.0], missing: vec![0.0] },
        });
    }
    let from = inputs.iter().map(|input| input.width).sum();
    let network = Network { inputs, layers: vec![random_dense(from, to, &mut rng)] };
    let inputs = layers::Inputs::new(&network, &form);
    let features = inputs.for_integers(&network);
    let format = format(precision, &network.layers[0], Affine::of_range(-0.1, 0.1), features);
    let mut graph = Graph::new("probe_first_layer");
    let product = inputs.first(&mut graph, &network, &format);
    Ok(close(graph, &product, to, precision, inputs.signature()))
}

/// What a probe's rows stand for.
const LOOKED_UP: &str = "looked_up";

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
    let format = format(precision, &dense, Affine::of_range(0.0, 1.0), vec![true]);
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
        None => layers::dense(&mut graph, 1, &dense, &x, &format),
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

/// One layer in that precision, its input in that range; floats where no feature may be integers.
fn format(precision: Precision, dense: &Dense, input: Affine, features: Vec<bool>) -> Format {
    match precision {
        Precision::Fp32 => Format::Fp32,
        Precision::Fp16 => Format::Fp16,
        Precision::Int8 => {
            let layer = features.contains(&true).then(|| quantise::plain_layer(dense, input));
            Format::Int8(Integers { layers: vec![layer], features })
        }
    }
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
            let next = Affine::of_range(0.0, 1.0);
            let positive = graph.node("Relu", "relu", &[product]);
            let bytes = qdq::quantise(&mut graph, "next", &positive, next);
            qdq::dequantise(&mut graph, "scores", &bytes, next)
        }
        (_, Precision::Fp32 | Precision::Fp16) => graph.node("Relu", "scores", &[product]),
    };
    graph.output(&scores, &[Dim::Candidates, Dim::Fixed(to)]);
    let tool_version = env!("CARGO_PKG_VERSION").to_owned();
    let metadata = Metadata { tool_version, subnet: "probe".to_owned(), ..Metadata::default() };
    let form = Form::from(signature.layout);
    let mut model = model::finish(graph, signature, &form, None, &metadata).into_owned();
    model.properties.push(model::precision(precision));
    model
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
