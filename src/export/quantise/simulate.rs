//! A network with integer layers, computed in floats that hold the same integers: what an engine's integer kernels give,
//! up to the rounding of a number that lies between two bytes.

use crate::{
    base::Result,
    data::dataset::Dataset,
    export::format::{FirstPart, Format, IntegerLayer, Integers},
    learn::{
        network::{Dense, Mlp, Network, NetworkInput, PlainOnly},
        ops::{
            matrix::{Matrix, MatrixMut},
            product::{Write, multiply},
        },
    },
};
use rayon::prelude::*;

/// Rows that one task computes.
const TASK_ROWS: usize = 256;

/// What the scores of an exported graph are compared with: a network, or one with some of its layers in integers.
#[derive(Debug, Clone, Copy)]
pub struct Reference<'a> {
    /// The network.
    pub network: &'a Network,
    integers: Option<&'a Integers>,
}

impl<'a> From<&'a Network> for Reference<'a> {
    fn from(network: &'a Network) -> Self {
        Self { network, integers: None }
    }
}

/// Rows that are in memory at once.
const ROWS_TOGETHER: usize = 1 << 14;

impl<'a> Reference<'a> {
    /// What a graph of `network` in `format` is compared with.
    pub fn of(network: &'a Network, format: &'a Format) -> Self {
        let integers = match format {
            Format::Int8(integers) => Some(integers),
            // The network whose numbers these graphs hold is what they compute: see [`Format::stored`].
            Format::Fp32 | Format::Fp16 => None,
        };
        Self { network, integers }
    }

    /// `network` with those layers in integers.
    pub(super) fn in_integers(network: &'a Network, integers: &'a Integers) -> Self {
        Self { network, integers: Some(integers) }
    }

    /// Scores of the given rows, in their order.
    ///
    /// Fails when the data set lacks a feature of the network.
    pub fn score(&self, data: &Dataset, rows: &[u32]) -> Result<Vec<f32>> {
        let Some(integers) = self.integers else { return self.network.score(data, rows) };
        let network = self.network.mlp(PlainOnly::Integers)?;
        let mut scores = Vec::with_capacity(rows.len());
        for rows in rows.chunks(ROWS_TOGETHER) {
            let x = network.embed(data, rows)?;
            scores.extend(sigmoid(&logits(network, integers, 0, x)));
        }
        Ok(scores)
    }

    /// [`Mlp::score_given`].
    pub fn score_given(
        &self,
        data: &Dataset,
        rows: &[u32],
        is_given: impl Fn(&NetworkInput) -> bool,
        given: impl Fn(u32) -> Vec<f32> + Sync,
    ) -> Result<Vec<f32>> {
        if !self.network.inputs.iter().any(&is_given) {
            return self.score(data, rows);
        }
        let network = self.network.mlp(PlainOnly::ItemTable)?;
        let Some(integers) = self.integers else {
            return network.score_given(data, rows, is_given, given);
        };
        let widths = network.inputs.iter().map(|input| (!is_given(input), input.width));
        let kept: Vec<bool> = widths.flat_map(|(kept, width)| std::iter::repeat_n(kept, width)).collect();
        let mut scores = Vec::with_capacity(rows.len());
        for rows in rows.chunks(ROWS_TOGETHER) {
            let mut x = network.embed(data, rows)?;
            for row in x.chunks_exact_mut(kept.len()) {
                row.iter_mut().zip(&kept).filter(|(_, kept)| !**kept).for_each(|(v, _)| *v = 0.0);
            }
            let mut sums = layer(network, integers, 0, &x);
            for (sums, &row) in sums.chunks_exact_mut(network.layers[0].outputs).zip(rows) {
                sums.iter_mut().zip(given(row)).for_each(|(sum, part)| *sum += part);
            }
            scores.extend(sigmoid(&behind(network, integers, 0, sums)));
        }
        Ok(scores)
    }
}

/// Probabilities of logits.
fn sigmoid(logits: &[f32]) -> Vec<f32> {
    logits.iter().map(|logit| 1.0 / (1.0 + (-logit).exp())).collect()
}

/// The logits of inputs of layer `from`: rows × its inputs.
pub(super) fn logits(network: Mlp<'_>, integers: &Integers, from: usize, x: Vec<f32>) -> Vec<f32> {
    behind(network, integers, from, layer(network, integers, from, &x))
}

