//! What a network loses when one feature is altered in all judged rows at once:
//!
//! * **permutation** (Breiman 2001; Fisher, Rudin and Dominici 2019): its values are permuted among the rows, so that they keep their
//!   distribution and say nothing;
//! * **leave-one-out**: its embedding is replaced by its mean over the rows.
//!
//! The rows are embedded once, and only the columns of the altered feature are written anew. Nothing is trained again: a feature
//! whose twin is in the network, too, looks as if it were worth little.
//!
//! Other rows would have lost something else. By how much, [`Placements`] tell where the AUC is what is lost.

use super::{Attributable, Importance, Judged, Routing};
use crate::{
    base::{Error, Result, progress::Progress, rank::auc, rng, stop::Stop},
    learn::{
        Learn,
        device::device,
        metrics::{Placements, logloss},
        settings::{Measure, PermutationSettings},
        values,
    },
};
use candle_core::Tensor;
use candle_nn::ops::sigmoid;

/// Rows that are scored at once.
const SCORED_ROWS: usize = 4096;

/// What permuting each feature of `model` loses, in its order: mean and deviation over the repeats. A request to `stop` ends it
/// without any.
pub fn permutation(
    model: &dyn Attributable,
    judged: &Judged,
    settings: &PermutationSettings,
    seed: u64,
    progress: &dyn Progress,
    stop: &Stop,
) -> Result<Vec<Importance>> {
    let rows = Embedded::of(model, judged)?;
    let whole = rows.worth(&Change::Nothing, settings.measure)?;
    let features = model.bank().features();
    progress.stage("permutation importance", (features.len() * settings.repeats) as u64);
    let mut importances = Vec::with_capacity(features.len());
    for (f, feature) in features.iter().enumerate() {
        let mut lost = Vec::with_capacity(settings.repeats);
        let mut squares = Some(0.0);
        for repeat in 0..settings.repeats {
            stop.check()?;
            let mut order: Vec<u32> = (0..rows.labels.len() as u32).collect();
            let purpose = format!("permutation {repeat} of {}", feature.name);
            rng::shuffle(&mut order, &mut rng::generator(seed, &purpose));
            let worth = rows.worth(&Change::Permuted { feature: f, order: &order }, settings.measure)?;
            lost.push(whole.value - worth.value);
            squares = squares.zip(whole.error_against(&worth)).map(|(sum, error)| sum + error * error);
            progress.advance((f * settings.repeats + repeat + 1) as u64, &feature.name);
        }
        let (value, deviation) = mean_and_deviation(&lost);
        let error = squares.map(|sum| (sum / settings.repeats as f64).sqrt());
        importances.push(Importance { feature: feature.name.clone(), value, deviation, error });
    }
    Ok(importances)
}

/// What each feature of `model` loses with its mean embedding in place of its own, in the order of the network.
pub fn leave_one_out(
    model: &dyn Attributable,
    judged: &Judged,
    measure: Measure,
    progress: &dyn Progress,
) -> Result<Vec<Importance>> {
    let rows = Embedded::of(model, judged)?;
    let mean = judged.mean_embedding(model.bank())?;
    let whole = rows.worth(&Change::Nothing, measure)?;
    let features = model.bank().features();
    progress.stage("leave one out", features.len() as u64);
    let each = features.iter().enumerate().map(|(f, feature)| {
        let worth = rows.worth(&Change::Replaced { feature: f, by: &mean }, measure)?;
        progress.advance(f as u64 + 1, &feature.name);
        let (value, error) = (whole.value - worth.value, whole.error_against(&worth));
        Ok(Importance { feature: feature.name.clone(), value, deviation: None, error })
    });
    each.collect()
}

/// What is done to the rows.
enum Change<'a> {
    Nothing,
    /// Row i gets the values of row `order[i]`.
    Permuted {
        feature: usize,
        order: &'a [u32],
    },
    /// All rows get these columns, which stand where they do in the network's input.
    Replaced {
        feature: usize,
        by: &'a [f32],
    },
}

/// What the scores of the rows are worth.
struct Worth {
    /// Larger is better: the AUC, or the log loss below 0.
    value: f64,
    /// Of the rows, where it is an AUC.
    placements: Option<Placements>,
}

