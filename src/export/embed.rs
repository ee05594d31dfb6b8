//! From input tensors to one embedded matrix per part of the input.
//!
//! A *part* is a set of features that have the same rows: the user's, the candidates', or everything. Within a part,
//! ids of equal width (and equal length, for sequences) form a *group* that costs one `Gather` from one combined
//! table, because thirty small gathers and a concatenation cost engines several times the products that follow; all
//! numbers form a group that costs one small product. Features therefore stand in another order than in the network;
//! [`Part::order`] says which, and the rows of the first layer's weight follow it.
//!
//! With tables outside, what they would give comes in as it is, one input of all the part's vectors in the network's order.

mod group;

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
use group::Members;
use std::collections::BTreeMap;
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
        let flat = self.each_group(graph, sources, |graph, key, group| {
            let name = group.name.clone();
            let floats = match key {
                GroupKey::Of(Group::Ids { width }) => return group.emit_ids(graph, vectors, width),
                GroupKey::Of(Group::Sequences { length, width }) => {
                    group.emit_sequences(graph, vectors.stored, length, width)
                }
                GroupKey::Vectors => group.source,
                GroupKey::Of(Group::Numbers) => group.emit_numbers(graph, vectors.stored),
            };
            match vectors.bytes {
                Some(affine) => qdq::quantise(graph, &name, &floats, affine),
                None => floats,
            }
        });
        match <[Edge; 1]>::try_from(flat) {
            Ok([only]) => only,
            Err(several) => join(graph, self.prefix, &several, vectors),
        }
    }

    /// Adds inputs to the graph and what trees compare of each feature, which is one wide: [rows, features] in the order of
    /// [`Part::order`], with NaN for what is missing.
    pub(super) fn emit_values(&self, graph: &mut Graph<'a>) -> Edge {
        let sources = self.declare(graph);
        let exact = Vectors { stored: &Format::Fp32, bytes: None };
        let flat = self.each_group(graph, &sources, |graph, key, group| match key {
            GroupKey::Of(Group::Ids { width }) => group.emit_ids(graph, &exact, width),
            GroupKey::Of(Group::Sequences { length, width }) => group.emit_means(graph, length, width),
            GroupKey::Vectors | GroupKey::Of(Group::Numbers) => group.source,
        });
        match <[Edge; 1]>::try_from(flat) {
            Ok([only]) => only,
            Err(several) => {
                let groups: Vec<_> = several.iter().collect();
                graph.node_with("Concat", format!("{}values", self.prefix), &groups, ("axis", 1))
            }
        }
    }

    /// What `emit` makes of each group, whose values come in `sources`: in the order of [`Part::order`].
    fn each_group(
        &self,
        graph: &mut Graph<'a>,
        sources: &[Source],
        emit: impl Fn(&mut Graph<'a>, GroupKey, Members<'_, 'a>) -> Edge,
    ) -> Vec<Edge> {
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
                flat.push(emit(graph, *key, Members { name, members, source: own }));
            }
        }
        flat
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
