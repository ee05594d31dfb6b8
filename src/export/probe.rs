//! Small models that isolate one layer, so that the latency table can be built by running them.
//!
//! Their weights are random but seeded. A probe's only output is named `scores`, like a model's, and has the shape
//! \[candidates, to\]: nothing behind the layer is timed.

use super::{
    graph::{Dim, Graph},
    layers,
    model::{self, Metadata, OnnxModel},
    signature::{ElementType, Field, Rows, Signature, TensorSpec},
};
use crate::{
    base::{Error, Result, names::Layout, rng},
    data::schema::Side,
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

/// From ids to the first layer's output: gathers, the split product, and the ReLU when `to` > 1.
pub fn first_layer(input: ProbeInput, to: usize, layout: Layout) -> Result<OnnxModel> {
    let from = input.input_width();
    if from == 0 || input.cardinality == 0 || to == 0 {
        return Err(Error::usage(
            "a probe of the first layer needs features, ids and outputs",
            "ask for at least one of each",
        ));
    }
    let mut rng = rng::generator(0, "probe/first");
    let network =
        Network { inputs: input.features(&mut rng), layers: vec![random_dense(from, to, &mut rng)] };
    let parts = layers::parts(&network.inputs, layout);
    let mut graph = Graph::new("probe_first_layer");
    let product = layers::first(&mut graph, &network, &parts);
    close(graph, &product, to, layers::signature(&parts, layout))
}

/// A later layer: `x` f32\[candidates, from\] → \[candidates, to\], with the ReLU when `to` > 1.
pub fn layer(from: usize, to: usize) -> Result<OnnxModel> {
    if from == 0 || to == 0 {
        return Err(Error::usage("a probe needs inputs and outputs", "ask for widths of at least 1"));
    }
    let spec = TensorSpec {
        name: "x".to_owned(),
        rows: Rows::Candidates,
        element: ElementType::F32,
        fields: vec![Field { feature: "x".to_owned(), columns: from, cardinality: 0 }],
    };
    let mut graph = Graph::new("probe_layer");
    let x = graph.input(&spec);
    let dense = random_dense(from, to, &mut rng::generator(0, "probe/layer"));
    let product = layers::dense(&mut graph, 1, &dense, &x);
    close(graph, &product, to, Signature { layout: Layout::Concat, tensors: vec![spec] })
}

/// Names the output; without an activation to carry the name, an `Identity` does.
fn close(
    mut graph: Graph,
    product: &super::graph::Edge,
    to: usize,
    signature: Signature,
) -> Result<OnnxModel> {
    let operator = if to > 1 { "Relu" } else { "Identity" };
    let scores = graph.node(operator, "scores", &[product]);
    graph.output(&scores, &[Dim::Candidates, Dim::Fixed(to)]);
    let tool_version = env!("CARGO_PKG_VERSION").to_owned();
    model::finish(
        graph,
        signature,
        &Metadata { tool_version, subnet: "probe".to_owned(), ..Metadata::default() },
    )
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
