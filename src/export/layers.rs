//! The dense layers of a graph, with the first one split by the rows of its input. One way of building for all layouts.
//!
//! W·\[u; v; x\] + b = (W_u·u + b) + W_v·v + W_x·x: with the layout `user-once` the user's part, bias included, is computed
//! on one row and broadcast as the addend of the candidates' product. `concat` is the same graph with a single part. With
//! `item-cached` W_v·v of the items that keep their values is a graph of its own, whose results come back as rows that
//! are added to the user's part; what is left of the candidate is multiplied as before.

use super::{
    embed::{Part, Vectors},
    form::Form,
    format::{FirstPart, Format},
    graph::{Edge, Graph},
    qdq::{self, Addend},
    signature::{Content, ElementType, Field, Rows, Signature, TensorSpec},
};
use crate::{
    base::names::{Layout, RowFormat},
    data::schema::Side,
    learn::network::{Dense, Network, NetworkInput},
};
use std::borrow::Cow;

/// The input of the rows of the item table, and the output of the graph that fills it.
pub(super) const ITEM_ROWS: &str = "item_rows";
const ITEM_SCALES: &str = "item_scales";

/// A network's input, divided by how often its values come.
pub(super) struct Inputs<'a> {
    layout: Layout,
    /// Once per request, beside `each`.
    once: Option<Part<'a>>,
    /// Once per candidate.
    each: Option<Part<'a>>,
    /// Beforehand, once per item.
    beforehand: Option<Beforehand<'a>>,
}

/// What a graph of its own computes.
struct Beforehand<'a> {
    part: Part<'a>,
    format: RowFormat,
    outputs: usize,
}

impl<'a> Inputs<'a> {
    /// Divides the input of `network`.
    ///
    /// A request without anything of the candidates has nothing that counts them, so its user features come once per candidate
    /// too: the tensors keep their names, and their `rows` in the signature say `candidates`.
    pub(super) fn new(network: &'a Network, form: &Form) -> Self {
        let Form { layout, embeddings, .. } = *form;
        let some = |keep: &dyn Fn(&NetworkInput) -> bool| -> Vec<(usize, &'a NetworkInput)> {
            network.inputs.iter().enumerate().filter(|(_, input)| keep(input)).collect()
        };
        let part = |prefix, rows, inputs: Vec<_>| Part::new(prefix, rows, embeddings, inputs);
        let users = some(&|input| input.side == Side::User);
        if layout == Layout::Concat {
            let items = some(&|input| input.side == Side::Item);
            let each = part("", Rows::Candidates, [users, items].concat());
            return Self { layout, once: None, each, beforehand: None };
        }
        let each =
            part("item_", Rows::Candidates, some(&|input| input.side == Side::Item && !form.caches(input)));
        let cached = part("item_", Rows::Candidates, some(&|input| form.caches(input)));
        let beforehand = layout.rows().zip(cached).map(|(format, part)| {
            let outputs = network.layers[0].outputs;
            Beforehand { part, format, outputs }
        });
        match (&each, &beforehand) {
            (None, None) => {
                let each = part("user_", Rows::Candidates, users);
                Self { layout, once: None, each, beforehand }
            }
            _ => Self { layout, once: part("user_", Rows::One, users), each, beforehand },
        }
    }

    /// The inputs of the graph that serves, in its order.
    pub(super) fn signature(&self) -> Signature {
        let tensors = |part: &Option<Part<'_>>| part.as_ref().map(Part::tensors).unwrap_or_default();
        let rows = self.beforehand.as_ref().map(Beforehand::tensors).unwrap_or_default();
        Signature { layout: self.layout, tensors: [tensors(&self.once), rows, tensors(&self.each)].concat() }
    }

    /// The inputs of the graph that fills the item table; none where there is no such graph.
    pub(super) fn item_signature(&self) -> Option<Signature> {
        let tensors = self.beforehand.as_ref()?.part.tensors();
        Some(Signature { layout: self.layout, tensors })
    }

