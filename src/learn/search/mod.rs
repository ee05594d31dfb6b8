//! The joint search: θ by Loss1 (5), α and the supernet's weights by Loss2 (7), both in every step (8).
//!
//! The teacher is frozen; Loss1 runs it on masked embeddings, so its gradient reaches θ alone. Behind the gradient
//! block the supernet sees the same masked embeddings as constants. A warm-up trains the supernet's weights first,
//! with α and θ at rest and no latency, because a zero operator is free and would win while the others know nothing.

mod judge;
mod multiplier;
mod report;
mod seen;
mod state;
mod step;
mod verdict;

pub use judge::SupernetJudge;
#[cfg(test)]
pub(in crate::learn) use step::Drawn;
pub(in crate::learn) use step::{Batches, Phase};

use super::{
    checkpoint::{Keeper, Moment},
    exchange::{same_everywhere, share_params},
    mask::Mask,
    metrics::Metrics,
    optimizer::AdamW,
    params::{Params, Snapshot},
    price_term::{Expected, Prices, probability_values},
    settings::SearchSettings,
    supernet::Supernet,
    teacher::{FrozenTeacher, Teacher},
    train::{Rows, Trainable, epoch_of, finite, note_auc, record_metrics},
};
use crate::{
    base::{
        Error, Result,
        progress::{Pace, Progress},
        rng::{self, Generator},
    },
    data::{batches, dataset::Batch, lists::Lists},
    space::{Operator, SearchSpace},
};
use seen::Seen;
use serde::{Deserialize, Serialize};
use state::Position;
use std::{path::Path, sync::Arc};

/// How often θ, α and the expected latency are recorded.
const STATES_PER_EPOCH: u64 = 20;

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
    /// (4) and what the target makes of (6) at the end of the epoch: what a budget is held against.
    pub expected_ms: f64,
    /// λ of (5) as it was paid in the epoch's last step.
    pub lambda: f64,
    /// λ2 of (7), likewise.
    pub lambda2: f64,
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
    /// What has gone wrong, with what mends it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

impl SearchOutcome {
    /// These strengths of features and operators, without a way to them.
    pub fn of(theta: Vec<f64>, probabilities: Vec<Vec<f64>>) -> Self {
        Self { theta, probabilities, epochs: Vec::new(), warnings: Vec::new() }
    }

    /// These strengths of features, and all of p on these operators of `space`.
    pub fn choosing(space: &SearchSpace, theta: Vec<f64>, operators: &[Operator]) -> Self {
        let all_on = |(mixop, chosen): (&Vec<Operator>, &Operator)| {
            mixop.iter().map(|operator| f64::from(u8::from(operator == chosen))).collect()
        };
        Self::of(theta, space.mixops.iter().zip(operators).map(all_on).collect())
    }
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
    paths_rng: Generator,
    seen: Seen,
    /// Of the training rows, where Loss2 compares within lists.
    lists: Option<Arc<Lists>>,
    /// Of each partition among the training rows.
    shares: Vec<f32>,
}

