//! Scores of the trace's own requests, compared before their times count: a time is worth nothing beside that of an engine that
//! computes something else, and the one request that travels with a package meets neither every plan nor every value.
//!
//! All sessions of a run score the same sample of requests: some that lie evenly over the trace, and of every bucket of
//! candidate counts the first and the largest. Scores are held against each other
//! - between the plans of tract that a replay chooses from,
//! - between the sessions of a pass,
//! - between the passes of an engine, each of which is a process of its own,
//! - between engines.
//!
//! The null engine scores nothing, and is left out.

use super::{
    engine::{self, Inputs, Session},
    replay::{Workload, buckets},
    service::spread,
};
use crate::base::Result;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Requests that lie evenly over the trace, beside those of the buckets.
const SPREAD: usize = 24;
/// Scores that are kept of one request at most, evenly over its candidates.
const KEPT: usize = 1024;

/// Requests of a trace of `of` that lie evenly over it: their indices.
pub(super) fn evenly(of: usize) -> BTreeSet<usize> {
    match of {
        0..=SPREAD => (0..of).collect(),
        _ => (0..SPREAD).map(|turn| spread(turn, of)).collect(),
    }
}

/// The requests that every session scores, by their indices in ascending order: no more than [`SPREAD`] and two per bucket.
pub(super) fn sample(workload: &dyn Workload) -> Vec<usize> {
    let mut chosen = evenly(workload.requests());
    for bucket in buckets::of(workload, 1) {
        chosen.extend(bucket.first);
        chosen.insert(bucket.largest);
    }
    chosen.into_iter().collect()
}

/// The scores of one request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScoredRequest {
    /// Its place in the trace, from 1.
    pub request: usize,
    /// Number of its candidates.
    pub candidates: usize,
    /// Of those that are kept, in their order.
    #[serde(with = "packed")]
    scores: Vec<f32>,
}

/// Which of so many candidates are kept: the first, the last, and evenly between them.
fn kept(candidates: usize) -> impl Iterator<Item = usize> {
    let count = candidates.min(KEPT);
    (0..count).map(move |i| i * (candidates - 1) / (count - 1).max(1))
}

impl ScoredRequest {
    /// Keeps some of the scores of the request at `index`.
    ///
    /// Fails where these are not one finite score per candidate.
    pub(super) fn new(index: usize, candidates: usize, scores: &[f32]) -> Result<Self> {
        engine::check_scores(scores, candidates)?;
        let scores = kept(candidates).map(|candidate| scores[candidate]).collect();
        Ok(Self { request: index + 1, candidates, scores })
    }
}

/// Scores a sample of requests with a session.
pub(super) fn score(
    session: &mut dyn Session,
    workload: &dyn Workload,
    sample: &[usize],
) -> Result<Vec<ScoredRequest>> {
    let (mut inputs, mut scores) = (workload.inputs(), Vec::new());
    let mut one = |&index: &usize| {
        workload.prepare(index, &mut inputs)?;
        let Inputs { candidates, .. } = inputs;
        session.run(&inputs, &mut scores)?;
        ScoredRequest::new(index, candidates, &scores)
    };
    sample.iter().map(&mut one).collect()
}

/// Two scores of one candidate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScoreDifference {
    /// Who gave `score`: engine, version, and where there are several the plan, the session or the pass.
    pub engine: String,
    /// Who gave `other_score`.
    pub other_engine: String,
    /// Place of the request in the trace, from 1.
    pub request: usize,
    /// Place of the candidate in the request, from 1.
    pub candidate: usize,
    /// The score.
    pub score: f32,
    /// The other score.
    pub other_score: f32,
    /// |score − other score|.
    pub abs_difference: f64,
}

impl ScoreDifference {
    /// The largest of the differences between the scores that `names` gave to the same requests. None without a score that
    /// both gave.
    pub(super) fn largest(names: [&str; 2], scores: [&[ScoredRequest]; 2]) -> Option<Self> {
        let [ours, theirs] = scores;
        let pairs = ours.iter().filter_map(|own| {
            let at = theirs.binary_search_by_key(&own.request, |other| other.request).ok()?;
            Some((own, &theirs[at]))
        });
        let differences = pairs.flat_map(|(own, other)| {
            let scores = own.scores.iter().zip(&other.scores).zip(kept(own.candidates));
            scores.map(|((&score, &other_score), candidate)| {
                let apart = (f64::from(score) - f64::from(other_score)).abs();
                (apart, own.request, candidate + 1, score, other_score)
            })
        });
        let largest = differences.reduce(|most, next| if next.0 > most.0 { next } else { most })?;
        let (abs_difference, request, candidate, score, other_score) = largest;
        let [engine, other_engine] = names.map(str::to_owned);
        Some(Self { engine, other_engine, request, candidate, score, other_score, abs_difference })
    }

