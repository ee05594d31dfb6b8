//! Trees as a safetensors file: inputs as those of a network, nodes as one tensor per field.

use super::ensemble::{Branch, Forest, Node, Trees};
use crate::{
    base::Result,
    learn::network_file::{self, InputDescription, matrix},
};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Key of the JSON inside the file's metadata.
const DESCRIPTION: &str = "autofas.trees";

/// The input of a leaf.
const LEAF: u32 = u32::MAX;

#[derive(Serialize, Deserialize)]
struct Description {
    inputs: Vec<InputDescription>,
    base_score: f32,
}

/// A node as the file's tensors hold it: the threshold of a split or the value of a leaf, where a leaf's other fields say
/// nothing.
struct Row {
    input: u32,
    number: f32,
    missing_below: u8,
    other: u32,
}

impl From<&Node> for Row {
    fn from(node: &Node) -> Self {
        match *node {
            Node::Split { input, threshold, missing, other } => {
                Self { input, number: threshold, missing_below: (missing == Branch::Below).into(), other }
            }
            Node::Leaf { value } => Self { input: LEAF, number: value, missing_below: 0, other: 0 },
        }
    }
}

impl From<Row> for Node {
    fn from(Row { input, number, missing_below, other }: Row) -> Self {
        let missing = if missing_below == 0 { Branch::Other } else { Branch::Below };
        match input {
            LEAF => Self::Leaf { value: number },
            _ => Self::Split { input, threshold: number, missing, other },
        }
    }
}

impl Trees {
    /// Writes the trees atomically.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut tensors = network_file::input_tensors(&self.inputs)?;
        let rows: Vec<Row> = self.forest.nodes.iter().map(Row::from).collect();
        let fields = [
            ("roots", matrix(&self.forest.roots, 1)?),
            ("gains", matrix(&self.forest.gains, 1)?),
            ("nodes.input", matrix(&rows.iter().map(|row| row.input).collect::<Vec<_>>(), 1)?),
            ("nodes.number", matrix(&rows.iter().map(|row| row.number).collect::<Vec<_>>(), 1)?),
            (
                "nodes.missing_below",
                matrix(&rows.iter().map(|row| row.missing_below).collect::<Vec<_>>(), 1)?,
            ),
            ("nodes.other", matrix(&rows.iter().map(|row| row.other).collect::<Vec<_>>(), 1)?),
        ];
        tensors.extend(fields.map(|(name, tensor)| (name.to_owned(), tensor)));
        let description =
            Description { inputs: network_file::describe(&self.inputs), base_score: self.forest.base_score };
        network_file::write(path, DESCRIPTION, &description, tensors)
    }

    /// Reads trees that [`Trees::save`] wrote.
    pub fn load(path: &Path) -> Result<Self> {
        network_file::read(path, |bytes| {
            let (description, tensors) = network_file::open::<Description>(bytes, DESCRIPTION)?;
            let (inputs, count) = tensors.rows::<u32>("nodes.input")?;
            let (numbers, _) = tensors.rows::<f32>("nodes.number")?;
            let (missing, _) = tensors.rows::<u8>("nodes.missing_below")?;
            let (others, _) = tensors.rows::<u32>("nodes.other")?;
            if [inputs.len(), numbers.len(), missing.len(), others.len()] != [count; 4] {
                return Err("its nodes do not have the same number of every field".to_owned());
            }
            let node = |at: usize| {
                let (input, number) = (inputs[at], numbers[at]);
                Node::from(Row { input, number, missing_below: missing[at], other: others[at] })
            };
            let forest = Forest {
                base_score: description.base_score,
                roots: tensors.rows("roots")?.0,
                nodes: (0..count).map(node).collect(),
                gains: tensors.rows("gains")?.0,
            };
            let trees = Self { inputs: tensors.inputs(description.inputs)?, forest };
            trees.check()?;
            Ok(trees)
        })
    }
}
