//! Fitting a network: seeded batches, AdamW, metrics after every epoch, early stopping on the validation AUC.

mod optimizer;

pub(super) use optimizer::Optimizer;

use super::{
    checkpoint::{Contents, Keeper, Moment, Stored},
    embedding::EmbeddingBank,
    exchange::{Alone, Exchange, same_everywhere},
    metrics::Metrics,
    optimizer::{ParamGroup, Scaling},
    params::{Params, Snapshot},
    settings::{RateSchedule, TrainSettings},
};
use crate::{
    base::{
        Error, Result,
        progress::{Pace, Progress},
        rng::Generator,
    },
    data::{
        batches,
        dataset::{Batch, Dataset, Split},
        lists::Lists,
    },
};
use candle_core::Tensor;
use optimizer::{DENSE, TABLES};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A network that [`fit`] can train.
pub trait Trainable {
    /// Everything that is trained.
    fn params(&self) -> &Params;
    /// The embeddings that its input comes from.
    fn bank(&self) -> &EmbeddingBank;
    /// Where the random draws of [`Trainable::loss`] come from.
    fn generator(&mut self) -> &mut Generator;
    /// The loss of a batch from its embeddings `[rows, width]`, with gradient and dropout.
    fn loss(&mut self, embedded: &Tensor, batch: &Batch) -> Result<Tensor>;
    /// Lists of the training rows that batches must hold whole; rows come one by one where there are none.
    fn lists(&self) -> Option<Arc<Lists>> {
        None
    }
    /// Click probabilities of a batch, without dropout.
    fn scores(&self, batch: &Batch) -> Result<Vec<f32>>;
    /// How the parameter `name`, which is no embedding table, is moved.
    fn group(&self, name: &str, settings: &TrainSettings) -> ParamGroup {
        let _ = name;
        let TrainSettings { learning_rate, weight_decay, .. } = *settings;
        ParamGroup { learning_rate, weight_decay, scaling: Scaling::Each, schedule: RateSchedule::CONSTANT }
    }
}

/// What one epoch gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochReport {
    /// From 1.
    pub epoch: usize,
    /// Mean training loss.
    pub loss: f64,
    /// On the validation rows.
    pub metrics: Metrics,
}

/// What a training gave. The network holds the values of the best epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FitReport {
    /// The epoch that was kept, from 1.
    pub best_epoch: usize,
    /// Its metrics.
    pub metrics: Metrics,
    /// All epochs.
    pub epochs: Vec<EpochReport>,
}

/// The rows that a training sees.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// All encoded rows.
    pub data: &'a Dataset,
    /// Which are trained on and validated on.
    pub split: &'a Split,
    /// With whom every batch is shared.
    pub ranks: &'a dyn Exchange,
}

impl<'a> Rows<'a> {
    /// The rows of a process that trains by itself.
    pub fn alone(data: &'a Dataset, split: &'a Split) -> Self {
        Self { data, split, ranks: &Alone }
    }
}

/// Where a training stands.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Position {
    /// The present epoch, from 1.
    epoch: usize,
    /// Batches of it that have been trained on.
    batch: usize,
    /// Sum of their losses.
    sum: f64,
    /// The epochs before it.
    epochs: Vec<EpochReport>,
    /// The best of them; 0 while there is none.
    best_epoch: usize,
}

impl Position {
    fn start() -> Self {
        Self { epoch: 1, batch: 0, sum: 0.0, epochs: Vec::new(), best_epoch: 0 }
    }
}

