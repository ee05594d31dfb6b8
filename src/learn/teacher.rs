//! The ranking network: masked embeddings → shared MLP → one MLP per partition → r(x).
//!
//! A partition is a business line or scenario; each row goes through the MLP of its own.

use super::{
    Learn,
    device::device,
    embedding::{EmbeddingBank, InputFeature, plain_layers},
    importance::{Attributable, Routing},
    losses, mask,
    mlp::{Hidden, Mode, dropout},
    network::{Body, Network, Partitioned},
    ops::{
        dense::Follow,
        gate::{Columns, gate},
    },
    params::{DenseParams, Next, Params},
    settings::TeacherSettings,
    train::Trainable,
};
use crate::{
    base::{
        Error, Result,
        rng::{self, Generator},
    },
    data::{
        column::Column,
        dataset::{Batch, Dataset, Slot},
        shard::Part,
    },
};
use candle_core::Tensor;
use candle_nn::ops::sigmoid;

/// Embeddings, shared layers and one head per partition.
#[derive(Debug)]
pub struct Teacher {
    params: Params,
    bank: EmbeddingBank,
    columns: Columns,
    shared: Hidden,
    heads: Vec<Head>,
    settings: TeacherSettings,
    /// r(x) of every row of the data, where another teacher gave it.
    given: Option<Column<f32>>,
    dropout_rng: Generator,
}

#[derive(Debug, Clone)]
struct Head {
    hidden: Hidden,
    output: DenseParams,
}

impl Head {
    fn detached(&self) -> Self {
        Self { hidden: self.hidden.detached(), output: self.output.detached() }
    }
}

impl Teacher {
    /// An untrained teacher over all features.
    pub fn new(
        features: Vec<InputFeature>,
        partitions: u32,
        settings: &TeacherSettings,
        seed: u64,
    ) -> Result<Self> {
        let mut params = Params::new(seed);
        let bank = EmbeddingBank::new(features, &mut params)?;
        let shared = Hidden::new(&mut params, "shared", bank.width(), &settings.shared)?;
        let heads = (0..partitions)
            .map(|p| {
                let name = format!("partition{p}");
                let hidden = Hidden::new(&mut params, &name, shared.width(), &settings.partition)?;
                let output = DenseParams::new(
                    &mut params,
                    &format!("{name}.output"),
                    hidden.width(),
                    1,
                    Next::Output,
                )?;
                Ok(Head { hidden, output })
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            columns: bank.gate_columns(),
            params,
            bank,
            shared,
            heads,
            settings: settings.clone(),
            given: None,
            dropout_rng: rng::generator(seed, "dropout"),
        })
    }

    /// Learns from a given r(x) of every row of the data beside the labels, as `distillation` says.
    pub fn learn_from(&mut self, given: Column<f32>) {
        self.given = Some(given);
    }

    /// The embeddings of a batch without gradient: `[rows, width]`.
    pub fn embed(&self, batch: &Batch) -> Result<Tensor> {
        self.bank.lookup(batch)
    }

    /// The present weights as plain data. With one partition that is a plain network. With several, each request has to tell
    /// its own: `told_by` is the feature that reads the partition column, and which id means which partition is read off
    /// `data`. Ids that no row has go where rows go that training never saw, to partition 0.
    ///
    /// Fails without such a feature, where one of its ids stands for several partitions, and where partitions share no layer.
    pub fn to_network(&self, data: &Dataset, told_by: Option<&str>) -> Result<Network> {
        let inputs = self.bank.to_plain()?;
        let route = route(self.bank.features(), self.heads.len(), &self.settings, data, told_by)?;
        let layers_of = |head: &'_ Head| -> Vec<DenseParams> {
            head.hidden.layers().iter().chain([&head.output]).cloned().collect()
        };
        let Some((input, partition_of)) = route else {
            let layers =
                plain_layers(&self.bank, self.shared.layers().iter().chain(&layers_of(&self.heads[0])))?;
            return Ok(Network { inputs, body: Body::Mlp(layers) });
        };
        let shared = plain_layers(&self.bank, self.shared.layers())?;
        let plain = |head: &Head| layers_of(head).iter().map(DenseParams::to_plain).collect();
        let heads = self.heads.iter().map(plain).collect::<Result<_>>()?;
        let parts = Partitioned { input, partition_of, shared, heads };
        Ok(Network { inputs, body: Body::Partitioned(parts) })
    }

    /// What keeps a teacher over `features` from leaving as a network ([`Teacher::to_network`]), before it is trained.
    pub fn check_leaving(
        features: &[InputFeature],
        settings: &TeacherSettings,
        data: &Dataset,
        told_by: Option<&str>,
    ) -> Result<()> {
        route(features, data.partition_count as usize, settings, data, told_by).map(drop)
    }

    /// This teacher with its weights held constant, to judge masked inputs.
    pub fn frozen(&self) -> FrozenTeacher {
        FrozenTeacher {
            shared: self.shared.detached(),
            heads: self.heads.iter().map(Head::detached).collect(),
        }
    }
}

