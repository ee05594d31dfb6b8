//! From input tensors to one embedded matrix per part of the input.
//!
//! A *part* is a set of features that have the same rows: the user's, the candidates', or everything. Within a part,
//! ids of equal width (and equal length, for sequences) form a *group* that costs one `Gather` from one combined
//! table, because thirty small gathers and a concatenation cost engines several times the products that follow; all
//! numbers form a group that costs one small product. Features therefore stand in another order than in the network;
//! [`Part::order`] says which, and the rows of the first layer's weight follow it.
//!
//! With tables outside, what they would give comes in as it is, one input of all the part's vectors in the network's order.

use super::{
    format::{Affine, Format},
    graph::{Edge, Graph},
    qdq,
    signature::{Content, ElementType, Field, Rows, TensorSpec},
};
use crate::{
    base::names::Embeddings,
    learn::network::{Embedding, NetworkInput},
    space::Group,
};
use std::{borrow::Cow, collections::BTreeMap};
use tract_onnx::pb::tensor_proto::DataType;

/// The attribute of operators along the first axis.
pub(super) const AXIS_0: (&str, i64) = ("axis", 0);
/// The attribute of a `Cast` to f32.
pub(super) const AS_FLOAT: (&str, i64) = ("to", DataType::Float as i64);

/// Features that are embedded by the same few nodes. Fields are ordered as groups appear in the graph: single ids, then
/// sequences, or vectors in their place; then numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum GroupKey {
    /// Looked up outside.
    Vectors,
    /// By what they are.
    Of(Group),
}

impl GroupKey {
    fn of(input: &NetworkInput, embeddings: Embeddings) -> Self {
        let width = input.width;
        match (&input.embedding, embeddings) {
            (Embedding::Number { .. }, _) => Self::Of(Group::Numbers),
            (_, Embeddings::Outside) => Self::Vectors,
            (Embedding::Table { .. }, Embeddings::Inside) => Self::Of(Group::Ids { width }),
            (Embedding::Pooled { length, .. }, Embeddings::Inside) => {
                Self::Of(Group::Sequences { length: *length, width })
            }
        }
    }

    /// The kind of tensor that its values come in.
    fn tensor(self) -> InputKind {
        match self {
            Self::Of(Group::Ids { .. } | Group::Sequences { .. }) => IDS,
            Self::Vectors => VECTORS,
            Self::Of(Group::Numbers) => NUMBERS,
        }
    }

    fn name(self) -> String {
        match self {
            Self::Of(Group::Ids { width }) => format!("ids_w{width}"),
            Self::Of(Group::Sequences { length, width }) => format!("seq_l{length}_w{width}"),
            Self::Vectors => "vectors".to_owned(),
            Self::Of(Group::Numbers) => "numbers".to_owned(),
        }
    }
}

