//! Mixops: every operator of a layer at once, mixed by p = softmax(α) — equation (2), with zero operators.
//!
//! After Mixop i the supernet is a set of *entries* (key, tensor, mass). A key is a width, or `Input` for the network's
//! own input, which is never merged with an entry of the same width. MLP operator k turns all incoming entries into one
//! of its own width, O_k = Σ_w π_w · relu(X_w·W_{w→k} + b_{w→k}), with mass p_k; the zero operator passes each
//! incoming entry on with mass p_zero·π_w. Entries of one width merge into their mass-weighted mean, and the masses
//! always sum to 1. Without zero operators this is equation (2) to the letter.
//!
//! The weights of all pairs are one matrix: the operators stand side by side, the incoming keys one under the other. So a
//! Mixop costs one matrix product per entry instead of one per pair (see [`mix`](super::ops::mix)).

use super::{
    Learn,
    device::device,
    ops::mix::{Incoming, Outgoing, Plan, Source, mix},
    params::{Next, Params},
    values,
};
use crate::{
    base::Result,
    space::{Key, Operator},
};
use candle_core::Tensor;
use std::collections::{BTreeMap, BTreeSet};

/// Entries whose tensors are neighbouring columns of one tensor.
#[derive(Debug, Clone)]
pub struct Block {
    /// `[rows, Σ widths]`.
    pub x: Tensor,
    /// From left to right.
    pub entries: Vec<Entry>,
}

/// One tensor that is alive between two Mixops.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Which one.
    pub key: Key,
    /// `[1]`, the probability that the sampled network's activations are these.
    pub mass: Tensor,
}

/// The weights of one Mixop.
#[derive(Debug, Clone)]
pub struct Mixop {
    operators: Vec<Operator>,
    input_width: usize,
    /// First row of each incoming key; the row after its last holds its biases.
    rows: BTreeMap<Key, usize>,
    /// `[Σ (key's width + 1), Σ MLP widths]`.
    weights: Tensor,
}

/// The keys that are alive after a Mixop with `operators`, given those before it.
pub fn keys_after(operators: &[Operator], before: &BTreeSet<Key>) -> BTreeSet<Key> {
    let mut after = BTreeSet::new();
    for operator in operators {
        match operator {
            Operator::Mlp(width) => {
                after.insert(Key::Width(*width));
            }
            Operator::Zero => after.extend(before),
        }
    }
    after
}

impl Mixop {
    /// One parameter `name`: the weights and biases of every pair.
    pub fn new(
        params: &mut Params,
        name: &str,
        operators: &[Operator],
        before: &BTreeSet<Key>,
        input_width: usize,
    ) -> Result<Self> {
        let outputs = mlps(operators).map(|(_, width)| width).sum();
        let inputs: Vec<(String, usize)> =
            before.iter().map(|key| (key.to_string(), key.width(input_width))).collect();
        let weights = params.stacked(name, &inputs, outputs, Next::Relu)?;
        let mut next = 0;
        let rows = before.iter().map(|&key| {
            next += key.width(input_width) + 1;
            (key, next - key.width(input_width) - 1)
        });
        Ok(Self { operators: operators.to_vec(), input_width, rows: rows.collect(), weights })
    }

    /// The entries after this Mixop, given those before it and p `[operators]`. Operators of probability 0 take no part.
    pub fn forward(&self, blocks: Vec<Block>, probabilities: &Tensor) -> Result<Vec<Block>> {
        let p = values(probabilities)?;
        let probability = |k: usize| probabilities.narrow(0, k, 1).learn("read a probability");
        let zero = self.operators.iter().position(|operator| *operator == Operator::Zero);
        let zero = zero.filter(|&k| p[k] != 0.0).map(probability).transpose()?;
        let arrived = Arrived::new(&blocks, self)?;
        let mut plan = Plan { incoming: arrived.incoming.clone(), outgoing: Vec::new() };
        let mut after = Vec::new();
        let (mut mixed, mut passed) = (Vec::new(), Vec::new());
        let mut weight_column = 0;
        for (k, width) in mlps(&self.operators) {
            if p[k] != 0.0 {
                let key = Key::Width(width);
                let twin = zero.as_ref().zip(arrived.keys.iter().position(|&arrived| arrived == key));
                let shares = Shares::of(probability(k)?, twin.map(|(zero, j)| (zero, &arrived.masses[j])))?;
                plan.outgoing.push(Outgoing { weight_column, width, passed: twin.map(|(_, j)| j) });
                mixed.push(shares.mixed);
                passed.push(shares.passed);
                after.push(Entry { key, mass: shares.mass });
            }
            weight_column += width;
        }
        let merged: BTreeSet<Key> = after.iter().map(|entry| entry.key).collect();
        let mut out = Vec::new();
        if !after.is_empty() {
            let coefficients: Vec<Tensor> =
                arrived.masses.iter().cloned().chain(mixed).chain(passed).collect();
            let coefficients = Tensor::cat(&coefficients, 0).learn("read the masses")?;
            let (moving, fixed) = (&arrived.moving, arrived.fixed.as_ref());
            let x = mix(plan, moving, fixed, &self.weights, &coefficients).learn("run a Mixop")?;
            out.push(Block { x, entries: after });
        }
        if let Some(zero) = zero {
            for block in blocks {
                out.extend(self.pass_on(block, &merged, &zero)?);
            }
        }
        Ok(out)
    }