/// The layers above the embeddings as constants: Loss1's gradient goes through them to the masks alone.
#[derive(Debug)]
pub struct FrozenTeacher {
    shared: Hidden,
    heads: Vec<Head>,
}

impl FrozenTeacher {
    /// Logits `[rows]` from masked embeddings `[rows, width]`.
    pub fn forward(&self, masked: &Tensor, partitions: &[u32]) -> Result<Tensor> {
        run(&self.shared, &self.heads, masked, (partitions, None), &mut Mode::Evaluate)
    }

    /// Logits `[rows]` when a feature tells the partition and `gate` (`[1, 1]`, or `[rows, 1]`) says whether it is there:
    /// gate·own + (1 − gate)·Σ_p share_p·logit_p.
    ///
    /// Routing knows the partition whatever the mask, a derived network does not: without this, the feature would
    /// seem worthless.
    pub fn forward_where_known(
        &self,
        masked: &Tensor,
        partitions: &[u32],
        gate: &Tensor,
        shares: &[f32],
    ) -> Result<Tensor> {
        let x = self.shared.forward(masked, &mut Mode::Evaluate)?;
        let mut all = Vec::with_capacity(self.heads.len());
        for head in &self.heads {
            let hidden = head.hidden.forward(&x, &mut Mode::Evaluate)?;
            all.push(head.output.forward(&hidden, Follow::Nothing).learn("run a partition")?);
        }
        let mut own = vec![0f32; partitions.len() * shares.len()];
        own.chunks_mut(shares.len()).zip(partitions).for_each(|(row, &p)| row[p as usize] = 1.0);
        let compute = || {
            let own = Tensor::from_vec(own, (partitions.len(), shares.len()), device())?;
            let shares = Tensor::new(shares, device())?.unsqueeze(0)?;
            let weights = own.broadcast_sub(&shares)?.broadcast_mul(gate)?.broadcast_add(&shares)?;
            (Tensor::cat(&all, 1)? * weights)?.sum(1)
        };
        compute().learn("mix the partitions")
    }
}

/// Which of `features` tells the partition of a request, and by its id which it is; none where there is only one.
fn route(
    features: &[InputFeature],
    partitions: usize,
    settings: &TeacherSettings,
    data: &Dataset,
    told_by: Option<&str>,
) -> Result<Option<(usize, Vec<u32>)>> {
    if partitions == 1 {
        return Ok(None);
    }
    let Some(input) = told_by.and_then(|name| features.iter().position(|feature| feature.name == name))
    else {
        return Err(Error::usage(
            "the teacher has a head per partition, and no feature tells a request's partition",
            "add a feature that reads the partition column to the schema, and train again",
        ));
    };
    if settings.shared.is_empty() {
        return Err(Error::usage(
            "the teacher's partitions share no layer, and only heads on a shared layer leave as a network",
            "give [teacher] shared a width, and train again",
        ));
    }
    Ok(Some((input, partition_of_ids(&features[input], data)?)))
}

/// The partition that the rows with each id of `feature` are in.
fn partition_of_ids(feature: &InputFeature, data: &Dataset) -> Result<Vec<u32>> {
    let Slot::Ids { start, length: 1 } = feature.slot else {
        return Err(Error::usage(
            format!(
                "`{}` reads the partition column and has no single id to tell a partition by",
                feature.name
            ),
            "encode it as a vocabulary",
        ));
    };
    let mut known: Vec<Option<u32>> = vec![None; feature.cardinality as usize];
    for (row, &partition) in data.partitions.iter().enumerate() {
        let id = data.ids.at(row, start) as usize;
        if *known[id].get_or_insert(partition) != partition {
            return Err(Error::usage(
                format!("id {id} of `{}` stands for several values of the partition column", feature.name),
                "encode it as a vocabulary with min_count = 1, so that every partition has an id of its own",
            ));
        }
    }
    Ok(known.into_iter().map(Option::unwrap_or_default).collect())
}

