//! Which plan of tract a replay runs on. Decided per model before the clock starts, by running requests of the very trace on
//! sessions of either kind; what was found is recorded with the result, the cost of padding among it.
//!
//! Which one is faster depends on the graph: a plan for one count has kernels chosen for it and no shapes to compute, plans
//! for many counts each keep packed weights of their own, which have to share the processor's caches.

use super::{
    engine::{CandidateCounts, Engine, Inputs, Session, SessionOptions},
    replay::{Workload, clock::Clock},
    service::spread,
};
use crate::base::{
    Result,
    names::{EngineName, Plan},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, path::Path, time::Duration};

/// How the plan was chosen. Times are means over requests of the trace, each by the fastest of its runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlanChoice {
    /// What was asked for.
    pub asked: Plan,
    /// What the sessions that were timed had.
    pub taken: Plan,
    /// Candidate counts that had a plan each; a request is padded to the next one. Empty with the symbolic plan.
    pub buckets: Vec<usize>,
    /// Requests of the trace that were run.
    pub requests: usize,
    /// Counted runs of each of them.
    pub runs: usize,
    /// With one plan for any count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub symbolic_us: Option<f64>,
    /// With a plan per bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucketed_us: Option<f64>,
    /// What padding costs; absent where no request that was run is padded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub padding: Option<PaddingCost>,
}

/// Requests that are padded, against the same on plans for exactly their counts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PaddingCost {
    /// Requests that were compared.
    pub requests: usize,
    /// Padded to their buckets.
    pub padded_us: f64,
    /// As they are.
    pub exact_us: f64,
    /// Rows of padding, in percent of the candidates.
    pub added_candidates_pct: f64,
    /// `padded_us` over `exact_us`, as what it is more, in percent.
    pub added_time_pct: f64,
}

impl PlanChoice {
    /// Buckets were asked for, and pad nothing.
    fn undisputed(buckets: Vec<usize>) -> Self {
        Self {
            asked: Plan::Bucketed,
            taken: Plan::Bucketed,
            buckets,
            requests: 0,
            runs: 0,
            symbolic_us: None,
            bucketed_us: None,
            padding: None,
        }
    }
}

/// Requests that are run at most.
const REQUESTS: usize = 24;
/// Padded requests that get a plan of exactly their count: as many as sessions make plans for without bucketing.
const EXACT: usize = 8;
/// Visits to every session, after one that warms it up: at least …
const LEAST_VISITS: usize = 3;
/// … and up to here, as long as the time is not used up.
const MOST_VISITS: usize = 9;
/// For all visits of all sessions.
const BUDGET: Duration = Duration::from_millis(1500);

/// The options to make sessions with, the plan decided, and how it was. Nothing is decided for an engine that has no plans,
/// nor where no count is known.
///
/// Fails when the model cannot be loaded or a request cannot be run.
pub fn decide(
    engine: &dyn Engine,
    model: &Path,
    options: &SessionOptions,
    workload: &dyn Workload,
    clock: &dyn Clock,
) -> Result<(SessionOptions, Option<PlanChoice>)> {
    let asked = options.settings.tract().plan;
    let buckets = options.with_plan(Plan::Bucketed).planned_counts(EngineName::Tract);
    if engine.name() != EngineName::Tract || asked == Plan::Symbolic || buckets.is_empty() {
        return Ok((options.clone(), None));
    }
    let requests = sample(workload)?;
    let padded = padded(&requests, &buckets);
    if asked == Plan::Bucketed && padded.is_empty() {
        return Ok((options.clone(), Some(PlanChoice::undisputed(buckets))));
    }
    let load = |options: &SessionOptions| engine.load(model, options);
    let bucketed = load(&options.with_plan(Plan::Bucketed))?;
    let symbolic = (asked == Plan::Auto).then(|| load(&options.with_plan(Plan::Symbolic))).transpose()?;
    let exact = (!padded.is_empty()).then(|| load(&exactly(options, &requests, &padded))).transpose()?;
    let all: Vec<usize> = (0..requests.len()).collect();
    let mut subjects = [(Some(bucketed), &all), (symbolic, &all), (exact, &padded)]
        .map(|(session, requests)| Subject { session, requests, fastest: Vec::new() });
    let runs = visit(&mut subjects, &requests, clock)?;
    let [bucketed, symbolic, exact] = &subjects;
    let (bucketed_us, symbolic_us) =
        (bucketed.mean_us(&all), symbolic.session.is_some().then(|| symbolic.mean_us(&all)));
    let taken = match symbolic_us {
        Some(symbolic_us) if symbolic_us < bucketed_us => Plan::Symbolic,
        _ => Plan::Bucketed,
    };
    let choice = PlanChoice {
        asked,
        taken,
        buckets: if taken == Plan::Bucketed { buckets.clone() } else { Vec::new() },
        requests: requests.len(),
        runs,
        symbolic_us,
        bucketed_us: Some(bucketed_us),
        padding: exact
            .session
            .is_some()
            .then(|| padding(bucketed.mean_us(&padded), exact, &requests, &buckets)),
    };
    Ok((options.with_plan(taken), Some(choice)))
}

