//! The graph itself: every name that is read is given by something, without a cycle, and no shape is absurd.

use super::{
    Found, NO_LOOPS, NO_SIZES, STANDARD_OPERATORS,
    sizes::{self, Known, Made, Scope},
    tensor,
};
use crate::base::Result;
use std::collections::{HashMap, HashSet};
use tract_onnx::pb::{
    AttributeProto, GraphProto, NodeProto, ValueInfoProto, tensor_shape_proto::dimension, type_proto,
};

/// Domains whose operators engines have; the first two are the same.
const DOMAINS: [&str; 4] = ["", "ai.onnx", "ai.onnx.ml", "com.microsoft"];
/// Operators that run a graph as often as a number says that only a run knows.
const LOOPS: [&str; 2] = ["Loop", "Scan"];

/// Fails with the first thing that is wrong in a graph or in one of its branches.
pub(super) fn check(graph: &GraphProto, found: Found) -> Result<()> {
    within(graph, None, found)
}

/// `outer` holds what a branch sees of the graphs around it.
fn within<'a>(graph: &'a GraphProto, outer: Option<&Scope<'a, '_>>, found: Found) -> Result<()> {
    let mut scope = Scope { names: constants(graph, found)?, outer };
    for value in graph.output.iter().chain(&graph.value_info) {
        if !scope.names.contains_key(value.name.as_str()) {
            declared(value, found)?;
        }
    }
    for input in &graph.input {
        // One that is a constant too has a default.
        if !scope.names.contains_key(input.name.as_str()) {
            scope.names.insert(&input.name, declared(input, found)?);
        }
    }
    let makers = makers(graph, &scope, found)?;
    let order = ordered(graph, &scope, &makers, found)?;
    scope.names.extend(makers.keys().map(|&name| (name, Known::default())));
    if graph.output.is_empty() {
        return Err(found.at(&graph.name, "the graph has no output"));
    }
    if let Some(output) = graph.output.iter().find(|output| scope.get(&output.name).is_none()) {
        return Err(found.at(&output.name, "nothing in the graph gives this output"));
    }
    for node in order.into_iter().map(|index| &graph.node[index]) {
        let made = operator(node, &scope, found)?;
        for branch in node.attribute.iter().flat_map(branches) {
            within(branch, Some(&scope), found)?;
        }
        if let Some(output) = node.output.first().filter(|name| !name.is_empty()) {
            scope.names.insert(output, made);
        }
    }
    Ok(())
}

/// The constants by name, each found to have its data.
fn constants<'a>(graph: &'a GraphProto, found: Found) -> Result<HashMap<&'a str, Known>> {
    let mut constants = HashMap::new();
    for constant in &graph.initializer {
        tensor::check(constant, found)?;
        constants.insert(constant.name.as_str(), Known::constant(constant));
    }
    for sparse in &graph.sparse_initializer {
        tensor::check_sparse(sparse, found)?;
        let name = sparse.values.as_ref().map_or("", |values| values.name.as_str());
        constants.insert(name, Known::shaped(&sparse.dims));
    }
    Ok(constants)
}

/// Names of the constants.
fn given(graph: &GraphProto) -> HashSet<&str> {
    let sparse = graph.sparse_initializer.iter().filter_map(|sparse| sparse.values.as_ref());
    graph.initializer.iter().chain(sparse).map(|constant| constant.name.as_str()).collect()
}

/// Which node makes a tensor, by name. Each is made once.
fn makers<'a>(graph: &'a GraphProto, scope: &Scope, found: Found) -> Result<HashMap<&'a str, usize>> {
    let mut makers = HashMap::new();
    for (index, node) in graph.node.iter().enumerate() {
        for name in node.output.iter().filter(|name| !name.is_empty()) {
            if scope.get(name).is_some() || makers.insert(name.as_str(), index).is_some() {
                return Err(found.at(name, "two things in the graph give this tensor"));
            }
        }
    }
    Ok(makers)
}

