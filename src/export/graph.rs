//! A small builder of ONNX graphs over the message types that tract ships.
//!
//! Every node of ONNX's own domain has one output, which carries the node's own name, so that a name seen in a profile or in a viewer points
//! at one place. Nothing depends on hash order or on the clock: the same calls give the same bytes.
//!
//! Constants are borrowed from the network where they can be, and go from there straight into the file: a table of
//! gigabytes is never copied. [`encode`](super::encode) says how.

use super::signature::{CANDIDATES, ElementType, Rows, TensorSpec};
use std::{
    borrow::Cow,
    io::{self, Write},
};
use tract_onnx::pb::{
    AttributeProto, GraphProto, NodeProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto,
    attribute_proto::AttributeType,
    tensor_proto::DataType,
    tensor_shape_proto::{Dimension, dimension},
    type_proto,
};

/// The name of a tensor in the graph: an input, a constant or the output of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Edge(String);

/// The domain of ONNX's operators for other models than networks.
pub(super) const ML_DOMAIN: &str = "ai.onnx.ml";

/// One dimension of a declared shape.
#[derive(Debug, Clone, Copy)]
pub(super) enum Dim {
    /// A fixed size.
    Fixed(usize),
    /// The number of candidates.
    Candidates,
}

/// The numbers of a constant.
#[derive(Debug, Clone, PartialEq)]
enum Values<'a> {
    /// As they stand in the file.
    Raw(Vec<u8>),
    /// Pieces that follow each other.
    Floats(Vec<Cow<'a, [f32]>>),
}

/// A constant: everything but its numbers as ONNX says it, and its numbers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Constant<'a> {
    pub(super) header: TensorProto,
    values: Values<'a>,
}

impl Constant<'_> {
    /// Size of the numbers in a file.
    pub(super) fn bytes(&self) -> u64 {
        match &self.values {
            Values::Raw(raw) => raw.len() as u64,
            Values::Floats(pieces) => pieces.iter().map(|piece| size_of_val(&**piece) as u64).sum(),
        }
    }

    /// Writes the numbers, little end first.
    pub(super) fn write(&self, out: &mut (impl Write + ?Sized)) -> io::Result<()> {
        match &self.values {
            Values::Raw(raw) => out.write_all(raw),
            Values::Floats(pieces) => pieces.iter().try_for_each(|piece| write_floats(out, piece)),
        }
    }

    fn into_owned(self) -> Constant<'static> {
        let values = match self.values {
            Values::Raw(raw) => Values::Raw(raw),
            Values::Floats(pieces) => {
                Values::Floats(pieces.into_iter().map(|piece| Cow::Owned(piece.into_owned())).collect())
            }
        };
        Constant { header: self.header, values }
    }
}

/// Writes numbers, little end first.
pub(super) fn write_floats(out: &mut (impl Write + ?Sized), values: &[f32]) -> io::Result<()> {
    let mut buffer = [0; 4096];
    for chunk in values.chunks(buffer.len() / 4) {
        let bytes = &mut buffer[..4 * chunk.len()];
        bytes.as_chunks_mut().0.iter_mut().zip(chunk).for_each(|(to, value)| *to = value.to_le_bytes());
        out.write_all(bytes)?;
    }
    Ok(())
}

/// A graph under construction. Nodes must be added after the nodes that they read.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Graph<'a> {
    /// Without its constants.
    pub(super) shell: GraphProto,
    pub(super) constants: Vec<Constant<'a>>,
}

impl<'a> Graph<'a> {
    pub(super) fn new(name: &str) -> Self {
        let shell = GraphProto { name: name.to_owned(), ..GraphProto::default() };
        Self { shell, constants: Vec::new() }
    }

