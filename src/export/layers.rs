//! The dense layers of a graph, with the first one split by the rows of its input. One way of building for all layouts.
//!
//! W·\[u; v; x\] + b = (W_u·u + b) + W_v·v + W_x·x: with the layout `user-once` the user's part, bias included, is computed
//! on one row and broadcast as the addend of the candidates' product. `concat` is the same graph with a single part. With
//! `item-cached` W_v·v of the items that keep their values is a graph of its own, whose results come back as rows that
//! are added to the user's part; what is left of the candidate is multiplied as before.

use super::{
    embed::Part,
    form::Form,
    graph::{Edge, Graph},
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

    /// Inputs, embeddings and the first layer without its activation: [candidates, outputs].
    ///
    /// The rows are added to the user's part and not behind the candidates' product: a product's addend costs nothing, and the
    /// activation behind the product is fused with it.
    pub(super) fn first(&self, graph: &mut Graph<'a>, network: &'a Network) -> Edge {
        let layer = &network.layers[0];
        let mut addend = graph.floats("layer1/bias", &[layer.outputs], &layer.bias);
        let several = [self.once.is_some(), self.each.is_some(), self.beforehand.is_some()];
        let several = several.into_iter().filter(|&there| there).count() > 1;
        let name = |of: &str| if several { format!("layer1/{of}") } else { "layer1".to_owned() };
        if let Some(part) = &self.once {
            addend = product(graph, network, part, name("user"), Some(&addend));
        }
        if let Some(beforehand) = &self.beforehand {
            let rows = beforehand.read(graph);
            addend = graph.node("Add", name("cached"), &[&rows, &addend]);
        }
        match &self.each {
            Some(part) => product(graph, network, part, name("item"), Some(&addend)),
            None => addend,
        }
    }

    /// The graph that fills the item table: [items, outputs].
    pub(super) fn item_rows(&self, graph: &mut Graph<'a>, network: &'a Network) -> Option<Edge> {
        let Beforehand { part, .. } = self.beforehand.as_ref()?;
        Some(product(graph, network, part, ITEM_ROWS.to_owned(), None))
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
fn product<'a>(
    graph: &mut Graph<'a>,
    network: &'a Network,
    part: &Part<'a>,
    name: String,
    addend: Option<&Edge>,
) -> Edge {
    let embedded = part.emit(graph);
    let (rows, weight) = rows_in_order(network, part);
    let weight = graph.pieces(format!("{name}/weight"), &[rows, network.layers[0].outputs], weight);
    match addend {
        Some(addend) => graph.node("Gemm", name, &[&embedded, &weight, addend]),
        None => graph.node("MatMul", name, &[&embedded, &weight]),
    }
}

/// The first layer's weight for the features of `part`, row blocks in the order in which they are embedded.
fn rows_in_order<'a>(network: &'a Network, part: &Part<'a>) -> (usize, Vec<Cow<'a, [f32]>>) {
    let starts = network.input_starts();
    let layer = &network.layers[0];
    let mut rows = 0;
    let pieces = part.order().map(|position| {
        let width = network.inputs[position].width;
        rows += width;
        Cow::from(&layer.weight[starts[position] * layer.outputs..][..width * layer.outputs])
    });
    let pieces = pieces.collect();
    (rows, pieces)
}

/// A later layer without its activation; `depth` counts from 1.
pub(super) fn dense<'a>(graph: &mut Graph<'a>, depth: usize, layer: &'a Dense, input: &Edge) -> Edge {
    let name = format!("layer{depth}");
    let weight = graph.floats(format!("{name}/weight"), &[layer.inputs, layer.outputs], &layer.weight);
    let bias = graph.floats(format!("{name}/bias"), &[layer.outputs], &layer.bias);
    graph.node("Gemm", name, &[input, &weight, &bias])
}

/// max(x, 0) behind layer `depth`.
pub(super) fn relu(graph: &mut Graph<'_>, depth: usize, input: &Edge) -> Edge {
    graph.node("Relu", format!("layer{depth}/relu"), &[input])
}
