//! The graph itself: every name that is read is given by something, without a cycle, and no shape is absurd.

use super::{Found, tensor};
use crate::base::Result;
use std::collections::{HashMap, HashSet};
use tract_onnx::pb::{
    AttributeProto, GraphProto, NodeProto, TensorProto, ValueInfoProto, tensor_shape_proto::dimension,
    type_proto,
};

/// Domains whose operators engines have; the first two are the same.
const DOMAINS: [&str; 4] = ["", "ai.onnx", "ai.onnx.ml", "com.microsoft"];
/// Operators that run a graph as often as a number says that only a run knows.
const LOOPS: [&str; 2] = ["Loop", "Scan"];
/// Operators whose output is as large as the numbers of an input say, and which input that is.
const SIZED: [(&str, usize); 10] = [
    ("ConstantOfShape", 0),
    ("Expand", 1),
    ("Reshape", 1),
    ("Tile", 1),
    ("OneHot", 1),
    ("Range", 1),
    ("Pad", 1),
    ("Upsample", 1),
    ("Resize", 2),
    ("Resize", 3),
];
/// Attributes that say the same.
const SIZES: [&str; 5] = ["shape", "pads", "scales", "repeats", "output_shape"];

/// Fails with the first thing that is wrong in a graph or in one of its branches.
pub(super) fn check(graph: &GraphProto, found: Found) -> Result<()> {
    within(graph, &HashSet::new(), found)
}

/// `outer` holds the names that a branch sees of the graphs around it.
fn within<'a>(graph: &'a GraphProto, outer: &HashSet<&'a str>, found: Found) -> Result<()> {
    graph.initializer.iter().try_for_each(|constant| tensor::check(constant, found))?;
    graph.sparse_initializer.iter().try_for_each(|constant| tensor::check_sparse(constant, found))?;
    let constants = given(graph);
    let values = graph.input.iter().chain(&graph.output).chain(&graph.value_info);
    for value in values.filter(|value| !constants.contains(value.name.as_str())) {
        declared(value, found)?;
    }
    let mut names: HashSet<&str> = outer.union(&constants).copied().collect();
    names.extend(graph.input.iter().map(|input| input.name.as_str()));
    let makers = makers(graph, &names, found)?;
    ordered(graph, &names, &makers, found)?;
    names.extend(makers.keys());
    if graph.output.is_empty() {
        return Err(found.at(&graph.name, "the graph has no output"));
    }
    if let Some(output) = graph.output.iter().find(|output| !names.contains(output.name.as_str())) {
        return Err(found.at(&output.name, "nothing in the graph gives this output"));
    }
    let small = small_constants(graph);
    for node in &graph.node {
        operator(node, &small, found)?;
        for branch in node.attribute.iter().flat_map(branches) {
            within(branch, &names, found)?;
        }
    }
    Ok(())
}

/// Names of the constants.
fn given(graph: &GraphProto) -> HashSet<&str> {
    let sparse = graph.sparse_initializer.iter().filter_map(|sparse| sparse.values.as_ref());
    graph.initializer.iter().chain(sparse).map(|constant| constant.name.as_str()).collect()
}

/// Which node makes a tensor, by name. Each is made once.
fn makers<'a>(graph: &'a GraphProto, known: &HashSet<&str>, found: Found) -> Result<HashMap<&'a str, usize>> {
    let mut makers = HashMap::new();
    for (index, node) in graph.node.iter().enumerate() {
        for name in node.output.iter().filter(|name| !name.is_empty()) {
            if known.contains(name.as_str()) || makers.insert(name.as_str(), index).is_some() {
                return Err(found.at(name, "two things in the graph give this tensor"));
            }
        }
    }
    Ok(makers)
}

/// Fails when a node reads what nothing gives, or what depends on its own output (Kahn 1962).
fn ordered(
    graph: &GraphProto,
    known: &HashSet<&str>,
    makers: &HashMap<&str, usize>,
    found: Found,
) -> Result<()> {
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); graph.node.len()];
    let mut waits_for = vec![0usize; graph.node.len()];
    for (index, node) in graph.node.iter().enumerate() {
        for name in reads(node) {
            match makers.get(name) {
                Some(&maker) => {
                    readers[maker].push(index);
                    waits_for[index] += 1;
                }
                None if known.contains(name) => {}
                None => {
                    let problem = format!("it reads `{name}`, which nothing in the graph gives");
                    return Err(found.at(label(node), problem));
                }
            }
        }
    }
    let mut ready: Vec<usize> = (0..waits_for.len()).filter(|&index| waits_for[index] == 0).collect();
    while let Some(index) = ready.pop() {
        for &reader in &readers[index] {
            waits_for[reader] -= 1;
            if waits_for[reader] == 0 {
                ready.push(reader);
            }
        }
    }
    match waits_for.iter().position(|&waits_for| waits_for > 0) {
        Some(index) => Err(found.at(label(&graph.node[index]), "it is part of, or reads from, a cycle")),
        None => Ok(()),
    }
}

