//! The supernet: all pre-ranking candidates in one network. Masked embeddings → Mixop 1 … Mixop L → one output node.

use super::{
    Learn,
    embedding::{EmbeddingBank, rows_in_schema_order},
    mixop::{Entry, Key, Mixop, key_width, keys_after},
    network::Dense,
    params::{DenseParams, Next, Params},
};
use crate::{
    base::Result,
    space::{Operator, SearchSpace, Subnet},
};
use candle_core::{DType, Device, Tensor};
use candle_nn::ops::softmax;
use std::collections::{BTreeMap, BTreeSet};

/// Names of the operator weights α in [`Params`] begin with this.
pub const ALPHA: &str = "alpha";

/// Operator weights, pairwise MLPs and output node. The embeddings belong to the teacher.
#[derive(Debug, Clone)]
pub struct Supernet {
    space: SearchSpace,
    mixops: Vec<Mixop>,
    alphas: Vec<Tensor>,
    output: BTreeMap<Key, DenseParams>,
}

impl Supernet {
    /// Creates `alphaI`, `mixopI.KEY.*` and `output.KEY.*` (I from 1) in `params`; all α start equal.
    pub fn new(space: &SearchSpace, input_width: usize, params: &mut Params) -> Result<Self> {
        let mut keys = BTreeSet::from([Key::Input]);
        let (mut mixops, mut alphas) = (Vec::new(), Vec::new());
        for (i, operators) in space.mixops.iter().enumerate() {
            alphas.push(params.constant(&format!("{ALPHA}{}", i + 1), operators.len(), 0.0)?);
            mixops.push(Mixop::new(params, &format!("mixop{}", i + 1), operators, &keys, input_width)?);
            keys = keys_after(operators, &keys);
        }
        let output = keys
            .into_iter()
            .map(|key| {
                let inputs = key_width(key, input_width);
                Ok((key, DenseParams::new(params, &format!("output.{key}"), inputs, 1, Next::Output)?))
            })
            .collect::<Result<_>>()?;
        Ok(Self { space: space.clone(), mixops, alphas, output })
    }

    /// p = softmax(α) of every Mixop, with gradient.
    pub fn probabilities(&self) -> Result<Vec<Tensor>> {
        self.alphas.iter().map(|alpha| softmax(alpha, 0).learn("compute operator probabilities")).collect()
    }

    /// Logits `[rows]` from the masked input `[rows, width]` under the given p of every Mixop.
    pub fn forward(&self, input: &Tensor, probabilities: &[Tensor]) -> Result<Tensor> {
        let mass = Tensor::ones(1, DType::F32, &Device::Cpu).learn("start the supernet")?;
        let mut entries = vec![Entry { key: Key::Input, x: input.clone(), mass }];
        for (mixop, p) in self.mixops.iter().zip(probabilities) {
            entries = mixop.forward(&entries, p)?;
        }
        let mut logits: Option<Tensor> = None;
        for entry in &entries {
            let part = || self.output[&entry.key].forward(&entry.x)?.broadcast_mul(&entry.mass)?.squeeze(1);
            let part = part().learn("run the output node")?;
            logits = Some(match logits {
                Some(sum) => (sum + part).learn("mix the outputs")?,
                None => part,
            });
        }
        Ok(logits.expect("some entry is always alive"))
    }

    /// The weights that `subnet` has inside the supernet, as dense layers whose first takes the chosen features in
    /// schema order. Sigmoid aside, they give the supernet's output when all mass lies on the subnet's path.
    pub fn inherit(&self, subnet: &Subnet, bank: &EmbeddingBank) -> Result<Vec<Dense>> {
        let mut from = Key::Input;
        let mut layers = Vec::new();
        let mut push = |from: Key, dense: DenseParams| -> Result<()> {
            let weight = match from {
                Key::Input => rows_in_schema_order(bank, &subnet.features, &dense.weight)?,
                Key::Width(_) => dense.weight,
            };
            layers.push(DenseParams { weight, bias: dense.bias }.to_plain()?);
            Ok(())
        };
        for (mixop, operator) in self.mixops.iter().zip(&subnet.operators) {
            if let Operator::Mlp(width) = *operator {
                push(from, mixop.pair(from, width)?)?;
                from = Key::Width(width);
            }
        }
        push(from, self.output[&from].clone())?;
        Ok(layers)
    }

    /// The space it was made for.
    pub fn space(&self) -> &SearchSpace {
        &self.space
    }
}

/// p with all mass on the operators of `subnet`.
pub fn one_hot(space: &SearchSpace, subnet: &Subnet) -> Result<Vec<Tensor>> {
    space
        .mixops
        .iter()
        .zip(&subnet.operators)
        .map(|(operators, chosen)| {
            let mass: Vec<f32> = operators.iter().map(|o| f32::from(u8::from(o == chosen))).collect();
            Tensor::new(mass, &Device::Cpu).learn("write operator probabilities")
        })
        .collect()
}