    /// The same graph, whose constants are its own.
    pub(super) fn into_owned(self) -> Graph<'static> {
        let constants = self.constants.into_iter().map(Constant::into_owned).collect();
        Graph { shell: self.shell, constants }
    }

    /// Declares an input tensor.
    pub(super) fn input(&mut self, spec: &TensorSpec) -> Edge {
        let rows = match spec.rows {
            Rows::One => Dim::Fixed(1),
            Rows::Candidates => Dim::Candidates,
        };
        let element = data_type(spec.element);
        self.shell.input.push(value_info(&spec.name, element, &[rows, Dim::Fixed(spec.columns())]));
        Edge(spec.name.clone())
    }

    /// An input tensor that was declared before.
    pub(super) fn declared(&self, spec: &TensorSpec) -> Edge {
        Edge(spec.name.clone())
    }

    /// Declares that the tensor made by the node `edge` leaves the graph.
    pub(super) fn output(&mut self, edge: &Edge, dims: &[Dim]) {
        self.shell.output.push(value_info(&edge.0, DataType::Float, dims));
    }

    /// A constant of floats.
    pub(super) fn floats(
        &mut self,
        name: impl Into<String>,
        dims: &[usize],
        values: impl Into<Cow<'a, [f32]>>,
    ) -> Edge {
        self.pieces(name, dims, vec![values.into()])
    }

    /// A constant of floats that lie in several places.
    pub(super) fn pieces(
        &mut self,
        name: impl Into<String>,
        dims: &[usize],
        pieces: Vec<Cow<'a, [f32]>>,
    ) -> Edge {
        self.constant(name.into(), DataType::Float, dims, Values::Floats(pieces))
    }

    /// A constant of integers.
    pub(super) fn integers(&mut self, name: impl Into<String>, dims: &[usize], values: &[i64]) -> Edge {
        let raw = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.constant(name.into(), DataType::Int64, dims, Values::Raw(raw))
    }

    /// A constant of floats, each rounded to the nearest f16.
    pub(super) fn halves(
        &mut self,
        name: impl Into<String>,
        dims: &[usize],
        pieces: &[Cow<'_, [f32]>],
    ) -> Edge {
        let values = pieces.iter().flat_map(|piece| piece.iter());
        let raw = values.flat_map(|&v| half::f16::from_f32(v).to_le_bytes()).collect();
        self.raw(name, DataType::Float16, dims, raw)
    }

    /// A constant of whatever type, as it stands in the file.
    pub(super) fn raw(
        &mut self,
        name: impl Into<String>,
        data_type: DataType,
        dims: &[usize],
        raw: Vec<u8>,
    ) -> Edge {
        self.constant(name.into(), data_type, dims, Values::Raw(raw))
    }

    fn constant(&mut self, name: String, data_type: DataType, dims: &[usize], values: Values<'a>) -> Edge {
        let header = TensorProto {
            name: name.clone(),
            data_type: data_type as i32,
            dims: dims.iter().map(|&d| d as i64).collect(),
            ..TensorProto::default()
        };
        self.constants.push(Constant { header, values });
        Edge(name)
    }

    /// A node without attributes.
    pub(super) fn node(&mut self, operator: &str, name: impl Into<String>, inputs: &[&Edge]) -> Edge {
        self.push(operator, name.into(), inputs, Vec::new())
    }

    /// A node with one integer attribute.
    pub(super) fn node_with(
        &mut self,
        operator: &str,
        name: impl Into<String>,
        inputs: &[&Edge],
        (attribute, value): (&str, i64),
    ) -> Edge {
        let attribute = AttributeProto {
            name: attribute.to_owned(),
            r#type: AttributeType::Int as i32,
            i: value,
            ..AttributeProto::default()
        };
        self.push(operator, name.into(), inputs, vec![attribute])
    }

    /// A node of [`ML_DOMAIN`] with these outputs.
    pub(super) fn ml_node<const N: usize>(
        &mut self,
        operator: &str,
        outputs: [&str; N],
        input: &Edge,
        attributes: Vec<AttributeProto>,
    ) -> [Edge; N] {
        self.push(operator, outputs[0].to_owned(), &[input], attributes);
        let node = self.shell.node.last_mut().expect("pushed above");
        node.domain = ML_DOMAIN.to_owned();
        node.output = outputs.map(str::to_owned).into();
        outputs.map(|name| Edge(name.to_owned()))
    }

    /// Whether a node is of [`ML_DOMAIN`].
    pub(super) fn uses_ml(&self) -> bool {
        self.shell.node.iter().any(|node| node.domain == ML_DOMAIN)
    }

    fn push(
        &mut self,
        operator: &str,
        name: String,
        inputs: &[&Edge],
        attribute: Vec<AttributeProto>,
    ) -> Edge {
        self.shell.node.push(NodeProto {
            op_type: operator.to_owned(),
            name: name.clone(),
            input: inputs.iter().map(|edge| edge.0.clone()).collect(),
            output: vec![name.clone()],
            attribute,
            ..NodeProto::default()
        });
        Edge(name)
    }
}

/// The element type as ONNX counts it.
pub(super) fn data_type(element: ElementType) -> DataType {
    match element {
        ElementType::I64 => DataType::Int64,
        ElementType::F32 => DataType::Float,
        ElementType::F16 => DataType::Float16,
        ElementType::I8 => DataType::Int8,
    }
}

fn value_info(name: &str, element: DataType, dims: &[Dim]) -> ValueInfoProto {
    let dim = dims
        .iter()
        .map(|dim| {
            let value = match dim {
                Dim::Fixed(size) => dimension::Value::DimValue(*size as i64),
                Dim::Candidates => dimension::Value::DimParam(CANDIDATES.to_owned()),
            };
            Dimension { value: Some(value), ..Dimension::default() }
        })
        .collect();
    let tensor = type_proto::Tensor { elem_type: element as i32, shape: Some(TensorShapeProto { dim }) };
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(tensor)),
            ..TypeProto::default()
        }),
        ..ValueInfoProto::default()
    }
}
