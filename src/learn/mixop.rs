//! Mixops: every operator of a layer at once, mixed by p = softmax(α) — equation (2), with zero operators.
//!
//! After Mixop i the supernet is a set of *entries* (key, tensor, mass). A key is a width, or `Input` for the network's
//! own input, which is never merged with an entry of the same width. MLP operator k turns all incoming entries into one
//! of its own width, O_k = Σ_w π_w · relu(X_w·W_{w→k} + b_{w→k}), with mass p_k; the zero operator passes each
//! incoming entry on with mass p_zero·π_w. Entries of one width merge into their mass-weighted mean, and the masses
//! always sum to 1. Without zero operators this is equation (2) to the letter.
//!
//! The weights W_{w→k} of all k stand side by side in one matrix per incoming key, so a Mixop costs one matrix product
//! per entry instead of one per pair.

use super::{
    Learn,
    params::{DenseParams, Next, Params},
    values,
};
use crate::{base::Result, space::Operator};
use candle_core::Tensor;
use std::collections::{BTreeMap, BTreeSet};

/// Where an entry's tensor comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// The network's own input.
    Input,
    /// The output of MLP operators of this width.
    Width(usize),
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Key::Input => f.write_str("input"),
            Key::Width(width) => write!(f, "{width}"),
        }
    }
}

/// One tensor that is alive between two Mixops.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Which one.
    pub key: Key,
    /// `[rows, width]`.
    pub x: Tensor,
    /// `[1]`, the probability that the sampled network's activations are these.
    pub mass: Tensor,
}

/// The weights of one Mixop.
#[derive(Debug, Clone)]
pub struct Mixop {
    operators: Vec<Operator>,
    stacked: BTreeMap<Key, DenseParams>,
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

/// The width behind a key.
pub fn key_width(key: Key, input_width: usize) -> usize {
    match key {
        Key::Input => input_width,
        Key::Width(width) => width,
    }
}

impl Mixop {
    /// Weights `name.KEY.weight` of shape `[key's width, sum of MLP widths]` for each incoming key.
    pub fn new(
        params: &mut Params,
        name: &str,
        operators: &[Operator],
        before: &BTreeSet<Key>,
        input_width: usize,
    ) -> Result<Self> {
        let outputs = mlp_widths(operators).sum();
        let stacked = before
            .iter()
            .map(|&key| {
                let inputs = key_width(key, input_width);
                let dense = DenseParams::new(params, &format!("{name}.{key}"), inputs, outputs, Next::Relu)?;
                Ok((key, dense))
            })
            .collect::<Result<_>>()?;
        Ok(Self { operators: operators.to_vec(), stacked })
    }

    /// The entries after this Mixop, given those before it and p `[operators]`.
    pub fn forward(&self, entries: &[Entry], probabilities: &Tensor) -> Result<Vec<Entry>> {
        let p = values(probabilities)?;
        let alive = |k: usize| p[k] != 0.0;
        let mut after = BTreeMap::<Key, Entry>::new();
        if self.operators.iter().enumerate().any(|(k, o)| *o != Operator::Zero && alive(k)) {
            let mixed = self.mixed(entries)?;
            let mut column = 0;
            for (k, operator) in self.operators.iter().enumerate() {
                let Operator::Mlp(width) = *operator else { continue };
                if alive(k) {
                    let slice = || mixed.narrow(1, column, width)?.contiguous();
                    let key = Key::Width(width);
                    let mass = probabilities.narrow(0, k, 1).learn("read a mass")?;
                    after.insert(key, Entry { key, x: slice().learn("split a Mixop")?, mass });
                }
                column += width;
            }
        }
        for (k, _) in self.operators.iter().enumerate().filter(|(k, o)| **o == Operator::Zero && alive(*k)) {
            for entry in entries {
                let mass =
                    probabilities.narrow(0, k, 1).and_then(|p| p * &entry.mass).learn("pass a mass on")?;
                let passed = Entry { key: entry.key, x: entry.x.clone(), mass };
                let merged = match after.remove(&entry.key) {
                    Some(present) => merge(present, passed)?,
                    None => passed,
                };
                after.insert(entry.key, merged);
            }
        }
        Ok(after.into_values().collect())
    }

    /// Σ_w π_w · relu(X_w·W_w + b_w), all operators side by side.
    fn mixed(&self, entries: &[Entry]) -> Result<Tensor> {
        let mut sum: Option<Tensor> = None;
        for entry in entries {
            let part = || {
                let y = self.stacked[&entry.key].forward(&entry.x)?.relu()?;
                // A lone entry has mass 1 by construction: nothing to multiply.
                if entries.len() == 1 { Ok(y) } else { y.broadcast_mul(&entry.mass) }
            };
            let part = part().learn("run a Mixop")?;
            sum = Some(match sum {
                Some(sum) => (sum + part).learn("mix operators")?,
                None => part,
            });
        }
        Ok(sum.expect("some entry is always alive"))
    }

    /// Weight `[inputs, width]` and bias of the pair `from` → operator of `width`.
    pub fn pair(&self, from: Key, width: usize) -> Result<DenseParams> {
        let start: usize = mlp_widths(&self.operators).take_while(|&w| w != width).sum();
        let dense = &self.stacked[&from];
        Ok(DenseParams {
            weight: dense.weight.narrow(1, start, width).learn("read a pair's weights")?,
            bias: dense.bias.narrow(0, start, width).learn("read a pair's biases")?,
        })
    }
}

fn mlp_widths(operators: &[Operator]) -> impl Iterator<Item = usize> {
    operators.iter().filter_map(|operator| match operator {
        Operator::Mlp(width) => Some(*width),
        Operator::Zero => None,
    })
}

/// The mass-weighted mean of two entries of one width, with their joint mass.
fn merge(a: Entry, b: Entry) -> Result<Entry> {
    let compute = || {
        let mass = (&a.mass + &b.mass)?;
        let weighted = (a.x.broadcast_mul(&a.mass)? + b.x.broadcast_mul(&b.mass)?)?;
        Ok((weighted.broadcast_div(&mass)?, mass))
    };
    let (x, mass) = compute().learn("merge entries")?;
    Ok(Entry { key: a.key, x, mass })
}