/// The logits of what layer `index` gives without its activation.
fn behind(network: Mlp<'_>, integers: &Integers, index: usize, mut x: Vec<f32>) -> Vec<f32> {
    for next in index + 1..network.layers.len() {
        x.iter_mut().for_each(|v| *v = v.max(0.0));
        x = layer(network, integers, next, &x);
    }
    x
}

/// Layer `index` without its activation: rows × outputs.
pub(super) fn layer(network: Mlp<'_>, integers: &Integers, index: usize, x: &[f32]) -> Vec<f32> {
    let dense = &network.layers[index];
    match &integers.layers[index] {
        None => product(x, &dense.weight, dense),
        Some(layer) if index == 0 => first(network, layer, &integers.features, x),
        Some(layer) => integer_sums(layer, dense, x, None),
    }
}

/// The first layer: some features as bytes, and others in floats, whose product is added inside of the sums or behind them.
fn first(network: Mlp<'_>, layer: &IntegerLayer, features: &[FirstPart], x: &[f32]) -> Vec<f32> {
    let dense = &network.layers[0];
    let of = |part: FirstPart| {
        let own = columns(network, features, part);
        let kept = x.chunks_exact(dense.inputs).flat_map(|row| {
            row.iter().zip(&own).map(|(&v, &own)| if own { v } else { 0.0 }).collect::<Vec<_>>()
        });
        kept.collect::<Vec<f32>>()
    };
    let floats = |part: FirstPart, bias: Vec<f32>| {
        let added = Dense { bias, weight: Vec::new(), ..*dense };
        features.contains(&part).then(|| product(&of(part), &dense.weight, &added))
    };
    let addend = floats(FirstPart::Addend, layer.bias.clone());
    let mut sums = integer_sums(layer, dense, &of(FirstPart::Bytes), addend.as_deref());
    if let Some(behind) = floats(FirstPart::Beforehand, vec![0.0; dense.outputs]) {
        sums.iter_mut().zip(behind).for_each(|(sum, part)| *sum += part);
    }
    sums
}

/// Of each column of the first layer's input, whether it is of that part.
pub(super) fn columns(network: Mlp<'_>, features: &[FirstPart], part: FirstPart) -> Vec<bool> {
    let each = network.inputs.iter().zip(features);
    each.flat_map(|(input, &own)| std::iter::repeat_n(own == part, input.width)).collect()
}

/// (Σ steps of x · weight + round(addend / s)) · s; the addend is the bias where there is no other.
fn integer_sums(layer: &IntegerLayer, dense: &Dense, x: &[f32], addend: Option<&[f32]>) -> Vec<f32> {
    let steps: Vec<f32> = x.par_iter().map(|&x| layer.input.steps(x)).collect();
    let weight: Vec<f32> = layer.weight.iter().map(|&w| f32::from(w)).collect();
    let scales = layer.sum_scales();
    let zeros = Dense { bias: vec![0.0; dense.outputs], weight: Vec::new(), ..*dense };
    let mut sums = product(&steps, &weight, &zeros);
    for (row, sums) in sums.chunks_exact_mut(dense.outputs).enumerate() {
        let addend = addend.map_or(&layer.bias[..], |all| &all[row * dense.outputs..][..dense.outputs]);
        for ((sum, value), scale) in sums.iter_mut().zip(addend).zip(&scales) {
            *sum = (*sum + (value / scale).round_ties_even()) * scale;
        }
    }
    sums
}

/// x·weight + the bias of `dense`, whose shape it has.
fn product(x: &[f32], weight: &[f32], dense: &Dense) -> Vec<f32> {
    let (inputs, outputs) = (dense.inputs, dense.outputs);
    let weight = Matrix::new(weight, inputs, outputs, outputs);
    let mut y = vec![0.0; x.len() / inputs * outputs];
    let tasks = y.par_chunks_mut(TASK_ROWS * outputs).zip(x.par_chunks(TASK_ROWS * inputs));
    tasks.for_each(|(y, x)| {
        let rows = x.len() / inputs;
        y.chunks_exact_mut(outputs).for_each(|row| row.copy_from_slice(&dense.bias));
        let out = MatrixMut::new(y, rows, outputs, outputs);
        multiply(out, Write::Onto, 1.0, Matrix::new(x, rows, inputs, inputs), weight);
    });
    y
}