impl<'a> Search<'a> {
    /// θ at its start, α = 0 and seeded weights.
    pub fn new(space: &SearchSpace, scene: Scene<'a>) -> Result<Self> {
        if scene.held_out.is_some_and(<[u32]>::is_empty) {
            return Err(Error::usage("no rows are held out to judge the masks on", "hold out more, or none"));
        }
        let mut params = Params::new(scene.seed);
        let supernet = Supernet::new(space, scene.teacher.bank().width(), &mut params)?;
        let Scene { rows, settings, .. } = scene;
        let mask = Mask::new(&space.features, settings.theta_start as f32, settings.gate, &mut params)?;
        let lists = || Lists::of(rows.data, &rows.split.train, settings.longest_list, settings.batch_size);
        let lists = settings.distillation_loss.of_lists().map(|_| lists()).transpose()?.map(Arc::new);
        let frozen = scene.teacher.frozen();
        let masks_rng = rng::generator(scene.seed, "masks");
        let paths_rng = rng::generator(scene.seed, "paths");
        let shares = rows.data.partition_shares(&rows.split.train);
        let seen = Seen::default();
        Ok(Self { scene, frozen, params, supernet, mask, masks_rng, paths_rng, seen, lists, shares })
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

    /// Trains the weights alone. It does not depend on prices, so rounds with other prices can share it. Goes on from what
    /// `keeper` has saved.
    pub fn warm_up(&mut self, progress: &dyn Progress, keeper: &mut Keeper) -> Result<()> {
        let settings = self.scene.settings;
        let mut optimizer = self.optimizer(0.0, 0.0)?;
        let total = self.steps() * settings.warmup_epochs as u64;
        progress.stage("warm up the supernet", total);
        self.mask.anneal(0.0);
        let mut at = self.begin(("warm-up", (0, None)), &mut optimizer, progress, keeper)?;
        while at.epoch <= settings.warmup_epochs {
            batches::ahead(self.batches("warm-up", at.epoch, at.batch), |batches| {
                let phase = Phase::WarmUp { progress: at.done as f64 / total as f64 };
                let (_, loss2) = self.step(&batches, &phase, &mut optimizer)?;
                at.passed(0.0, finite(loss2, at.epoch)?, 0.0);
                progress.record(Pace::EveryStep, "warm_up/loss2", at.done, loss2);
                progress.advance(at.done, &format!("loss {loss2:.4}"));
                keeper.keep(Moment::Step, || self.contents(&at, &mut optimizer))
            })?;
            at.next_epoch();
            keeper.keep(Moment::EpochEnd, || self.contents(&at, &mut optimizer))?;
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

    /// Searches with the given prices from the present state, or goes on from what `keeper` has saved of this search.
    pub fn run(
        &mut self,
        prices: &Prices,
        progress: &dyn Progress,
        keeper: &mut Keeper,
    ) -> Result<SearchOutcome> {
        let settings = self.scene.settings;
        // The draws of a search do not depend on whether its warm-up ran just now or was read from a file.
        self.masks_rng = rng::generator(self.scene.seed, "search masks");
        self.paths_rng = rng::generator(self.scene.seed, "search paths");
        self.seen = Seen::default();
        self.mask.anneal(0.0);
        let mut optimizer = self.optimizer(settings.theta_learning_rate, settings.alpha_learning_rate)?;
        let steps = self.steps();
        let total = steps * settings.epochs as u64;
        progress.stage("search", total);
        let price = (self.expected(prices)?.total_ms().to_bits(), prices.budget_ms.map(f64::to_bits));
        let mut at = self.begin(("search", price), &mut optimizer, progress, keeper)?;
        self.mask.anneal(at.done as f64 / total as f64);
        while at.epoch <= settings.epochs {
            batches::ahead(self.batches("search", at.epoch, at.batch), |batches| {
                self.advance(&batches, &mut at, prices, &mut optimizer, progress)?;
                keeper.keep(Moment::Step, || self.contents(&at, &mut optimizer))
            })?;
            same_everywhere(self.scene.rows.ranks, &self.params)?;
            let report = self.epoch_report(&at, prices)?;
            progress.say(&report.to_string());
            record_metrics(&report.metrics, at.done, progress);
            at.epochs.push(report);
            at.next_epoch();
            keeper.keep(Moment::EpochEnd, || self.contents(&at, &mut optimizer))?;
        }
        let p = probability_values(&self.supernet.probabilities()?)?;
        let mut outcome =
            SearchOutcome { epochs: at.epochs, ..SearchOutcome::of(self.mask.theta_values()?, p) };
        outcome.warnings =
            verdict::warnings(self.supernet.space(), &outcome, &self.seen, settings, prices.budget_ms);
        outcome.warnings.iter().for_each(|warning| progress.say(&format!("  warning: {warning}")));
        Ok(outcome)
    }

    /// One step of the search: what is paid in it, and what it makes of the gates and of λ.
    fn advance(
        &mut self,
        batches: &Batches,
        at: &mut Position,
        prices: &Prices,
        optimizer: &mut AdamW,
        progress: &dyn Progress,
    ) -> Result<()> {
        let (settings, steps) = (self.scene.settings, self.steps());
        let passed = |at: &Position| at.done as f64 / (steps * settings.epochs as u64) as f64;
        let ramp = settings.lambda_share(at.done as f64 / steps as f64);
        // Once this step is done, θ and α have answered so far to what they paid.
        let answered = ramp * settings.response(passed(at));
        let share = ramp * at.ascent.factor(&settings.multiplier);
        let phase = Phase::Search { prices, share, progress: passed(at) };
        let (loss1, loss2) = self.step(batches, &phase, optimizer)?;
        at.passed(finite(loss1, at.epoch)?, finite(loss2, at.epoch)?, share);
        self.mask.anneal(passed(at));
        if let Some(budget_ms) = prices.budget_ms {
            // What the next step begins with.
            let expected_ms = self.expected(prices)?.total_ms();
            at.ascent.step(&settings.multiplier, (expected_ms, budget_ms), answered, steps);
        }
        progress.record(Pace::EveryStep, "loss1", at.done, loss1);
        progress.record(Pace::EveryStep, "loss2", at.done, loss2);
        if at.done.is_multiple_of(steps.div_ceil(STATES_PER_EPOCH)) {
            self.record_state(at.done, share, prices, progress)?;
        }
        let auc = note_auc(at.epochs.last().and_then(|epoch| epoch.metrics.auc));
        progress.advance(at.done, &format!("loss1 {loss1:.4} loss2 {loss2:.4}{auc}"));
        Ok(())
    }

    /// Latencies under the present θ and p.
    fn expected(&self, prices: &Prices) -> Result<Expected> {
        let p = probability_values(&self.supernet.probabilities()?)?;
        prices.expected(self.supernet.space(), &self.mask.theta_values()?, &p)
    }

    fn steps(&self) -> u64 {
        self.scene.rows.split.train.len().div_ceil(self.scene.settings.batch_size) as u64
    }

    /// The batches of an epoch but its first `passed` ones. Held-out rows are fewer and come round several times.
    fn batches(&self, purpose: &str, epoch: usize, passed: usize) -> impl Iterator<Item = Batches> + use<'a> {
        let Scene { rows, held_out, settings, seed, .. } = self.scene;
        let size = settings.batch_size;
        let held_out = held_out.map(move |held_out| {
            let seed = rng::derive(seed, &format!("held out in the {purpose}, epoch {epoch}"));
            (1..).flat_map(move |round| batches::epoch_batches(held_out, size, seed, round))
        });
        let judges = held_out.into_iter().flatten().map(Some).chain(std::iter::repeat(None));
        let place = rows.ranks.place();
        let judge = move |index: Vec<u32>| Batch::shard(rows.data, &index, place);
        epoch_of(rows, self.lists.as_ref(), size, rng::derive(seed, purpose), epoch)
            .zip(judges)
            .skip(passed)
            .map(move |(make, held_out)| Batches { train: make(), held_out: held_out.map(judge) })
    }
}

#[cfg(test)]
mod failures;
#[cfg(test)]
mod tests;
