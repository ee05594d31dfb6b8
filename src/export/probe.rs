//! Small models that isolate one layer, so that the latency table can be built by running them.
//!
//! Their weights are random but seeded. A probe's only output is named `scores`, like a model's, and has the shape
//! \[candidates, to\]: nothing behind the layer is timed.

use super::{
    form::Form,
    graph::{Dim, Graph},
    layers,
    model::{self, Metadata, OnnxModel},
    signature::{Content, ElementType, Field, Rows, Signature, TensorSpec},
};
use crate::{
    base::{Error, Result, names::Layout, rng},
    data::schema::{Refresh, Side},
    learn::network::{Dense, Embedding, Network, NetworkInput},
};

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
pub fn first_layer(input: ProbeInput, to: usize, layout: Layout) -> Result<OnnxModel<'static>> {
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
    let mut graph = Graph::new("probe_first_layer");
    let product = inputs.first(&mut graph, &network);
    Ok(close(graph, &product, to, inputs.signature()))
}

/// What a probe's rows stand for.
const LOOKED_UP: &str = "looked_up";

/// A later layer: `x` f32\[candidates, from\] → \[candidates, to\], with the ReLU when `to` > 1.
pub fn layer(from: usize, to: usize) -> Result<OnnxModel<'static>> {
    if from == 0 || to == 0 {
        return Err(Error::usage("a probe needs inputs and outputs", "ask for widths of at least 1"));
    }
    let spec = TensorSpec {
        name: "x".to_owned(),
        rows: Rows::Candidates,
        element: ElementType::F32,
        content: Content::Values,
        fields: vec![Field { feature: "x".to_owned(), columns: from, cardinality: 0 }],
    };
    let dense = random_dense(from, to, &mut rng::generator(0, "probe/layer"));
    let mut graph = Graph::new("probe_layer");
    let x = graph.input(&spec);
    let product = layers::dense(&mut graph, 1, &dense, &x);
    let signature = Signature { layout: Layout::Concat, tensors: vec![spec] };
    Ok(close(graph, &product, to, signature))
}

/// Names the output; without an activation to carry the name, an `Identity` does.
fn close(
    mut graph: Graph<'_>,
    product: &super::graph::Edge,
    to: usize,
    signature: Signature,
) -> OnnxModel<'static> {
    let operator = if to > 1 { "Relu" } else { "Identity" };
    let scores = graph.node(operator, "scores", &[product]);
    graph.output(&scores, &[Dim::Candidates, Dim::Fixed(to)]);
    let tool_version = env!("CARGO_PKG_VERSION").to_owned();
    let metadata = Metadata { tool_version, subnet: "probe".to_owned(), ..Metadata::default() };
    let form = Form::from(signature.layout);
    model::finish(graph, signature, &form, None, &metadata).into_owned()
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
