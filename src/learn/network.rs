//! A trained network as plain data, with a reference forward pass that uses no tensor library: what is exported is
//! proved against it.

use crate::base::{Error, Result};
use crate::data::{
    dataset::{Dataset, Slot},
    schema::Side,
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// How a feature's value becomes a vector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Embedding {
    /// Row `id` of a table.
    Table {
        /// `cardinality × width`, row after row.
        rows: Vec<f32>,
    },
    /// Mean of the rows of all ids that are not 0; zeros when there are none.
    Pooled {
        /// `cardinality × width`, row after row.
        rows: Vec<f32>,
        /// Ids per row of data.
        length: usize,
    },
    /// x · `scale`, or `missing` when x is NaN.
    Number {
        /// `width` values.
        scale: Vec<f32>,
        /// `width` values.
        missing: Vec<f32>,
    },
}

/// One feature of a network's input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NetworkInput {
    /// The schema's name.
    pub feature: String,
    /// Once per request, or once per candidate.
    pub side: Side,
    /// Width of the embedding.
    pub width: usize,
    /// How values become vectors.
    pub embedding: Embedding,
}

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

/// Embeddings → concatenation in the order of `inputs` → dense layers with ReLU between → sigmoid of the one output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Network {
    /// Features in schema order.
    pub inputs: Vec<NetworkInput>,
    /// At least one; the last has one output and no ReLU.
    pub layers: Vec<Dense>,
}

impl Network {
    /// Width of the concatenated input.
    pub fn input_width(&self) -> usize {
        self.inputs.iter().map(|input| input.width).sum()
    }

    /// Where each feature's columns begin in the concatenated input.
    pub fn input_starts(&self) -> Vec<usize> {
        let start = |next: &mut usize, input: &NetworkInput| {
            let start = *next;
            *next += input.width;
            Some(start)
        };
        self.inputs.iter().scan(0, start).collect()
    }

    /// Trained numbers: embedding rows, weights and biases.
    pub fn parameters(&self) -> usize {
        let embeddings: usize = self
            .inputs
            .iter()
            .map(|input| match &input.embedding {
                Embedding::Table { rows } | Embedding::Pooled { rows, .. } => rows.len(),
                Embedding::Number { scale, missing } => scale.len() + missing.len(),
            })
            .sum();
        embeddings + self.layers.iter().map(|l| l.weight.len() + l.bias.len()).sum::<usize>()
    }

    /// Multiply-adds of the dense layers for one candidate.
    pub fn multiply_adds(&self) -> usize {
        self.layers.iter().map(|l| l.weight.len()).sum()
    }

    /// Names of the features on that side.
    pub fn features_of(&self, side: Side) -> Vec<&str> {
        let own = self.inputs.iter().filter(|input| input.side == side);
        own.map(|input| input.feature.as_str()).collect()
    }

    /// Scores of the given rows, in their order: the reference that exported graphs are compared with.
    ///
    /// Fails when the data set lacks a feature of the network.
    pub fn score(&self, data: &Dataset, rows: &[u32]) -> Result<Vec<f32>> {
        self.score_given(data, rows, |_| false, |_| Vec::new())
    }

    /// Like [`Network::score`], where the first layer's part of the features that `is_given` names is not computed but
    /// taken from `given`, which has it for every row: what [`Network::part_of`] says, however rounded.
    pub fn score_given(
        &self,
        data: &Dataset,
        rows: &[u32],
        is_given: impl Fn(&NetworkInput) -> bool,
        given: impl Fn(u32) -> Vec<f32> + Sync,
    ) -> Result<Vec<f32>> {
        let (slots, computed) = (self.slots(data)?, self.mask(|input| !is_given(input)));
        Ok(rows
            .par_iter()
            .map(|&row| {
                let mut x = self.layers[0].apply(&self.embedded(data, row, &slots, &computed));
                x.iter_mut().zip(given(row)).for_each(|(sum, part)| *sum += part);
                for layer in &self.layers[1..] {
                    x.iter_mut().for_each(|v| *v = v.max(0.0));
                    x = layer.apply(&x);
                }
                1.0 / (1.0 + (-x[0]).exp())
            })
            .collect())
    }

