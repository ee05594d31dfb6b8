//! A small builder of ONNX graphs over the message types that tract ships.
//!
//! Every node has one output, which carries the node's own name, so that a name seen in a profile or in a viewer points
//! at one place. Nothing depends on hash order or on the clock: the same calls give the same bytes.

use super::signature::{CANDIDATES, ElementType, Rows, TensorSpec};
use prost::Message;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto, TensorShapeProto, TypeProto, ValueInfoProto,
    attribute_proto::AttributeType,
    tensor_proto::DataType,
    tensor_shape_proto::{Dimension, dimension},
    type_proto,
};

/// Operator set that ONNX Runtime, tract, OpenVINO and TensorRT all read.
const OPSET: i64 = 17;
/// File format version that goes with it.
const IR_VERSION: i64 = 8;

/// The name of a tensor in the graph: an input, a constant or the output of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Edge(String);

/// One dimension of a declared shape.
#[derive(Debug, Clone, Copy)]
pub(super) enum Dim {
    /// A fixed size.
    Fixed(usize),
    /// The number of candidates.
    Candidates,
}

/// A graph under construction. Nodes must be added after the nodes that they read.
#[derive(Debug, Default)]
pub(super) struct Graph(GraphProto);

impl Graph {
    pub(super) fn new(name: &str) -> Self {
        Self(GraphProto { name: name.to_owned(), ..GraphProto::default() })
    }

    /// Declares an input tensor.
    pub(super) fn input(&mut self, spec: &TensorSpec) -> Edge {
        let rows = match spec.rows {
            Rows::One => Dim::Fixed(1),
            Rows::Candidates => Dim::Candidates,
        };
        let element = match spec.element {
            ElementType::I64 => DataType::Int64,
            ElementType::F32 => DataType::Float,
        };
        self.0.input.push(value_info(&spec.name, element, &[rows, Dim::Fixed(spec.columns())]));
        Edge(spec.name.clone())
    }

    /// Declares that the tensor made by the node `edge` leaves the graph.
    pub(super) fn output(&mut self, edge: &Edge, dims: &[Dim]) {
        self.0.output.push(value_info(&edge.0, DataType::Float, dims));
    }

    /// A constant of floats.
    pub(super) fn floats(&mut self, name: impl Into<String>, dims: &[usize], values: &[f32]) -> Edge {
        let raw = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.constant(name.into(), DataType::Float, dims, raw)
    }

    /// A constant of integers.
    pub(super) fn integers(&mut self, name: impl Into<String>, dims: &[usize], values: &[i64]) -> Edge {
        let raw = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.constant(name.into(), DataType::Int64, dims, raw)
    }

    fn constant(&mut self, name: String, data_type: DataType, dims: &[usize], raw_data: Vec<u8>) -> Edge {
        self.0.initializer.push(TensorProto {
            name: name.clone(),
            data_type: data_type as i32,
            dims: dims.iter().map(|&d| d as i64).collect(),
            raw_data,
            ..TensorProto::default()
        });
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

    fn push(
        &mut self,
        operator: &str,
        name: String,
        inputs: &[&Edge],
        attribute: Vec<AttributeProto>,
    ) -> Edge {
        self.0.node.push(NodeProto {
            op_type: operator.to_owned(),
            name: name.clone(),
            input: inputs.iter().map(|edge| edge.0.clone()).collect(),
            output: vec![name.clone()],
            attribute,
            ..NodeProto::default()
        });
        Edge(name)
    }

    /// The finished model as a file's content.
    pub(super) fn encode(self, properties: Vec<(String, String)>) -> Vec<u8> {
        ModelProto {
            ir_version: IR_VERSION,
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
            producer_name: env!("CARGO_PKG_NAME").to_owned(),
            producer_version: env!("CARGO_PKG_VERSION").to_owned(),
            graph: Some(self.0),
            metadata_props: properties
                .into_iter()
                .map(|(key, value)| StringStringEntryProto { key, value })
                .collect(),
            ..ModelProto::default()
        }
        .encode_to_vec()
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