    /// The larger of two, as far as they are there.
    pub(super) fn larger(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        let of = |difference: &Option<Self>| difference.as_ref().map(|d| d.abs_difference);
        if of(&other) > of(&one) { other } else { one }
    }
}

/// The scores of one pass.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PassScores {
    /// Engine, version, and provider.
    pub engine: String,
    /// How far two scores of one candidate may lie apart: what the package allows.
    pub tolerance: f64,
    /// By the first session, in the order of the trace.
    pub requests: Vec<ScoredRequest>,
    /// The largest difference within the pass: of other sessions from the first, and between the plans that it chose from.
    pub within: Option<ScoreDifference>,
}

/// How the scores of the trace's own requests agreed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TraceOutputs {
    /// Requests that every session scored.
    pub requests: usize,
    /// Scores of them that were compared, of every session.
    pub scores: usize,
    /// How far two scores of one candidate may lie apart.
    pub tolerance: f64,
    /// The other engines that they were compared with, beside the sessions, plans and passes of this one.
    pub compared_with: Vec<String>,
    /// The largest difference; absent where there was nothing to compare with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub largest: Option<ScoreDifference>,
}

impl TraceOutputs {
    /// Of the passes of one engine, in order, against those of others. None where nothing was scored.
    pub fn of(passes: &[&PassScores], others: &[&PassScores]) -> Option<Self> {
        let (&first, repeated) = passes.split_first()?;
        let largest = |a: (&str, &PassScores), b: (&str, &PassScores)| {
            ScoreDifference::largest([a.0, b.0], [&a.1.requests, &b.1.requests])
        };
        let within = passes.iter().map(|pass| pass.within.clone());
        let between_passes = repeated.iter().enumerate().map(|(i, pass)| {
            let name = |pass: usize| format!("{} in pass {pass}", first.engine);
            largest((&name(i + 2), pass), (&name(1), first))
        });
        let between_engines = passes
            .iter()
            .flat_map(|pass| others.iter().map(move |other| (pass, other)))
            .map(|(pass, other)| largest((&pass.engine, pass), (&other.engine, other)));
        Some(Self {
            requests: first.requests.len(),
            scores: first.requests.iter().map(|request| request.scores.len()).sum(),
            tolerance: first.tolerance,
            compared_with: others.iter().map(|other| other.engine.clone()).collect(),
            largest: within
                .chain(between_passes)
                .chain(between_engines)
                .reduce(ScoreDifference::larger)
                .flatten(),
        })
    }

    /// Why the result may not be believed; none where all scores agree.
    pub(super) fn reason(&self) -> Option<String> {
        let ScoreDifference { engine, other_engine, request, candidate, score, other_score, .. } =
            self.largest.as_ref().filter(|largest| largest.abs_difference > self.tolerance)?;
        Some(format!(
            "outputs differ: of request {request} of the trace, candidate {candidate}, {engine} scores {score} and \
             {other_engine} {other_score}, farther apart than {:e}; see with `autofas-bench evaluate` which is right, and \
             leave the other out",
            self.tolerance
        ))
    }
}

/// Scores between two processes: base64 of little-endian numbers.
mod packed {
    use super::{Deserialize, STANDARD};
    use base64::Engine as _;
    use serde::{Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(scores: &[f32], serializer: S) -> Result<S::Ok, S::Error> {
        let bytes: Vec<u8> = scores.iter().flat_map(|score| score.to_le_bytes()).collect();
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f32>, D::Error> {
        let bytes = STANDARD.decode(String::deserialize(deserializer)?).map_err(D::Error::custom)?;
        let (scores, rest) = bytes.as_chunks::<4>();
        match rest {
            [] => Ok(scores.iter().map(|score| f32::from_le_bytes(*score)).collect()),
            _ => Err(D::Error::custom("scores end in the middle of one")),
        }
    }
}

#[cfg(test)]
mod tests;
