//! Two towers in a graph. Where the user comes once, so does the user's tower: its vector is one row, and the product of all
//! candidates with it one product of a matrix and a vector. With `concat` both towers have a row per candidate, and the
//! product is one of rows.

use super::{
    embed::{self, Part, Source, Vectors},
    form::Form,
    format::Format,
    graph::{Edge, Graph},
    layers::{self, First},
    qdq::Addend,
    signature::{Rows, Signature},
};
use crate::{
    base::names::Layout,
    data::schema::Side,
    learn::network::{NetworkInput, TwoTower},
};

/// The logits [candidates, 1] of a network with `towers`, and the inputs of the graph.
pub(super) fn logits<'a>(
    graph: &mut Graph<'a>,
    inputs: &'a [NetworkInput],
    towers: &'a TwoTower,
    format: &Format,
    form: &Form,
) -> (Edge, Signature) {
    let concat = form.layout == Layout::Concat;
    let part = |side, prefix, rows| {
        let own = inputs.iter().enumerate().filter(|(_, input)| input.side == side);
        Part::new(prefix, rows, form.embeddings, own).expect("shapes are checked: both sides have features")
    };
    let user = part(Side::User, "user_", if concat { Rows::Candidates } else { Rows::One });
    let item = part(Side::Item, "item_", Rows::Candidates);
    let (tensors, [of_user, of_item]) = if concat {
        embed::declare_together(graph, [&user, &item])
    } else {
        ([user.tensors(), item.tensors()].concat(), [user.declare(graph), item.declare(graph)])
    };
    let mut vectors = |side, name: &str, part: &Part<'a>, sources: &[Source]| -> Edge {
        let tower = towers.tower(side);
        let embedded = part.embed(graph, sources, &Vectors { stored: format, bytes: None });
        let first = First::new(&tower[0], inputs, |input| input.side == side);
        let bias = Addend::Constant((&tower[0].bias).into());
        let x = first.floats(graph, part, &embedded, &format!("{name}1"), bias, format);
        layers::behind(graph, name, tower, x, format)
    };
    let user = vectors(Side::User, "user", &user, &of_user);
    let item = vectors(Side::Item, "item", &item, &of_item);
    let bias = graph.floats("score/bias", &[1], vec![towers.bias]);
    let logits = if concat {
        let products = graph.node("Mul", "score/products", &[&user, &item]);
        let axis = graph.integers("score/axis", &[1], &[1]);
        let sums = graph.node_with("ReduceSum", "score/sums", &[&products, &axis], ("keepdims", 1));
        graph.node("Add", "score/logits", &[&sums, &bias])
    } else {
        graph.node_with("Gemm", "score/logits", &[&item, &user, &bias], ("transB", 1))
    };
    (logits, Signature { layout: form.layout, tensors })
}
