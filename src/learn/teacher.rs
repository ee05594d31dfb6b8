//! The ranking network: masked embeddings → shared MLP → one MLP per partition → r(x).
//!
//! A partition is a business line or scenario; each row goes through the MLP of its own.

use super::{
    Learn,
    device::device,
    embedding::{EmbeddingBank, InputFeature},
    importance::{Attributable, Routing},
    losses, mask,
    mlp::{Hidden, Mode, dropout},
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
        Result,
        rng::{self, Generator},
    },
    data::{column::Column, dataset::Batch, shard::Part},
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
mod tests {
    use super::*;
    use crate::learn::{
        embedding::input_features,
        fixtures::{every_row, mixed, scramble},
        settings::TrainSettings,
        values,
    };
    use candle_core::Device;

    fn teacher(feature_dropout: f32) -> (Teacher, Batch) {
        let (schema, loaded) = mixed();
        let data = loaded.dataset;
        let every: Vec<usize> = (0..schema.features.len()).collect();
        let features = input_features(&schema.features, &every, &data).unwrap();
        let train = TrainSettings { dropout: 0.0, ..TrainSettings::default() };
        let settings = TeacherSettings {
            shared: vec![6],
            partition: vec![5],
            feature_dropout,
            train,
            ..TeacherSettings::default()
        };
        let teacher = Teacher::new(features, data.partition_count, &settings, 1).unwrap();
        scramble(teacher.params());
        (teacher, Batch::of(&data, &every_row(&data)))
    }

    #[test]
    fn without_its_partition_a_row_gets_the_mean_of_all_weighted_by_their_shares() {
        let (teacher, batch) = teacher(0.0);
        let frozen = teacher.frozen();
        let input = teacher.embed(&batch).unwrap();
        let logits = |partitions: &[u32]| values(&frozen.forward(&input, partitions).unwrap()).unwrap();
        let own = logits(&batch.partitions);
        let of_each: Vec<Vec<f32>> = (0..3).map(|p| logits(&vec![p; batch.rows()])).collect();
        let shares = [0.5f32, 0.3, 0.2];
        for gate in [1.0f32, 0.0, 0.25] {
            let known = Tensor::new(&[[gate]], &Device::Cpu).unwrap();
            let found = frozen.forward_where_known(&input, &batch.partitions, &known, &shares).unwrap();
            for (row, found) in values(&found).unwrap().into_iter().enumerate() {
                let mean: f32 = of_each.iter().zip(shares).map(|(logits, share)| share * logits[row]).sum();
                let wanted = gate * own[row] + (1.0 - gate) * mean;
                assert!((found - wanted).abs() < 1e-4, "{found} {wanted}");
            }
        }
    }

    #[test]
    fn a_given_teacher_is_learned_from_beside_the_labels() {
        let (mut teacher, batch) = teacher(0.0);
        let loss = |teacher: &mut Teacher| {
            super::super::scalar(&teacher.loss(&teacher.embed(&batch).unwrap(), &batch).unwrap()).unwrap()
        };
        let labels = loss(&mut teacher);
        // Half of the cross entropy, and half of the squares of what the scores lack.
        let scores = teacher.scores(&batch).unwrap();
        let mut given = vec![f32::NAN; batch.index.iter().max().map_or(0, |&row| row as usize + 1)];
        batch.index.iter().zip(&scores).for_each(|(&row, score)| given[row as usize] = score * 0.5);
        let squares = scores.iter().map(|&score| f64::from(score * 0.5).powi(2)).sum::<f64>();
        teacher.learn_from(given.into());
        let wanted = 0.5 * labels + 0.5 * squares / scores.len() as f64;
        assert!((loss(&mut teacher) - wanted).abs() < 1e-6);
        teacher.settings.distillation = 0.0;
        assert_eq!(loss(&mut teacher), labels);
    }

    #[test]
    fn features_are_missing_while_it_trains_and_never_while_it_scores() {
        let (mut dropping, batch) = teacher(0.5);
        let (mut whole, _) = teacher(0.0);
        let loss = |teacher: &mut Teacher| {
            super::super::scalar(&teacher.loss(&teacher.embed(&batch).unwrap(), &batch).unwrap()).unwrap()
        };
        assert_eq!(loss(&mut whole), loss(&mut whole));
        let first = loss(&mut dropping);
        assert_ne!(first, loss(&mut whole));
        assert_ne!(first, loss(&mut dropping), "every step misses others");
        assert_eq!(dropping.scores(&batch).unwrap(), whole.scores(&batch).unwrap());
    }
}
