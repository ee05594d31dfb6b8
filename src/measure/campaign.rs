//! Repeated passes over one trace, on several engines by turns.
//!
//! What a machine does to a measurement changes from minute to minute: so every engine replays the whole trace several times,
//! and in every round the engines, and the models of each, take turns in a new seeded order. A drift then meets all of them
//! alike, and how far the passes of one lie apart tells how far its result may be believed. Every pass is a process of its
//! own ([`child`]), so that what a process brings with it (the layout of its memory, say) is in the spread too.

use super::{
    child::{self, Launcher},
    job::ReplayJob,
    measurement::{Measurement, Pass, Plan},
    replay::{recorder::Recording, trace::Pacing},
    scores::PassScores,
};
use crate::base::{Error, Result, names::EngineName, rng};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// What to replay, and how often.
#[derive(Debug, Clone, PartialEq)]
pub struct Campaign {
    /// One per engine; each may have several models.
    pub jobs: Vec<ReplayJob>,
    /// Passes, order and limits.
    pub plan: Plan,
    /// What other engines scored in earlier campaigns over the same trace, by model: to be held against these as well.
    pub scored: BTreeMap<PathBuf, Vec<PassScores>>,
}

/// The turn that is about to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// Whose turn it is.
    pub engine: EngineName,
    /// Number of the pass, from 1 …
    pub pass: usize,
    /// … to this.
    pub passes: usize,
}

/// All passes of one model on one engine.
#[derive(Debug, Clone)]
pub struct Measured {
    /// What they mean.
    pub measurement: Measurement,
    /// What happened in all of them, merged.
    pub recording: Recording,
    /// What the first of them scored.
    pub scores: Option<PassScores>,
}

/// What a campaign has brought.
#[derive(Debug)]
pub struct Outcome {
    /// Per job, in their order, and per model of it. A job without any pass has none.
    pub measured: Vec<Vec<Measured>>,
    /// The first failure of an engine, or the request to stop. What the others, or the passes before it, have measured is
    /// kept.
    pub failure: Option<Error>,
}

impl Campaign {
    /// The rate that all jobs are stretched to, where they are.
    pub fn rate(&self) -> Option<f64> {
        match self.jobs.first()?.pacing {
            Pacing::Rate { qps } => Some(qps),
            _ => None,
        }
    }

    /// Runs all turns in child processes; `announce` is told of each before it begins. An engine that fails has no further
    /// turn, and the others go on. One that crashes has its pass once more, and its result says so and is INVALID. Fails when
    /// nothing at all was measured.
    pub fn run(&self, launcher: &Launcher, mut announce: impl FnMut(Turn)) -> Result<Outcome> {
        // Read once, and not for every pass.
        let schedules = self.jobs.iter().map(ReplayJob::schedule).collect::<Result<Vec<_>>>()?;
        let longest = schedules.into_iter().max().unwrap_or_default();
        let mut outcome = self.run_with(|job, pass| {
            announce(Turn { engine: job.engine, pass, passes: self.plan.repeats });
            launcher.replay(job, longest)
        })?;
        outcome.failure = launcher.stop.check().err().or(outcome.failure);
        Ok(outcome)
    }