impl Worth {
    /// Standard error of what `other` is worth less.
    fn error_against(&self, other: &Self) -> Option<f64> {
        Some(self.placements.as_ref()?.gain_over(other.placements.as_ref()?).error)
    }
}

/// The judged rows, embedded: rows × width × 4 bytes.
struct Embedded<'a> {
    model: &'a dyn Attributable,
    /// Row after row.
    inputs: Vec<f32>,
    labels: Vec<f32>,
    partitions: Vec<u32>,
    /// The feature that tells the partition.
    routes: Option<usize>,
    shares: Vec<f32>,
}

impl<'a> Embedded<'a> {
    fn of(model: &'a dyn Attributable, judged: &Judged) -> Result<Self> {
        let bank = model.bank();
        let mut rows = Self {
            model,
            inputs: Vec::with_capacity(judged.rows.len() * bank.width()),
            labels: Vec::with_capacity(judged.rows.len()),
            partitions: Vec::with_capacity(judged.rows.len()),
            routes: judged.routes(bank),
            shares: judged.data.partition_shares(judged.rows),
        };
        judged.each_batch(|batch| {
            rows.inputs.extend(values(&bank.lookup(&batch)?)?);
            rows.labels.extend(batch.labels);
            rows.partitions.extend(batch.partitions);
            Ok(())
        })?;
        Ok(rows)
    }

    fn worth(&self, change: &Change, measure: Measure) -> Result<Worth> {
        let scores = self.scores(change)?;
        if measure == Measure::LogLoss {
            return Ok(Worth { value: -logloss(&scores, &self.labels), placements: None });
        }
        let value = auc(&scores, &self.labels).ok_or_else(|| {
            Error::usage(
                "the rows that features are judged on have no AUC: one label only, or scores that are not numbers",
                "judge on more rows, or measure the log loss",
            )
        })?;
        Ok(Worth { value, placements: Placements::of(&scores, &self.labels) })
    }

    fn scores(&self, change: &Change) -> Result<Vec<f32>> {
        let rows: Vec<u32> = (0..self.labels.len() as u32).collect();
        let mut scores = Vec::with_capacity(rows.len());
        for rows in rows.chunks(SCORED_ROWS) {
            scores.extend(values(&sigmoid(&self.logits(rows, change)?).learn("score rows")?)?);
        }
        Ok(scores)
    }

    /// Logits of neighbouring rows.
    fn logits(&self, rows: &[u32], change: &Change) -> Result<Tensor> {
        let width = self.model.bank().width();
        let first = rows[0] as usize;
        let mut inputs = self.inputs[first * width..][..rows.len() * width].to_vec();
        let mut partitions = self.partitions[first..][..rows.len()].to_vec();
        let closed = Tensor::new(&[[0f32]], device()).learn("close a gate")?;
        let mut routing = Routing::Own;
        match *change {
            Change::Nothing => {}
            Change::Permuted { feature, order } => {
                let columns = self.model.bank().columns(feature);
                for (row, &from) in inputs.chunks_exact_mut(width).zip(&order[first..]) {
                    let from = &self.inputs[from as usize * width..][..width];
                    row[columns.clone()].copy_from_slice(&from[columns.clone()]);
                }
                if self.routes == Some(feature) {
                    let moved = order[first..].iter().map(|&from| self.partitions[from as usize]);
                    partitions.iter_mut().zip(moved).for_each(|(partition, moved)| *partition = moved);
                }
            }
            Change::Replaced { feature, by } => {
                let columns = self.model.bank().columns(feature);
                for row in inputs.chunks_exact_mut(width) {
                    row[columns.clone()].copy_from_slice(&by[columns.clone()]);
                }
                if self.routes == Some(feature) {
                    routing = Routing::Mixed { gate: &closed, shares: &self.shares };
                }
            }
        }
        let inputs = Tensor::from_vec(inputs, (rows.len(), width), device()).learn("embed rows")?;
        self.model.logits(&inputs, &partitions, &routing)
    }
}

/// The mean, and the sample deviation of several.
fn mean_and_deviation(values: &[f64]) -> (f64, Option<f64>) {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (values.len() > 1).then(|| (squares / (values.len() - 1) as f64).sqrt()))
}
