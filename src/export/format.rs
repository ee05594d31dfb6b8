//! How the numbers of a network are stored and computed with in a graph.

use super::{
    embed::AS_FLOAT,
    graph::{Edge, Graph},
};
use crate::{
    base::names::{Embeddings, Precision},
    learn::network::{Embedding, Network},
};
use half::f16;
use std::borrow::Cow;

/// Number format of a graph.
#[derive(Debug, Clone, PartialEq)]
pub enum Format {
    /// Everything in f32.
    Fp32,
    /// Tables and weights are stored as f16 and cast to f32 where they are used. Engines fold the cast of a weight when
    /// they load the graph; of a table only the gathered rows are cast.
    Fp16,
    /// Some layers in integers.
    Int8(Integers),
}

impl Format {
    /// Its name.
    pub fn precision(&self) -> Precision {
        match self {
            Self::Fp32 => Precision::Fp32,
            Self::Fp16 => Precision::Fp16,
            Self::Int8(_) => Precision::Int8,
        }
    }

    /// The network whose numbers a graph of `network` in this format holds. In fp16, weights and the tables that are in the graph
    /// are the nearest f16; in every other format they are the network's own, of which integers are made.
    pub fn stored<'n>(&self, network: &'n Network, embeddings: Embeddings) -> Cow<'n, Network> {
        let Self::Fp16 = self else { return Cow::Borrowed(network) };
        let round = |values: &mut Vec<f32>| {
            values.iter_mut().for_each(|value| *value = f16::from_f32(*value).to_f32());
        };
        let mut halves = network.clone();
        for input in &mut halves.inputs {
            match &mut input.embedding {
                Embedding::Table { rows } | Embedding::Pooled { rows, .. } => {
                    if embeddings == Embeddings::Inside {
                        round(rows);
                    }
                }
                Embedding::Number { scale, missing } => [scale, missing].into_iter().for_each(round),
            }
        }
        halves.body.layers_mut().into_iter().for_each(|layer| round(&mut layer.weight));
        Cow::Owned(halves)
    }

    /// How layer `index` (from 0) is computed in integers; None where it is not.
    pub(super) fn integers(&self, index: usize) -> Option<&IntegerLayer> {
        match self {
            Self::Int8(integers) => integers.layers.get(index)?.as_ref(),
            Self::Fp32 | Self::Fp16 => None,
        }
    }

    /// A constant of floats in this format, as f32 in the graph.
    pub(super) fn constant<'a>(
        &self,
        graph: &mut Graph<'a>,
        name: &str,
        dims: &[usize],
        pieces: Vec<Cow<'a, [f32]>>,
    ) -> Edge {
        match self {
            Self::Fp16 => {
                let halves = graph.halves(format!("{name}_f16"), dims, &pieces);
                graph.node_with("Cast", name, &[&halves], AS_FLOAT)
            }
            Self::Fp32 | Self::Int8(_) => graph.pieces(name, dims, pieces),
        }
    }
}

/// The layers of a network that are computed in integers.
#[derive(Debug, Clone, PartialEq)]
pub struct Integers {
    /// One per layer; None stays float.
    pub layers: Vec<Option<IntegerLayer>>,
    /// How each feature goes into a first layer of integers.
    pub features: Vec<FirstPart>,
}

/// How a feature's part of a first layer of integers is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstPart {
    /// In bytes, once per candidate.
    Bytes,
    /// In floats on the user's one row, rounded to the steps of the sums and added inside of them.
    Addend,
    /// In floats beforehand: its rows of the item table are added behind the sums.
    Beforehand,
}

/// y = (s_x·s_w)·(Σ (q_x − z)·q_w + b), with b in units of s_x·s_w: a dense layer in integers.
#[derive(Debug, Clone, PartialEq)]
pub struct IntegerLayer {
    /// From bytes to the layer's input.
    pub input: Affine,
    /// `inputs × outputs`, row after row. In the first layer, rows of features that stay float are not used.
    pub weight: Vec<i8>,
    /// The value of 1 in each column of `weight`.
    pub weight_scales: Vec<f32>,
    /// The network's bias, moved by the mean error of the integers where that helps.
    pub bias: Vec<f32>,
}

impl Integers {
    /// None of that many layers in integers.
    pub(super) fn floats(layers: usize) -> Self {
        Self { layers: vec![None; layers], features: Vec::new() }
    }
}

impl IntegerLayer {
    /// The value of 1 in each sum.
    pub fn sum_scales(&self) -> Vec<f32> {
        self.weight_scales.iter().map(|scale| self.input.scale * scale).collect()
    }
}

/// x = `scale` · (q − `zero_point`) for bytes q from 0 to 255.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Affine {
    /// The value of one step; above 0.
    pub scale: f32,
    /// The byte that stands for 0.
    pub zero_point: u8,
}

impl Affine {
    /// The map whose bytes cover `low` to `high` and hold 0 exactly. A range of nothing but 0 has steps of 1.
    pub fn of_range(low: f32, high: f32) -> Self {
        let (low, high) = (low.min(0.0), high.max(0.0));
        let scale = (high - low) / 255.0;
        if !scale.is_normal() {
            return Self { scale: 1.0, zero_point: 0 };
        }
        Self { scale, zero_point: (-low / scale).round_ties_even().clamp(0.0, 255.0) as u8 }
    }

    /// The byte nearest to x, the even one of two, as ONNX's QuantizeLinear rounds.
    pub fn quantise(self, x: f32) -> u8 {
        ((x / self.scale).round_ties_even() + f32::from(self.zero_point)).clamp(0.0, 255.0) as u8
    }

    /// q − zero point of the byte nearest to x.
    pub(super) fn steps(self, x: f32) -> f32 {
        f32::from(self.quantise(x)) - f32::from(self.zero_point)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_covered_by_255_steps_and_holds_zero() {
        let positive = Affine::of_range(0.5, 51.0);
        assert_eq!((positive.scale, positive.zero_point), (0.2, 0));
        let both = Affine::of_range(-1.0, 1.55);
        assert_eq!((both.scale, both.zero_point), (0.01, 100));
        assert_eq!((both.quantise(0.0), both.quantise(-9.0), both.quantise(9.0)), (100, 0, 255));
        assert_eq!(Affine::of_range(0.0, 0.0), Affine { scale: 1.0, zero_point: 0 });
    }

    #[test]
    fn halves_round_to_the_even_byte() {
        let affine = Affine { scale: 2.0, zero_point: 10 };
        assert_eq!([1.0, 3.0, 5.0, -1.0, -3.0].map(|x| affine.quantise(x)), [10, 12, 12, 10, 8]);
        assert_eq!(affine.steps(5.0), 2.0);
    }
}