/// Options with a plan for exactly the count of each of the `padded` requests.
fn exactly(options: &SessionOptions, requests: &[Inputs], padded: &[usize]) -> SessionOptions {
    let counts = CandidateCounts::of(padded.iter().map(|&i| requests[i].candidates));
    SessionOptions { candidate_counts: counts, ..options.with_plan(Plan::Bucketed) }
}

/// Requests that lie evenly over the trace, assembled.
fn sample(workload: &dyn Workload) -> Result<Vec<Inputs>> {
    let of = workload.requests();
    let chosen: BTreeSet<usize> = match of {
        0..=REQUESTS => (0..of).collect(),
        _ => (0..REQUESTS).map(|turn| spread(turn, of)).collect(),
    };
    let assembled = |request| {
        let mut inputs = workload.inputs();
        workload.prepare(request, &mut inputs)?;
        Ok(inputs)
    };
    chosen.into_iter().map(assembled).collect()
}

fn bucket_of(buckets: &[usize], candidates: usize) -> usize {
    buckets.iter().copied().find(|&bucket| bucket >= candidates).unwrap_or(candidates)
}

/// Requests that are padded, up to [`EXACT`] of different counts.
fn padded(requests: &[Inputs], buckets: &[usize]) -> Vec<usize> {
    let mut counts = BTreeSet::new();
    let is_padded = |&i: &usize| {
        let count = requests[i].candidates;
        bucket_of(buckets, count) != count && counts.insert(count)
    };
    (0..requests.len()).filter(is_padded).take(EXACT).collect()
}

fn padding(padded_us: f64, exact: &Subject, requests: &[Inputs], buckets: &[usize]) -> PaddingCost {
    let exact_us = exact.mean_us(exact.requests);
    let sum = |count: fn(&[usize], usize) -> usize| {
        exact.requests.iter().map(|&i| count(buckets, requests[i].candidates)).sum::<usize>() as f64
    };
    PaddingCost {
        requests: exact.requests.len(),
        padded_us,
        exact_us,
        added_candidates_pct: 100.0 * (sum(bucket_of) / sum(|_, candidates| candidates).max(1.0) - 1.0),
        added_time_pct: 100.0 * (padded_us / exact_us.max(f64::MIN_POSITIVE) - 1.0),
    }
}

/// A session with the requests that it is asked, by their places among all.
struct Subject<'a> {
    session: Option<Box<dyn Session>>,
    requests: &'a [usize],
    /// Per request that it is asked; empty before the first counted visit.
    fastest: Vec<Duration>,
}

impl Subject<'_> {
    /// Asks every request once. Visits are of one session at a time, so that it meets the caches that it leaves itself, as
    /// in a replay.
    fn visit(&mut self, all: &[Inputs], clock: &dyn Clock, counts: bool) -> Result<()> {
        let Some(session) = &mut self.session else { return Ok(()) };
        self.fastest.resize(self.requests.len(), Duration::MAX);
        let mut scores = Vec::new();
        for (&request, fastest) in self.requests.iter().zip(&mut self.fastest) {
            let begun = clock.now();
            session.run(&all[request], &mut scores)?;
            if counts {
                *fastest = (*fastest).min(clock.now().saturating_sub(begun));
            }
        }
        Ok(())
    }

    /// Over some of the requests that it was asked.
    fn mean_us(&self, requests: &[usize]) -> f64 {
        let of = self.requests.iter().zip(&self.fastest).filter(|(request, _)| requests.contains(request));
        of.map(|(_, fastest)| fastest.as_secs_f64() * 1e6).sum::<f64>() / requests.len().max(1) as f64
    }
}

/// Visits all sessions in turn, another one first each time. Returns the number of counted visits.
fn visit(subjects: &mut [Subject], requests: &[Inputs], clock: &dyn Clock) -> Result<usize> {
    let begun = clock.now();
    for subject in &mut *subjects {
        subject.visit(requests, clock, false)?;
    }
    for visit in 0..MOST_VISITS {
        if visit >= LEAST_VISITS && clock.now().saturating_sub(begun) > BUDGET {
            return Ok(visit);
        }
        for turn in 0..subjects.len() {
            let at = (turn + visit) % subjects.len();
            subjects[at].visit(requests, clock, true)?;
        }
    }
    Ok(MOST_VISITS)
}

#[cfg(test)]
mod tests;
