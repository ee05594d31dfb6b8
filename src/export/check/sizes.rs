//! How large tensors are before anything runs, as far as sizes stand in the file.

use super::tensor;
use std::collections::HashMap;
use tract_onnx::pb::{AttributeProto, NodeProto, TensorProto};

/// Attributes that say how large an output is.
const SIZES: [&str; 5] = ["shape", "pads", "scales", "repeats", "output_shape"];
/// Operators whose output has the shape of their first input; the first two keep its numbers as well.
const ALIKE: [&str; 12] = [
    "Identity", "Cast", "Relu", "Sigmoid", "Tanh", "Neg", "Abs", "Exp", "Log", "Sqrt", "Softplus", "Dropout",
];
/// Operators that give the elements of their first input another shape.
const RESHAPED: [&str; 4] = ["Flatten", "Transpose", "Squeeze", "Unsqueeze"];

/// What is known of a tensor. Numbers of elements are floats, so that absurd ones do not overflow.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Known {
    /// There are at least so many: sizes with a name, and those that only a run knows, count 1.
    pub(super) elements: f64,
    /// The same of every axis, where their number is known.
    dims: Option<Vec<f64>>,
    /// The numbers themselves, where they are few enough to be a shape.
    numbers: Option<Vec<f64>>,
}

impl Default for Known {
    fn default() -> Self {
        Self { elements: 1.0, dims: None, numbers: None }
    }
}

impl Known {
    /// Of a constant.
    pub(super) fn constant(constant: &TensorProto) -> Self {
        Self { numbers: tensor::numbers(constant), ..Self::shaped(&constant.dims) }
    }

    /// Of a tensor of these dimensions, which were found to be none that cannot be.
    pub(super) fn shaped(dims: &[i64]) -> Self {
        Self::of(dims.iter().map(|&size| size as f64).collect())
    }

    fn of(dims: Vec<f64>) -> Self {
        Self { elements: dims.iter().product(), dims: Some(dims), numbers: None }
    }

    fn many(elements: f64) -> Self {
        Self { elements, ..Self::default() }
    }
}

/// Names of a graph, and through `outer` those of the graphs around it: a chain, because copies for every branch would take
/// branches times names.
pub(super) struct Scope<'a, 'o> {
    pub(super) names: HashMap<&'a str, Known>,
    pub(super) outer: Option<&'o Scope<'a, 'o>>,
}

impl Scope<'_, '_> {
    /// The tensor of that name, be it of a graph around this one.
    pub(super) fn get(&self, name: &str) -> Option<&Known> {
        self.names.get(name).or_else(|| self.outer?.get(name))
    }
}

/// What a node makes.
pub(super) enum Made {
    /// A tensor as large as a size in the file says.
    Sized(Known),
    /// The elements of another tensor, perhaps in another shape.
    Given(Known),
}

/// The first output of a node.
pub(super) fn made(node: &NodeProto, scope: &Scope) -> Made {
    let op_type = node.op_type.as_str();
    let source = || node.input.first().and_then(|name| scope.get(name)).cloned().unwrap_or_default();
    match op_type {
        "Constant" => Made::Given(node.attribute.first().map(of_attribute).unwrap_or_default()),
        "Identity" | "Cast" => Made::Given(source()),
        "Reshape" => Made::Given(Known::many(
            numbers(node, scope, 1, "shape").map_or(1.0, |sizes| whole(&sizes)).max(source().elements),
        )),
        _ if ALIKE.contains(&op_type) => Made::Given(Known { numbers: None, ..source() }),
        _ if RESHAPED.contains(&op_type) => Made::Given(Known::many(source().elements)),
        _ => sized(node, scope, source()).map_or_else(|| Made::Given(Known::default()), Made::Sized),
    }
}

