//! One group of features in a graph: from ids or numbers to what is embedded, or compared, of them.

use super::{AS_FLOAT, AXIS_0, Vectors};
use crate::{
    export::{
        format::Format,
        graph::{Edge, Graph},
    },
    learn::network::{Embedding, NetworkInput},
};
use std::borrow::Cow;
use tract_onnx::pb::tensor_proto::DataType;

/// One group on its way into the graph.
pub(super) struct Members<'g, 'a> {
    pub(super) name: String,
    pub(super) members: &'g [(usize, &'a NetworkInput)],
    pub(super) source: Edge,
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
        let gathered = graph.node_with("Gather", format!("{name}/gather"), &[&table, &ids], AXIS_0);
        match (vectors.bytes, vectors.stored) {
            (None, Format::Fp16) => graph.node_with("Cast", format!("{name}/f32"), &[&gathered], AS_FLOAT),
            _ => gathered,
        }
    }

    /// The vectors of single ids, side by side.
    pub(super) fn emit_ids(&self, graph: &mut Graph<'a>, vectors: &Vectors<'_>, width: usize) -> Edge {
        let vectors = self.gather(graph, vectors, width, 1, RowZero::Kept);
        reshape(graph, &self.name, "flat", &vectors, &[0, self.width()])
    }

    /// Mean over the ids that are not 0; zeros when there are none.
    pub(super) fn emit_sequences(
        &self,
        graph: &mut Graph<'a>,
        stored: &Format,
        length: usize,
        width: usize,
    ) -> Edge {
        let name = &self.name;
        let [sum, held] = self.sums(graph, stored, length, width);
        let one = graph.floats(format!("{name}/at_least"), &[1, 1, 1], &[1.0f32]);
        let divisor = graph.node("Max", format!("{name}/divisor"), &[&held, &one]);
        let mean = graph.node("Div", format!("{name}/mean"), &[&sum, &divisor]);
        reshape(graph, name, "flat", &mean, &[0, self.width()])
    }

    /// Mean over the ids that are not 0; 0 / 0, which is not a number, when there are none.
    pub(super) fn emit_means(&self, graph: &mut Graph<'a>, length: usize, width: usize) -> Edge {
        let [sum, held] = self.sums(graph, &Format::Fp32, length, width);
        let mean = graph.node("Div", format!("{}/mean", self.name), &[&sum, &held]);
        reshape(graph, &self.name, "flat", &mean, &[0, self.width()])
    }

    /// Sums over the ids that are not 0, [rows, features, width], and their number, [rows, features, 1]. Row 0 of each table is
    /// zeroed, so that padding adds nothing to the sum.
    fn sums(&self, graph: &mut Graph<'a>, stored: &Format, length: usize, width: usize) -> [Edge; 2] {
        let (name, count) = (&self.name, self.members.len());
        let floats = Vectors { stored, bytes: None };
        let gathered = self.gather(graph, &floats, width, length, RowZero::Zeros);
        let lists = reshape(graph, name, "lists", &gathered, &[0, count, length, width]);
        let list_axis = graph.integers(format!("{name}/list_axis"), &[1], &[2]);
        let sum = graph.node_with("ReduceSum", format!("{name}/sum"), &[&lists, &list_axis], ("keepdims", 0));

        // present = min(id, 1), since ids are not negative.
        let ids = graph.node_with("Cast", format!("{name}/ids_f32"), &[&self.source], AS_FLOAT);
        let one = graph.floats(format!("{name}/one"), &[1, 1], &[1.0f32]);
        let present = graph.node("Min", format!("{name}/present"), &[&ids, &one]);
        let present = reshape(graph, name, "present_lists", &present, &[0, count, length]);
        let held =
            graph.node_with("ReduceSum", format!("{name}/held"), &[&present, &list_axis], ("keepdims", 1));
        [sum, held]
    }

    /// x·scale, or the vector for missing values where x is NaN, for all numbers at once: \[x, is missing\] times a block
    /// matrix that holds a scale and a missing vector per number. NaN is replaced by 0 before it enters the product.
    pub(super) fn emit_numbers(&self, graph: &mut Graph<'a>, stored: &Format) -> Edge {
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

/// A `Reshape` to a constant shape, in which 0 means the size that is there.
fn reshape(graph: &mut Graph<'_>, name: &str, what: &str, value: &Edge, shape: &[usize]) -> Edge {
    let sizes: Vec<_> = shape.iter().map(|&size| size as i64).collect();
    let sizes = graph.integers(format!("{name}/{what}_shape"), &[sizes.len()], &sizes);
    graph.node("Reshape", format!("{name}/{what}"), &[value, &sizes])
}