/// How a part's values come in: the end of the tensor's name, what it holds and its type.
type InputKind = (&'static str, Content, ElementType);
const IDS: InputKind = ("ids", Content::Values, ElementType::I64);
const VECTORS: InputKind = ("emb", Content::Embedded, ElementType::F32);
const NUMBERS: InputKind = ("num", Content::Values, ElementType::F32);

/// The features of one part, grouped.
pub(super) struct Part<'a> {
    prefix: &'static str,
    rows: Rows,
    groups: Vec<(GroupKey, Vec<(usize, &'a NetworkInput)>)>,
}

impl<'a> Part<'a> {
    /// `inputs` are pairs of position in the network and feature; `prefix` begins the names of tensors (`user_`).
    /// None without any.
    pub(super) fn new(
        prefix: &'static str,
        rows: Rows,
        embeddings: Embeddings,
        inputs: impl IntoIterator<Item = (usize, &'a NetworkInput)>,
    ) -> Option<Self> {
        let mut groups: BTreeMap<GroupKey, Vec<_>> = BTreeMap::new();
        for (position, input) in inputs {
            groups.entry(GroupKey::of(input, embeddings)).or_default().push((position, input));
        }
        (!groups.is_empty()).then(|| Self { prefix, rows, groups: groups.into_iter().collect() })
    }

    /// Positions in the network of the features, in the order of the embedded columns.
    pub(super) fn order(&self) -> impl Iterator<Item = usize> {
        self.groups.iter().flat_map(|(_, members)| members.iter().map(|&(position, _)| position))
    }

    /// The part's input tensors: ids, vectors, then numbers; those without columns are left out.
    pub(super) fn tensors(&self) -> Vec<TensorSpec> {
        [IDS, VECTORS, NUMBERS]
            .into_iter()
            .filter_map(|kind| {
                let fields: Vec<_> = self
                    .groups
                    .iter()
                    .filter(|(key, _)| key.tensor() == kind)
                    .flat_map(|(key, members)| members.iter().map(|(_, input)| field(*key, input)))
                    .collect();
                let (name, content, element) = kind;
                let name = format!("{}{name}", self.prefix);
                (!fields.is_empty()).then_some(TensorSpec { name, rows: self.rows, element, content, fields })
            })
            .collect()
    }

    /// Whether it comes once per candidate.
    pub(super) fn per_candidate(&self) -> bool {
        self.rows == Rows::Candidates
    }

    /// Adds inputs and embeddings to the graph; the result is [rows, Σ width], of bytes where they are asked for.
    pub(super) fn emit(&self, graph: &mut Graph<'a>, vectors: &Vectors<'_>) -> Edge {
        let sources = self.declare(graph);
        self.embed(graph, &sources, vectors)
    }

    /// Adds the part's own inputs to the graph.
    pub(super) fn declare(&self, graph: &mut Graph<'a>) -> Vec<Source> {
        let source = |tensor: &TensorSpec| Source::of(tensor, graph.input(tensor), 0);
        self.tensors().iter().map(source).collect()
    }

    /// Adds the embeddings of what comes in `sources`: [rows, Σ width].
    pub(super) fn embed(&self, graph: &mut Graph<'a>, sources: &[Source], vectors: &Vectors<'_>) -> Edge {
        let mut flat = Vec::new();
        for source in sources {
            let groups = self.groups.iter().filter(|(key, _)| {
                let (_, content, element) = key.tensor();
                (content, element) == (source.content, source.element)
            });
            let mut start = source.start;
            for (key, members) in groups {
                let name = format!("{}{}", self.prefix, key.name());
                let columns: usize = members.iter().map(|(_, input)| field(*key, input).columns).sum();
                let own = match columns == source.columns {
                    true => source.edge.clone(),
                    false => slice_columns(graph, &name, &source.edge, start, columns),
                };
                start += columns;
                let group = Members { name, members, source: own };
                let floats = match *key {
                    GroupKey::Of(Group::Ids { width }) => {
                        flat.push(group.emit_ids(graph, vectors, width));
                        continue;
                    }
                    GroupKey::Of(Group::Sequences { length, width }) => {
                        group.emit_sequences(graph, vectors.stored, length, width)
                    }
                    GroupKey::Vectors => group.source,
                    GroupKey::Of(Group::Numbers) => group.emit_numbers(graph, vectors.stored),
                };
                flat.push(match vectors.bytes {
                    Some(affine) => qdq::quantise(graph, &group.name, &floats, affine),
                    None => floats,
                });
            }
        }
        match <[Edge; 1]>::try_from(flat) {
            Ok([only]) => only,
            Err(several) => join(graph, self.prefix, &several, vectors),
        }
    }
}

/// Values of one kind for a part: columns of an input tensor.
pub(super) struct Source {
    content: Content,
    element: ElementType,
    edge: Edge,
    /// The part's first column.
    start: usize,
    /// Columns of the whole tensor.
    columns: usize,
}

impl Source {
    fn of(tensor: &TensorSpec, edge: Edge, start: usize) -> Self {
        Self { content: tensor.content, element: tensor.element, edge, start, columns: tensor.columns() }
    }
}

/// Adds inputs to the graph that two parts share, a tensor per kind with the first part's columns first, and says where
/// either finds its own.
pub(super) fn declare_together<'a>(
    graph: &mut Graph<'a>,
    parts: [&Part<'a>; 2],
) -> (Vec<TensorSpec>, [Vec<Source>; 2]) {
    let own = parts.map(Part::tensors);
    let (mut tensors, mut sources) = (Vec::new(), [Vec::new(), Vec::new()]);
    for (name, content, element) in [IDS, VECTORS, NUMBERS] {
        let of_kind = own.each_ref().map(|tensors| {
            tensors.iter().find(|tensor| (tensor.content, tensor.element) == (content, element))
        });
        let fields: Vec<Field> = of_kind.iter().flatten().flat_map(|tensor| tensor.fields.clone()).collect();
        if fields.is_empty() {
            continue;
        }
        let rows = Rows::Candidates;
        let tensor = TensorSpec { name: name.to_owned(), rows, element, content, fields };
        let edge = graph.input(&tensor);
        let mut start = 0;
        for (sources, own) in sources.iter_mut().zip(of_kind) {
            sources.extend(own.map(|_| Source::of(&tensor, edge.clone(), start)));
            start += own.map_or(0, TensorSpec::columns);
        }
        tensors.push(tensor);
    }
    (tensors, sources)
}

/// How embeddings are stored, and what leaves a part.
pub(super) struct Vectors<'f> {
    /// The number format of tables and of the vectors of numbers.
    pub(super) stored: &'f Format,
    /// The bytes that are wanted instead of floats.
    pub(super) bytes: Option<Affine>,
}

/// Concatenation of all groups: [rows, Σ width].
///
/// The `Max` with the lowest float changes nothing. It keeps tract from splitting the product behind a concatenation
/// into one product per group whose results it adds up, which costs it up to twice the time of the whole product.
fn join(graph: &mut Graph<'_>, prefix: &str, groups: &[Edge], vectors: &Vectors<'_>) -> Edge {
    let inputs: Vec<_> = groups.iter().collect();
    let joined = graph.node_with("Concat", format!("{prefix}joined"), &inputs, ("axis", 1));
    if vectors.bytes.is_some() {
        return joined;
    }
    let lowest = graph.floats(format!("{prefix}lowest"), &[1, 1], &[f32::MIN]);
    graph.node("Max", format!("{prefix}whole"), &[&joined, &lowest])
}

/// A `Reshape` to a constant shape, in which 0 means the size that is there.
fn reshape(graph: &mut Graph<'_>, name: &str, what: &str, value: &Edge, shape: &[usize]) -> Edge {
    let sizes: Vec<_> = shape.iter().map(|&size| size as i64).collect();
    let sizes = graph.integers(format!("{name}/{what}_shape"), &[sizes.len()], &sizes);
    graph.node("Reshape", format!("{name}/{what}"), &[value, &sizes])
}

fn field(key: GroupKey, input: &NetworkInput) -> Field {
    let (columns, cardinality) = match &input.embedding {
        Embedding::Table { rows } => (1, rows.len() / input.width),
        Embedding::Pooled { rows, length } => (*length, rows.len() / input.width),
        Embedding::Number { .. } => (1, 0),
    };
    let columns = if key == GroupKey::Vectors { input.width } else { columns };
    Field { feature: input.feature.clone(), columns, cardinality: cardinality as u32 }
}

pub(super) fn slice_columns(
    graph: &mut Graph<'_>,
    name: &str,
    source: &Edge,
    start: usize,
    columns: usize,
) -> Edge {
    let from = graph.integers(format!("{name}/first_column"), &[1], &[start as i64]);
    let to = graph.integers(format!("{name}/end_column"), &[1], &[(start + columns) as i64]);
    let axis = graph.integers(format!("{name}/column_axis"), &[1], &[1]);
    graph.node("Slice", format!("{name}/columns"), &[source, &from, &to, &axis])
}

/// One group on its way into the graph.
struct Members<'g, 'a> {
    name: String,
    members: &'g [(usize, &'a NetworkInput)],
    source: Edge,
}