/// The nodes, each behind those that it reads from. Fails when a node reads what nothing gives, or what depends on its own output (Kahn 1962).
fn ordered(
    graph: &GraphProto,
    scope: &Scope,
    makers: &HashMap<&str, usize>,
    found: Found,
) -> Result<Vec<usize>> {
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); graph.node.len()];
    let mut waits_for = vec![0usize; graph.node.len()];
    for (index, node) in graph.node.iter().enumerate() {
        for name in reads(node) {
            match makers.get(name) {
                Some(&maker) => {
                    readers[maker].push(index);
                    waits_for[index] += 1;
                }
                None if scope.get(name).is_some() => {}
                None => {
                    let problem = format!("it reads `{name}`, which nothing in the graph gives");
                    return Err(found.at(label(node), problem));
                }
            }
        }
    }
    let mut ready: Vec<usize> = (0..waits_for.len()).filter(|&index| waits_for[index] == 0).collect();
    let mut order = Vec::with_capacity(ready.len());
    while let Some(index) = ready.pop() {
        order.push(index);
        for &reader in &readers[index] {
            waits_for[reader] -= 1;
            if waits_for[reader] == 0 {
                ready.push(reader);
            }
        }
    }
    match waits_for.iter().position(|&waits_for| waits_for > 0) {
        Some(index) => Err(found.at(label(&graph.node[index]), "it is part of, or reads from, a cycle")),
        None => Ok(order),
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

/// What a declared shape says; named sizes count 1. Fails when it is absurd.
fn declared(value: &ValueInfoProto, found: Found) -> Result<Known> {
    let Some(type_proto::Value::TensorType(tensor)) = value.r#type.as_ref().and_then(|t| t.value.as_ref())
    else {
        return Ok(Known::default());
    };
    let fixed = tensor.shape.iter().flat_map(|shape| &shape.dim).map(|dim| match dim.value {
        Some(dimension::Value::DimValue(size)) => size,
        _ => 1,
    });
    let dims: Vec<i64> = fixed.collect();
    match tensor::elements(&dims) {
        Some(elements) if elements <= found.limits.elements => Ok(Known::shaped(&dims)),
        _ => Err(found.at(&value.name, format!("a tensor of the dimensions {dims:?} is declared"))),
    }
}

/// What a node makes. Fails on an operator that no engine has, that may run without end, or that makes a tensor of absurd
/// size, be it together with others.
fn operator(node: &NodeProto, scope: &Scope, found: Found) -> Result<Known> {
    let NodeProto { op_type, domain, .. } = node;
    if !DOMAINS.contains(&domain.as_str()) {
        let problem = format!("the operator {op_type} of the domain `{domain}` is none that an engine has");
        return Err(found.at_with(label(node), problem, STANDARD_OPERATORS));
    }
    if LOOPS.contains(&op_type.as_str()) {
        let problem = format!("the operator {op_type} runs as often as it likes, which is not accepted");
        return Err(found.at_with(label(node), problem, NO_LOOPS));
    }
    let constants = node.attribute.iter().flat_map(|attribute| attribute.t.iter().chain(&attribute.tensors));
    constants.into_iter().try_for_each(|constant| tensor::check(constant, found))?;
    let sparse = (node.attribute.iter()).flat_map(|a| a.sparse_tensor.iter().chain(&a.sparse_tensors));
    sparse.into_iter().try_for_each(|constant| tensor::check_sparse(constant, found))?;
    let limit = found.limits.elements as f64;
    let absurd = |known: &Known| known.elements.is_nan() || known.elements > limit;
    let known = match sizes::made(node, scope) {
        // The data of a constant are there, however many.
        Made::Given(known) if op_type != "Reshape" || !absurd(&known) => return Ok(known),
        Made::Given(known) | Made::Sized(known) => known,
    };
    if absurd(&known) {
        let problem = format!("{op_type} to the size of {:e} elements is absurd", known.elements);
        return Err(found.at_with(label(node), problem, NO_SIZES));
    }
    found.count(label(node), known.elements)?;
    Ok(known)
}
