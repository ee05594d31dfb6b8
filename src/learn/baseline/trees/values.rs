//! From encoded values to the numbers that trees split.
//!
//! | encoded as | number |
//! | --- | --- |
//! | a number | itself; missing stays missing (NaN) |
//! | buckets | the bucket, in the order of its values; missing is 0, below all of them |
//! | other ids | [`IdValues`]: the share of clicks (Σ w·y + a·p̄) / (Σ w + a) with p̄ of all training rows, or the rank; missing is an id like others |
//! | a sequence | the mean of those numbers over its ids that are not 0; missing when there are none |
//!
//! Statistics see the training rows only. A row that is trained on is given statistics of the other folds: with its own
//! label inside, a rare id's statistic would tell it. All other rows are given those of all training rows, which are what is
//! exported.
//!
//! Shares are rounded to multiples of [`STEP`]. So the sum over a sequence is exact in single precision in whatever order it
//! is taken, the mean is the same in every engine, and none of them comes to the other side of a threshold.

use super::settings::{IdValues, TreeSettings};
use crate::{
    base::{Result, rng},
    data::{
        dataset::{Dataset, Slot},
        schema::{Encoding, Feature},
    },
    learn::network::{Embedding, NetworkInput},
};
use rand::RngExt;
use rayon::prelude::*;

/// What shares are rounded to.
const STEP: f64 = 1.0 / 4096.0;

/// The numbers of the chosen features as training learned them.
pub(super) struct Values {
    /// As they are exported.
    pub(super) inputs: Vec<NetworkInput>,
    /// What the training rows of each fold are given instead, for each input; nothing where all are given the same.
    by_fold: Vec<Vec<NetworkInput>>,
    /// Of each training row.
    folds: Vec<usize>,
    slots: Vec<Slot>,
}

impl Values {
    /// Learns from the rows of `train`.
    pub(super) fn learn(
        features: &[&Feature],
        data: &Dataset,
        train: &[u32],
        settings: &TreeSettings,
        seed: u64,
    ) -> Result<Self> {
        let draw = &mut rng::generator(seed, "trees/folds");
        let folds: Vec<usize> = train.iter().map(|_| draw.random_range(0..settings.folds)).collect();
        let mut weights = (0.0, 0.0);
        for &row in train {
            let (weight, label) =
                (f64::from(data.weights[row as usize]), f64::from(data.labels[row as usize]));
            weights = (weights.0 + weight, weights.1 + weight * label);
        }
        let scene = Scene { data, train, folds: &folds, settings, mean: weights.1 / weights.0 };
        let learned: Vec<Learned> =
            features.par_iter().map(|feature| scene.learn(feature)).collect::<Result<_>>()?;
        let mut values = Self { inputs: Vec::new(), by_fold: Vec::new(), folds, slots: Vec::new() };
        for Learned { input, by_fold, slot } in learned {
            values.inputs.push(input);
            values.by_fold.push(by_fold);
            values.slots.push(slot);
        }
        Ok(values)
    }

    /// The rows of each fold, and the inputs that give their numbers.
    pub(super) fn folds(
        &self,
        count: usize,
        train: &[u32],
    ) -> impl Iterator<Item = (Vec<NetworkInput>, Vec<u32>)> {
        (0..count).map(move |fold| {
            let inputs = self.inputs.iter().zip(&self.by_fold);
            let inputs = inputs.map(|(all, by_fold)| by_fold.get(fold).unwrap_or(all).clone());
            let rows = train.iter().zip(&self.folds).filter(|&(_, &own)| own == fold);
            (inputs.collect(), rows.map(|(&row, _)| row).collect())
        })
    }

    /// The numbers of the training rows, column after column, each from the other folds.
    pub(super) fn training_matrix(&self, data: &Dataset, train: &[u32]) -> Vec<f64> {
        self.columns(|input| {
            let rows = train.iter().zip(&self.folds);
            rows.map(|(&row, &fold)| {
                let own = self.by_fold[input].get(fold).unwrap_or(&self.inputs[input]);
                f64::from(own.value(data, row, self.slots[input]))
            })
            .collect()
        })
    }

    /// The numbers of rows, column after column, as they are exported.
    pub(super) fn matrix(&self, data: &Dataset, rows: &[u32]) -> Vec<f64> {
        self.columns(|input| {
            rows.iter()
                .map(|&row| f64::from(self.inputs[input].value(data, row, self.slots[input])))
                .collect()
        })
    }

