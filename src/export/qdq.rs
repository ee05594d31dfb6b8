//! Products of integers, written as ONNX's quantise-dequantise pairs: every engine can read them, and one that has integer
//! kernels takes a whole pattern as one of them.
//!
//! ONNX Runtime makes one `QGemm` of DequantizeLinear × 3 → Gemm → Relu → QuantizeLinear: bytes in, bytes out, nothing in
//! between in memory. The third operand, the addend, is i32. That of a user's part is made in the request, on one row, so
//! that it enters the integer sums without a pass over all candidates.

use super::{
    format::{Affine, IntegerLayer},
    graph::{Edge, Graph},
};
use std::borrow::Cow;
use tract_onnx::pb::tensor_proto::DataType;

/// The attribute of a `Cast` to i32.
const AS_I32: (&str, i64) = ("to", DataType::Int32 as i64);

/// What is added to each row of a product.
pub(super) enum Addend<'a> {
    /// `outputs` numbers.
    Constant(Cow<'a, [f32]>),
    /// f32[1, outputs], or [rows, outputs] where nothing is in integers.
    Row(Edge),
}

impl<'a> Addend<'a> {
    /// The addend of the float product `name`.
    pub(super) fn edge(self, graph: &mut Graph<'a>, name: &str) -> Edge {
        match self {
            Self::Constant(bias) => graph.floats(format!("{name}/bias"), &[bias.len()], bias),
            Self::Row(row) => row,
        }
    }
}

/// Bytes of x.
pub(super) fn quantise(graph: &mut Graph<'_>, name: &str, x: &Edge, affine: Affine) -> Edge {
    let [scale, zero] = constants(graph, name, affine);
    graph.node("QuantizeLinear", format!("{name}/bytes"), &[x, &scale, &zero])
}

/// f32 of bytes, by a node of that name.
pub(super) fn dequantise(graph: &mut Graph<'_>, name: &str, bytes: &Edge, affine: Affine) -> Edge {
    let [scale, zero] = constants(graph, name, affine);
    graph.node("DequantizeLinear", name, &[bytes, &scale, &zero])
}

fn constants(graph: &mut Graph<'_>, name: &str, affine: Affine) -> [Edge; 2] {
    let scale = graph.floats(format!("{name}/step"), &[], vec![affine.scale]);
    [scale, graph.raw(format!("{name}/zero_byte"), DataType::Uint8, &[], vec![affine.zero_point])]
}

/// bytes·weight + addend in integers, as f32 in the graph: [rows, outputs]. `weight` holds the rows of the layer that belong
/// to these bytes.
pub(super) fn product(
    graph: &mut Graph<'_>,
    name: &str,
    bytes: &Edge,
    layer: &IntegerLayer,
    weight: &[i8],
    addend: Addend<'_>,
) -> Edge {
    let outputs = layer.weight_scales.len();
    let x = dequantise(graph, &format!("{name}/input/of_bytes"), bytes, layer.input);
    let weight = {
        let bytes = weight.iter().map(|w| w.to_le_bytes()[0]).collect();
        let dims = [weight.len() / outputs, outputs];
        let bytes = graph.raw(format!("{name}/weight_i8"), DataType::Int8, &dims, bytes);
        let scales = graph.floats(format!("{name}/weight_scales"), &[outputs], layer.weight_scales.clone());
        let zeros = graph.raw(format!("{name}/weight_zeros"), DataType::Int8, &[outputs], vec![0; outputs]);
        graph.node_with("DequantizeLinear", format!("{name}/weight"), &[&bytes, &scales, &zeros], ("axis", 1))
    };
    let addend = integer_addend(graph, name, layer, addend);
    graph.node("Gemm", name, &[&x, &weight, &addend])
}

/// The addend rounded to the steps of the sums, as f32 in the graph.
fn integer_addend(graph: &mut Graph<'_>, name: &str, layer: &IntegerLayer, addend: Addend<'_>) -> Edge {
    let steps = layer.sum_scales();
    let outputs = steps.len();
    let scales = graph.floats(format!("{name}/sum_scales"), &[outputs], steps.clone());
    let zeros = graph.raw(format!("{name}/sum_zeros"), DataType::Int32, &[outputs], vec![0; 4 * outputs]);
    let (integers, axis) = match addend {
        Addend::Constant(values) => {
            let rounded =
                values.iter().zip(&steps).map(|(value, step)| (value / step).round_ties_even() as i32);
            let raw = rounded.flat_map(i32::to_le_bytes).collect();
            (graph.raw(format!("{name}/addend_i32"), DataType::Int32, &[outputs], raw), 0)
        }
        Addend::Row(row) => {
            let quotient = graph.node("Div", format!("{name}/addend_steps"), &[&row, &scales]);
            let rounded = graph.node("Round", format!("{name}/addend_rounded"), &[&quotient]);
            (graph.node_with("Cast", format!("{name}/addend_i32"), &[&rounded], AS_I32), 1)
        }
    };
    let inputs = [&integers, &scales, &zeros];
    graph.node_with("DequantizeLinear", format!("{name}/addend"), &inputs, ("axis", axis))
}
