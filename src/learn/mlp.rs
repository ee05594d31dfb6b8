//! Dense layers with ReLU between, seeded dropout, and one output node.

use super::{
    Learn,
    ops::dense::{Follow, kept},
    params::{DenseParams, Next, Params},
    settings::TrainSettings,
};
use crate::{
    base::{Result, rng::Generator},
    data::dataset::Batch,
};
use candle_core::Tensor;
use rand::Rng;

/// Whether a forward pass trains (dropout active, drawn from the generator) or evaluates.
pub enum Mode<'a> {
    /// Dropout with this probability.
    Train {
        /// Share of activations set to 0.
        dropout: f32,
        /// Where the draws come from.
        rng: &'a mut Generator,
        /// Where the rows begin in the batch that they are a shard of.
        first_row: usize,
    },
    /// No dropout.
    Evaluate,
}

impl Mode<'_> {
    /// What follows a hidden layer; each call draws anew.
    fn after_relu(&mut self) -> Follow {
        match self {
            Mode::Train { dropout, rng, first_row } if *dropout > 0.0 => {
                Follow::ReluDropout { keep: 1.0 - *dropout, seed: rng.next_u64(), first_row: *first_row }
            }
            _ => Follow::Relu,
        }
    }

    /// The rows that come now begin elsewhere.
    pub fn begin_at(&mut self, row: usize) {
        if let Mode::Train { first_row, .. } = self {
            *first_row = row;
        }
    }
}

/// Hidden layers, each with a ReLU and dropout.
#[derive(Debug, Clone)]
pub struct Hidden {
    layers: Vec<DenseParams>,
    width: usize,
}

impl Hidden {
    /// `name.0`, `name.1`, … from `inputs` through `widths`.
    pub fn new(params: &mut Params, name: &str, inputs: usize, widths: &[usize]) -> Result<Self> {
        let mut width = inputs;
        let mut layers = Vec::with_capacity(widths.len());
        for (i, &next) in widths.iter().enumerate() {
            layers.push(DenseParams::new(params, &format!("{name}.{i}"), width, next, Next::Relu)?);
            width = next;
        }
        Ok(Self { layers, width })
    }

    /// Width of the output.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The layers' parameters.
    pub fn layers(&self) -> &[DenseParams] {
        &self.layers
    }

    /// `[rows, inputs]` → `[rows, width]`.
    pub fn forward(&self, x: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        let mut x = x.clone();
        for layer in &self.layers {
            x = layer.forward(&x, mode.after_relu()).learn("run a dense layer")?;
        }
        Ok(x)
    }

    /// Makes the draws of [`Hidden::forward`] and nothing else.
    pub fn pass_over(&self, mode: &mut Mode) {
        for _ in &self.layers {
            mode.after_relu();
        }
    }

    /// The same values without gradient.
    pub fn detached(&self) -> Self {
        Self { layers: self.layers.iter().map(DenseParams::detached).collect(), width: self.width }
    }
}

/// Inverted dropout: keeps each value of x `[rows, columns]` with probability 1 − p and divides it by 1 − p.
pub fn dropout(x: Tensor, mode: &mut Mode) -> Result<Tensor> {
    let Follow::ReluDropout { keep, seed, first_row } = mode.after_relu() else { return Ok(x) };
    kept(&x, keep, seed, first_row).and_then(|factors| x.mul(&factors)).learn("apply dropout")
}

/// What `network` makes of embeddings `[rows, width]` in training: with dropout on them and, by the mode that it gets, behind its
/// hidden layers, both as `train` says.
pub(super) fn in_training(
    embedded: &Tensor,
    batch: &Batch,
    train: &TrainSettings,
    rng: &mut Generator,
    network: impl FnOnce(&Tensor, &mut Mode) -> Result<Tensor>,
) -> Result<Tensor> {
    let first_row = batch.part.as_ref().map_or(0, |part| part.first_row);
    let mut mode = Mode::Train { dropout: train.embedding_dropout, rng, first_row };
    let embedded = dropout(embedded.clone(), &mut mode)?;
    network(&embedded, &mut Mode::Train { dropout: train.dropout, rng, first_row })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng;
    use candle_core::Device;

    #[test]
    fn dropout_acts_in_training_only() {
        let x = Tensor::ones((300, 100), candle_core::DType::F32, &Device::Cpu).unwrap();
        let mut rng = rng::generator(1, "dropout");
        let mut drop = |x: &Tensor| {
            let y =
                dropout(x.clone(), &mut Mode::Train { dropout: 0.25, rng: &mut rng, first_row: 0 }).unwrap();
            super::super::values(&y).unwrap()
        };
        let y = drop(&x);
        let zeros = y.iter().filter(|&&v| v == 0.0).count() as f64 / 3e4;
        // Five standard deviations of a share over 30,000 draws.
        assert!((zeros - 0.25).abs() < 0.0126, "{zeros}");
        assert_ne!(drop(&x), y, "every step drops others");
        let same = dropout(x.clone(), &mut Mode::Evaluate).unwrap();
        assert!(super::super::values(&same).unwrap().iter().all(|&v| v == 1.0));
    }
}
