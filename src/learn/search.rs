//! The joint search: θ by Loss1 (5), α and the supernet's weights by Loss2 (7), both in every step (8).
//!
//! The teacher is frozen; Loss1 runs it on masked embeddings, so its gradient reaches θ alone. Behind the gradient
//! block the supernet sees the same masked embeddings as constants. A warm-up trains the supernet's weights first,
//! with α and θ at rest and no latency, because a zero operator is free and would win while the others know nothing.

use super::{
    Learn, losses,
    mask::{Mask, THETA},
    metrics::Metrics,
    optimizer::{AdamW, Rates},
    params::{Params, Snapshot},
    price_term::{Prices, probability_values},
    scalar,
    settings::{GradientBlock, PriceFirstLayer, SearchSettings},
    supernet::{ALPHA, Supernet},
    teacher::{FrozenTeacher, Teacher, masked},
    train::{Rows, finite, labels_and_weights, metrics_of},
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
pub struct Scene<'a> {
    /// Encoded rows.
    pub rows: Rows<'a>,
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
}

/// Which parameters a step moves, and what it pays.
enum Phase<'a> {
    WarmUp,
    Search { prices: &'a Prices<'a>, ramp: f64, progress: f64 },
}

impl<'a> Search<'a> {
    /// θ = 0.5, α = 0 and seeded weights.
    pub fn new(space: &SearchSpace, scene: Scene<'a>) -> Result<Self> {
        let mut params = Params::new(scene.seed);
        let supernet = Supernet::new(space, scene.teacher.bank().width(), &mut params)?;
        let mask = Mask::new(space.features.len(), 0.5, &mut params)?;
        let frozen = scene.teacher.frozen();
        let masks_rng = rng::generator(scene.seed, "masks");
        Ok(Self { scene, frozen, params, supernet, mask, masks_rng })
    }

