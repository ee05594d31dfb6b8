//! Mean service time of many models on one engine: what probes and whole networks are compared by.
//!
//! For each candidate count all models are loaded once and visited in several passes, each in a new seeded order, so
//! that a drift of the machine meets all of them alike. One visit is a block of runs in a row, after one that warms
//! the caches. How blocks become an estimate, and how noisy it is, is said in `estimate`. After the least number of passes
//! only models above the target noise are visited, which adds blocks to those that they have, until none is above it, their
//! visits or the job's time are used up. Those that stay above the greatest noise are marked void.
//!
//! *Cold* runs come after all that, each behind a sweep over more memory than the last cache holds. They are a
//! quantity of their own: a server that answers seldom pays it, and no estimate above knows of it.
//!
//! Only [`Session::run`] is timed. What is asked is said in `inputs`; it is the same for every engine.

pub(super) mod caches;
mod estimate;
mod inputs;

pub(super) use inputs::spread;
pub use inputs::{Requests, random_inputs};

use super::{
    engine::{Engine, Session, SessionOptions},
    latency::samples_needed,
    replay::clock::Clock,
};
use crate::{
    base::{Error, Result, names::EngineName, rng},
    export::signature::Signature,
    price::table::RunQuantiles,
};
use estimate::noise_pct;
pub(super) use estimate::{median, without_slowest_quarter};
use inputs::{Asker, Source};
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, time::Duration};

/// A model to measure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceModel {
    /// How its samples are called.
    pub name: String,
    /// The ONNX file.
    pub path: PathBuf,
    /// Its inputs.
    pub signature: Signature,
    /// Runs with cold caches, beside the others.
    #[serde(default)]
    pub cold_runs: usize,
}

/// How thoroughly to measure.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Effort {
    /// Visits to every model, at least 2; a job that runs out of time may leave some out.
    pub passes: usize,
    /// Runs of a visit go on for this long …
    pub block_ms: f64,
    /// … but are at least this many …
    pub min_runs: usize,
    /// … and at most this many.
    pub max_runs: usize,
    /// Models noisier than this are visited further …
    pub target_noise_pct: f64,
    /// … up to this many times as often again.
    pub repeats: usize,
    /// What stays noisier than this is void.
    pub max_noise_pct: f64,
}

impl Default for Effort {
    /// About a minute for 130 probes of 0.05 to 5 ms.
    fn default() -> Self {
        Self {
            passes: 6,
            block_ms: 25.0,
            min_runs: 4,
            max_runs: 40,
            target_noise_pct: 1.5,
            repeats: 2,
            max_noise_pct: 3.0,
        }
    }
}

impl Effort {
    /// Refuses what would measure nothing.
    pub fn check(&self) -> Result<()> {
        if self.passes >= 2 && self.min_runs >= 1 && self.max_runs >= self.min_runs {
            return Ok(());
        }
        Err(Error::usage(
            format!("{self:?} measures nothing"),
            "give at least 2 passes and 1 run, and no fewer runs at most than at least",
        ))
    }
}

/// What to measure on which engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceJob {
    /// The runtime.
    pub engine: EngineName,
    /// How sessions are made; the hint is set per candidate count.
    pub options: SessionOptions,
    /// The models.
    pub models: Vec<ServiceModel>,
    /// Candidate counts at which each is measured.
    pub candidates: Vec<usize>,
    /// What they are asked.
    pub requests: Requests,
    /// How thoroughly.
    pub effort: Effort,
    /// Of random inputs and order.
    pub seed: u64,
    /// Time after which no model is visited more than [`LEAST_PASSES`] times; without it, as long as it takes.
    #[serde(default)]
    pub time_limit_s: Option<f64>,
}

/// Visits that every model gets, however little time there is: fewer would say nothing of the noise.
pub const LEAST_PASSES: usize = 3;

/// The service time of one model at one candidate count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceSample {
    /// The model's name.
    pub model: String,
    /// Number of candidates.
    pub candidates: usize,
    /// Estimated mean service time without interruptions: the median over blocks of the mean of a block's runs without
    /// their slowest quarter.
    pub mean_ms: f64,
    /// Percentiles over all timed runs.
    pub quantiles: RunQuantiles,
    /// Timed runs.
    pub runs: usize,
    /// Estimate of every block, in order of time.
    pub block_ms: Vec<f64>,
    /// Standard error of the estimate, in percent of it, from the spread of all blocks.
    pub noise_pct: f64,
    /// The noise is above what was asked for, even after all repeats.
    pub void: bool,
    /// Median of the runs with cold caches; absent where none was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cold_ms: Option<f64>,
}

struct Subject<'a> {
    model: &'a ServiceModel,
    session: Box<dyn Session>,
    asker: Asker<'a>,
    scores: Vec<f32>,
    blocks_ms: Vec<f64>,
    runs_ms: Vec<f64>,
    cold_ms: Vec<f64>,
}

