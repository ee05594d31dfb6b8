//! What each feature is worth to a trained network, found without training it again, and the rankings that follow.
//!
//! | file | worth of feature f |
//! | --- | --- |
//! | [`taylor`](mod@taylor) | E\[\|⟨∂L/∂e_f, ē_f − e_f⟩\|\]: what the loss changes by to first order when the embedding is replaced by its mean |
//! | [`altered`] | what AUC or log loss lose when the values are permuted among the rows, or the embedding is replaced by its mean |
//! | [`priced`] | the same with what the feature costs beside it |
//!
//! The networks whose training ranks features by itself stand in [`baseline`](super::baseline); all of them give [`Strengths`].
//!
//! A teacher that routes rows by their partition knows more of a feature that tells the partition than its embedding: where
//! that feature is altered, so is what routing knows ([`Routing`]).

pub mod altered;
pub mod priced;
pub mod taylor;
#[cfg(test)]
mod tests;

pub use altered::{leave_one_out, permutation};
pub use taylor::taylor;

use super::{embedding::EmbeddingBank, settings::JudgeSettings, train::Trainable, values};
use crate::{
    base::{Error, Result},
    data::{
        batches,
        column::Column,
        dataset::{Batch, Dataset, Split},
        schema::Schema,
        split::hold_out,
    },
    space::SearchSpace,
};
use candle_core::Tensor;
use serde::{Deserialize, Serialize};

/// What a ranking of features was made by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// First-order Taylor importance, as in SHARK.
    Taylor,
    /// What permuting the values among the rows loses.
    Permutation,
    /// What the mean in place of the embedding loses.
    LeaveOneOut,
    /// Squeeze-and-excitation weights of COLD.
    Cold,
    /// Gates of FSCD.
    Fscd,
    /// By how much splits of gradient boosted trees lower the loss.
    Gain,
}

/// How strongly each feature of a space asks to be kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Strengths {
    /// What they were made by. Strengths of two methods have no common scale.
    pub of: Method,
    /// One per feature of the space, in its order; the larger, the earlier it is kept. 0 where the schema says `never`.
    pub values: Vec<f64>,
}

/// What one feature is worth to a network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Importance {
    /// The schema's name.
    pub feature: String,
    /// Larger is worth more; below 0 the network does better without.
    pub value: f64,
    /// Standard deviation over repeats, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deviation: Option<f64>,
    /// Standard error of an AUC that is lost, for want of more rows: DeLong's, of the difference on the same rows. Of permutations
    /// that of a single one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<f64>,
}

impl Importance {
    /// A value of which nothing else is known.
    pub fn plain(feature: String, value: f64) -> Self {
        Self { feature, value, deviation: None, error: None }
    }
}

impl Strengths {
    /// The values of `importances`, by the names of the features.
    ///
    /// Fails when one of them is not finite, or when a feature that may be selected has none.
    pub fn of_network(of: Method, space: &SearchSpace, importances: &[Importance]) -> Result<Self> {
        let value = |feature: &crate::data::schema::Feature| {
            if feature.never {
                return Ok(0.0);
            }
            match importances.iter().find(|importance| importance.feature == feature.name) {
                Some(found) if found.value.is_finite() => Ok(found.value),
                Some(found) => Err(Error::usage(
                    format!("the importance of `{}` is {}", feature.name, found.value),
                    "lower the learning rate of the network that ranks: its training diverged",
                )),
                None => Err(Error::usage(
                    format!(
                        "`{}` may be selected, but the network that ranks does not read it",
                        feature.name
                    ),
                    "rank with a network over all features that may be selected",
                )),
            }
        };
        Ok(Self { of, values: space.features.iter().map(value).collect::<Result<_>>()? })
    }
}

/// How much a network's routing knows of the partition of each row.
#[derive(Clone, Copy)]
pub enum Routing<'a> {
    /// All of it: a row goes through the head of its own partition.
    Own,
    /// gate·own + (1 − gate)·Σ_p share_p·logit_p.
    Mixed {
        /// `[rows, 1]`, or `[1, 1]` for all rows.
        gate: &'a Tensor,
        /// Share of each partition.
        shares: &'a [f32],
    },
}

/// A trained network that can be asked what it makes of other embeddings than those of its rows.
pub trait Attributable: Trainable {
    /// Logits `[rows]` from embeddings `[rows, width]` and partitions, without dropout. Every weight is a constant, so that a
    /// gradient goes to the embeddings and the gate of `routing` alone.
    fn logits(&self, embedded: &Tensor, partitions: &[u32], routing: &Routing) -> Result<Tensor>;
}

/// The rows that a network is judged on.
#[derive(Debug, Clone, Copy)]
pub struct Judged<'a> {
    /// All encoded rows.
    pub data: &'a Dataset,
    /// Those that are judged on.
    pub rows: &'a [u32],
    /// Name of the feature that tells the partition.
    partition_feature: Option<&'a str>,
}

impl<'a> Judged<'a> {
    /// These rows of data of this schema.
    pub fn new(schema: &'a Schema, data: &'a Dataset, rows: &'a [u32]) -> Self {
        let partition_feature = schema.partition_feature().map(|i| schema.features[i].name.as_str());
        Self { data, rows, partition_feature }
    }

    /// Position among the features of a network of the one that tells the partition.
    fn routes(&self, bank: &EmbeddingBank) -> Option<usize> {
        bank.features().iter().position(|feature| Some(feature.name.as_str()) == self.partition_feature)
    }

    /// ē: the mean over the rows of every column of a network's input.
    fn mean_embedding(&self, bank: &EmbeddingBank) -> Result<Vec<f32>> {
        let mut sums = vec![0.0; bank.width()];
        self.each_batch(|batch| {
            let embedded = values(&bank.lookup(&batch)?)?;
            for row in embedded.chunks_exact(sums.len()) {
                sums.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x));
            }
            Ok(())
        })?;
        Ok(sums.into_iter().map(|sum| (sum / self.rows.len() as f64) as f32).collect())
    }

    /// Hands all rows to `take`, some thousand at a time.
    fn each_batch(&self, take: impl FnMut(Batch) -> Result<()>) -> Result<()> {
        if self.rows.is_empty() {
            return Err(Error::usage("no rows to judge features on", "raise `held_out`, or give more rows"));
        }
        batches::ahead(batches::chunks(self.rows).map(|index| Batch::of(self.data, index)), take)
    }
}

/// Divides the rows for a network that will rank features: what it is trained and validated on, and the training rows that it is
/// judged on. The validation rows, which judge the choice in the end, rank nothing.
pub fn judged_rows(split: &Split, settings: &JudgeSettings, seed: u64) -> Result<(Split, Vec<u32>)> {
    let (rest, judged): (Column<u32>, Column<u32>) = match settings.held_out {
        0.0 => (split.train.clone(), split.train.clone()),
        share => {
            let parts = hold_out(&split.train, share, seed)?;
            (parts.rest().collect(), parts.taken().collect())
        }
    };
    let split = Split { train: rest, valid: split.valid.clone() };
    Ok((split, some_of(&judged, settings.rows, seed)?))
}

/// All `rows`, or about `at_most` of them, drawn by seed.
pub fn some_of(rows: &[u32], at_most: usize, seed: u64) -> Result<Vec<u32>> {
    if rows.len() <= at_most {
        return Ok(rows.to_vec());
    }
    Ok(hold_out(rows, at_most as f64 / rows.len() as f64, seed)?.taken().collect())
}