    /// Trains the weights alone. It does not depend on prices, so rounds with other prices can share it.
    pub fn warm_up(&mut self, progress: &dyn Progress) -> Result<()> {
        let settings = self.scene.settings;
        let mut optimizer = self.optimizer(0.0, 0.0);
        progress.stage("warm up the supernet", self.steps() * settings.warmup_epochs as u64);
        let mut done = 0;
        for epoch in 1..=settings.warmup_epochs {
            for index in self.batches("warm-up", epoch) {
                let (_, loss2) =
                    self.step(&Batch::of(self.scene.rows.data, &index), &Phase::WarmUp, &mut optimizer)?;
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
            for index in self.batches("search", epoch) {
                let passed = done as f64 / steps as f64;
                let ramp = if settings.lambda_ramp_epochs > 0.0 {
                    (passed / settings.lambda_ramp_epochs).min(1.0)
                } else {
                    1.0
                };
                let phase = Phase::Search { prices, ramp, progress: done as f64 / total as f64 };
                let batch = Batch::of(self.scene.rows.data, &index);
                let (loss1, loss2) = self.step(&batch, &phase, &mut optimizer)?;
                sum1 += finite(loss1, epoch)?;
                sum2 += finite(loss2, epoch)?;
                done += 1;
                progress.advance(done, &format!("loss1 {loss1:.4} loss2 {loss2:.4}"));
            }
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

    fn batches(&self, purpose: &str, epoch: usize) -> Vec<Vec<u32>> {
        let seed = rng::derive(self.scene.seed, purpose);
        batches::epoch_batches(&self.scene.rows.split.train, self.scene.settings.batch_size, seed, epoch)
            .collect()
    }

    /// One step of (8). Returns Loss1 and Loss2.
    fn step(&mut self, batch: &Batch, phase: &Phase, optimizer: &mut AdamW) -> Result<(f64, f64)> {
        let settings = self.scene.settings;
        let progress = match phase {
            Phase::WarmUp => 0.0,
            Phase::Search { progress, .. } => *progress,
        };
        let gates = self.mask.draw(&settings.gate, progress, &mut self.masks_rng)?;
        let terms = self.terms(batch, &gates, phase)?;
        let loss = match &terms.loss1 {
            Some(loss1) => (loss1 + &terms.loss2).learn("add Loss1 and Loss2")?,
            None => terms.loss2.clone(),
        };
        optimizer.step(&loss.backward().learn("differentiate the loss")?, 1.0)?;
        let loss1 = terms.loss1.as_ref().map_or(Ok(0.0), scalar)?;
        Ok((loss1, scalar(&terms.loss2)?))
    }

    /// Loss1 and Loss2 of a batch under the drawn gates `[1, features]`.
    fn terms(&self, batch: &Batch, gates: &Tensor, phase: &Phase) -> Result<Terms> {
        let settings = self.scene.settings;
        let embedded = self.scene.teacher.embed(batch)?;
        let gated = masked(self.scene.teacher, &embedded, gates)?;
        let input = match settings.gradient_block {
            GradientBlock::On => gated.detach(),
            GradientBlock::Off => gated.clone(),
        };
        let (labels, weights) = labels_and_weights(batch)?;
        let p = self.supernet.probabilities()?;
        let logits = self.supernet.forward(&input, &p)?;
        let soft: Vec<f32> = batch.index.iter().map(|&row| self.scene.soft[row as usize]).collect();
        let soft = Tensor::new(soft, &Device::Cpu).learn("read the teacher's scores")?;
        let ranking = losses::cross_entropy(&logits, &labels, &weights)?;
        let distilled = losses::distillation(&soft, &sigmoid(&logits).learn("score a batch")?)?;
        let mut loss2 = weigh(&ranking, 1.0 - settings.lambda1)?;
        loss2 = (loss2 + weigh(&distilled, settings.lambda1)?).learn("add losses")?;
        let Phase::Search { prices, ramp, .. } = phase else { return Ok(Terms { loss1: None, loss2 }) };

        let theta = self.mask.theta()?;
        let theta_values: Vec<f64> = values(&theta)?.into_iter().map(f64::from).collect();
        let expected = prices.expected(self.supernet.space(), &theta_values, &probability_values(&p)?)?;
        let latency2 = prices.loss2_term(&expected, &p)?;
        loss2 = (loss2 + weigh(&latency2, settings.lambda2 * ramp)?).learn("add losses")?;
        let ranking1 =
            losses::cross_entropy(&self.frozen.forward(&gated, &batch.partitions)?, &labels, &weights)?;
        let joint = settings.price_first_layer == PriceFirstLayer::Joint;
        let latency1 = prices.loss1_term(self.supernet.space(), &expected, &theta, joint)?;
        let loss1 = (ranking1 + weigh(&latency1, settings.lambda * ramp)?).learn("add losses")?;
        Ok(Terms { loss1: Some(loss1), loss2 })
    }

    fn optimizer(&self, theta_rate: f64, alpha_rate: f64) -> AdamW {
        let settings = self.scene.settings;
        let mut optimizer = AdamW::default();
        for (name, var) in self.params.iter() {
            let rates = if name == THETA {
                Rates { learning_rate: theta_rate, weight_decay: 0.0 }
            } else if name.starts_with(ALPHA) {
                Rates { learning_rate: alpha_rate, weight_decay: 0.0 }
            } else {
                Rates { learning_rate: settings.learning_rate, weight_decay: settings.weight_decay }
            };
            if rates.learning_rate > 0.0 {
                optimizer.add(var, rates);
            }
        }
        optimizer
    }

    fn epoch_report(&self, epoch: usize, loss1: f64, loss2: f64, prices: &Prices) -> Result<SearchEpoch> {
        let p = self.supernet.probabilities()?;
        let theta = self.mask.theta_values()?;
        let expected = prices.expected(self.supernet.space(), &theta, &probability_values(&p)?)?;
        let open: Vec<f32> = theta.iter().map(|&t| f32::from(u8::from(t > 0.5))).collect();
        let gates = Tensor::new(open, &Device::Cpu).and_then(|t| t.unsqueeze(0)).learn("open gates")?;
        let rows = self.scene.rows;
        let mut scores = Vec::with_capacity(rows.split.valid.len());
        for index in rows.split.valid.chunks(4096) {
            let embedded = self.scene.teacher.embed(&Batch::of(rows.data, index))?;
            let logits =
                self.supernet.forward(&masked(self.scene.teacher, &embedded, &gates)?.detach(), &p)?;
            scores.extend(values(&sigmoid(&logits).learn("score a batch")?)?);
        }
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

struct Terms {
    loss1: Option<Tensor>,
    loss2: Tensor,
}

fn weigh(term: &Tensor, weight: f64) -> Result<Tensor> {
    (term * weight).learn("weigh a loss")
}