    fn columns(&self, column: impl Fn(usize) -> Vec<f64> + Send + Sync) -> Vec<f64> {
        (0..self.inputs.len()).into_par_iter().flat_map_iter(column).collect()
    }
}

/// What was learned of one feature.
struct Learned {
    input: NetworkInput,
    by_fold: Vec<NetworkInput>,
    slot: Slot,
}

/// What every input is learned from.
struct Scene<'a> {
    data: &'a Dataset,
    train: &'a [u32],
    folds: &'a [usize],
    settings: &'a TreeSettings,
    /// p̄.
    mean: f64,
}

impl Scene<'_> {
    fn learn(&self, feature: &Feature) -> Result<Learned> {
        let encoded = self.data.feature(&feature.name)?;
        let input = |embedding| NetworkInput {
            feature: feature.name.clone(),
            side: feature.kind.side(),
            width: 1,
            embedding,
        };
        let learned = |input, by_fold| Learned { input, by_fold, slot: encoded.slot };
        let Slot::Ids { start, length } = encoded.slot else {
            let number = Embedding::Number { scale: vec![1.0], missing: vec![f32::NAN] };
            return Ok(learned(input(number), Vec::new()));
        };
        let table = |rows: Vec<f32>| {
            input(match feature.sequence {
                None => Embedding::Table { rows },
                Some(_) => Embedding::Pooled { rows, length },
            })
        };
        let cardinality = encoded.cardinality as usize;
        if let Encoding::Buckets { .. } = feature.encoding {
            let buckets = (0..cardinality).map(|bucket| bucket as f32).collect();
            return Ok(learned(table(buckets), Vec::new()));
        }
        let counts = self.count(start..start + length, cardinality, feature.sequence.is_some());
        let all = Counts::sum(&counts, cardinality);
        Ok(match self.settings.ids {
            IdValues::Rank => learned(table(all.ranks()), Vec::new()),
            IdValues::Statistic => {
                let shares = |counts: &Counts| counts.shares(self.mean, self.settings.smoothing);
                let by_fold = counts.iter().map(|own| table(shares(&all.without(own))));
                learned(table(shares(&all)), by_fold.collect())
            }
        })
    }

    /// Of each fold; the zeros of a sequence are padding.
    fn count(&self, slots: std::ops::Range<usize>, cardinality: usize, padded: bool) -> Vec<Counts> {
        let mut counts = vec![Counts::new(cardinality); self.settings.folds];
        for (&row, &fold) in self.train.iter().zip(self.folds) {
            let row = row as usize;
            let (weight, label) = (f64::from(self.data.weights[row]), f64::from(self.data.labels[row]));
            for id in self.data.ids.of(row, slots.clone()).filter(|&id| !padded || id != 0) {
                counts[fold].weights[id as usize] += weight;
                counts[fold].clicks[id as usize] += weight * label;
            }
        }
        counts
    }
}

/// Σ w and Σ w·y of every id.
#[derive(Clone)]
struct Counts {
    weights: Vec<f64>,
    clicks: Vec<f64>,
}

impl Counts {
    fn new(cardinality: usize) -> Self {
        Self { weights: vec![0.0; cardinality], clicks: vec![0.0; cardinality] }
    }

    fn sum(parts: &[Self], cardinality: usize) -> Self {
        let mut sum = Self::new(cardinality);
        for part in parts {
            sum.weights.iter_mut().zip(&part.weights).for_each(|(sum, own)| *sum += own);
            sum.clicks.iter_mut().zip(&part.clicks).for_each(|(sum, own)| *sum += own);
        }
        sum
    }

    fn without(&self, part: &Self) -> Self {
        let less = |all: &[f64], own: &[f64]| all.iter().zip(own).map(|(all, own)| all - own).collect();
        Self { weights: less(&self.weights, &part.weights), clicks: less(&self.clicks, &part.clicks) }
    }

    fn shares(&self, mean: f64, smoothing: f64) -> Vec<f32> {
        let share = |(weight, clicks): (&f64, &f64)| {
            let share = (clicks + smoothing * mean) / (weight + smoothing);
            ((share / STEP).round() * STEP) as f32
        };
        self.weights.iter().zip(&self.clicks).map(share).collect()
    }

    fn ranks(&self) -> Vec<f32> {
        let mut order: Vec<usize> = (0..self.weights.len()).collect();
        order.sort_by(|&a, &b| self.weights[b].total_cmp(&self.weights[a]));
        let mut ranks = vec![0.0; order.len()];
        order.into_iter().enumerate().for_each(|(rank, id)| ranks[id] = rank as f32);
        ranks
    }
}
