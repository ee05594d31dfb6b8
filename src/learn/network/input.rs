//! Features as a network reads them: from the values of a row of data to vectors.

use crate::{
    base::Result,
    data::{
        dataset::{Dataset, Slot},
        schema::Side,
    },
};
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

impl NetworkInput {
    /// Trained numbers.
    pub fn parameters(&self) -> usize {
        match &self.embedding {
            Embedding::Table { rows } | Embedding::Pooled { rows, .. } => rows.len(),
            Embedding::Number { scale, missing } => scale.len() + missing.len(),
        }
    }

    /// What trees compare of the feature in that row of the data, where its value stands in `slot`: the number of its id, the
    /// mean of those of a list, or the number itself. NaN where a number is missing or a list is empty.
    ///
    /// The sum over a list comes before the division, so that it is exact in whatever order where the numbers are multiples of
    /// one power of two: to be compared with a threshold, a mean has to be the same in every engine.
    pub fn value(&self, data: &Dataset, row: u32, slot: Slot) -> f32 {
        match (&self.embedding, slot) {
            (Embedding::Table { rows }, Slot::Ids { start, .. }) => {
                rows[data.ids.at(row as usize, start) as usize]
            }
            (Embedding::Pooled { rows, .. }, Slot::Ids { start, length }) => {
                let ids = data.ids.of(row as usize, start..start + length).filter(|&id| id != 0);
                let (sum, count) =
                    ids.fold((0.0, 0.0), |(sum, count), id| (sum + rows[id as usize], count + 1.0));
                // Of nothing: 0 / 0, which is not a number.
                sum / count
            }
            (Embedding::Number { .. }, Slot::Number { index }) => data.numbers_of(row as usize)[index],
            (embedding, slot) => unreachable!("{}: {embedding:?} cannot read {slot:?}", self.feature),
        }
    }

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

/// Width of the concatenated input.
pub(super) fn width(inputs: &[NetworkInput]) -> usize {
    inputs.iter().map(|input| input.width).sum()
}

/// Which of `inputs` are kept.
pub(super) fn mask(inputs: &[NetworkInput], keep: impl Fn(&NetworkInput) -> bool) -> Vec<bool> {
    inputs.iter().map(keep).collect()
}

/// The concatenated embeddings of the given rows: rows × [`width`].
///
/// Fails when the data set lacks a feature of `inputs`.
pub(super) fn embed(inputs: &[NetworkInput], data: &Dataset, rows: &[u32]) -> Result<Vec<f32>> {
    let reader = Reader::new(inputs, data)?;
    Ok(rows.iter().flat_map(|&row| reader.embedded(row, |_| true)).collect())
}

/// Reads rows of data for a network.
pub(super) struct Reader<'a> {
    inputs: &'a [NetworkInput],
    data: &'a Dataset,
    slots: Vec<Slot>,
}

impl<'a> Reader<'a> {
    /// Fails when the data set lacks a feature of `inputs`.
    pub(super) fn new(inputs: &'a [NetworkInput], data: &'a Dataset) -> Result<Self> {
        let slot = |input: &NetworkInput| data.feature(&input.feature).map(|feature| feature.slot);
        let slots = inputs.iter().map(slot).collect::<Result<_>>()?;
        Ok(Self { inputs, data, slots })
    }

    /// The concatenated input of a row, with zeros for the inputs that are not kept.
    pub(super) fn embedded(&self, row: u32, kept: impl Fn(usize) -> bool) -> Vec<f32> {
        let mut x = vec![0.0; width(self.inputs)];
        let mut begin = 0;
        for (place, (input, &slot)) in self.inputs.iter().zip(&self.slots).enumerate() {
            if kept(place) {
                input.write(self.data, row as usize, slot, &mut x[begin..begin + input.width]);
            }
            begin += input.width;
        }
        x
    }

    /// What trees compare of each input in that row.
    pub(super) fn values(&self, row: u32) -> Vec<f32> {
        let inputs = self.inputs.iter().zip(&self.slots);
        inputs.map(|(input, &slot)| input.value(self.data, row, slot)).collect()
    }

    /// The id in that row of an input that has a table.
    pub(super) fn id(&self, row: u32, input: usize) -> usize {
        match self.slots[input] {
            Slot::Ids { start, .. } => self.data.ids.at(row as usize, start) as usize,
            slot => unreachable!("{}: {slot:?} has no id", self.inputs[input].feature),
        }
    }
}
