//! From input tensors to one embedded matrix per part of the input.
//!
//! A *part* is a set of features that have the same rows: the user's, the candidates', or everything. Within a part,
//! features of equal width (and equal length, for sequences) form a *group* that costs one `Gather` from one combined
//! table, because thirty small gathers and a concatenation cost engines several times the products that follow.
//! Features therefore stand in another order than in the network; [`Part::order`] says which, and the rows of the first
//! layer's weight follow it.

use super::{
    graph::{Edge, Graph},
    signature::{ElementType, Field, Rows, TensorSpec},
};
use crate::learn::network::{Embedding, NetworkInput};
use std::collections::BTreeMap;

/// Features that are embedded by the same few nodes. Fields are ordered as groups appear in the graph: single ids,
/// then sequences, then numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum GroupKey {
    Ids { width: usize },
    Sequences { length: usize, width: usize },
    Numbers { width: usize },
}

impl GroupKey {
    fn of(input: &NetworkInput) -> Self {
        let width = input.width;
        match &input.embedding {
            Embedding::Table { .. } => Self::Ids { width },
            Embedding::Pooled { length, .. } => Self::Sequences { length: *length, width },
            Embedding::Number { .. } => Self::Numbers { width },
        }
    }

    fn element(self) -> ElementType {
        match self {
            Self::Ids { .. } | Self::Sequences { .. } => ElementType::I64,
            Self::Numbers { .. } => ElementType::F32,
        }
    }

    /// Name of the group's nodes within its part.
    fn name(self) -> String {
        match self {
            Self::Ids { width } => format!("ids_w{width}"),
            Self::Sequences { length, width } => format!("seq_l{length}_w{width}"),
            Self::Numbers { width } => format!("num_w{width}"),
        }
    }
}

/// The features of one part, grouped.
pub(super) struct Part<'a> {
    prefix: &'static str,
    rows: Rows,
    groups: Vec<(GroupKey, Vec<(usize, &'a NetworkInput)>)>,
}

impl<'a> Part<'a> {
    /// `inputs` are pairs of position in the network and feature; `prefix` begins the names of tensors (`user_`).
    pub(super) fn new(
        prefix: &'static str,
        rows: Rows,
        inputs: impl IntoIterator<Item = (usize, &'a NetworkInput)>,
    ) -> Self {
        let mut groups: BTreeMap<GroupKey, Vec<_>> = BTreeMap::new();
        for (position, input) in inputs {
            groups.entry(GroupKey::of(input)).or_default().push((position, input));
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
        let mut embedded = Vec::new();
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
                let group = Group { name, members, source: own };
                embedded.push(match *key {
                    GroupKey::Ids { width } => group.emit_ids(graph, width),
                    GroupKey::Sequences { length, width } => group.emit_sequences(graph, length, width),
                    GroupKey::Numbers { width } => group.emit_numbers(graph, width),
                });
            }
        }
        match &embedded[..] {
            [only] => only.clone(),
            several => {
                let inputs: Vec<_> = several.iter().collect();
                graph.node_with("Concat", format!("{}embedded", self.prefix), &inputs, ("axis", 1))
            }
        }
    }
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
struct Group<'a> {
    name: String,
    members: &'a [(usize, &'a NetworkInput)],
    source: Edge,
}

impl Group<'_> {
    fn constant_shape(&self, graph: &mut Graph, what: &str, shape: &[i64]) -> Edge {
        graph.integers(format!("{}/{what}_shape", self.name), &[shape.len()], shape)
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

    fn emit_ids(&self, graph: &mut Graph, width: usize) -> Edge {
        let gathered = self.gather(graph, width, 1, |_, _| ());
        let shape = self.constant_shape(graph, "flat", &[0, (self.members.len() * width) as i64]);
        graph.node("Reshape", format!("{}/flat", self.name), &[&gathered, &shape])
    }

    /// Mean over the ids that are not 0. Row 0 of each table is zeroed, so that padding adds nothing to the sum.
    fn emit_sequences(&self, graph: &mut Graph, length: usize, width: usize) -> Edge {
        let (name, count) = (&self.name, self.members.len() as i64);
        let gathered = self.gather(graph, width, length, |table, width| table[..width].fill(0.0));
        let split = [0, count, length as i64, width as i64];
        let shape = self.constant_shape(graph, "lists", &split);
        let lists = graph.node("Reshape", format!("{name}/lists"), &[&gathered, &shape]);
        let list_axis = graph.integers(format!("{name}/list_axis"), &[1], &[2]);
        let sum = graph.node_with("ReduceSum", format!("{name}/sum"), &[&lists, &list_axis], ("keepdims", 0));

        // present = min(id, 1), since ids are not negative; its sum over a list is the divisor.
        let as_float = ("to", tract_onnx::pb::tensor_proto::DataType::Float as i64);
        let ids = graph.node_with("Cast", format!("{name}/ids_f32"), &[&self.source], as_float);
        let one = graph.floats(format!("{name}/one"), &[1, 1], &[1.0]);
        let present = graph.node("Min", format!("{name}/present"), &[&ids, &one]);
        let shape = self.constant_shape(graph, "present_lists", &split[..3]);
        let present = graph.node("Reshape", format!("{name}/present_lists"), &[&present, &shape]);
        let held =
            graph.node_with("ReduceSum", format!("{name}/held"), &[&present, &list_axis], ("keepdims", 1));
        let one = graph.floats(format!("{name}/at_least"), &[1, 1, 1], &[1.0]);
        let divisor = graph.node("Max", format!("{name}/divisor"), &[&held, &one]);
        let mean = graph.node("Div", format!("{name}/mean"), &[&sum, &divisor]);
        let shape = self.constant_shape(graph, "flat", &[0, count * width as i64]);
        graph.node("Reshape", format!("{name}/flat"), &[&mean, &shape])
    }

    /// x·scale, or the vector for missing values where x is NaN. `Where` chooses, so a NaN never enters a product.
    fn emit_numbers(&self, graph: &mut Graph, width: usize) -> Edge {
        let (name, count) = (&self.name, self.members.len());
        let mut scales = Vec::new();
        let mut missings = Vec::new();
        for (_, input) in self.members {
            if let Embedding::Number { scale, missing } = &input.embedding {
                scales.extend_from_slice(scale);
                missings.extend_from_slice(missing);
            }
        }
        let shape = self.constant_shape(graph, "column", &[0, count as i64, 1]);
        let column = graph.node("Reshape", format!("{name}/column"), &[&self.source, &shape]);
        let scale = graph.floats(format!("{name}/scale"), &[1, count, width], &scales);
        let missing = graph.floats(format!("{name}/missing"), &[1, count, width], &missings);
        let scaled = graph.node("Mul", format!("{name}/scaled"), &[&column, &scale]);
        let absent = graph.node("IsNaN", format!("{name}/absent"), &[&column]);
        let chosen = graph.node("Where", format!("{name}/chosen"), &[&absent, &missing, &scaled]);
        let shape = self.constant_shape(graph, "flat", &[0, (count * width) as i64]);
        graph.node("Reshape", format!("{name}/flat"), &[&chosen, &shape])
    }
}