/// Trains until the validation AUC has not risen for `patience` epochs, then goes back to the best epoch. Goes on from
/// what `keeper` has saved, and ends as if it had never been disturbed.
pub fn fit(
    model: &mut dyn Trainable,
    rows: Rows,
    settings: &TrainSettings,
    seed: u64,
    progress: &dyn Progress,
    keeper: &mut Keeper,
) -> Result<FitReport> {
    let mut optimizer = Optimizer::new(model, settings)?;
    let steps = rows.split.train.len().div_ceil(settings.batch_size) as u64;
    progress.stage("train", steps * settings.max_epochs as u64);
    let training = ("fit", settings, seed, rows.data.rows(), rows.split.train.len(), model.params().shapes());
    let (mut at, mut best) = match keeper.begin_together(rows.ranks, &training, progress)? {
        Some(stored) => resume(&stored, model, &mut optimizer)?,
        None => (Position::start(), None),
    };
    while at.epoch <= settings.max_epochs {
        let batches = epoch_of(rows, model.lists().as_ref(), settings.batch_size, seed, at.epoch);
        batches::ahead(batches.skip(at.batch).map(|make| make()), |batch| {
            let loss = finite(optimizer.step(model, &batch, rows.ranks)?, at.epoch)?;
            at.sum += loss;
            at.batch += 1;
            let done = (at.epoch as u64 - 1) * steps + at.batch as u64;
            progress.record(Pace::EveryStep, "loss", done, loss);
            let auc = note_auc(at.epochs.last().and_then(|epoch| epoch.metrics.auc));
            progress.advance(done, &format!("loss {:.4}{auc}", at.sum / at.batch as f64));
            keeper.keep(Moment::Step, || contents(done, &at, model, &mut optimizer, best.as_ref()))
        })?;
        same_everywhere(rows.ranks, model.params())?;
        let scores = score_together(model, rows, &rows.split.valid)?;
        let metrics = metrics_of(&scores, rows.data, &rows.split.valid);
        defined(&metrics, &scores, at.epoch)?;
        record_metrics(&metrics, at.epoch as u64 * steps, progress);
        progress.record(Pace::Seldom, "learning_rate", at.epoch as u64 * steps, settings.learning_rate);
        let better = at.epochs.iter().all(|e| e.metrics.auc < metrics.auc);
        at.epochs.push(EpochReport { epoch: at.epoch, loss: at.sum / at.batch.max(1) as f64, metrics });
        if better {
            best = Some(model.params().snapshot()?);
            at.best_epoch = at.epoch;
        } else if at.epoch - at.best_epoch >= settings.patience {
            break;
        }
        at = Position { epoch: at.epoch + 1, batch: 0, sum: 0.0, ..at };
        let done = (at.epoch as u64 - 1) * steps;
        keeper.keep(Moment::EpochEnd, || contents(done, &at, model, &mut optimizer, best.as_ref()))?;
    }
    if let Some(best) = best {
        model.params().restore(&best)?;
    }
    let metrics = at.epochs[at.best_epoch.max(1) - 1].metrics.clone();
    Ok(FitReport { best_epoch: at.best_epoch, metrics, epochs: at.epochs })
}

/// A batch that is made when it is called for: those before the one that a training goes on from are not.
pub(super) type Making<'a> = Box<dyn FnOnce() -> Batch + Send + 'a>;

/// This rank's shards of the batches of an epoch: of single rows, or of whole lists where there are some.
pub(super) fn epoch_of<'a>(
    rows: Rows<'a>,
    lists: Option<&Arc<Lists>>,
    batch_size: usize,
    seed: u64,
    epoch: usize,
) -> Box<dyn Iterator<Item = Making<'a>> + Send + 'a> {
    let (data, place) = (rows.data, rows.ranks.place());
    match lists {
        None => {
            let order = batches::epoch_batches(&rows.split.train, batch_size, seed, epoch);
            Box::new(
                order.map(move |index| -> Making { Box::new(move || Batch::shard(data, &index, place)) }),
            )
        }
        Some(lists) => {
            let order = lists.epoch(seed, epoch);
            let make =
                move |listed| -> Making { Box::new(move || Batch::shard_of_lists(data, &listed, place)) };
            Box::new(order.map(make))
        }
    }
}

/// Everything that the rest of a training depends on.
fn contents<'s>(
    steps: u64,
    at: &Position,
    model: &'s mut dyn Trainable,
    optimizer: &'s mut Optimizer,
    best: Option<&Snapshot>,
) -> Contents<'s> {
    let [dense, tables] = optimizer.states();
    let contents = Contents::at(steps, &(at, model.generator()))
        .with("parameters", model.params().state())
        .with(DENSE, dense)
        .with(TABLES, tables);
    match best {
        Some(best) => contents.with("best", best.state()),
        None => contents,
    }
}