    /// The entries of a block that the zero operator passes on, without those that were merged.
    fn pass_on(&self, block: Block, merged: &BTreeSet<Key>, zero: &Tensor) -> Result<Vec<Block>> {
        let passed = |entry: &Entry| {
            let mass = (zero * &entry.mass).learn("pass a mass on")?;
            Ok(Entry { key: entry.key, mass })
        };
        if block.entries.iter().all(|entry| !merged.contains(&entry.key)) {
            let entries = block.entries.iter().map(passed).collect::<Result<_>>()?;
            return Ok(vec![Block { x: block.x, entries }]);
        }
        let mut out = Vec::new();
        let mut column = 0;
        for entry in &block.entries {
            let width = entry.key.width(self.input_width);
            if !merged.contains(&entry.key) {
                let x = block.x.narrow(1, column, width).learn("pass an entry on")?;
                out.push(Block { x, entries: vec![passed(entry)?] });
            }
            column += width;
        }
        Ok(out)
    }

    /// Weight `[inputs, width]` and bias of the pair `from` → operator of `width`.
    #[cfg(test)]
    pub(super) fn pair(&self, from: Key, width: usize) -> Result<super::params::DenseParams> {
        let before = mlps(&self.operators).take_while(|&(_, w)| w != width);
        let column: usize = before.map(|(_, width)| width).sum();
        let (row, inputs) = (self.rows[&from], from.width(self.input_width));
        let part = |row: usize, rows: usize| self.weights.narrow(0, row, rows)?.narrow(1, column, width);
        Ok(super::params::DenseParams {
            weight: part(row, inputs).learn("read a pair's weights")?,
            bias: part(row + inputs, 1).and_then(|row| row.squeeze(0)).learn("read a pair's biases")?,
        })
    }
}

/// The MLP operators with their places.
fn mlps(operators: &[Operator]) -> impl Iterator<Item = (usize, usize)> {
    operators.iter().enumerate().filter_map(|(k, operator)| match operator {
        Operator::Mlp(width) => Some((k, *width)),
        Operator::Zero => None,
    })
}

/// The entries that come in, with their columns put together.
struct Arrived {
    keys: Vec<Key>,
    masses: Vec<Tensor>,
    incoming: Vec<Incoming>,
    /// Where gradients flow.
    moving: Tensor,
    /// Where none do, if there is anything beside `moving`.
    fixed: Option<Tensor>,
}

impl Arrived {
    fn new(blocks: &[Block], mixop: &Mixop) -> Result<Self> {
        let (moving, fixed): (Vec<&Block>, Vec<&Block>) = blocks.iter().partition(|block| block.x.track_op());
        let (moving, fixed) = if moving.is_empty() { (fixed, moving) } else { (moving, fixed) };
        let mut arrived = Self {
            keys: Vec::new(),
            masses: Vec::new(),
            incoming: Vec::new(),
            moving: beside(&moving)?,
            fixed: if fixed.is_empty() { None } else { Some(beside(&fixed)?) },
        };
        for (source, blocks) in [(Source::Moving, moving), (Source::Fixed, fixed)] {
            let mut column = 0;
            for entry in blocks.iter().flat_map(|block| &block.entries) {
                let (width, weight_row) = (entry.key.width(mixop.input_width), mixop.rows[&entry.key]);
                arrived.incoming.push(Incoming { source, column, width, weight_row });
                arrived.keys.push(entry.key);
                arrived.masses.push(entry.mass.clone());
                column += width;
            }
        }
        Ok(arrived)
    }
}

/// The columns of all blocks side by side.
fn beside(blocks: &[&Block]) -> Result<Tensor> {
    match blocks {
        [only] => Ok(only.x.clone()),
        _ => Tensor::cat(&blocks.iter().map(|block| &block.x).collect::<Vec<_>>(), 1)
            .learn("put entries together"),
    }
}

/// How an operator's output and an entry of its width that the zero operator passes on share their joint mass.
struct Shares {
    mass: Tensor,
    /// Of the operator's output.
    mixed: Tensor,
    /// Of the passed entry.
    passed: Tensor,
}

impl Shares {
    fn of(probability: Tensor, twin: Option<(&Tensor, &Tensor)>) -> Result<Self> {
        let Some((zero, mass)) = twin else {
            let constant = |value: f32| Tensor::new(&[value], device()).learn("write a share");
            return Ok(Self { mass: probability, mixed: constant(1.0)?, passed: constant(0.0)? });
        };
        let compute = || {
            let passed = (zero * mass)?;
            let joint = (&probability + &passed)?;
            Ok(Self { mixed: (&probability / &joint)?, passed: (passed / &joint)?, mass: joint })
        };
        compute().learn("merge entries")
    }
}
