//! The joint search: θ by Loss1 (5), α and the supernet's weights by Loss2 (7), both in every step (8).
//!
//! The teacher is frozen; Loss1 runs it on masked embeddings, so its gradient reaches θ alone. Behind the gradient
//! block the supernet sees the same masked embeddings as constants. A warm-up trains the supernet's weights first,
//! with α and θ at rest and no latency, because a zero operator is free and would win while the others know nothing.

mod step;

pub(in crate::learn) use step::{Batches, Phase};

use super::{
    Learn,
    exchange::{same_everywhere, share_params},
    mask::Mask,
    metrics::Metrics,
    params::{Params, Snapshot},
    price_term::{Prices, probability_values},
    settings::SearchSettings,
    supernet::Supernet,
    teacher::{FrozenTeacher, Teacher, masked},
    train::{Rows, Trainable, finite, metrics_of, score_shares},
    values,
};
use crate::{
    base::{
        Result,
        progress::Progress,
        rng::{self, Generator},
    },
    data::{batches, dataset::Batch},
    space::SearchSpace,
};
use candle_core::{Device, Tensor};
use candle_nn::ops::sigmoid;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What one epoch of the search came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchEpoch {
    /// From 1; the warm-up is not counted.
    pub epoch: usize,
    /// Mean Loss1.
    pub loss1: f64,
    /// Mean Loss2.
    pub loss2: f64,
    /// Of the supernet on the validation rows, with features of θ > 0.5 and the present mixture.
    pub metrics: Metrics,
    /// Equation (4) at the end of the epoch.
    pub feature_ms: f64,
    /// Equation (6) at the end of the epoch.
    pub network_ms: f64,
    /// Σθ: the expected number of features.
    pub expected_features: f64,
}

/// What the search found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchOutcome {
    /// θ of every feature.
    pub theta: Vec<f64>,
    /// p = softmax(α) of every Mixop.
    pub probabilities: Vec<Vec<f64>>,
    /// How it went.
    pub epochs: Vec<SearchEpoch>,
}

/// What the search reads and never changes.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// Encoded rows.
    pub rows: Rows<'a>,
    /// Rows that Loss1 judges the masks on; those of Loss2 when absent. A teacher knows by heart which ids of high
    /// cardinality were clicked in its training rows, so on them such ids seem useful.
    pub held_out: Option<&'a [u32]>,
    /// Trained on all features.
    pub teacher: &'a Teacher,
    /// r(x) for every row of the data set.
    pub soft: &'a [f32],
    /// Settings.
    pub settings: &'a SearchSettings,
    /// Base of all draws.
    pub seed: u64,
}

/// θ, α and the supernet's weights while they are learned.
pub struct Search<'a> {
    scene: Scene<'a>,
    frozen: FrozenTeacher,
    params: Params,
    supernet: Supernet,
    mask: Mask,
    masks_rng: Generator,
    /// Of each partition among the training rows.
    shares: Vec<f32>,
}

impl<'a> Search<'a> {
    /// θ = 0.5, α = 0 and seeded weights.
    pub fn new(space: &SearchSpace, scene: Scene<'a>) -> Result<Self> {
        let mut params = Params::new(scene.seed);
        let supernet = Supernet::new(space, scene.teacher.bank().width(), &mut params)?;
        let mask = Mask::new(&space.features, 0.5, &mut params)?;
        let frozen = scene.teacher.frozen();
        let masks_rng = rng::generator(scene.seed, "masks");
        let shares = partition_shares(scene.rows);
        Ok(Self { scene, frozen, params, supernet, mask, masks_rng, shares })
    }

    /// θ, α and the supernet's weights.
    #[cfg(test)]
    pub(super) fn params(&self) -> &Params {
        &self.params
    }

    /// The gates.
    #[cfg(test)]
    pub(super) fn mask(&self) -> &Mask {
        &self.mask
    }

    /// The network that is searched in.
    #[cfg(test)]
    pub(super) fn supernet(&self) -> &Supernet {
        &self.supernet
    }

    /// Trains the weights alone. It does not depend on prices, so rounds with other prices can share it.
    pub fn warm_up(&mut self, progress: &dyn Progress) -> Result<()> {
        let settings = self.scene.settings;
        let mut optimizer = self.optimizer(0.0, 0.0);
        progress.stage("warm up the supernet", self.steps() * settings.warmup_epochs as u64);
        let mut done = 0;
        for epoch in 1..=settings.warmup_epochs {
            for batches in self.batches("warm-up", epoch) {
                let (_, loss2) = self.step(&batches, &Phase::WarmUp, &mut optimizer)?;
                finite(loss2, epoch)?;
                done += 1;
                progress.advance(done, &format!("loss {loss2:.4}"));
            }
        }
        Ok(())
    }

    /// Writes the warmed-up state.
    pub fn save(&self, path: &Path) -> Result<()> {
        self.params.save(path)
    }

    /// Reads the state that [`Search::save`] wrote.
    pub fn load(&mut self, path: &Path) -> Result<()> {
        self.params.load(path)
    }

    /// Gives all ranks the state of rank 0.
    pub fn share(&self) -> Result<()> {
        share_params(self.scene.rows.ranks, &self.params)
    }

