//! The dense layers of a graph, with the first one split by the rows of its input.
//!
//! W·\[u; v\] + b = (W_u·u + b) + W_v·v: with the layout `user-once` the user's part, bias included, is computed on one
//! row and broadcast as the addend of the candidates' product. `concat` is the same graph with a single part.

use super::{
    embed::Part,
    graph::{Edge, Graph},
    signature::{Rows, Signature},
};
use crate::{
    base::names::Layout,
    data::schema::Side,
    learn::network::{Dense, Network, NetworkInput},
};

/// The parts of a network's input under a layout, in the order of the signature.
///
/// A request without item-side features has nothing that counts its candidates, so under `user-once` its user features
/// come once per candidate too: the tensors keep their names, and their `rows` in the signature say `candidates`.
pub(super) fn parts(inputs: &[NetworkInput], layout: Layout) -> Vec<Part<'_>> {
    let of = |side| inputs.iter().enumerate().filter(move |(_, input)| input.side == side);
    let (users, items) = (of(Side::User).count(), of(Side::Item).count());
    match layout {
        Layout::Concat => vec![Part::new("", Rows::Candidates, of(Side::User).chain(of(Side::Item)))],
        Layout::UserOnce if items == 0 => vec![Part::new("user_", Rows::Candidates, of(Side::User))],
        Layout::UserOnce if users == 0 => vec![Part::new("item_", Rows::Candidates, of(Side::Item))],
        Layout::UserOnce => vec![
            Part::new("user_", Rows::One, of(Side::User)),
            Part::new("item_", Rows::Candidates, of(Side::Item)),
        ],
    }
}

/// The signature of a graph with these parts.
pub(super) fn signature(parts: &[Part<'_>], layout: Layout) -> Signature {
    Signature { layout, tensors: parts.iter().flat_map(Part::tensors).collect() }
}

/// Inputs, embeddings and the first layer without its activation: [candidates, outputs].
pub(super) fn first(graph: &mut Graph, network: &Network, parts: &[Part<'_>]) -> Edge {
    let layer = &network.layers[0];
    let mut addend = graph.floats("layer1/bias", &[layer.outputs], &layer.bias);
    for (index, part) in parts.iter().enumerate() {
        let embedded = part.emit(graph);
        let side = match (parts.len(), index) {
            (1, _) => "",
            (_, 0) => "/user",
            _ => "/item",
        };
        let (rows, weight) = rows_in_order(network, part);
        let weight = graph.floats(format!("layer1{side}/weight"), &[rows, layer.outputs], &weight);
        addend = graph.node("Gemm", format!("layer1{side}"), &[&embedded, &weight, &addend]);
    }
    addend
}

/// The first layer's weight for the features of `part`, row blocks in the order in which they are embedded.
fn rows_in_order(network: &Network, part: &Part<'_>) -> (usize, Vec<f32>) {
    let starts: Vec<_> = network
        .inputs
        .iter()
        .scan(0, |next, input| {
            let start = *next;
            *next += input.width;
            Some(start)
        })
        .collect();
    let layer = &network.layers[0];
    let mut weight = Vec::new();
    for position in part.order() {
        let begin = starts[position] * layer.outputs;
        weight.extend_from_slice(&layer.weight[begin..][..network.inputs[position].width * layer.outputs]);
    }
    (weight.len() / layer.outputs, weight)
}

/// A later layer without its activation; `depth` counts from 1.
pub(super) fn dense(graph: &mut Graph, depth: usize, layer: &Dense, input: &Edge) -> Edge {
    let name = format!("layer{depth}");
    let weight = graph.floats(format!("{name}/weight"), &[layer.inputs, layer.outputs], &layer.weight);
    let bias = graph.floats(format!("{name}/bias"), &[layer.outputs], &layer.bias);
    graph.node("Gemm", name, &[input, &weight, &bias])
}

/// max(x, 0) behind layer `depth`.
pub(super) fn relu(graph: &mut Graph, depth: usize, input: &Edge) -> Edge {
    graph.node("Relu", format!("layer{depth}/relu"), &[input])
}
