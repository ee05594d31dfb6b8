//! Dense layers, and rows through them.

use serde::{Deserialize, Serialize};

/// y = x·W + b.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dense {
    /// Rows of W.
    pub inputs: usize,
    /// Columns of W.
    pub outputs: usize,
    /// `inputs × outputs`, row after row.
    pub weight: Vec<f32>,
    /// `outputs`.
    pub bias: Vec<f32>,
}

impl Dense {
    /// x·W + b for one row.
    pub fn apply(&self, x: &[f32]) -> Vec<f32> {
        let mut y = self.bias.clone();
        self.add_to(x, &mut y);
        y
    }

    /// Adds x·W to y.
    pub(super) fn add_to(&self, x: &[f32], y: &mut [f32]) {
        for (&value, weights) in x.iter().zip(self.weight.chunks_exact(self.outputs)) {
            y.iter_mut().zip(weights).for_each(|(sum, w)| *sum += value * w);
        }
    }
}

/// One row through all of `layers`, of which there is at least one, with ReLU between.
pub(super) fn forward(layers: &[Dense], x: &[f32]) -> Vec<f32> {
    behind(&layers[1..], layers[0].apply(x))
}

/// What the layer before `layers` gave, without its ReLU, through all of them.
pub(super) fn behind(layers: &[Dense], mut x: Vec<f32>) -> Vec<f32> {
    for layer in layers {
        x.iter_mut().for_each(|v| *v = v.max(0.0));
        x = layer.apply(&x);
    }
    x
}

/// Of one row through `layers`.
pub(super) fn multiply_adds(layers: &[Dense]) -> usize {
    layers.iter().map(|layer| layer.weight.len()).sum()
}
