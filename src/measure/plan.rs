//! Which plan of tract a replay runs on. Decided per model before the clock starts, by running requests of the very trace on
//! sessions of either kind; what was found is recorded with the result, the cost of padding among it.
//!
//! Which one is faster depends on the graph: a plan for one count has kernels chosen for it and no shapes to compute, plans
//! for many counts each keep packed weights of their own, which have to share the processor's caches.

use super::{
    engine::{CandidateCounts, Engine, Inputs, Session, SessionOptions, bucket_of},
    replay::{Workload, clock::Clock},
    scores::{self, ScoreDifference, ScoredRequest},
};
use crate::base::{
    Result,
    names::{EngineName, TractPlan},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, path::Path, time::Duration};

/// How the plan was chosen. Times are means over requests of the trace, each by the fastest of its runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlanChoice {
    /// What was asked for.
    pub asked: TractPlan,
    /// What the sessions that were timed had.
    pub taken: TractPlan,
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
            asked: TractPlan::Bucketed,
            taken: TractPlan::Bucketed,
            buckets,
            requests: 0,
            runs: 0,
            symbolic_us: None,
            bucketed_us: None,
            padding: None,
        }
    }
}

/// Padded requests that get a plan of exactly their count: as many as sessions make plans for without bucketing.
const EXACT: usize = 8;
/// Visits to every session, after one that warms it up: at least …
const LEAST_VISITS: usize = 3;
/// … and up to here, as long as the time is not used up.
const MOST_VISITS: usize = 9;
/// For all visits of all sessions.
const BUDGET: Duration = Duration::from_millis(1500);

/// What was decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// To make sessions with.
    pub options: SessionOptions,
    /// How the plan was chosen; none where there was nothing to choose.
    pub choice: Option<PlanChoice>,
    /// The largest difference between the scores that two of the plans gave; none where fewer than two were run.
    pub difference: Option<ScoreDifference>,
}

/// Decides on the plan. Nothing is decided for an engine that has no plans, nor where no count is known.
///
/// Fails when the model cannot be loaded or a request cannot be run.
pub fn decide(
    engine: &dyn Engine,
    model: &Path,
    options: &SessionOptions,
    workload: &dyn Workload,
    clock: &dyn Clock,
) -> Result<Decision> {
    let asked = options.settings.tract().plan;
    let buckets = options.with_plan(TractPlan::Bucketed).planned_counts(EngineName::Tract);
    if engine.name() != EngineName::Tract || asked == TractPlan::Symbolic || buckets.is_empty() {
        return Ok(Decision { options: options.clone(), choice: None, difference: None });
    }
    let requests = sample(workload)?;
    let padded = padded(&requests, &buckets);
    if asked == TractPlan::Bucketed && padded.is_empty() {
        let choice = Some(PlanChoice::undisputed(buckets));
        return Ok(Decision { options: options.clone(), choice, difference: None });
    }
    let load = |options: &SessionOptions| engine.load(model, options);
    let bucketed = load(&options.with_plan(TractPlan::Bucketed))?;
    let symbolic =
        (asked == TractPlan::Auto).then(|| load(&options.with_plan(TractPlan::Symbolic))).transpose()?;
    let exact = (!padded.is_empty()).then(|| load(&exactly(options, &requests, &padded))).transpose()?;
    let all: Vec<usize> = (0..requests.len()).collect();
    let mut subjects = [(Some(bucketed), &all), (symbolic, &all), (exact, &padded)]
        .map(|(session, requests)| Subject { session, requests, fastest: Vec::new(), scored: Vec::new() });
    let runs = visit(&mut subjects, &requests, clock)?;
    let [bucketed, symbolic, exact] = &subjects;
    let (bucketed_us, symbolic_us) =
        (bucketed.mean_us(&all), symbolic.session.is_some().then(|| symbolic.mean_us(&all)));
    let taken = match symbolic_us {
        Some(symbolic_us) if symbolic_us < bucketed_us => TractPlan::Symbolic,
        _ => TractPlan::Bucketed,
    };
    let choice = PlanChoice {
        asked,
        taken,
        buckets: if taken == TractPlan::Bucketed { buckets.clone() } else { Vec::new() },
        requests: requests.len(),
        runs,
        symbolic_us,
        bucketed_us: Some(bucketed_us),
        padding: exact
            .session
            .is_some()
            .then(|| padding(bucketed.mean_us(&padded), exact, &requests, &buckets)),
    };
    let difference = difference(engine, &subjects);
    Ok(Decision { options: options.with_plan(taken), choice: Some(choice), difference })
}

