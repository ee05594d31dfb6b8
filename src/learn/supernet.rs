//! The supernet: all pre-ranking candidates in one network. Masked embeddings → Mixop 1 … Mixop L → one output node.

use super::{
    Learn,
    device::device,
    mixop::{Block, Entry, Mixop, keys_after},
    ops::dense::{Follow, dense},
    params::{DenseParams, Next, Params},
};
use crate::{
    base::Result,
    space::{Key, SearchSpace},
};
use candle_core::{DType, Tensor};
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
    /// Creates `alphaI`, `mixopI` and `output.KEY.*` (I from 1) in `params`; all α start equal.
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
                let inputs = key.width(input_width);
                Ok((key, DenseParams::new(params, &format!("output.{key}"), inputs, 1, Next::Output)?))
            })
            .collect::<Result<_>>()?;
        Ok(Self { space: space.clone(), mixops, alphas, output })
    }

    /// p = softmax(α) of every Mixop, with gradient.
    pub fn probabilities(&self) -> Result<Vec<Tensor>> {
        self.alphas.iter().map(|alpha| softmax(alpha, 0).learn("compute operator probabilities")).collect()
    }

    /// α of every Mixop.
    pub fn alphas(&self) -> &[Tensor] {
        &self.alphas
    }

    /// Logits `[rows]` from the masked input `[rows, width]` under the given p of every Mixop.
    pub fn forward(&self, input: &Tensor, probabilities: &[Tensor]) -> Result<Tensor> {
        let mass = Tensor::ones(1, DType::F32, device()).learn("start the supernet")?;
        let mut blocks = vec![Block { x: input.clone(), entries: vec![Entry { key: Key::Input, mass }] }];
        for (mixop, p) in self.mixops.iter().zip(probabilities) {
            blocks = mixop.forward(blocks, p)?;
        }
        let parts: Vec<Tensor> = blocks.iter().map(|block| self.logits(block)).collect::<Result<_>>()?;
        parts
            .into_iter()
            .map(Ok)
            .reduce(|a, b| a? + b?)
            .expect("some entry is always alive")
            .learn("mix the outputs")
    }

    /// What the entries of a block add to the logits: Σ_w π_w·(X_w·v_w + b_w), `[rows]`.
    fn logits(&self, block: &Block) -> Result<Tensor> {
        let compute = || {
            let (mut weights, mut biases) = (Vec::new(), Vec::new());
            for Entry { key, mass } in &block.entries {
                let DenseParams { weight, bias } = &self.output[key];
                weights.push(weight.broadcast_mul(mass)?);
                biases.push(bias.mul(mass)?);
            }
            let bias = Tensor::cat(&biases, 0)?.sum_keepdim(0)?;
            dense(&block.x, &Tensor::cat(&weights, 0)?, &bias, Follow::Nothing)?.squeeze(1)
        };
        compute().learn("run the output node")
    }

    /// The space it was made for.
    pub fn space(&self) -> &SearchSpace {
        &self.space
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        data::dataset::Batch,
        learn::{
            embedding::{EmbeddingBank, input_features, rows_in_schema_order},
            fixtures::{every_row, mixed, scramble},
            network::{Body, Dense, Network},
            settings::TeacherSettings,
            teacher::{Teacher, masked},
            train::Trainable,
            values,
        },
        price::fixtures::space_of,
        space::{Operator, Subnet},
    };
    use candle_core::Device;
    use candle_nn::ops::sigmoid;

    /// The weights that `subnet` has inside the supernet, as dense layers whose first takes the chosen features in
    /// schema order. Sigmoid aside, they give the supernet's output when all mass lies on the subnet's path.
    fn inherit(supernet: &Supernet, subnet: &Subnet, bank: &EmbeddingBank) -> Result<Vec<Dense>> {
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
        for (mixop, operator) in supernet.mixops.iter().zip(&subnet.operators) {
            if let Operator::Mlp(width) = *operator {
                push(from, mixop.pair(from, width)?)?;
                from = Key::Width(width);
            }
        }
        push(from, supernet.output[&from].clone())?;
        Ok(layers)
    }

    /// p with all mass on the operators of `subnet`.
    fn one_hot(space: &SearchSpace, subnet: &Subnet) -> Result<Vec<Tensor>> {
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

    fn mlp(width: usize) -> Operator {
        Operator::Mlp(width)
    }

    #[test]
    fn a_derived_networks_output_equals_the_supernets_when_all_mass_lies_on_its_path() {
        let (schema, loaded) = mixed();
        let data = &loaded.dataset;
        // A width of 37 is that of the input, with which it must not be confused.
        let space = space_of(schema.features.clone(), &[&[5, 0, 37], &[37, 5, 0], &[0, 7, 5]]);
        let every: Vec<usize> = (0..space.features.len()).collect();
        let features = input_features(&space.features, &every, data).unwrap();
        let settings = TeacherSettings::default();
        let teacher = Teacher::new(features, data.partition_count, &settings, 1).unwrap();
        assert_eq!(teacher.bank().width(), 37);
        let mut params = Params::new(1);
        let supernet = Supernet::new(&space, teacher.bank().width(), &mut params).unwrap();
        scramble(teacher.params());
        scramble(&params);
        let zero = Operator::Zero;
        for (features, operators) in [
            (every.clone(), [mlp(5), mlp(37), mlp(7)]),
            (vec![0, 2, 3, 7], [zero, mlp(5), mlp(5)]),
            (vec![1, 2, 4, 6], [mlp(37), zero, mlp(7)]),
            (vec![0, 1, 2, 5], [mlp(5), mlp(5), zero]),
            (vec![2, 5], [zero, zero, mlp(7)]),
            (vec![7], [mlp(37), zero, zero]),
            (vec![0, 3, 4, 6], [zero, zero, zero]),
        ] {
            let subnet = Subnet { features, operators: operators.to_vec() };
            let kept = |i: usize| subnet.features.contains(&i);
            let inputs = teacher.bank().to_plain().unwrap().into_iter().enumerate();
            let network = Network {
                inputs: inputs.filter(|(i, _)| kept(*i)).map(|(_, input)| input).collect(),
                body: Body::Mlp(inherit(&supernet, &subnet, teacher.bank()).unwrap()),
            };
            let rows = every_row(data);
            let gates: Vec<f32> = every.iter().map(|&i| f32::from(u8::from(kept(i)))).collect();
            let gates = Tensor::from_vec(gates, (1, every.len()), &Device::Cpu).unwrap();
            let embedded = teacher.embed(&Batch::of(data, &rows)).unwrap();
            let input = masked(&teacher, &embedded, &gates).unwrap();
            let logits = supernet.forward(&input, &one_hot(&space, &subnet).unwrap()).unwrap();
            let wanted = values(&sigmoid(&logits).unwrap()).unwrap();
            let found = network.score(data, &rows).unwrap();
            let spread = found.iter().fold(0f32, |most, x| most.max((x - found[0]).abs()));
            assert!(spread > 0.01, "{subnet:?}: scores that are all alike compare nothing");
            for (found, wanted) in found.iter().zip(wanted) {
                assert!((found - wanted).abs() < 1e-5, "{subnet:?}: {found} {wanted}");
            }
        }
    }
}