    /// Copies the present state, for searching again from here with other prices.
    pub fn snapshot(&self) -> Result<Snapshot> {
        self.params.snapshot()
    }

    /// Goes back to a copied state.
    pub fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        self.params.restore(snapshot)
    }

    /// Searches with the given prices from the present state.
    pub fn run(&mut self, prices: &Prices, progress: &dyn Progress) -> Result<SearchOutcome> {
        let settings = self.scene.settings;
        // The draws of a search do not depend on whether its warm-up ran just now or was read from a file.
        self.masks_rng = rng::generator(self.scene.seed, "search masks");
        let mut optimizer = self.optimizer(settings.theta_learning_rate, settings.alpha_learning_rate);
        let steps = self.steps();
        let total = steps * settings.epochs as u64;
        progress.stage("search", total);
        let mut epochs = Vec::new();
        let mut done = 0;
        for epoch in 1..=settings.epochs {
            let (mut sum1, mut sum2) = (0.0, 0.0);
            for batches in self.batches("search", epoch) {
                let passed = done as f64 / steps as f64;
                let ramp = if settings.lambda_ramp_epochs > 0.0 {
                    (passed / settings.lambda_ramp_epochs).min(1.0)
                } else {
                    1.0
                };
                let phase = Phase::Search { prices, ramp, progress: done as f64 / total as f64 };
                let (loss1, loss2) = self.step(&batches, &phase, &mut optimizer)?;
                sum1 += finite(loss1, epoch)?;
                sum2 += finite(loss2, epoch)?;
                done += 1;
                progress.advance(done, &format!("loss1 {loss1:.4} loss2 {loss2:.4}"));
            }
            same_everywhere(self.scene.rows.ranks, &self.params)?;
            let report = self.epoch_report(epoch, sum1 / steps as f64, sum2 / steps as f64, prices)?;
            progress.say(&format!(
                "  epoch {epoch}: loss1 {:.4}, loss2 {:.4}, supernet AUC {:.4}, Σθ {:.1}, features {:.3} ms, network {:.3} ms",
                report.loss1,
                report.loss2,
                report.metrics.auc.unwrap_or(f64::NAN),
                report.expected_features,
                report.feature_ms,
                report.network_ms
            ));
            epochs.push(report);
        }
        Ok(SearchOutcome {
            theta: self.mask.theta_values()?,
            probabilities: probability_values(&self.supernet.probabilities()?)?,
            epochs,
        })
    }

    fn steps(&self) -> u64 {
        self.scene.rows.split.train.len().div_ceil(self.scene.settings.batch_size) as u64
    }

    /// The batches of an epoch. Held-out rows are fewer and come round several times.
    fn batches(&self, purpose: &str, epoch: usize) -> impl Iterator<Item = Batches> + use<'a> {
        let Scene { rows, held_out, settings, seed, .. } = self.scene;
        let order = move |rows: &[u32], purpose: &str, epoch| {
            batches::epoch_batches(rows, settings.batch_size, rng::derive(seed, purpose), epoch)
        };
        let held_out = held_out.map(move |held_out| {
            let purpose = format!("held out in the {purpose}, epoch {epoch}");
            (1..).flat_map(move |round| order(held_out, &purpose, round))
        });
        let judges = held_out.into_iter().flatten().map(Some).chain(std::iter::repeat(None));
        let place = rows.ranks.place();
        let batch = move |index: Vec<u32>| Batch::shard(rows.data, &index, place);
        order(&rows.split.train, purpose, epoch)
            .zip(judges)
            .map(move |(train, judge)| Batches { train: batch(train), held_out: judge.map(batch) })
    }

    fn epoch_report(&self, epoch: usize, loss1: f64, loss2: f64, prices: &Prices) -> Result<SearchEpoch> {
        let p = self.supernet.probabilities()?;
        let theta = self.mask.theta_values()?;
        let expected = prices.expected(self.supernet.space(), &theta, &probability_values(&p)?)?;
        let open: Vec<f32> = theta.iter().map(|&t| f32::from(u8::from(t > 0.5))).collect();
        let gates = Tensor::new(open, &Device::Cpu).and_then(|t| t.unsqueeze(0)).learn("open gates")?;
        let rows = self.scene.rows;
        let score = |index: &[u32]| {
            let embedded = self.scene.teacher.embed(&Batch::of(rows.data, index))?;
            let logits =
                self.supernet.forward(&masked(self.scene.teacher, &embedded, &gates)?.detach(), &p)?;
            values(&sigmoid(&logits).learn("score a batch")?)
        };
        let scores = score_shares(rows.ranks, &rows.split.valid, score)?;
        Ok(SearchEpoch {
            epoch,
            loss1,
            loss2,
            metrics: metrics_of(&scores, rows.data, &rows.split.valid),
            feature_ms: expected.feature.ms,
            network_ms: expected.network.ms,
            expected_features: theta.iter().sum(),
        })
    }
}

fn partition_shares(rows: Rows) -> Vec<f32> {
    let mut shares = vec![0.0; rows.data.partition_count as usize];
    for &row in &rows.split.train {
        shares[rows.data.partitions[row as usize] as usize] += 1.0 / rows.split.train.len() as f32;
    }
    shares
}