/// The output of an operator whose sizes are numbers of the file; none of another one.
fn sized(node: &NodeProto, scope: &Scope, source: Known) -> Option<Known> {
    let numbers = |input, attribute| numbers(node, scope, input, attribute);
    let single = |input| Some(*numbers(input, "")?.first()?);
    Some(match node.op_type.as_str() {
        "ConstantOfShape" => Known::of(numbers(0, "")?.iter().map(|size| size.abs()).collect()),
        "RandomNormal" | "RandomUniform" => Known::of(numbers(usize::MAX, "shape")?),
        "Expand" => {
            let sizes = numbers(1, "shape")?;
            match &source.dims {
                Some(dims) => Known::of(broadcast(dims, &sizes)),
                None => Known::many(whole(&sizes).max(source.elements)),
            }
        }
        "Tile" => Known::many(source.elements * whole(&numbers(1, "repeats")?)),
        "OneHot" => Known::many(source.elements * whole(&numbers(1, "")?)),
        "Range" => {
            let (start, limit) = (single(0).unwrap_or(0.0), single(1)?);
            Known::many(((limit - start) / single(2).unwrap_or(1.0)).ceil().max(0.0))
        }
        "Pad" => {
            let pads = numbers(1, "pads")?;
            let (begin, end) = pads.split_at(pads.len() / 2);
            let known = source.dims.filter(|dims| dims.len() == begin.len());
            let dims = known.unwrap_or_else(|| vec![1.0; begin.len()]);
            Known::of(
                dims.iter().zip(begin.iter().zip(end)).map(|(d, (b, e))| (d + b + e).max(0.0)).collect(),
            )
        }
        "Upsample" => Known::many(source.elements * whole(&numbers(1, "scales")?)),
        "Resize" => match numbers(3, "").filter(|sizes| !sizes.is_empty()) {
            Some(sizes) => Known::of(sizes),
            None => Known::many(source.elements * whole(&numbers(2, "scales")?)),
        },
        // Its own output again and again is 2 to the power of their number.
        "Concat" => Known::many(
            node.input.iter().map(|name| scope.get(name).map_or(1.0, |known| known.elements)).sum(),
        ),
        _ => {
            let attributes =
                node.attribute.iter().filter(|attribute| SIZES.contains(&attribute.name.as_str()));
            let products = attributes.filter_map(|attribute| attribute_numbers(attribute).map(|n| whole(&n)));
            Known::many(products.reduce(f64::max)?)
        }
    })
}

/// The product; 0 and −1 stand for a size that is known otherwise.
fn whole(sizes: &[f64]) -> f64 {
    sizes.iter().map(|size| size.abs().max(1.0)).product()
}

/// Both shapes from the last axis on: the larger size of every axis.
fn broadcast(dims: &[f64], sizes: &[f64]) -> Vec<f64> {
    let axes = dims.len().max(sizes.len());
    let of = |shape: &[f64], axis: usize| {
        (axis + shape.len()).checked_sub(axes).map_or(1.0, |place| shape[place].abs().max(1.0))
    };
    (0..axes).map(|axis| of(dims, axis).max(of(sizes, axis))).collect()
}

/// The numbers of an input, or of an attribute.
fn numbers(node: &NodeProto, scope: &Scope, input: usize, attribute: &str) -> Option<Vec<f64>> {
    let given = node.input.get(input).and_then(|name| scope.get(name)?.numbers.clone());
    let stated = || attribute_numbers(node.attribute.iter().find(|stated| stated.name == attribute)?);
    given.or_else(stated)
}

/// What a node `Constant` holds.
fn of_attribute(attribute: &AttributeProto) -> Known {
    match (&attribute.t, &attribute.sparse_tensor) {
        (Some(constant), _) => Known::constant(constant),
        (None, Some(sparse)) => Known::shaped(&sparse.dims),
        (None, None) => {
            let numbers = attribute_numbers(attribute);
            let count = numbers.as_ref().map_or(1, Vec::len);
            Known { numbers: numbers.filter(|n| n.len() <= tensor::FEW), ..Known::of(vec![count as f64]) }
        }
    }
}

/// Numbers of an attribute that holds some, be it as a tensor.
fn attribute_numbers(attribute: &AttributeProto) -> Option<Vec<f64>> {
    match &attribute.t {
        Some(constant) => tensor::numbers(constant),
        None if !attribute.ints.is_empty() => Some(attribute.ints.iter().map(|&n| n as f64).collect()),
        None if !attribute.floats.is_empty() => Some(attribute.floats.iter().map(|&n| n.into()).collect()),
        None if attribute.f != 0.0 => Some(vec![attribute.f.into()]),
        None => Some(vec![attribute.i as f64]),
    }
}
