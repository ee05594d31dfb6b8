//! Layers that all rows share and a head per partition, in a graph.
//!
//! Where the partition comes once per request, one head's weights are looked up by it, and the candidates go through that
//! head alone. Where each candidate has its own, all heads are computed at once, as one product of a matrix with as many as there
//! are partitions, and each candidate's result is picked: that costs every head for every candidate.

use super::{
    embed::AXIS_0,
    form::Form,
    format::Format,
    graph::{Edge, Graph},
    layers::{self, First, Inputs},
    signature::{Rows, Signature},
};
use crate::{
    base::{Error, Result},
    learn::network::{Dense, NetworkInput, Partitioned},
};
use std::borrow::Cow;

/// The logits [candidates, 1] of a network with these `parts`, and the inputs of the graph.
///
/// Fails where the form hands in the partition's feature as a vector, from which no partition can be told.
pub(super) fn logits<'a>(
    graph: &mut Graph<'a>,
    inputs: &'a [NetworkInput],
    parts: &'a Partitioned,
    format: &Format,
    form: &Form,
) -> Result<(Edge, Signature)> {
    let shared = &parts.shared;
    let divided = Inputs::new(inputs, shared[0].outputs, form);
    let first = divided.first(graph, &First::new(&shared[0], inputs, |_| true), format);
    let x = layers::behind(graph, "layer", shared, first, format);
    let x = layers::relu(graph, &format!("layer{}", shared.len()), &x);
    let feature = &inputs[parts.input].feature;
    let Some((id, rows)) = divided.id_of(graph, feature) else {
        return Err(Error::usage(
            format!(
                "with embeddings outside, `{feature}` comes as a vector, from which no partition can be told"
            ),
            "leave the embeddings inside",
        ));
    };
    let partitions: Vec<i64> = parts.partition_of.iter().map(|&partition| partition.into()).collect();
    let partitions = graph.integers("partition/of_id", &[partitions.len()], &partitions);
    let partition = graph.node_with("Gather", "partition/own", &[&partitions, &id], AXIS_0);
    let heads = Heads { heads: &parts.heads, format };
    let logits = match rows {
        Rows::One => heads.one(graph, &x, &partition),
        Rows::Candidates => heads.all(graph, &x, &partition),
    };
    Ok((logits, divided.signature()))
}

/// The heads on their way into a graph.
struct Heads<'a, 'f> {
    heads: &'a [Vec<Dense>],
    format: &'f Format,
}

impl<'a> Heads<'a, '_> {
    /// Weights [partitions, inputs, outputs] and biases [partitions, …, outputs] of the layer at `depth`, from 0.
    fn stacked(&self, graph: &mut Graph<'a>, depth: usize, bias_rows: &[usize]) -> [Edge; 2] {
        let layers = || self.heads.iter().map(|head| &head[depth]);
        let (partitions, Dense { inputs, outputs, .. }) = (self.heads.len(), &self.heads[0][depth]);
        let name = format!("head{}", depth + 1);
        let weights: Vec<Cow<'a, [f32]>> = layers().map(|layer| (&layer.weight).into()).collect();
        let dims = [partitions, *inputs, *outputs];
        let weights = self.format.constant(graph, &format!("{name}/weights"), &dims, weights);
        let biases = layers().map(|layer| (&layer.bias).into()).collect();
        let dims = [&[partitions], bias_rows, &[*outputs]].concat();
        [weights, graph.pieces(format!("{name}/biases"), &dims, biases)]
    }

    /// All candidates through the head of one `partition` [1, 1].
    fn one(&self, graph: &mut Graph<'a>, x: &Edge, partition: &Edge) -> Edge {
        let axes = graph.integers("partition/axes", &[2], &[0, 1]);
        let partition = graph.node("Squeeze", "partition/only", &[partition, &axes]);
        self.run(graph, x, |graph, depth, x| {
            let name = format!("head{}", depth + 1);
            let own = self.stacked(graph, depth, &[]);
            let [weight, bias] = [("weight", &own[0]), ("bias", &own[1])].map(|(what, all)| {
                graph.node_with("Gather", format!("{name}/{what}"), &[all, &partition], AXIS_0)
            });
            graph.node("Gemm", name, &[x, &weight, &bias])
        })
    }

    /// Each candidate through the head of its own `partition` [candidates, 1].
    fn all(&self, graph: &mut Graph<'a>, x: &Edge, partition: &Edge) -> Edge {
        // Once for every head: OpenVINO does not multiply one matrix with many, and tract does not expand it to many.
        let axis = graph.integers("partition/axis", &[1], &[0]);
        let once = graph.node("Unsqueeze", "partition/once", &[x, &axis]);
        let x = graph.node_with("Concat", "partition/every", &vec![&once; self.heads.len()], AXIS_0);
        let logits = self.run(graph, &x, |graph, depth, x| {
            let name = format!("head{}", depth + 1);
            let [weights, biases] = self.stacked(graph, depth, &[1]);
            let products = graph.node("MatMul", format!("{name}/products"), &[x, &weights]);
            graph.node("Add", name, &[&products, &biases])
        });
        let partition = graph.node("Unsqueeze", "partition/of_each", &[partition, &axis]);
        let own = graph.node_with("GatherElements", "partition/picked", &[&logits, &partition], AXIS_0);
        graph.node("Squeeze", "partition/logits", &[&own, &axis])
    }

    /// `layer` at every depth, with ReLU between.
    fn run(
        &self,
        graph: &mut Graph<'a>,
        x: &Edge,
        layer: impl Fn(&mut Graph<'a>, usize, &Edge) -> Edge,
    ) -> Edge {
        let mut x = x.clone();
        for depth in 0..self.heads[0].len() {
            if depth > 0 {
                x = layers::relu(graph, &format!("head{depth}"), &x);
            }
            x = layer(graph, depth, &x);
        }
        x
    }
}
