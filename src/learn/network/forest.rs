//! Trees instead of layers: what gradient boosting gives.

use serde::{Deserialize, Serialize};

/// A node of a tree. A tree's nodes stand in preorder: the branch below a threshold begins at the next node.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Node {
    /// Goes on at the next node where x < `threshold` in single precision, and at `other` elsewhere.
    Split {
        /// Of the ensemble's inputs.
        input: u32,
        /// What its value is compared with.
        threshold: f32,
        /// Where a missing value goes.
        missing: Branch,
        /// Where the other branch begins, in the ensemble's nodes.
        other: u32,
    },
    /// Adds `value` to the log-odds.
    Leaf {
        /// The learning rate is inside.
        value: f32,
    },
}

/// A way out of a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Branch {
    /// The one of smaller values.
    Below,
    /// The one of larger values.
    Other,
}

/// Trees over values that stand side by side: log-odds = `base_score` + Σ over the trees of the leaf that the row comes to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Forest {
    /// Log-odds before the first tree.
    pub base_score: f32,
    /// The first node of every tree, ascending from 0.
    pub roots: Vec<u32>,
    /// Of all trees, one behind the other.
    pub nodes: Vec<Node>,
    /// By how much splits on each input lowered the training loss in all.
    pub gains: Vec<f64>,
}

impl Forest {
    /// The log-odds of one row, from a value per input.
    pub fn log_odds(&self, x: &[f32]) -> f32 {
        self.roots.iter().fold(self.base_score, |sum, &root| sum + self.leaf(root as usize, x))
    }

    fn leaf(&self, mut at: usize, x: &[f32]) -> f32 {
        loop {
            match self.nodes[at] {
                Node::Leaf { value } => return value,
                Node::Split { input, threshold, missing, other } => {
                    let x = x[input as usize];
                    let below = if x.is_nan() { missing == Branch::Below } else { x < threshold };
                    at = if below { at + 1 } else { other as usize };
                }
            }
        }
    }

    /// Where each tree begins, and its nodes.
    pub fn trees(&self) -> impl Iterator<Item = (usize, &[Node])> {
        let ends = self.roots.iter().skip(1).map(|&root| root as usize).chain([self.nodes.len()]);
        self.roots.iter().zip(ends).map(|(&root, end)| (root as usize, &self.nodes[root as usize..end]))
    }

    /// Numbers that were learned: the base score, thresholds and leaves.
    pub(super) fn parameters(&self) -> usize {
        1 + self.nodes.len()
    }

    /// What keeps the numbers from being trees over so many inputs; whatever passes can be walked and exported.
    pub fn check(&self, inputs: usize) -> Result<(), String> {
        if self.gains.len() != inputs {
            return Err("it does not have one gain for each of its inputs".to_owned());
        }
        let ascending = self.roots.windows(2).all(|pair| pair[0] < pair[1]);
        let last = self.roots.last().is_some_and(|&root| (root as usize) < self.nodes.len());
        if self.roots.first() != Some(&0) || !ascending || !last {
            return Err("its trees do not begin at nodes of their own".to_owned());
        }
        match self.trees().find(|(root, nodes)| preorder(*root, nodes, inputs) != Some(nodes.len())) {
            Some((root, _)) => Err(format!("the tree at node {root} is not whole")),
            None => Ok(()),
        }
    }
}

/// The number of nodes of the tree at the beginning of `nodes`; None when a branch leads elsewhere than behind the other.
fn preorder(root: usize, nodes: &[Node], inputs: usize) -> Option<usize> {
    // Where branches that were seen but not begun have to begin.
    let mut open = Vec::new();
    for (at, node) in nodes.iter().enumerate() {
        match *node {
            Node::Split { input, threshold, other, .. } => {
                if input as usize >= inputs || threshold.is_nan() {
                    return None;
                }
                open.push(other as usize);
            }
            Node::Leaf { .. } => match open.pop() {
                Some(other) if other == root + at + 1 => {}
                Some(_) => return None,
                None => return Some(at + 1),
            },
        }
    }
    None
}

#[cfg(test)]
mod tests;
