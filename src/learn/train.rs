//! Fitting a network: seeded batches, AdamW, metrics after every epoch, early stopping on the validation AUC.

use super::{
    Learn,
    embedding::{EMBEDDING, EmbeddingBank},
    metrics::Metrics,
    optimizer::{AdamW, Rates, Scaling},
    params::Params,
    row_adam::RowAdam,
    scalar,
    settings::TrainSettings,
};
use crate::{
    base::{
        Error, Result,
        progress::{Pace, Progress},
    },
    data::{
        batches,
        dataset::{Batch, Dataset, Split},
    },
};
use candle_core::{Device, Tensor, Var};
use serde::{Deserialize, Serialize};

/// A network that [`fit`] can train.
pub trait Trainable {
    /// Everything that is trained.
    fn params(&self) -> &Params;
    /// The embeddings that its input comes from.
    fn bank(&self) -> &EmbeddingBank;
    /// The loss of a batch from its embeddings `[rows, width]`, with gradient and dropout.
    fn loss(&mut self, embedded: &Tensor, batch: &Batch) -> Result<Tensor>;
    /// Click probabilities of a batch, without dropout.
    fn scores(&self, batch: &Batch) -> Result<Vec<f32>>;
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
}

/// Trains until the validation AUC has not risen for `patience` epochs, then goes back to the best epoch.
pub fn fit(
    model: &mut dyn Trainable,
    rows: Rows,
    settings: &TrainSettings,
    seed: u64,
    progress: &dyn Progress,
) -> Result<FitReport> {
    let mut optimizer = Optimizer::new(model, settings)?;
    let mut epochs: Vec<EpochReport> = Vec::new();
    let mut best = None;
    let mut best_epoch = 0;
    let steps = rows.split.train.len().div_ceil(settings.batch_size) as u64;
    progress.stage("train", steps * settings.max_epochs as u64);
    for epoch in 1..=settings.max_epochs {
        let (mut sum, mut count) = (0.0, 0u64);
        for index in batches::epoch_batches(&rows.split.train, settings.batch_size, seed, epoch) {
            let loss = finite(optimizer.step(model, &Batch::of(rows.data, &index))?, epoch)?;
            sum += loss;
            count += 1;
            let done = (epoch as u64 - 1) * steps + count;
            progress.record(Pace::EveryStep, "loss", done, loss);
            let auc = note_auc(epochs.last().and_then(|epoch| epoch.metrics.auc));
            progress.advance(done, &format!("loss {:.4}{auc}", sum / count as f64));
        }
        let scores = score_rows(model, rows.data, &rows.split.valid)?;
        let metrics = metrics_of(&scores, rows.data, &rows.split.valid);
        record_metrics(&metrics, epoch as u64 * steps, progress);
        progress.record(Pace::Seldom, "learning_rate", epoch as u64 * steps, settings.learning_rate);
        let better = epochs.iter().all(|e| e.metrics.auc < metrics.auc);
        epochs.push(EpochReport { epoch, loss: sum / count.max(1) as f64, metrics });
        if better {
            best = Some(model.params().snapshot()?);
            best_epoch = epoch;
        } else if epoch - best_epoch >= settings.patience {
            break;
        }
    }
    if let Some(best) = best {
        model.params().restore(&best)?;
    }
    let metrics = epochs[best_epoch.max(1) - 1].metrics;
    Ok(FitReport { best_epoch, metrics, epochs })
}

/// AdamW over the dense parameters, and row by row over the embedding tables.
pub(super) struct Optimizer {
    dense: AdamW,
    tables: Vec<RowAdam>,
}

impl Optimizer {
    /// Zero moments, with the decay that embeddings and dense layers have.
    pub(super) fn new(model: &dyn Trainable, settings: &TrainSettings) -> Result<Self> {
        let TrainSettings { learning_rate, weight_decay, .. } = *settings;
        let mut dense = AdamW::default();
        for (_, var) in model.params().iter().filter(|(name, _)| !name.starts_with(EMBEDDING)) {
            dense.add(var, Rates { learning_rate, weight_decay, scaling: Scaling::Each });
        }
        let tables = model.bank().tables().into_iter();
        let tables = tables.map(|table| {
            RowAdam::new(table, settings.embedding_learning_rate, settings.embedding_weight_decay)
        });
        Ok(Self { dense, tables: tables.collect::<Result<_>>()? })
    }

    /// One step of `model`. Returns the loss before it.
    pub(super) fn step(&mut self, model: &mut dyn Trainable, batch: &Batch) -> Result<f64> {
        // A leaf of the graph, so that the gradient of the input can be read from it.
        let embedded = Var::from_tensor(&model.bank().lookup(batch)?).learn("embed a batch")?;
        let loss = model.loss(&embedded, batch)?;
        let gradients = loss.backward().learn("differentiate the loss")?;
        self.dense.step(&gradients, 1.0)?;
        if let Some(by_input) = gradients.get(&embedded) {
            let by_tables = model.bank().gradients(batch, by_input)?;
            self.tables.iter_mut().zip(&by_tables).try_for_each(|(table, gradient)| table.step(gradient))?;
        }
        scalar(&loss)
    }
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

/// Scores of the given rows, in their order.
pub fn score_rows(model: &dyn Trainable, data: &Dataset, rows: &[u32]) -> Result<Vec<f32>> {
    let mut scores = Vec::with_capacity(rows.len());
    for index in rows.chunks(4096) {
        scores.extend(model.scores(&Batch::of(data, index))?);
    }
    Ok(scores)
}

/// AUC, GAUC and logloss of scores for the given rows.
pub fn metrics_of(scores: &[f32], data: &Dataset, rows: &[u32]) -> Metrics {
    let labels: Vec<f32> = rows.iter().map(|&row| data.labels[row as usize]).collect();
    let groups: Option<Vec<u32>> =
        data.groups.as_ref().map(|groups| rows.iter().map(|&row| groups[row as usize]).collect());
    Metrics::of(scores, &labels, groups.as_deref())
}

/// Labels and sample weights of a batch, `[rows]` each.
pub(super) fn labels_and_weights(batch: &Batch) -> Result<(Tensor, Tensor)> {
    let tensor = |values: &[f32]| Tensor::new(values, &Device::Cpu).learn("read labels");
    Ok((tensor(&batch.labels)?, tensor(&batch.weights)?))
}

#[cfg(test)]
mod tests;