impl Trainable for Teacher {
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
        let mut embedded = embedded.clone();
        if self.settings.feature_dropout > 0.0 {
            let shape = (batch.rows(), self.bank.features().len());
            let place = batch.part.as_ref().map(|part| (part.first_row, part.rows));
            let gates = mask::missing(shape, place, self.settings.feature_dropout, &mut self.dropout_rng)?;
            embedded = masked(self, &embedded, &gates)?;
        }
        let train = &self.settings.train;
        let part = batch.part.as_ref();
        let first_row = part.map_or(0, |part| part.first_row);
        let rng = &mut self.dropout_rng;
        let mut mode = Mode::Train { dropout: train.embedding_dropout, rng, first_row };
        let embedded = dropout(embedded, &mut mode)?;
        let mut mode = Mode::Train { dropout: train.dropout, rng, first_row };
        let logits = run(&self.shared, &self.heads, &embedded, (&batch.partitions, part), &mut mode)?;
        match (&self.given, self.settings.distillation) {
            (Some(given), lambda1) if lambda1 > 0.0 => losses::taught(&logits, batch, given, lambda1),
            _ => losses::ranking(&logits, batch),
        }
    }

    fn scores(&self, batch: &Batch) -> Result<Vec<f32>> {
        let logits = self.logits(&self.embed(batch)?, &batch.partitions, &Routing::Own)?;
        super::values(&sigmoid(&logits).learn("score a batch")?)
    }
}

impl Attributable for Teacher {
    fn logits(&self, embedded: &Tensor, partitions: &[u32], routing: &Routing) -> Result<Tensor> {
        let frozen = self.frozen();
        match *routing {
            Routing::Own => frozen.forward(embedded, partitions),
            Routing::Mixed { gate, shares } => frozen.forward_where_known(embedded, partitions, gate, shares),
        }
    }
}

/// Logits `[rows]`; each row through the head of its partition. `partitions` come with what the rows are a part of.
fn run(
    shared: &Hidden,
    heads: &[Head],
    embedded: &Tensor,
    (partitions, part): (&[u32], Option<&Part>),
    mode: &mut Mode,
) -> Result<Tensor> {
    let x = shared.forward(embedded, mode)?;
    let mut rows_of = vec![Vec::<u32>::new(); heads.len()];
    for (row, &partition) in partitions.iter().enumerate() {
        rows_of[partition as usize].push(row as u32);
    }
    let mut logits = Vec::new();
    let mut place = vec![0u32; partitions.len()];
    let mut next = 0;
    for (p, (head, rows)) in heads.iter().zip(rows_of).enumerate() {
        if rows.is_empty() {
            // Another shard has rows of it, and their dropout takes the next draws.
            if part.is_some_and(|part| part.of_partition[p] > 0) {
                head.hidden.pass_over(mode);
            }
            continue;
        }
        mode.begin_at(part.map_or(0, |part| part.before[p]));
        for &row in &rows {
            place[row as usize] = next;
            next += 1;
        }
        let part = if rows.len() == partitions.len() {
            x.clone()
        } else {
            let rows = Tensor::new(rows, device()).learn("route rows")?;
            x.index_select(&rows, 0).learn("route rows")?
        };
        let hidden = head.hidden.forward(&part, mode)?;
        logits.push(
            head.output
                .forward(&hidden, Follow::Nothing)
                .and_then(|y| y.squeeze(1))
                .learn("run a partition")?,
        );
    }
    let gather = || Tensor::cat(&logits, 0)?.index_select(&Tensor::new(place, device())?, 0);
    gather().learn("collect partitions")
}

/// Multiplies embeddings by a row of gates `[1, features]`.
pub fn masked(teacher: &Teacher, embedded: &Tensor, gates: &Tensor) -> Result<Tensor> {
    gate(embedded, gates, &teacher.columns).learn("mask embeddings")
}

#[cfg(test)]
mod tests;