/// What stands in row 0 of a table: the vector of missing values, or nothing where it is padding.
#[derive(Clone, Copy, PartialEq)]
enum RowZero {
    Kept,
    Zeros,
}

impl<'a> Members<'_, 'a> {
    /// Columns of the group once embedded.
    fn width(&self) -> usize {
        self.members.iter().map(|(_, input)| input.width).sum()
    }

    /// Rows of the combined table for every id column: [rows, columns, width]. The combined table is the members' own tables,
    /// one behind the other in the file only. A table of bytes is gathered as it is, which moves a quarter of the memory.
    fn gather(
        &self,
        graph: &mut Graph<'a>,
        vectors: &Vectors<'_>,
        width: usize,
        columns_each: usize,
        zero: RowZero,
    ) -> Edge {
        let mut pieces: Vec<Cow<'a, [f32]>> = Vec::new();
        let (mut offsets, mut table_rows) = (Vec::new(), 0);
        for (_, input) in self.members {
            let (Embedding::Table { rows } | Embedding::Pooled { rows, .. }) = &input.embedding else {
                continue;
            };
            offsets.extend(std::iter::repeat_n(table_rows as i64, columns_each));
            table_rows += rows.len() / width;
            if zero == RowZero::Zeros {
                pieces.extend([vec![0.0; width].into(), rows[width..].into()]);
            } else {
                pieces.push(rows.into());
            }
        }
        let name = &self.name;
        let (table, dims) = (format!("{name}/table"), [table_rows, width]);
        let table = match (vectors.bytes, vectors.stored) {
            (Some(affine), _) => {
                let values = pieces.iter().flat_map(|piece| piece.iter());
                graph.raw(table, DataType::Uint8, &dims, values.map(|&x| affine.quantise(x)).collect())
            }
            (None, Format::Fp16) => graph.halves(table, &dims, &pieces),
            (None, Format::Fp32 | Format::Int8(_)) => graph.pieces(table, &dims, pieces),
        };
        // A lone feature needs no offsets: its local ids are the table's rows.
        let ids = if self.members.len() == 1 {
            self.source.clone()
        } else {
            let offsets = graph.integers(format!("{name}/offsets"), &[1, offsets.len()], &offsets);
            graph.node("Add", format!("{name}/table_rows"), &[&self.source, &offsets])
        };
        let gathered = graph.node_with("Gather", format!("{name}/gather"), &[&table, &ids], ("axis", 0));
        match (vectors.bytes, vectors.stored) {
            (None, Format::Fp16) => graph.node_with("Cast", format!("{name}/f32"), &[&gathered], AS_FLOAT),
            _ => gathered,
        }
    }

    /// The vectors of single ids, side by side.
    fn emit_ids(&self, graph: &mut Graph<'a>, vectors: &Vectors<'_>, width: usize) -> Edge {
        let vectors = self.gather(graph, vectors, width, 1, RowZero::Kept);
        reshape(graph, &self.name, "flat", &vectors, &[0, self.width()])
    }

    /// Mean over the ids that are not 0. Row 0 of each table is zeroed, so that padding adds nothing to the sum.
    fn emit_sequences(&self, graph: &mut Graph<'a>, stored: &Format, length: usize, width: usize) -> Edge {
        let (name, count) = (&self.name, self.members.len());
        let floats = Vectors { stored, bytes: None };
        let gathered = self.gather(graph, &floats, width, length, RowZero::Zeros);
        let lists = reshape(graph, name, "lists", &gathered, &[0, count, length, width]);
        let list_axis = graph.integers(format!("{name}/list_axis"), &[1], &[2]);
        let sum = graph.node_with("ReduceSum", format!("{name}/sum"), &[&lists, &list_axis], ("keepdims", 0));

        // present = min(id, 1), since ids are not negative; its sum over a list is the divisor.
        let ids = graph.node_with("Cast", format!("{name}/ids_f32"), &[&self.source], AS_FLOAT);
        let one = graph.floats(format!("{name}/one"), &[1, 1], &[1.0f32]);
        let present = graph.node("Min", format!("{name}/present"), &[&ids, &one]);
        let present = reshape(graph, name, "present_lists", &present, &[0, count, length]);
        let held =
            graph.node_with("ReduceSum", format!("{name}/held"), &[&present, &list_axis], ("keepdims", 1));
        let one = graph.floats(format!("{name}/at_least"), &[1, 1, 1], &[1.0f32]);
        let divisor = graph.node("Max", format!("{name}/divisor"), &[&held, &one]);
        let mean = graph.node("Div", format!("{name}/mean"), &[&sum, &divisor]);
        reshape(graph, name, "flat", &mean, &[0, self.width()])
    }

    /// x·scale, or the vector for missing values where x is NaN, for all numbers at once: \[x, is missing\] times a block
    /// matrix that holds a scale and a missing vector per number. NaN is replaced by 0 before it enters the product.
    fn emit_numbers(&self, graph: &mut Graph<'a>, stored: &Format) -> Edge {
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
        let zero = graph.floats(format!("{name}/zero"), &[1, 1], &[0.0f32]);
        let (blocks_name, dims) = (format!("{name}/blocks"), [2 * count, columns]);
        let blocks = stored.constant(graph, &blocks_name, &dims, vec![blocks.into()]);
        let absent = graph.node("IsNaN", format!("{name}/absent"), &[&self.source]);
        let known = graph.node("Where", format!("{name}/known"), &[&absent, &zero, &self.source]);
        let absent = graph.node_with("Cast", format!("{name}/absent_f32"), &[&absent], AS_FLOAT);
        let both = graph.node_with("Concat", format!("{name}/both"), &[&known, &absent], ("axis", 1));
        graph.node("MatMul", format!("{name}/embedded"), &[&both, &blocks])
    }
}
