//! The two-tower network, trained: see [`TwoTower`] for what it computes.

use crate::{
    base::{
        Error, Result,
        rng::{self, Generator},
    },
    data::{dataset::Batch, lists::Lists, schema::Side},
    learn::{
        Learn,
        device::device,
        embedding::{EmbeddingBank, InputFeature},
        mlp::{Hidden, Mode, dropout},
        network::{Body, Dense, Network, TwoTower},
        ops::dense::Follow,
        params::{DenseParams, Next, Params},
        settings::TwoTowerSettings,
        student::Lesson,
        train::Trainable,
        values,
    },
};
use candle_core::Tensor;
use candle_nn::ops::sigmoid;
use std::sync::Arc;

/// Embeddings of the chosen features, a tower per side, and the product of their vectors.
#[derive(Debug)]
pub struct TwoTowers<'a> {
    params: Params,
    bank: EmbeddingBank,
    user: Tower,
    item: Tower,
    bias: Tensor,
    settings: TwoTowerSettings,
    lesson: Lesson<'a>,
    dropout_rng: Generator,
}

/// Hidden layers over the features of one side, and a linear layer to the vector.
#[derive(Debug)]
struct Tower {
    /// The columns of the bank that it reads, feature after feature in schema order.
    columns: Tensor,
    hidden: Hidden,
    vector: DenseParams,
}

impl Tower {
    /// `name.0`, `name.1`, …, `name.vector`.
    fn new(
        params: &mut Params,
        bank: &EmbeddingBank,
        (side, name): (Side, &str),
        widths: &[usize],
        vector: usize,
    ) -> Result<Self> {
        let own = bank.features().iter().enumerate().filter(|(_, feature)| feature.side == side);
        let columns: Vec<u32> =
            own.flat_map(|(index, _)| bank.columns(index)).map(|column| column as u32).collect();
        if columns.is_empty() {
            return Err(Error::usage(
                format!("a two-tower network needs features of both sides, and none is of the {name}'s"),
                "choose features of users or context for one tower, and of items for the other",
            ));
        }
        let hidden = Hidden::new(params, name, columns.len(), widths)?;
        let vector =
            DenseParams::new(params, &format!("{name}.vector"), hidden.width(), vector, Next::Output)?;
        let columns = Tensor::new(columns, device()).learn("divide the input")?;
        Ok(Self { columns, hidden, vector })
    }

    /// The side's vectors: `[rows, vector]`.
    fn forward(&self, embedded: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        let own = embedded.index_select(&self.columns, 1).learn("divide the input")?;
        let x = self.hidden.forward(&own, mode)?;
        self.vector.forward(&x, Follow::Nothing).learn("run a tower's last layer")
    }

    fn to_plain(&self) -> Result<Vec<Dense>> {
        self.hidden.layers().iter().chain([&self.vector]).map(DenseParams::to_plain).collect()
    }
}

impl<'a> TwoTowers<'a> {
    /// An untrained network over `features`, which are of both sides.
    pub fn new(
        features: Vec<InputFeature>,
        settings: &TwoTowerSettings,
        lesson: Lesson<'a>,
        seed: u64,
    ) -> Result<Self> {
        let mut params = Params::new(seed);
        let bank = EmbeddingBank::new(features, &mut params)?;
        let vector = settings.vector;
        let user = Tower::new(&mut params, &bank, (Side::User, "user"), &settings.user, vector)?;
        let item = Tower::new(&mut params, &bank, (Side::Item, "item"), &settings.item, vector)?;
        let bias = params.constant("score.bias", 1, 0.0)?;
        let dropout_rng = rng::generator(seed, "dropout");
        Ok(Self { params, bank, user, item, bias, settings: settings.clone(), lesson, dropout_rng })
    }

    /// The present weights as plain data.
    pub fn to_network(&self) -> Result<Network> {
        let bias = values(&self.bias)?[0];
        let towers = TwoTower { user: self.user.to_plain()?, item: self.item.to_plain()?, bias };
        Ok(Network { inputs: self.bank.to_plain()?, body: Body::TwoTower(towers) })
    }

    /// ⟨user, item⟩ + b: `[rows]`.
    fn logits(&self, embedded: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        let (user, item) = (self.user.forward(embedded, mode)?, self.item.forward(embedded, mode)?);
        let product = || (user * item)?.sum(1)?.broadcast_add(&self.bias);
        product().learn("multiply the towers' vectors")
    }
}

impl Trainable for TwoTowers<'_> {
    fn params(&self) -> &Params {
        &self.params
    }

    fn bank(&self) -> &EmbeddingBank {
        &self.bank
    }

    fn generator(&mut self) -> &mut Generator {
        &mut self.dropout_rng
    }

    fn loss(&mut self, embedded: &Tensor, batch: &Batch) -> Result<Tensor> {
        let mut rng = self.dropout_rng.clone();
        let first_row = batch.part.as_ref().map_or(0, |part| part.first_row);
        let train = &self.settings.train;
        let mut mode = Mode::Train { dropout: train.embedding_dropout, rng: &mut rng, first_row };
        let embedded = dropout(embedded.clone(), &mut mode)?;
        let mut mode = Mode::Train { dropout: train.dropout, rng: &mut rng, first_row };
        let logits = self.logits(&embedded, &mut mode)?;
        self.dropout_rng = rng;
        self.lesson.loss(&logits, batch)
    }

    fn lists(&self) -> Option<Arc<Lists>> {
        self.lesson.lists()
    }

    fn scores(&self, batch: &Batch) -> Result<Vec<f32>> {
        let logits = self.logits(&self.bank.lookup(batch)?, &mut Mode::Evaluate)?;
        values(&sigmoid(&logits).learn("score a batch")?)
    }
}

#[cfg(test)]
mod tests;
