//! Fitting a network: seeded batches, AdamW, metrics after every epoch, early stopping on the validation AUC.

use super::{
    Learn,
    embedding::{EMBEDDING, EmbeddingBank},
    exchange::{Alone, Exchange, merge_rows, same_everywhere, sum_gradients},
    metrics::Metrics,
    optimizer::{AdamW, Rates, Scaling},
    params::Params,
    row_adam::{RowAdam, RowGradient},
    scalar,
    settings::TrainSettings,
};
use crate::{
    base::{Error, Result, progress::Progress},
    data::{
        batches,
        dataset::{Batch, Dataset, Split},
    },
};
use candle_core::{Tensor, Var};
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
    /// With whom every batch is shared.
    pub ranks: &'a dyn Exchange,
}

impl<'a> Rows<'a> {
    /// The rows of a process that trains by itself.
    pub fn alone(data: &'a Dataset, split: &'a Split) -> Self {
        Self { data, split, ranks: &Alone }
    }
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
            let batch = Batch::shard(rows.data, &index, rows.ranks.place());
            sum += finite(optimizer.step(model, &batch, rows.ranks)?, epoch)?;
            count += 1;
            progress.advance((epoch as u64 - 1) * steps + count, &format!("loss {:.4}", sum / count as f64));
        }
        same_everywhere(rows.ranks, model.params())?;
        let scores = score_together(model, rows, &rows.split.valid)?;
        let metrics = metrics_of(&scores, rows.data, &rows.split.valid);
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

    /// One step of `model` on a batch of which every rank has a shard. Returns the loss before it.
    pub(super) fn step(
        &mut self,
        model: &mut dyn Trainable,
        batch: &Batch,
        ranks: &dyn Exchange,
    ) -> Result<f64> {
        // A leaf of the graph, so that the gradient of the input can be read from it.
        let embedded = Var::from_tensor(&model.bank().lookup(batch)?).learn("embed a batch")?;
        let loss = model.loss(&embedded, batch)?;
        let mut gradients = loss.backward().learn("differentiate the loss")?;
        let by_input = gradients.get(&embedded).cloned();
        let moves_tables = f64::from(u8::from(by_input.is_some()));
        let mut sums = [scalar(&loss)?, moves_tables];
        sum_gradients(ranks, &mut gradients, self.dense.vars(), &mut sums)?;
        self.dense.step(&gradients, 1.0)?;
        let [loss, moves_tables] = sums;
        // One rank's rows may count nothing, but all ranks take part in every exchange.
        if moves_tables > 0.0 {
            let own = match by_input {
                Some(by_input) => model.bank().gradients(batch, &by_input)?,
                None => vec![RowGradient::default(); self.tables.len()],
            };
            let all = merge_rows(ranks, own);
            self.tables.iter_mut().zip(&all).try_for_each(|(table, gradient)| table.step(gradient))?;
        }
        Ok(loss)
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
    score_shares(&Alone, rows, |index| model.scores(&Batch::of(data, index)))
}

/// [`score_rows`] by all ranks, each a share of the rows; every rank gets all scores.
pub fn score_together(model: &dyn Trainable, rows: Rows, index: &[u32]) -> Result<Vec<f32>> {
    score_shares(rows.ranks, index, |index| model.scores(&Batch::of(rows.data, index)))
}

/// Scores of `rows` in their order, where every rank scores a share with `score`, some thousand rows at a time.
pub(super) fn score_shares(
    ranks: &dyn Exchange,
    rows: &[u32],
    score: impl Fn(&[u32]) -> Result<Vec<f32>>,
) -> Result<Vec<f32>> {
    let share = ranks.place().share(rows.len());
    let mut scores = Vec::with_capacity(share.len());
    for index in rows[share].chunks(4096) {
        scores.extend(score(index)?);
    }
    Ok(ranks.gather_floats(scores))
}

/// AUC, GAUC and logloss of scores for the given rows.
pub fn metrics_of(scores: &[f32], data: &Dataset, rows: &[u32]) -> Metrics {
    let labels: Vec<f32> = rows.iter().map(|&row| data.labels[row as usize]).collect();
    let groups: Option<Vec<u32>> =
        data.groups.as_ref().map(|groups| rows.iter().map(|&row| groups[row as usize]).collect());
    Metrics::of(scores, &labels, groups.as_deref())
}

#[cfg(test)]
mod tests;