    /// How each feature of `network` goes into a first layer of integers.
    pub(super) fn for_integers(&self, network: &Network) -> Vec<FirstPart> {
        let mut found = vec![FirstPart::Addend; network.inputs.len()];
        let each = self.each.iter().map(|part| (part, FirstPart::Bytes));
        let beforehand = self.beforehand.iter().map(|beforehand| (&beforehand.part, FirstPart::Beforehand));
        for (part, how) in each.chain(beforehand) {
            part.order().for_each(|position| found[position] = how);
        }
        found
    }

    /// Inputs, embeddings and the first layer without its activation: [candidates, outputs].
    ///
    /// Rows are added to the user's part and not behind the candidates' product: a product's addend costs nothing, and the
    /// activation behind the product is fused with it. The addend of integers is one row of steps, so there they are added behind.
    pub(super) fn first(&self, graph: &mut Graph<'a>, network: &'a Network, format: &Format) -> Edge {
        let several = [self.once.is_some(), self.each.is_some(), self.beforehand.is_some()];
        let several = several.into_iter().filter(|&there| there).count() > 1;
        let name = |of: &str| if several { format!("layer1/{of}") } else { "layer1".to_owned() };
        let bias = match format.integers(0) {
            Some(integers) => Cow::from(integers.bias.clone()),
            None => Cow::from(&network.layers[0].bias),
        };
        let mut addend = Addend::Constant(bias);
        if let Some(part) = &self.once {
            addend = Addend::Row(part_product(graph, network, part, &name("user"), addend, format));
        }
        let mut rows = self.beforehand.as_ref().map(|beforehand| beforehand.read(graph));
        if let Some(rows) = rows.take_if(|_| format.integers(0).is_none()) {
            let others = addend.edge(graph, "layer1");
            addend = Addend::Row(graph.node("Add", name("cached"), &[&rows, &others]));
        }
        let sums = match &self.each {
            Some(part) => part_product(graph, network, part, &name("item"), addend, format),
            None => addend.edge(graph, "layer1"),
        };
        match rows {
            Some(rows) => graph.node("Add", name("cached"), &[&sums, &rows]),
            None => sums,
        }
    }

    /// The graph that fills the item table: [items, outputs].
    pub(super) fn item_rows(
        &self,
        graph: &mut Graph<'a>,
        network: &'a Network,
        format: &Format,
    ) -> Option<Edge> {
        let Beforehand { part, outputs, .. } = self.beforehand.as_ref()?;
        let embedded = part.emit(graph, &Vectors { stored: format, bytes: None });
        let (rows, weight) = rows_in_order(network, part);
        let weight = format.constant(graph, &format!("{ITEM_ROWS}/weight"), &[rows, *outputs], weight);
        Some(graph.node("MatMul", ITEM_ROWS, &[&embedded, &weight]))
    }
}

impl Beforehand<'_> {
    fn tensors(&self) -> Vec<TensorSpec> {
        let tensor = |name: &str, element, content, columns| TensorSpec {
            name: name.to_owned(),
            rows: Rows::Candidates,
            element,
            content,
            fields: vec![Field { feature: name.to_owned(), columns, cardinality: 0 }],
        };
        let rows = |element| tensor(ITEM_ROWS, element, Content::ItemRows, self.outputs);
        match self.format {
            RowFormat::F32 => vec![rows(ElementType::F32)],
            RowFormat::F16 => vec![rows(ElementType::F16)],
            RowFormat::I8 => {
                vec![rows(ElementType::I8), tensor(ITEM_SCALES, ElementType::F32, Content::ItemScales, 1)]
            }
        }
    }

    /// The rows as floats: [candidates, outputs].
    fn read(&self, graph: &mut Graph<'_>) -> Edge {
        let inputs: Vec<_> = self.tensors().iter().map(|tensor| graph.input(tensor)).collect();
        let float = |graph: &mut Graph<'_>| {
            graph.node_with("Cast", format!("{ITEM_ROWS}/f32"), &[&inputs[0]], super::embed::AS_FLOAT)
        };
        match self.format {
            RowFormat::F32 => inputs[0].clone(),
            RowFormat::F16 => float(graph),
            RowFormat::I8 => {
                let steps = float(graph);
                graph.node("Mul", format!("{ITEM_ROWS}/scaled"), &[&steps, &inputs[1]])
            }
        }
    }
}