    /// The first layer's sum over the features that `is_part` names, for each of `rows`: without bias and activation.
    pub fn part_of(
        &self,
        data: &Dataset,
        rows: &[u32],
        is_part: impl Fn(&NetworkInput) -> bool,
    ) -> Result<Vec<Vec<f32>>> {
        let (slots, part) = (self.slots(data)?, self.mask(is_part));
        let sum = |&row: &u32| {
            let mut y = vec![0.0; self.layers[0].outputs];
            self.layers[0].add_to(&self.embedded(data, row, &slots, &part), &mut y);
            y
        };
        Ok(rows.par_iter().map(sum).collect())
    }

    /// The concatenated embeddings of the given rows: rows × [`Network::input_width`].
    ///
    /// Fails when the data set lacks a feature of the network.
    pub fn embed(&self, data: &Dataset, rows: &[u32]) -> Result<Vec<f32>> {
        let (slots, every) = (self.slots(data)?, self.mask(|_| true));
        Ok(rows.iter().flat_map(|&row| self.embedded(data, row, &slots, &every)).collect())
    }

    fn mask(&self, keep: impl Fn(&NetworkInput) -> bool) -> Vec<bool> {
        self.inputs.iter().map(keep).collect()
    }

    /// The concatenated input of a row, with zeros for the features that are not kept.
    fn embedded(&self, data: &Dataset, row: u32, slots: &[Slot], kept: &[bool]) -> Vec<f32> {
        let mut x = vec![0.0; self.input_width()];
        let mut begin = 0;
        for ((input, &slot), &kept) in self.inputs.iter().zip(slots).zip(kept) {
            if kept {
                input.write(data, row as usize, slot, &mut x[begin..begin + input.width]);
            }
            begin += input.width;
        }
        x
    }

    fn slots(&self, data: &Dataset) -> Result<Vec<Slot>> {
        slots(&self.inputs, data)
    }
}

/// Where the values of the inputs stand in `data`; fails when it lacks one.
pub(super) fn slots(inputs: &[NetworkInput], data: &Dataset) -> Result<Vec<Slot>> {
    let of = |input: &NetworkInput| {
        data.features.iter().find(|f| f.name == input.feature).map(|f| f.slot).ok_or_else(|| {
            Error::usage(
                format!("the data has no feature `{}`, which the network reads", input.feature),
                "encode the data with the schema that the network was trained with",
            )
        })
    };
    inputs.iter().map(of).collect()
}

impl NetworkInput {
    /// Writes the vector that a missing value has into `x`, which is as wide.
    pub fn write_missing(&self, x: &mut [f32]) {
        match &self.embedding {
            Embedding::Table { rows } => x.copy_from_slice(&rows[..self.width]),
            Embedding::Pooled { .. } => x.fill(0.0),
            Embedding::Number { missing, .. } => x.copy_from_slice(missing),
        }
    }

    /// Writes the vector of the feature's value in that row of the data, where it stands in `slot`, into `x`, which is as wide.
    pub fn write(&self, data: &Dataset, row: usize, slot: Slot, x: &mut [f32]) {
        match (&self.embedding, slot) {
            (Embedding::Table { rows }, Slot::Ids { start, .. }) => {
                let id = data.ids.at(row, start) as usize;
                x.copy_from_slice(&rows[id * self.width..(id + 1) * self.width]);
            }
            (Embedding::Pooled { rows, .. }, Slot::Ids { start, length }) => {
                let ids = data.ids.of(row, start..start + length).filter(|&id| id != 0);
                let present = ids.clone().count().max(1) as f32;
                x.fill(0.0);
                for id in ids {
                    let embedded = &rows[id as usize * self.width..][..self.width];
                    x.iter_mut().zip(embedded).for_each(|(sum, v)| *sum += v / present);
                }
            }
            (Embedding::Number { scale, missing }, Slot::Number { index }) => {
                let value = data.numbers_of(row)[index];
                if value.is_nan() {
                    x.copy_from_slice(missing);
                } else {
                    x.iter_mut().zip(scale).for_each(|(x, s)| *x = s * value);
                }
            }
            (embedding, slot) => unreachable!("{}: {embedding:?} cannot read {slot:?}", self.feature),
        }
    }
}

impl Dense {
    /// x·W + b for one row.
    pub fn apply(&self, x: &[f32]) -> Vec<f32> {
        let mut y = self.bias.clone();
        self.add_to(x, &mut y);
        y
    }

    fn add_to(&self, x: &[f32], y: &mut [f32]) {
        for (&value, weights) in x.iter().zip(self.weight.chunks_exact(self.outputs)) {
            y.iter_mut().zip(weights).for_each(|(sum, w)| *sum += value * w);
        }
    }
}
