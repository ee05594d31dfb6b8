//! A step of a network: dense layers by AdamW, embedding tables row by row.

use super::Trainable;
use crate::{
    base::Result,
    data::dataset::Batch,
    learn::{
        Learn,
        checkpoint::{State, Stored},
        embedding::EMBEDDING,
        exchange::{Exchange, merge_rows, sum_gradients},
        optimizer::AdamW,
        row_optimizer::{RowGradient, RowOptimizer},
        scalar,
        settings::TrainSettings,
    },
};
use candle_core::Var;

/// AdamW over the dense parameters, and row by row over the embedding tables.
pub(in crate::learn) struct Optimizer {
    dense: AdamW,
    tables: Vec<RowOptimizer>,
}

impl Optimizer {
    /// Zero moments, with the decay that embeddings and dense layers have.
    pub(in crate::learn) fn new(model: &dyn Trainable, settings: &TrainSettings) -> Result<Self> {
        let mut dense = AdamW::default();
        for (name, var) in model.params().iter().filter(|(name, _)| !name.starts_with(EMBEDDING)) {
            dense.add(var, model.group(name, settings))?;
        }
        let tables = model.bank().tables().into_iter();
        let tables = tables.map(|table| {
            let TrainSettings {
                embedding_optimizer, embedding_learning_rate, embedding_weight_decay, ..
            } = *settings;
            RowOptimizer::new(table, embedding_optimizer, embedding_learning_rate, embedding_weight_decay)
        });
        Ok(Self { dense, tables: tables.collect::<Result<_>>()? })
    }

    /// One step of `model` on a batch of which every rank has a shard. Returns the loss before it.
    pub(in crate::learn) fn step(
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

    /// Moments and step counts of the dense parameters and of the tables, for a checkpoint.
    pub(super) fn states(&mut self) -> [State<'_>; 2] {
        let mut tables = State::new();
        for (i, table) in self.tables.iter().enumerate() {
            tables.extend(table.state().map(|(name, values)| (format!("{i}.{name}"), values)));
        }
        [self.dense.state(), tables]
    }

    /// Goes back to the state in a checkpoint.
    pub(super) fn resume(&mut self, stored: &Stored) -> Result<()> {
        self.dense.resume(&stored.part(DENSE))?;
        let tables = stored.part(TABLES);
        self.tables.iter_mut().enumerate().try_for_each(|(i, table)| table.resume(&tables, &i.to_string()))
    }
}

/// Names of the optimizer's parts in a checkpoint.
pub(super) const DENSE: &str = "optimizer";
pub(super) const TABLES: &str = "tables";