/// A part's inputs, embeddings and product with its rows of the first layer's weight, plus `addend`.
fn part_product<'a>(
    graph: &mut Graph<'a>,
    network: &'a Network,
    part: &Part<'a>,
    name: &str,
    addend: Addend<'a>,
    format: &Format,
) -> Edge {
    let integers = format.integers(0).filter(|_| part.per_candidate());
    let vectors = Vectors { stored: format, bytes: integers.map(|layer| layer.input) };
    let embedded = part.emit(graph, &vectors);
    match integers {
        Some(integers) => {
            let pieces = blocks_in_order(network, part, &integers.weight);
            qdq::product(graph, name, &embedded, integers, &pieces.concat(), addend)
        }
        None => {
            let (rows, weight) = rows_in_order(network, part);
            let outputs = network.layers[0].outputs;
            product(graph, name, &embedded, ([rows, outputs], weight), addend, format)
        }
    }
}

/// x·weight + addend; the weight comes with its shape.
fn product<'a>(
    graph: &mut Graph<'a>,
    name: &str,
    x: &Edge,
    (dims, weight): ([usize; 2], Vec<Cow<'a, [f32]>>),
    addend: Addend<'a>,
    format: &Format,
) -> Edge {
    let weight = format.constant(graph, &format!("{name}/weight"), &dims, weight);
    let addend = addend.edge(graph, name);
    graph.node("Gemm", name, &[x, &weight, &addend])
}

/// The first layer's weight for the features of `part`, row blocks in the order in which they are embedded.
fn rows_in_order<'a>(network: &'a Network, part: &Part<'a>) -> (usize, Vec<Cow<'a, [f32]>>) {
    let layer = &network.layers[0];
    let pieces = blocks_in_order(network, part, &layer.weight);
    let rows = pieces.iter().map(|piece| piece.len()).sum::<usize>() / layer.outputs;
    (rows, pieces.into_iter().map(Cow::from).collect())
}

/// The blocks of `all`, a number per weight of the first layer, for the features of `part`.
fn blocks_in_order<'w, T>(network: &Network, part: &Part<'_>, all: &'w [T]) -> Vec<&'w [T]> {
    let (starts, outputs) = (network.input_starts(), network.layers[0].outputs);
    let block =
        |position: usize| &all[starts[position] * outputs..][..network.inputs[position].width * outputs];
    part.order().map(block).collect()
}

/// A later layer without its activation; `depth` counts from 1.
pub(super) fn dense<'a>(
    graph: &mut Graph<'a>,
    depth: usize,
    layer: &'a Dense,
    input: &Edge,
    format: &Format,
) -> Edge {
    let name = format!("layer{depth}");
    match format.integers(depth - 1) {
        Some(integers) => {
            let bytes = qdq::quantise(graph, &format!("{name}/input"), input, integers.input);
            let bias = Addend::Constant(integers.bias.clone().into());
            qdq::product(graph, &name, &bytes, integers, &integers.weight, bias)
        }
        None => {
            let weight = ([layer.inputs, layer.outputs], vec![Cow::from(&layer.weight)]);
            product(graph, &name, input, weight, Addend::Constant((&layer.bias).into()), format)
        }
    }
}

/// max(x, 0) behind layer `depth`.
pub(super) fn relu(graph: &mut Graph<'_>, depth: usize, input: &Edge) -> Edge {
    graph.node("Relu", format!("layer{depth}/relu"), &[input])
}
