//! Small random data sets and networks over them.

pub mod bodies;

use autofas_bench::{
    base::{names::Layout, rng},
    data::{
        dataset::{Dataset, EncodedFeature, Slot},
        encode::Encoders,
        ids::Ids,
        schema::{Refresh, Schema, Side},
    },
    export::Form,
    learn::network::{Body, Branch, Dense, Embedding, Forest, Network, NetworkInput, Node},
};
use rand::RngExt;
use std::path::Path;

/// What lies beside a model whose features are of no schema.
pub fn no_companions() -> (Schema, Encoders) {
    let text = "[data]\nlabel = \"click\"\n[[feature]]\nname = \"f0\"\nkind = \"item\"\ntype = \"numeric\"\nfetch_ms = 1";
    let schema = Schema::parse(text, Path::new("any.toml")).unwrap();
    let encoders = serde_json::json!({"schema_version": 1, "features": [], "partitions": null});
    (schema, serde_json::from_value(encoders).unwrap())
}

/// What a feature of a sample is.
#[derive(Debug, Clone, Copy)]
pub enum Value {
    /// One id below the cardinality.
    Id { cardinality: u32 },
    /// This many ids, some of them padding.
    Sequence { cardinality: u32, length: usize },
    /// A number that is sometimes missing.
    Number,
}

/// One feature of a sample.
#[derive(Debug, Clone, Copy)]
pub struct FeatureSpec {
    pub side: Side,
    pub width: usize,
    pub value: Value,
}

/// A data set of `rows` random rows with one column set per feature. Ids and numbers are laid out in feature order.
pub fn dataset(features: &[FeatureSpec], rows: usize, seed: u64) -> Dataset {
    let mut data = Dataset::default();
    let (mut id_slots, mut labels, mut ids, mut numbers) = (0, vec![0.0; rows], Vec::new(), Vec::new());
    for (index, feature) in features.iter().enumerate() {
        let (slot, cardinality) = match feature.value {
            Value::Number => (Slot::Number { index: data.number_slots }, 0),
            Value::Id { cardinality } => (Slot::Ids { start: id_slots, length: 1 }, cardinality),
            Value::Sequence { cardinality, length } => (Slot::Ids { start: id_slots, length }, cardinality),
        };
        match slot {
            Slot::Number { .. } => data.number_slots += 1,
            Slot::Ids { length, .. } => id_slots += length,
        }
        data.features.push(EncodedFeature { name: format!("f{index}"), slot, cardinality });
    }
    let mut rng = rng::generator(seed, "test/data");
    for label in &mut labels {
        for feature in &data.features {
            match feature.slot {
                Slot::Number { .. } => numbers.push(match rng.random_range(0..4) {
                    0 => f32::NAN,
                    _ => rng.random::<f32>() * 16.0 - 8.0,
                }),
                Slot::Ids { length, .. } => {
                    let present = if length == 1 { 1 } else { rng.random_range(0..=length) };
                    ids.extend((0..length).map(|position| {
                        if position < present { rng.random_range(0..feature.cardinality) } else { 0 }
                    }));
                }
            }
        }
        *label = f32::from(rng.random::<bool>());
    }
    data.ids = Ids::from_rows(id_slots, &ids);
    data.numbers = numbers.into();
    data.labels = labels.into();
    data
}

/// A random network with these hidden widths that reads the features of [`dataset`].
pub fn network(features: &[FeatureSpec], hidden: &[usize], seed: u64) -> Network {
    let mut rng = rng::generator(seed, "test/network");
    let inputs: Vec<_> = features
        .iter()
        .enumerate()
        .map(|(index, feature)| {
            let width = feature.width;
            let mut table = |rows: usize| rng::uniforms(rows * width, 1.0, &mut rng);
            let embedding = match feature.value {
                Value::Id { cardinality } => Embedding::Table { rows: table(cardinality as usize) },
                Value::Sequence { cardinality, length } => {
                    Embedding::Pooled { rows: table(cardinality as usize), length }
                }
                Value::Number => Embedding::Number { scale: table(1), missing: table(1) },
            };
            NetworkInput { feature: format!("f{index}"), side: feature.side, width, embedding }
        })
        .collect();
    let mut from = inputs.iter().map(|input| input.width).sum();
    let layers = hidden
        .iter()
        .chain([&1])
        .map(|&to| {
            let bound = (1.0 / from as f32).sqrt();
            let weight = rng::uniforms(from * to, bound, &mut rng);
            let layer = Dense { inputs: from, outputs: to, weight, bias: rng::uniforms(to, bound, &mut rng) };
            from = to;
            layer
        })
        .collect();
    Network { inputs, body: Body::Mlp(layers) }
}

