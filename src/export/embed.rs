//! From input tensors to one embedded matrix per part of the input.
//!
//! A *part* is a set of features that have the same rows: the user's, the candidates', or everything. Within a part,
//! ids of equal width (and equal length, for sequences) form a *group* that costs one `Gather` from one combined
//! table, because thirty small gathers and a concatenation cost engines several times the products that follow; all
//! numbers form a group that costs one small product. Features therefore stand in another order than in the network;
//! [`Part::order`] says which, and the rows of the first layer's weight follow it.

use super::{
    graph::{Edge, Graph},
    signature::{ElementType, Field, Rows, TensorSpec},
};
use crate::{
    learn::network::{Embedding, NetworkInput},
    space::Group,
};
use std::collections::BTreeMap;

/// The attribute of a `Cast` to f32.
const AS_FLOAT: (&str, i64) = ("to", tract_onnx::pb::tensor_proto::DataType::Float as i64);

/// The group of a network's input. Fields are ordered as groups appear in the graph: single ids, then sequences, then
/// numbers.
fn group_of(input: &NetworkInput) -> Group {
    let width = input.width;
    match &input.embedding {
        Embedding::Table { .. } => Group::Ids { width },
        Embedding::Pooled { length, .. } => Group::Sequences { length: *length, width },
        Embedding::Number { .. } => Group::Numbers,
    }
}

/// How a group enters a graph.
trait Emitted {
    /// What its tensor holds.
    fn element(self) -> ElementType;
    /// Name of its nodes within its part.
    fn name(self) -> String;
}

impl Emitted for Group {
    fn element(self) -> ElementType {
        match self {
            Self::Ids { .. } | Self::Sequences { .. } => ElementType::I64,
            Self::Numbers => ElementType::F32,
        }
    }

    fn name(self) -> String {
        match self {
            Self::Ids { width } => format!("ids_w{width}"),
            Self::Sequences { length, width } => format!("seq_l{length}_w{width}"),
            Self::Numbers => "numbers".to_owned(),
        }
    }
}

