//! A plain network seen as its layers, and its first layer in parts: what an item table holds, and what is left.

use super::{Dense, NetworkInput, dense, input, input::Reader, sigmoid};
use crate::{base::Result, data::dataset::Dataset};
use rayon::prelude::*;

/// What is made of plain networks only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlainOnly {
    /// Layers in integers.
    Integers,
    /// Rows of items that are computed beforehand.
    ItemTable,
    /// A training that begins with its weights, or trains its shape again.
    Retraining,
    /// What each of its features is worth.
    Importance,
}

impl PlainOnly {
    /// What it is called, and what to do without it.
    pub(super) fn refusal(self) -> (&'static str, &'static str) {
        match self {
            Self::Integers => ("int8", "export it in fp32 or fp16"),
            Self::ItemTable => ("a layout with an item table", "export it as concat or user-once"),
            Self::Retraining => ("training a network again", "train it from the start on the new data"),
            Self::Importance => (
                "the importance of features",
                "name a network that a search found, or the plain DNN of the run",
            ),
        }
    }
}

/// The inputs and the layers of a plain network: see [`Network::mlp`](super::Network::mlp).
#[derive(Debug, Clone, Copy)]
pub struct Mlp<'a> {
    /// Features in schema order.
    pub inputs: &'a [NetworkInput],
    /// At least one; the last has one output and no ReLU.
    pub layers: &'a [Dense],
}

impl Mlp<'_> {
    /// The concatenated embeddings of the given rows: rows × width of the input.
    ///
    /// Fails when the data set lacks a feature of the network.
    pub fn embed(&self, data: &Dataset, rows: &[u32]) -> Result<Vec<f32>> {
        input::embed(self.inputs, data, rows)
    }

    /// Like [`Network::score`](super::Network::score), where the first layer's part of the features that `is_given` names is
    /// not computed but taken from `given`, which has it for every row: what [`Mlp::part_of`] says, however rounded.
    pub fn score_given(
        &self,
        data: &Dataset,
        rows: &[u32],
        is_given: impl Fn(&NetworkInput) -> bool,
        given: impl Fn(u32) -> Vec<f32> + Sync,
    ) -> Result<Vec<f32>> {
        let (reader, given_inputs) = (Reader::new(self.inputs, data)?, input::mask(self.inputs, is_given));
        let score = |&row: &u32| {
            let mut x = self.layers[0].apply(&reader.embedded(row, |input| !given_inputs[input]));
            x.iter_mut().zip(given(row)).for_each(|(sum, part)| *sum += part);
            sigmoid(dense::behind(&self.layers[1..], x)[0])
        };
        Ok(rows.par_iter().map(score).collect())
    }

    /// The first layer's sum over the features that `is_part` names, for each of `rows`: without bias and activation.
    pub fn part_of(
        &self,
        data: &Dataset,
        rows: &[u32],
        is_part: impl Fn(&NetworkInput) -> bool,
    ) -> Result<Vec<Vec<f32>>> {
        let (reader, part) = (Reader::new(self.inputs, data)?, input::mask(self.inputs, is_part));
        let sum = |&row: &u32| {
            let mut y = vec![0.0; self.layers[0].outputs];
            self.layers[0].add_to(&reader.embedded(row, |input| part[input]), &mut y);
            y
        };
        Ok(rows.par_iter().map(sum).collect())
    }
}