/// What all inputs may be in a random forest: multiples of 1/8, so that many are equal to a threshold.
fn eighths(count: usize, draw: &mut rng::Generator) -> Vec<f32> {
    (0..count).map(|_| draw.random_range(-8..=8i32) as f32 / 8.0).collect()
}

/// A random forest over the features of [`dataset`]; its last tree is a leaf by itself.
pub fn forest(features: &[FeatureSpec], trees: usize, seed: u64) -> Network {
    let draw = &mut rng::generator(seed, "test/forest");
    let input = |(index, feature): (usize, &FeatureSpec)| NetworkInput {
        feature: format!("f{index}"),
        side: feature.side,
        width: 1,
        embedding: match feature.value {
            Value::Id { cardinality } => Embedding::Table { rows: eighths(cardinality as usize, draw) },
            Value::Sequence { cardinality, length } => {
                Embedding::Pooled { rows: eighths(cardinality as usize, draw), length }
            }
            Value::Number => Embedding::Number { scale: vec![1.0], missing: vec![f32::NAN] },
        },
    };
    let inputs: Vec<_> = features.iter().enumerate().map(input).collect();
    let (mut nodes, mut roots) = (Vec::new(), Vec::new());
    for tree in 0..trees {
        roots.push(nodes.len() as u32);
        grow(&mut nodes, if tree + 1 == trees { 0 } else { 5 }, inputs.len() as u32, draw);
    }
    let gains = vec![0.0; inputs.len()];
    Network { inputs, body: Body::Forest(Forest { base_score: -0.3, roots, nodes, gains }) }
}

fn grow(nodes: &mut Vec<Node>, depth: usize, inputs: u32, draw: &mut rng::Generator) {
    if depth == 0 || (depth < 4 && draw.random_range(0..4) == 0) {
        nodes.push(Node::Leaf { value: draw.random::<f32>() - 0.5 });
        return;
    }
    let own = nodes.len();
    let input = draw.random_range(0..inputs);
    let threshold = eighths(1, draw)[0];
    let missing = if draw.random::<bool>() { Branch::Below } else { Branch::Other };
    nodes.push(Node::Split { input, threshold, missing, other: 0 });
    grow(nodes, depth - 1, inputs, draw);
    let other = nodes.len() as u32;
    nodes[own] = Node::Split { input, threshold, missing, other };
    grow(nodes, depth - 1, inputs, draw);
}

/// Features of every kind on both sides, in two widths.
pub fn every_kind() -> Vec<FeatureSpec> {
    let values = [Value::Id { cardinality: 7 }, Value::Number, Value::Sequence { cardinality: 5, length: 3 }];
    let mut features = Vec::new();
    for (width, side) in [(4, Side::User), (4, Side::Item), (8, Side::Item), (8, Side::User), (4, Side::User)]
    {
        features.extend(values.map(|value| FeatureSpec { side, width, value }));
    }
    features
}

/// The layout for these features, of which every other one of the item side keeps its values: the rest is interactive.
pub fn form(features: &[FeatureSpec], layout: Layout) -> Form {
    let items = features.iter().enumerate().filter(|(_, feature)| feature.side == Side::Item);
    let lasting = items.step_by(2).map(|(index, _)| (format!("f{index}"), Refresh::Daily));
    Form { cacheable: lasting.collect(), ..layout.into() }
}