/// The features of one part, grouped.
pub(super) struct Part<'a> {
    prefix: &'static str,
    rows: Rows,
    groups: Vec<(Group, Vec<(usize, &'a NetworkInput)>)>,
}

impl<'a> Part<'a> {
    /// `inputs` are pairs of position in the network and feature; `prefix` begins the names of tensors (`user_`).
    pub(super) fn new(
        prefix: &'static str,
        rows: Rows,
        inputs: impl IntoIterator<Item = (usize, &'a NetworkInput)>,
    ) -> Self {
        let mut groups: BTreeMap<Group, Vec<_>> = BTreeMap::new();
        for (position, input) in inputs {
            groups.entry(group_of(input)).or_default().push((position, input));
        }
        Self { prefix, rows, groups: groups.into_iter().collect() }
    }

    /// Positions in the network of the features, in the order of the embedded columns.
    pub(super) fn order(&self) -> impl Iterator<Item = usize> {
        self.groups.iter().flat_map(|(_, members)| members.iter().map(|&(position, _)| position))
    }

    /// The part's input tensors: ids, then numbers; those without columns are left out.
    pub(super) fn tensors(&self) -> Vec<TensorSpec> {
        [(ElementType::I64, "ids"), (ElementType::F32, "num")]
            .into_iter()
            .filter_map(|(element, name)| {
                let fields: Vec<_> = self
                    .groups
                    .iter()
                    .filter(|(key, _)| key.element() == element)
                    .flat_map(|(_, members)| members.iter().map(|(_, input)| field(input)))
                    .collect();
                let name = format!("{}{name}", self.prefix);
                (!fields.is_empty()).then_some(TensorSpec { name, rows: self.rows, element, fields })
            })
            .collect()
    }

    /// Adds inputs and embeddings to the graph; the result is [rows, Σ width].
    pub(super) fn emit(&self, graph: &mut Graph) -> Edge {
        let mut embedded: Vec<(Members<'_>, Edge)> = Vec::new();
        for tensor in self.tensors() {
            let source = graph.input(&tensor);
            let groups: Vec<_> =
                self.groups.iter().filter(|(key, _)| key.element() == tensor.element).collect();
            let mut start = 0;
            for &(key, members) in &groups {
                let name = format!("{}{}", self.prefix, key.name());
                let columns: usize = members.iter().map(|(_, input)| field(input).columns).sum();
                let own = match groups.len() {
                    1 => source.clone(),
                    _ => slice_columns(graph, &name, &source, start, columns),
                };
                start += columns;
                let group = Members { name, members, source: own };
                let vectors = match *key {
                    Group::Ids { width } => group.gather(graph, width, 1, |_, _| ()),
                    Group::Sequences { length, width } => group.emit_sequences(graph, length, width),
                    Group::Numbers => group.emit_numbers(graph),
                };
                embedded.push((group, vectors));
            }
        }
        match &embedded[..] {
            [(group, vectors)] => reshape(graph, &group.name, "flat", vectors, &[0, group.width()]),
            several => join(graph, self.prefix, several),
        }
    }
}

/// Concatenation of all groups: [rows, Σ width].
///
/// The `Max` with the lowest float changes nothing. It keeps tract from splitting the product behind a concatenation
/// into one product per group whose results it adds up, which costs it up to twice the time of the whole product.
fn join(graph: &mut Graph, prefix: &str, groups: &[(Members<'_>, Edge)]) -> Edge {
    let flat: Vec<_> = groups
        .iter()
        .map(|(group, vectors)| reshape(graph, &group.name, "flat", vectors, &[0, group.width()]))
        .collect();
    let inputs: Vec<_> = flat.iter().collect();
    let joined = graph.node_with("Concat", format!("{prefix}joined"), &inputs, ("axis", 1));
    let lowest = graph.floats(format!("{prefix}lowest"), &[1, 1], &[f32::MIN]);
    graph.node("Max", format!("{prefix}whole"), &[&joined, &lowest])
}

/// A `Reshape` to a constant shape, in which 0 means the size that is there.
fn reshape(graph: &mut Graph, name: &str, what: &str, value: &Edge, shape: &[usize]) -> Edge {
    let sizes: Vec<_> = shape.iter().map(|&size| size as i64).collect();
    let sizes = graph.integers(format!("{name}/{what}_shape"), &[sizes.len()], &sizes);
    graph.node("Reshape", format!("{name}/{what}"), &[value, &sizes])
}

fn field(input: &NetworkInput) -> Field {
    let (columns, cardinality) = match &input.embedding {
        Embedding::Table { rows } => (1, rows.len() / input.width),
        Embedding::Pooled { rows, length } => (*length, rows.len() / input.width),
        Embedding::Number { .. } => (1, 0),
    };
    Field { feature: input.feature.clone(), columns, cardinality: cardinality as u32 }
}

fn slice_columns(graph: &mut Graph, name: &str, source: &Edge, start: usize, columns: usize) -> Edge {
    let from = graph.integers(format!("{name}/first_column"), &[1], &[start as i64]);
    let to = graph.integers(format!("{name}/end_column"), &[1], &[(start + columns) as i64]);
    let axis = graph.integers(format!("{name}/column_axis"), &[1], &[1]);
    graph.node("Slice", format!("{name}/columns"), &[source, &from, &to, &axis])
}

/// One group on its way into the graph.
struct Members<'a> {
    name: String,
    members: &'a [(usize, &'a NetworkInput)],
    source: Edge,
}

impl Members<'_> {
    /// Columns of the group once embedded.
    fn width(&self) -> usize {
        self.members.iter().map(|(_, input)| input.width).sum()
    }

    /// Rows of the combined table for every id column: [rows, columns, width]. `prepare` may change each feature's table.
    fn gather(
        &self,
        graph: &mut Graph,
        width: usize,
        columns_each: usize,
        prepare: fn(&mut [f32], usize),
    ) -> Edge {
        let mut table = Vec::new();
        let mut offsets = Vec::new();
        for (_, input) in self.members {
            let (Embedding::Table { rows } | Embedding::Pooled { rows, .. }) = &input.embedding else {
                continue;
            };
            let begin = table.len();
            offsets.extend(std::iter::repeat_n((begin / width) as i64, columns_each));
            table.extend_from_slice(rows);
            prepare(&mut table[begin..], width);
        }
        let name = &self.name;
        let table = graph.floats(format!("{name}/table"), &[table.len() / width, width], &table);
        // A lone feature needs no offsets: its local ids are the table's rows.
        let ids = if self.members.len() == 1 {
            self.source.clone()
        } else {
            let offsets = graph.integers(format!("{name}/offsets"), &[1, offsets.len()], &offsets);
            graph.node("Add", format!("{name}/table_rows"), &[&self.source, &offsets])
        };
        graph.node_with("Gather", format!("{name}/gather"), &[&table, &ids], ("axis", 0))
    }

    /// Mean over the ids that are not 0. Row 0 of each table is zeroed, so that padding adds nothing to the sum.
    fn emit_sequences(&self, graph: &mut Graph, length: usize, width: usize) -> Edge {
        let (name, count) = (&self.name, self.members.len());
        let gathered = self.gather(graph, width, length, |table, width| table[..width].fill(0.0));
        let lists = reshape(graph, name, "lists", &gathered, &[0, count, length, width]);
        let list_axis = graph.integers(format!("{name}/list_axis"), &[1], &[2]);
        let sum = graph.node_with("ReduceSum", format!("{name}/sum"), &[&lists, &list_axis], ("keepdims", 0));

        // present = min(id, 1), since ids are not negative; its sum over a list is the divisor.
        let ids = graph.node_with("Cast", format!("{name}/ids_f32"), &[&self.source], AS_FLOAT);
        let one = graph.floats(format!("{name}/one"), &[1, 1], &[1.0]);
        let present = graph.node("Min", format!("{name}/present"), &[&ids, &one]);
        let present = reshape(graph, name, "present_lists", &present, &[0, count, length]);
        let held =
            graph.node_with("ReduceSum", format!("{name}/held"), &[&present, &list_axis], ("keepdims", 1));
        let one = graph.floats(format!("{name}/at_least"), &[1, 1, 1], &[1.0]);
        let divisor = graph.node("Max", format!("{name}/divisor"), &[&held, &one]);
        graph.node("Div", format!("{name}/mean"), &[&sum, &divisor])
    }

    /// x·scale, or the vector for missing values where x is NaN, for all numbers at once: \[x, is missing\] times a block
    /// matrix that holds a scale and a missing vector per number. NaN is replaced by 0 before it enters the product.
    fn emit_numbers(&self, graph: &mut Graph) -> Edge {
        let (name, count) = (&self.name, self.members.len());
        let columns = self.width();
        let mut blocks = vec![0.0; 2 * count * columns];
        let mut column = 0;
        for (row, (_, input)) in self.members.iter().enumerate() {
            let Embedding::Number { scale, missing } = &input.embedding else { continue };
            blocks[row * columns + column..][..input.width].copy_from_slice(scale);
            blocks[(count + row) * columns + column..][..input.width].copy_from_slice(missing);
            column += input.width;
        }
        let zero = graph.floats(format!("{name}/zero"), &[1, 1], &[0.0]);
        let blocks = graph.floats(format!("{name}/blocks"), &[2 * count, columns], &blocks);
        let absent = graph.node("IsNaN", format!("{name}/absent"), &[&self.source]);
        let known = graph.node("Where", format!("{name}/known"), &[&absent, &zero, &self.source]);
        let absent = graph.node_with("Cast", format!("{name}/absent_f32"), &[&absent], AS_FLOAT);
        let both = graph.node_with("Concat", format!("{name}/both"), &[&known, &absent], ("axis", 1));
        graph.node("MatMul", format!("{name}/embedded"), &[&both, &blocks])
    }
}
