//! The nodes of trees in the file of a network: a tensor per field.

use super::{matrix, rows};
use crate::{
    base::Result,
    learn::network::{Branch, Forest, Node},
};
use candle_core::Tensor;
use safetensors::SafeTensors;
use std::collections::BTreeMap;

const ROOTS: &str = "roots";
const GAINS: &str = "gains";
const INPUT: &str = "nodes.input";
const NUMBER: &str = "nodes.number";
const MISSING_BELOW: &str = "nodes.missing_below";
const OTHER: &str = "nodes.other";

/// The input of a leaf.
const LEAF: u32 = u32::MAX;

/// A node as the tensors hold it: input, threshold or the leaf's value, whether a missing value goes below, and the other
/// branch. Of a leaf the last two say nothing.
type Row = (u32, f32, u8, u32);

fn row(node: &Node) -> Row {
    match *node {
        Node::Split { input, threshold, missing, other } => {
            (input, threshold, (missing == Branch::Below).into(), other)
        }
        Node::Leaf { value } => (LEAF, value, 0, 0),
    }
}

fn node((input, number, missing_below, other): Row) -> Node {
    let missing = if missing_below == 0 { Branch::Other } else { Branch::Below };
    match input {
        LEAF => Node::Leaf { value: number },
        _ => Node::Split { input, threshold: number, missing, other },
    }
}

/// Adds the tensors of a forest.
pub(super) fn insert(tensors: &mut BTreeMap<String, Tensor>, forest: &Forest) -> Result<()> {
    let nodes: Vec<Row> = forest.nodes.iter().map(row).collect();
    let inputs: Vec<u32> = nodes.iter().map(|row| row.0).collect();
    let numbers: Vec<f32> = nodes.iter().map(|row| row.1).collect();
    let missing: Vec<u8> = nodes.iter().map(|row| row.2).collect();
    let others: Vec<u32> = nodes.iter().map(|row| row.3).collect();
    let fields = [
        (ROOTS, matrix(&forest.roots, 1)?),
        (GAINS, matrix(&forest.gains, 1)?),
        (INPUT, matrix(&inputs, 1)?),
        (NUMBER, matrix(&numbers, 1)?),
        (MISSING_BELOW, matrix(&missing, 1)?),
        (OTHER, matrix(&others, 1)?),
    ];
    tensors.extend(fields.map(|(name, tensor)| (name.to_owned(), tensor)));
    Ok(())
}

/// Reads a forest over so many inputs, found to be whole.
pub(super) fn read(file: &SafeTensors, base_score: f32, inputs: usize) -> Result<Forest, String> {
    let (of_nodes, count) = rows::<u32>(file, INPUT)?;
    let (numbers, missing, others) =
        (rows::<f32>(file, NUMBER)?.0, rows::<u8>(file, MISSING_BELOW)?.0, rows::<u32>(file, OTHER)?.0);
    if [of_nodes.len(), numbers.len(), missing.len(), others.len()] != [count; 4] {
        return Err("its nodes do not have the same number of every field".to_owned());
    }
    let at = |index: usize| node((of_nodes[index], numbers[index], missing[index], others[index]));
    let forest = Forest {
        base_score,
        roots: rows(file, ROOTS)?.0,
        nodes: (0..count).map(at).collect(),
        gains: rows(file, GAINS)?.0,
    };
    forest.check(inputs)?;
    Ok(forest)
}