/// Goes back to what [`contents`] gave.
fn resume(
    stored: &Stored,
    model: &mut dyn Trainable,
    optimizer: &mut Optimizer,
) -> Result<(Position, Option<Snapshot>)> {
    let (at, generator): (Position, Generator) = stored.position()?;
    *model.generator() = generator;
    model.params().resume(&stored.part("parameters"))?;
    optimizer.resume(stored)?;
    let best = match at.best_epoch {
        0 => None,
        _ => Some(model.params().snapshot_of(&stored.part("best"))?),
    };
    Ok((at, best))
}

/// What a status line says of the last validation.
pub(super) fn note_auc(auc: Option<f64>) -> String {
    auc.map(|auc| format!(" AUC {auc:.4}")).unwrap_or_default()
}

/// Metrics on the validation rows as points of curves.
pub(super) fn record_metrics(metrics: &Metrics, step: u64, progress: &dyn Progress) {
    let named = [("auc", metrics.auc), ("gauc", metrics.gauc), ("logloss", Some(metrics.logloss))];
    for (name, value) in named {
        if let Some(value) = value {
            progress.record(Pace::Seldom, &format!("validation/{name}"), step, value);
        }
    }
}

/// `loss`, or an error when training has diverged.
pub(super) fn finite(loss: f64, epoch: usize) -> Result<f64> {
    if loss.is_finite() {
        return Ok(loss);
    }
    Err(Error::usage(
        format!("the loss became {loss} in epoch {epoch}"),
        "lower the learning rate, or look for absurd values with `autofas-bench data inspect`",
    ))
}

/// An error when there is no AUC to steer by.
fn defined(metrics: &Metrics, scores: &[f32], epoch: usize) -> Result<()> {
    if metrics.auc.is_some() {
        return Ok(());
    }
    Err(if scores.iter().any(|score| score.is_nan()) {
        Error::usage(
            format!("scores are not numbers in epoch {epoch}"),
            "lower the learning rate, or look for absurd values with `autofas-bench data inspect`",
        )
    } else {
        Error::usage(
            "all validation rows have the same label, so no AUC can tell which epoch is best",
            "let the split leave rows of both labels for validation",
        )
    })
}

/// Scores of the given rows, in their order.
pub fn score_rows(model: &dyn Trainable, data: &Dataset, rows: &[u32]) -> Result<Vec<f32>> {
    score_shares(data, &Alone, rows, |batch| model.scores(batch))
}

/// [`score_rows`] by all ranks, each a share of the rows; every rank gets all scores.
pub fn score_together(model: &dyn Trainable, rows: Rows, index: &[u32]) -> Result<Vec<f32>> {
    score_shares(rows.data, rows.ranks, index, |batch| model.scores(batch))
}

/// Scores of `rows` in their order, where every rank scores a share with `score`, some thousand rows at a time.
pub(super) fn score_shares(
    data: &Dataset,
    ranks: &dyn Exchange,
    rows: &[u32],
    score: impl Fn(&Batch) -> Result<Vec<f32>>,
) -> Result<Vec<f32>> {
    let share = ranks.place().share(rows.len());
    let mut scores = Vec::with_capacity(share.len());
    batches::ahead(batches::chunks(&rows[share]).map(|index| Batch::of(data, index)), |batch| {
        scores.extend(score(&batch)?);
        Ok(())
    })?;
    Ok(ranks.gather_floats(scores))
}

/// Metrics of scores for the given rows, of the label that is trained on and of the other ones.
pub fn metrics_of(scores: &[f32], data: &Dataset, rows: &[u32]) -> Metrics {
    let groups: Option<Vec<u64>> =
        data.groups.as_ref().map(|groups| rows.iter().map(|&row| groups[row as usize]).collect());
    let of = |labels: &[f32]| {
        let labels: Vec<f32> = rows.iter().map(|&row| labels[row as usize]).collect();
        Metrics::of(scores, &labels, groups.as_deref())
    };
    let other_labels = data.other_labels.iter().map(|(name, labels)| (name.clone(), of(labels))).collect();
    Metrics { other_labels, ..of(&data.labels) }
}

#[cfg(test)]
mod tests;
