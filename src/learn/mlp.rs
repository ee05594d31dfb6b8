//! Dense layers with ReLU between, seeded dropout, and one output node.

use super::{
    Learn,
    params::{DenseParams, Next, Params},
};
use crate::base::{Result, rng::Generator};
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
    },
    /// No dropout.
    Evaluate,
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
            x = layer.forward(&x).and_then(|y| y.relu()).learn("run a dense layer")?;
            x = dropout(x, mode)?;
        }
        Ok(x)
    }

    /// The same values without gradient.
    pub fn detached(&self) -> Self {
        Self { layers: self.layers.iter().map(DenseParams::detached).collect(), width: self.width }
    }
}

/// Inverted dropout: keeps each value with probability 1 − p and divides it by 1 − p.
pub fn dropout(x: Tensor, mode: &mut Mode) -> Result<Tensor> {
    let Mode::Train { dropout, rng } = mode else { return Ok(x) };
    if *dropout == 0.0 {
        return Ok(x);
    }
    let keep = 1.0 - *dropout;
    let threshold = (f64::from(keep) * 65536.0) as u64;
    let count = x.elem_count();
    let mut factors = Vec::with_capacity(count + 3);
    while factors.len() < count {
        // Sixteen bits decide one value: four values a draw.
        let draw = rng.next_u64();
        for shift in [0, 16, 32, 48] {
            factors.push(if (draw >> shift) & 0xffff < threshold { 1.0 / keep } else { 0.0 });
        }
    }
    factors.truncate(count);
    let compute = || x.mul(&Tensor::from_vec(factors, x.shape(), x.device())?);
    compute().learn("apply dropout")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng;
    use candle_core::Device;

    #[test]
    fn dropout_keeps_the_mean_and_the_stated_share() {
        let x = Tensor::ones((100, 100), candle_core::DType::F32, &Device::Cpu).unwrap();
        let mut rng = rng::generator(1, "dropout");
        let y = dropout(x, &mut Mode::Train { dropout: 0.25, rng: &mut rng }).unwrap();
        let y = super::super::values(&y).unwrap();
        let zeros = y.iter().filter(|&&v| v == 0.0).count() as f64 / 1e4;
        // Five standard deviations of a share over 10,000 draws.
        assert!((zeros - 0.25).abs() < 0.022, "{zeros}");
        assert!(y.iter().all(|&v| v == 0.0 || (v - 4.0 / 3.0).abs() < 1e-6));
    }
}