/// Runs a job in this process. Samples come per candidate count in the order of the models. `ready` is called when all
/// that is asked has been read and nothing has been loaded yet.
pub fn measure(
    job: &ServiceJob,
    engine: &dyn Engine,
    clock: &dyn Clock,
    ready: impl FnOnce(),
) -> Result<Vec<ServiceSample>> {
    job.effort.check()?;
    let source = Source::open(&job.requests, job.seed)?;
    ready();
    let begun = clock.now();
    let late = || job.time_limit_s.is_some_and(|limit_s| (clock.now() - begun).as_secs_f64() >= limit_s);
    let mut samples = Vec::with_capacity(job.models.len() * job.candidates.len());
    for &candidates in &job.candidates {
        samples.extend(measure_at(job, &source, candidates, engine, clock, &late)?);
    }
    Ok(samples)
}

fn measure_at<'a>(
    job: &'a ServiceJob,
    source: &'a Source,
    candidates: usize,
    engine: &dyn Engine,
    clock: &dyn Clock,
    late: &dyn Fn() -> bool,
) -> Result<Vec<ServiceSample>> {
    let options = SessionOptions { candidates_hint: Some(candidates), ..job.options.clone() };
    let subject = |model: &'a ServiceModel| -> Result<Subject<'a>> {
        Ok(Subject {
            model,
            session: engine.load(&model.path, &options)?,
            asker: source.asker(model, candidates, engine, &options)?,
            scores: Vec::new(),
            blocks_ms: Vec::new(),
            runs_ms: Vec::new(),
            cold_ms: Vec::new(),
        })
    };
    let mut subjects: Vec<Subject> = job.models.iter().map(subject).collect::<Result<_>>()?;
    let mut order: Vec<usize> = (0..subjects.len()).collect();
    let mut generator = rng::generator(job.seed, "service order");
    let effort = job.effort;
    for pass in 0..effort.passes * (1 + effort.repeats) {
        if pass >= effort.passes {
            order.retain(|&i| noise_pct(&subjects[i].blocks_ms) > effort.target_noise_pct);
        }
        if order.is_empty() || (pass >= LEAST_PASSES && late()) {
            break;
        }
        rng::shuffle(&mut order, &mut generator);
        for &i in &order {
            subjects[i].visit(effort, clock)?;
        }
    }
    if subjects.iter().any(|subject| subject.model.cold_runs > 0) {
        let mut sweep = caches::Sweep::of_this_machine();
        for subject in &mut subjects {
            for _ in 0..subject.model.cold_runs {
                subject.run_cold(&mut sweep, clock)?;
            }
        }
    }
    Ok(subjects.iter().map(|subject| subject.sample(candidates, job.effort)).collect())
}

impl Subject<'_> {
    fn visit(&mut self, effort: Effort, clock: &dyn Clock) -> Result<()> {
        self.run(clock)?;
        let budget = Duration::from_secs_f64(effort.block_ms.max(0.0) / 1e3);
        let (mut block, mut spent) = (Vec::new(), Duration::ZERO);
        while block.len() < effort.min_runs || (block.len() < effort.max_runs && spent < budget) {
            let time = self.run(clock)?;
            spent += time;
            block.push(time.as_secs_f64() * 1e3);
        }
        self.runs_ms.extend_from_slice(&block);
        self.blocks_ms.push(without_slowest_quarter(block));
        Ok(())
    }

    /// One run whose inputs are in the caches and whose model is not: a request that was just decoded.
    fn run_cold(&mut self, sweep: &mut caches::Sweep, clock: &dyn Clock) -> Result<()> {
        sweep.run();
        let time = self.run(clock)?;
        self.cold_ms.push(time.as_secs_f64() * 1e3);
        Ok(())
    }

    fn run(&mut self, clock: &dyn Clock) -> Result<Duration> {
        let inputs = self.asker.next();
        let begun = clock.now();
        self.session.run(inputs, &mut self.scores)?;
        Ok(clock.now().saturating_sub(begun))
    }

    fn sample(&self, candidates: usize, effort: Effort) -> ServiceSample {
        let noise_pct = noise_pct(&self.blocks_ms);
        ServiceSample {
            model: self.model.name.clone(),
            candidates,
            mean_ms: median(self.blocks_ms.clone()),
            quantiles: quantiles(&self.runs_ms),
            runs: self.runs_ms.len(),
            block_ms: self.blocks_ms.clone(),
            noise_pct,
            void: noise_pct > effort.max_noise_pct,
            cold_ms: (!self.cold_ms.is_empty()).then(|| median(self.cold_ms.clone())),
        }
    }
}

/// The least value with so many of all below or at it, where there are enough to tell.
fn quantiles(runs_ms: &[f64]) -> RunQuantiles {
    let mut sorted = runs_ms.to_vec();
    sorted.sort_by(f64::total_cmp);
    RunQuantiles::of(|quantile| {
        let rank = (quantile * sorted.len() as f64).ceil() as usize;
        let earned = sorted.len() as u64 >= samples_needed(quantile);
        earned.then(|| sorted[rank.max(1) - 1])
    })
}

#[cfg(test)]
mod tests;
