//! The dense layers of a graph, with the first one split by the rows of its input. One way of building for all layouts.
//!
//! W·\[u; v; x\] + b = (W_u·u + b) + W_v·v + W_x·x: with the layout `user-once` the user's part, bias included, is computed
//! on one row and broadcast as the addend of the candidates' product. `concat` is the same graph with a single part. With
//! `item-cached` W_v·v of the items that keep their values is a graph of its own, whose results come back as rows that
//! are added to the user's part; what is left of the candidate is multiplied as before.

use super::{
    embed::{self, Part, Vectors},
    form::Form,
    format::{FirstPart, Format},
    graph::{Edge, Graph},
    qdq::{self, Addend},
    signature::{Content, ElementType, Field, Rows, Signature, TensorSpec},
};
use crate::{
    base::names::{Layout, RowFormat},
    data::schema::Side,
    learn::network::{Dense, NetworkInput},
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
    /// Divides the input of a network whose first layer has that many `outputs`: the values of a row of the item table.
    ///
    /// A request without anything of the candidates has nothing that counts them, so its user features come once per candidate
    /// too: the tensors keep their names, and their `rows` in the signature say `candidates`.
    pub(super) fn new(inputs: &'a [NetworkInput], outputs: usize, form: &Form) -> Self {
        let Form { layout, embeddings, .. } = *form;
        let some = |keep: &dyn Fn(&NetworkInput) -> bool| -> Vec<(usize, &'a NetworkInput)> {
            inputs.iter().enumerate().filter(|(_, input)| keep(input)).collect()
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
        let beforehand = layout.rows().zip(cached).map(|(format, part)| Beforehand { part, format, outputs });
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

    /// The id of `feature`, [1 or candidates, 1], with how many rows there are; none where it comes as a vector.
    pub(super) fn id_of(&self, graph: &mut Graph<'_>, feature: &str) -> Option<(Edge, Rows)> {
        for tensor in self.signature().tensors {
            let known = tensor.content == Content::Values && tensor.element == ElementType::I64;
            let Some(place) = tensor.fields.iter().position(|field| known && field.feature == feature) else {
                continue;
            };
            let start = tensor.fields[..place].iter().map(|field| field.columns).sum();
            let all = graph.declared(&tensor);
            let own = match tensor.columns() {
                1 => all,
                _ => embed::slice_columns(graph, "partition/id", &all, start, 1),
            };
            return Some((own, tensor.rows));
        }
        None
    }

    /// The inputs of the graph that fills the item table; none where there is no such graph.
    pub(super) fn item_signature(&self) -> Option<Signature> {
        let tensors = self.beforehand.as_ref()?.part.tensors();
        Some(Signature { layout: self.layout, tensors })
    }

    /// How each feature goes into a first layer of integers.
    pub(super) fn for_integers(&self) -> Vec<FirstPart> {
        let parts = || self.once.iter().chain(&self.each).chain(self.beforehand.iter().map(|b| &b.part));
        let mut found = vec![FirstPart::Addend; parts().map(|part| part.order().count()).sum()];
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
    pub(super) fn first(&self, graph: &mut Graph<'a>, first: &First<'a>, format: &Format) -> Edge {
        let several = [self.once.is_some(), self.each.is_some(), self.beforehand.is_some()];
        let several = several.into_iter().filter(|&there| there).count() > 1;
        let name = |of: &str| if several { format!("layer1/{of}") } else { "layer1".to_owned() };
        let bias = match format.integers(0) {
            Some(integers) => Cow::from(integers.bias.clone()),
            None => Cow::from(&first.layer.bias),
        };
        let mut addend = Addend::Constant(bias);
        if let Some(part) = &self.once {
            addend = Addend::Row(first.product(graph, part, &name("user"), addend, format));
        }
        let mut rows = self.beforehand.as_ref().map(|beforehand| beforehand.read(graph));
        if let Some(rows) = rows.take_if(|_| format.integers(0).is_none()) {
            let others = addend.edge(graph, "layer1");
            addend = Addend::Row(graph.node("Add", name("cached"), &[&rows, &others]));
        }
        let sums = match &self.each {
            Some(part) => first.product(graph, part, &name("item"), addend, format),
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
        first: &First<'a>,
        format: &Format,
    ) -> Option<Edge> {
        let Beforehand { part, outputs, .. } = self.beforehand.as_ref()?;
        let embedded = part.emit(graph, &Vectors { stored: format, bytes: None });
        let (rows, weight) = first.rows_of(part);
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
            graph.node_with("Cast", format!("{ITEM_ROWS}/f32"), &[&inputs[0]], embed::AS_FLOAT)
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

/// A first layer, whose rows belong to the columns of features.
pub(super) struct First<'a> {
    layer: &'a Dense,
    /// Where the rows of each of the network's inputs begin, with how many they are.
    blocks: Vec<(usize, usize)>,
}

impl<'a> First<'a> {
    /// Of the network's `inputs`, the layer has rows for those that `reads` names, one behind the other.
    pub(super) fn new(
        layer: &'a Dense,
        inputs: &[NetworkInput],
        reads: impl Fn(&NetworkInput) -> bool,
    ) -> Self {
        let block = |next: &mut usize, input: &NetworkInput| {
            let begin = *next;
            *next += if reads(input) { input.width } else { 0 };
            Some((begin, *next - begin))
        };
        Self { layer, blocks: inputs.iter().scan(0, block).collect() }
    }

    /// A part's inputs, embeddings and product with its rows of the weight, plus `addend`.
    fn product(
        &self,
        graph: &mut Graph<'a>,
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
                let pieces = self.blocks_of(part, &integers.weight);
                qdq::product(graph, name, &embedded, integers, &pieces.concat(), addend)
            }
            None => self.floats(graph, part, &embedded, name, addend, format),
        }
    }

    /// The product of the vectors of a part with its rows of the weight, plus `addend`.
    pub(super) fn floats(
        &self,
        graph: &mut Graph<'a>,
        part: &Part<'a>,
        embedded: &Edge,
        name: &str,
        addend: Addend<'a>,
        format: &Format,
    ) -> Edge {
        let (rows, weight) = self.rows_of(part);
        product(graph, name, embedded, ([rows, self.layer.outputs], weight), addend, format)
    }

    /// The weight's rows for the features of `part`, blocks in the order in which they are embedded.
    fn rows_of(&self, part: &Part<'a>) -> (usize, Vec<Cow<'a, [f32]>>) {
        let pieces = self.blocks_of(part, &self.layer.weight);
        let rows = pieces.iter().map(|piece| piece.len()).sum::<usize>() / self.layer.outputs;
        (rows, pieces.into_iter().map(Cow::from).collect())
    }

    /// The blocks of `all`, a number per weight, for the features of `part`.
    fn blocks_of<'w, T>(&self, part: &Part<'_>, all: &'w [T]) -> Vec<&'w [T]> {
        let outputs = self.layer.outputs;
        let block = |position: usize| {
            let (begin, rows) = self.blocks[position];
            &all[begin * outputs..][..rows * outputs]
        };
        part.order().map(block).collect()
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

/// The layers behind the first, each on the ReLU of what comes before: `name` and the depth, which counts from 1.
pub(super) fn behind<'a>(
    graph: &mut Graph<'a>,
    name: &str,
    layers: &'a [Dense],
    first: Edge,
    format: &Format,
) -> Edge {
    let mut x = first;
    for (index, layer) in layers.iter().enumerate().skip(1) {
        let before = format!("{name}{index}");
        x = match format.integers(index - 1).is_some() && format.integers(index).is_none() {
            true => above_zero(graph, &before, &x),
            false => relu(graph, &before, &x),
        };
        x = dense(graph, name, index + 1, layer, &x, format);
    }
    x
}

/// A layer without its activation; `depth` counts from 1.
pub(super) fn dense<'a>(
    graph: &mut Graph<'a>,
    name: &str,
    depth: usize,
    layer: &'a Dense,
    input: &Edge,
    format: &Format,
) -> Edge {
    let name = format!("{name}{depth}");
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

/// max(x, 0) behind the layer `name`.
pub(super) fn relu(graph: &mut Graph<'_>, name: &str, input: &Edge) -> Edge {
    graph.node("Relu", format!("{name}/relu"), &[input])
}

/// max(x, 0) between a layer of integers and one of floats. ONNX Runtime would fuse a Relu there with the product before it looks for
/// integers, and compute the product in floats.
fn above_zero(graph: &mut Graph<'_>, name: &str, input: &Edge) -> Edge {
    let zero = graph.floats(format!("{name}/zero"), &[], vec![0.0]);
    graph.node("Max", format!("{name}/relu"), &[input, &zero])
}