/// Names that a node reads, those that its branches take from around them included.
fn reads(node: &NodeProto) -> Vec<&str> {
    let mut names: Vec<&str> =
        node.input.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
    for branch in node.attribute.iter().flat_map(branches) {
        let mut own = given(branch);
        own.extend(branch.input.iter().map(|input| input.name.as_str()));
        own.extend(branch.node.iter().flat_map(|node| node.output.iter().map(String::as_str)));
        let outputs = branch.output.iter().map(|output| output.name.as_str());
        let read = branch.node.iter().flat_map(reads).chain(outputs);
        names.extend(read.filter(|name| !own.contains(name)));
    }
    names
}

fn branches(attribute: &AttributeProto) -> impl Iterator<Item = &GraphProto> {
    attribute.g.iter().chain(&attribute.graphs)
}

/// What messages call a node.
fn label(node: &NodeProto) -> &str {
    match (node.name.as_str(), node.output.first()) {
        ("", Some(output)) => output,
        (name, _) => name,
    }
}

/// Fails when the sizes that a declared shape states are absurd; named ones count 1.
fn declared(value: &ValueInfoProto, found: Found) -> Result<()> {
    let Some(type_proto::Value::TensorType(tensor)) = value.r#type.as_ref().and_then(|t| t.value.as_ref())
    else {
        return Ok(());
    };
    let fixed = tensor.shape.iter().flat_map(|shape| &shape.dim).map(|dim| match dim.value {
        Some(dimension::Value::DimValue(size)) => size,
        _ => 1,
    });
    let dims: Vec<i64> = fixed.collect();
    match tensor::elements(&dims) {
        Some(elements) if elements <= found.limits.elements => Ok(()),
        _ => Err(found.at(&value.name, format!("a tensor of the dimensions {dims:?} is declared"))),
    }
}

/// Constants that may stand for shapes.
fn small_constants(graph: &GraphProto) -> HashMap<&str, Vec<f64>> {
    let initial = graph.initializer.iter().map(|constant| (constant.name.as_str(), constant));
    let nodes = graph.node.iter().filter(|node| node.op_type == "Constant");
    let made = nodes.flat_map(|node| node.output.first().into_iter().zip(node.attribute.iter()));
    let made = made.filter_map(|(name, attribute)| Some((name.as_str(), attribute_numbers(attribute)?)));
    let initial = initial.filter_map(|(name, constant)| Some((name, tensor::numbers(constant)?)));
    initial.chain(made).collect()
}

/// Numbers of an attribute that holds some, be it as a tensor.
fn attribute_numbers(attribute: &AttributeProto) -> Option<Vec<f64>> {
    let of_tensor = |constant: &TensorProto| tensor::numbers(constant);
    match &attribute.t {
        Some(constant) => of_tensor(constant),
        None if !attribute.ints.is_empty() => Some(attribute.ints.iter().map(|&n| n as f64).collect()),
        None if !attribute.floats.is_empty() => Some(attribute.floats.iter().map(|&n| n.into()).collect()),
        None => Some(vec![attribute.i as f64]),
    }
}

/// Fails on an operator that no engine has, that may run without end, or that makes a tensor of absurd size.
fn operator(node: &NodeProto, small: &HashMap<&str, Vec<f64>>, found: Found) -> Result<()> {
    let wrong = |problem: String| found.at(label(node), problem);
    let NodeProto { op_type, domain, .. } = node;
    if !DOMAINS.contains(&domain.as_str()) {
        return Err(wrong(format!(
            "the operator {op_type} of the domain `{domain}` is none that an engine has"
        )));
    }
    if LOOPS.contains(&op_type.as_str()) {
        return Err(wrong(format!(
            "the operator {op_type} runs as often as it likes, which is not accepted"
        )));
    }
    let constants = node.attribute.iter().flat_map(|attribute| attribute.t.iter().chain(&attribute.tensors));
    constants.into_iter().try_for_each(|constant| tensor::check(constant, found))?;
    let sparse = (node.attribute.iter()).flat_map(|a| a.sparse_tensor.iter().chain(&a.sparse_tensors));
    sparse.into_iter().try_for_each(|constant| tensor::check_sparse(constant, found))?;
    let inputs = SIZED.iter().filter(|(name, _)| name == op_type);
    let sizes = inputs.filter_map(|&(_, input)| small.get(node.input.get(input)?.as_str()));
    let attributes = node.attribute.iter().filter(|attribute| SIZES.contains(&attribute.name.as_str()));
    let stated: Vec<Vec<f64>> = attributes.filter_map(attribute_numbers).collect();
    for sizes in sizes.chain(&stated) {
        // 0 and −1 stand for a size that is known otherwise.
        let product: f64 = sizes.iter().map(|size| size.abs().max(1.0)).product();
        if product.is_nan() || product > found.limits.elements as f64 {
            return Err(wrong(format!("{op_type} to the size {sizes:?} is absurd")));
        }
    }
    Ok(())
}