    /// [`Campaign::run`] with whatever `replay` makes of a job and the number of its pass.
    fn run_with(&self, mut replay: impl FnMut(ReplayJob, usize) -> Result<Vec<Pass>>) -> Result<Outcome> {
        if self.plan.repeats == 0 {
            return Err(Error::usage("no pass was asked for", "give at least 1 as --repeats"));
        }
        let mut passes: Vec<Vec<Vec<Pass>>> =
            self.jobs.iter().map(|job| vec![Vec::new(); job.models.len()]).collect();
        let mut jobs = self.jobs.clone();
        let mut waiting: Vec<usize> = (0..self.jobs.len()).collect();
        let mut generator = rng::generator(self.plan.seed, "turns");
        let mut failure = None;
        let mut failed: Vec<Option<String>> = vec![None; self.jobs.len()];
        'rounds: for round in 1..=self.plan.repeats {
            rng::shuffle(&mut waiting, &mut generator);
            for j in waiting.clone() {
                let job = &mut jobs[j];
                let mut order: Vec<usize> = (0..job.models.len()).collect();
                rng::shuffle(&mut order, &mut generator);
                let models = order.iter().map(|&m| job.models[m].clone()).collect();
                let job_now = ReplayJob { models, ..job.clone() };
                match pass(job_now, round, &mut failed[j], &mut replay) {
                    Ok(done) => {
                        let cut =
                            done.len() < order.len() || done.iter().any(|pass| pass.recording.interrupted);
                        for (m, pass) in order.into_iter().zip(done) {
                            let chosen = pass.setup.plan_choice.clone();
                            job.plans.extend(chosen.map(|choice| (job.models[m].clone(), choice)));
                            passes[j][m].push(pass);
                        }
                        if cut {
                            break 'rounds;
                        }
                    }
                    Err(error) => {
                        let stopped = matches!(error, Error::Interrupted { .. });
                        if !stopped {
                            failed[j] = Some(failed_in(round, &error));
                        }
                        failure.get_or_insert(error);
                        waiting.retain(|&other| other != j);
                        if stopped {
                            break 'rounds;
                        }
                    }
                }
            }
        }
        let merged = |j: usize| self.merged(j, &passes, failed[j].as_deref());
        let measured: Vec<Vec<Measured>> = (0..self.jobs.len()).map(merged).collect();
        match failure {
            Some(error) if measured.iter().all(Vec::is_empty) => Err(error),
            failure => Ok(Outcome { measured, failure }),
        }
    }

    /// What the passes of one job mean, of those of all jobs and their models. `failure` says how its engine failed, where it did.
    fn merged(&self, job: usize, passes: &[Vec<Vec<Pass>>], failure: Option<&str>) -> Vec<Measured> {
        let of = |(passes_of, model): (&Vec<Pass>, &PathBuf)| {
            let others = self.others(job, model, passes);
            let (measurement, recording) = Measurement::until(passes_of, &self.plan, failure, &others)?;
            let scores = passes_of.iter().find_map(|pass| pass.scores.clone());
            Some(Measured { measurement, recording, scores })
        };
        passes[job].iter().zip(&self.jobs[job].models).filter_map(of).collect()
    }

    /// What other engines scored with a model: each in its first pass, and those of earlier campaigns.
    fn others<'a>(&'a self, job: usize, model: &Path, passes: &'a [Vec<Vec<Pass>>]) -> Vec<&'a PassScores> {
        let jobs = self.jobs.iter().zip(passes).enumerate().filter(|(other, _)| *other != job);
        let now = jobs.filter_map(|(_, (other, passes))| {
            let at = other.models.iter().position(|known| known == model)?;
            passes[at].iter().find_map(|pass| pass.scores.as_ref())
        });
        self.scored.get(model).into_iter().flatten().chain(now).collect()
    }
}

/// A pass of a job. Where its process crashes for the first time, as `failed` says then, another takes its place.
fn pass(
    job: ReplayJob,
    round: usize,
    failed: &mut Option<String>,
    mut replay: impl FnMut(ReplayJob, usize) -> Result<Vec<Pass>>,
) -> Result<Vec<Pass>> {
    match replay(job.clone(), round) {
        Err(crash) if failed.is_none() && crash.is_crash() => {
            child::say_again(&format!("pass {round} on {}", job.engine), &crash);
            *failed = Some(failed_in(round, &crash));
            replay(job, round).map_err(|again| again.after(&crash))
        }
        done => done,
    }
}

/// A failure as a reason of the passes before it: in one line, since a process's last words may be several.
fn failed_in(pass: usize, error: &Error) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    let told = format!("{error}{cause}");
    let lines: Vec<&str> = told.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    format!("the engine failed in pass {pass}: {}", lines.join(" | "))
}

#[cfg(test)]
pub(super) mod examples;
#[cfg(test)]
mod tests;