/// Options with a plan for exactly the count of each of the `padded` requests.
fn exactly(options: &SessionOptions, requests: &[(usize, Inputs)], padded: &[usize]) -> SessionOptions {
    let counts = CandidateCounts::of(padded.iter().map(|&i| requests[i].1.candidates));
    SessionOptions { candidate_counts: counts, ..options.with_plan(TractPlan::Bucketed) }
}

/// The largest difference between the scores of two plans. That of one who was asked nothing has none.
fn difference(engine: &dyn Engine, subjects: &[Subject; 3]) -> Option<ScoreDifference> {
    let version = engine.version();
    let name = |plan: &str| format!("{} {version} with {plan}", engine.name());
    let names = ["plans per bucket", "one plan for any count", "plans for exact counts"].map(name);
    let [bucketed, others @ ..] = subjects;
    let from_bucketed = others
        .iter()
        .zip(&names[1..])
        .map(|(other, name)| ScoreDifference::largest([name, &names[0]], [&other.scored, &bucketed.scored]));
    from_bucketed.reduce(ScoreDifference::larger).flatten()
}

/// Requests that lie evenly over the trace, by their indices, assembled.
fn sample(workload: &dyn Workload) -> Result<Vec<(usize, Inputs)>> {
    let assembled = |request| {
        let mut inputs = workload.inputs();
        workload.prepare(request, &mut inputs)?;
        Ok((request, inputs))
    };
    scores::evenly(workload.requests()).into_iter().map(assembled).collect()
}

/// The candidates that a request is padded to.
fn padded_to(buckets: &[usize], candidates: usize) -> usize {
    bucket_of(buckets, |end| *end, candidates).map_or(candidates, |at| buckets[at])
}

/// Requests that are padded, up to [`EXACT`] of different counts.
fn padded(requests: &[(usize, Inputs)], buckets: &[usize]) -> Vec<usize> {
    let mut counts = BTreeSet::new();
    let is_padded = |&i: &usize| {
        let count = requests[i].1.candidates;
        padded_to(buckets, count) != count && counts.insert(count)
    };
    (0..requests.len()).filter(is_padded).take(EXACT).collect()
}

fn padding(padded_us: f64, exact: &Subject, requests: &[(usize, Inputs)], buckets: &[usize]) -> PaddingCost {
    let exact_us = exact.mean_us(exact.requests);
    let sum = |count: fn(&[usize], usize) -> usize| {
        exact.requests.iter().map(|&i| count(buckets, requests[i].1.candidates)).sum::<usize>() as f64
    };
    PaddingCost {
        requests: exact.requests.len(),
        padded_us,
        exact_us,
        added_candidates_pct: 100.0 * (sum(padded_to) / sum(|_, candidates| candidates).max(1.0) - 1.0),
        added_time_pct: 100.0 * (padded_us / exact_us.max(f64::MIN_POSITIVE) - 1.0),
    }
}

/// A session with the requests that it is asked, by their places among all.
struct Subject<'a> {
    session: Option<Box<dyn Session>>,
    requests: &'a [usize],
    /// Per request that it is asked; empty before the first counted visit.
    fastest: Vec<Duration>,
    /// What it answered at its first visit.
    scored: Vec<ScoredRequest>,
}

impl Subject<'_> {
    /// Asks every request once. Visits are of one session at a time, so that it meets the caches that it leaves itself, as
    /// in a replay.
    fn visit(&mut self, all: &[(usize, Inputs)], clock: &dyn Clock, counts: bool) -> Result<()> {
        let Some(session) = &mut self.session else { return Ok(()) };
        self.fastest.resize(self.requests.len(), Duration::MAX);
        let mut scores = Vec::new();
        for (&request, fastest) in self.requests.iter().zip(&mut self.fastest) {
            let begun = clock.now();
            let (index, inputs) = &all[request];
            session.run(inputs, &mut scores)?;
            match counts {
                true => *fastest = (*fastest).min(clock.now().saturating_sub(begun)),
                false => self.scored.push(ScoredRequest::new(*index, inputs.candidates, &scores)?),
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
fn visit(subjects: &mut [Subject], requests: &[(usize, Inputs)], clock: &dyn Clock) -> Result<usize> {
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
