//! A trace: which user asks for which candidates, and when.
//!
//! Traces may be longer than the memory. They are made, written and read request by request; what has to be there at once,
//! such as the schedule of a replay, is kept in [`Column`]s, which leave the memory when they are long.

use crate::{
    base::{Error, Result},
    data::{column::Column, growing::Growing},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of the trace files that this program writes.
pub const SCHEMA_VERSION: u32 = 2;

/// One request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Request {
    /// Arrival after the start of the trace.
    pub arrival_us: u64,
    /// Unique within the trace.
    #[serde(rename = "request")]
    pub id: u64,
    /// Key of the user.
    pub user: u64,
    /// Keys of the candidates, at least one.
    pub candidates: Vec<u64>,
}

/// From what a trace was made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Hash of the encoders that the keys belong to; a replay checks it.
    pub encoder_hash: String,
    /// Hash of the encoded rows that users and candidates were taken from; a replay checks it where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_hash: Option<String>,
    /// The arrivals in words.
    pub arrivals: String,
    /// Seed of users, candidates, candidate counts and random arrivals.
    pub seed: u64,
    /// What a reader of results must know: clamped counts, stand-ins, repetitions.
    pub notes: Vec<String>,
}

/// When the requests of a trace come and how much they ask for, without their keys.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// From what it was made.
    pub origin: Origin,
    arrivals_us: Column<u64>,
    candidates: Column<u32>,
}

/// Takes a [`Trace`] from requests that pass by.
#[derive(Debug, Default)]
pub struct TraceBuilder {
    arrivals_us: Growing<u64>,
    candidates: Growing<u32>,
}

/// How a replay spaces the requests of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Pacing {
    /// As recorded, this many times faster.
    Speed {
        /// 1 keeps the gaps, 2 halves them.
        factor: f64,
    },
    /// As recorded, all gaps scaled by one factor so that the mean rate is this; bursts stay bursts.
    Rate {
        /// Mean requests per second.
        qps: f64,
    },
    /// One after the other, without a schedule.
    Closed,
    /// All at once, as a batch job asks.
    Offline,
}

impl TraceBuilder {
    /// Notes the next request.
    pub fn see(&mut self, request: &Request) -> Result<()> {
        self.arrivals_us.push(request.arrival_us)?;
        self.candidates.push(u32::try_from(request.candidates.len()).unwrap_or(u32::MAX))
    }

    /// The trace of the requests that were seen.
    pub fn finish(self, origin: Origin) -> Result<Trace> {
        Ok(Trace { origin, arrivals_us: self.arrivals_us.finish()?, candidates: self.candidates.finish()? })
    }
}

impl Trace {
    /// Arrivals after the start of the trace, ascending: one per request.
    pub fn arrivals_us(&self) -> &[u64] {
        &self.arrivals_us
    }

    /// Number of candidates of every request.
    pub fn candidates(&self) -> &[u32] {
        &self.candidates
    }

    /// How many requests have each number of candidates, ascending by that.
    pub fn counts(&self) -> Vec<(usize, f64)> {
        let mut counts: BTreeMap<usize, f64> = BTreeMap::new();
        self.candidates.iter().for_each(|&count| *counts.entry(count as usize).or_default() += 1.0);
        counts.into_iter().collect()
    }

    /// Number of requests.
    pub fn requests(&self) -> usize {
        self.arrivals_us.len()
    }

    /// The arrivals in words, for what spaces them in several ways.
    pub fn stretched(&self) -> String {
        format!("{}, stretched to each rate", self.origin.arrivals)
    }

    /// Arrival offsets under `pacing`, in µs.
    pub fn schedule_us(&self, pacing: Pacing) -> Result<Column<u64>> {
        paced_us(&self.arrivals_us, pacing)
    }

    /// The number of candidates that every request has; absent when they differ.
    pub fn fixed_candidates(&self) -> Option<usize> {
        let &first = self.candidates.first()?;
        self.candidates.iter().all(|&candidates| candidates == first).then_some(first as usize)
    }

    /// Mean number of candidates.
    pub fn mean_candidates(&self) -> f64 {
        let sum: u64 = self.candidates.iter().map(|&candidates| u64::from(candidates)).sum();
        sum as f64 / self.candidates.len().max(1) as f64
    }

    /// Largest number of candidates.
    pub fn max_candidates(&self) -> usize {
        self.candidates.iter().max().map_or(0, |&candidates| candidates as usize)
    }
}

impl Pacing {
    /// Words that say what it made of arrivals, to be put after theirs.
    pub(super) fn suffix(self) -> String {
        match self {
            Self::Rate { qps } => format!(", stretched to {qps} per second"),
            Self::Speed { factor } => format!(", at speed {factor}"),
            Self::Closed | Self::Offline => String::new(),
        }
    }
}

/// Ascending arrivals under `pacing`, in µs.
pub(super) fn paced_us(arrivals_us: &[u64], pacing: Pacing) -> Result<Column<u64>> {
    let factor = match pacing {
        Pacing::Speed { factor } => factor,
        Pacing::Rate { qps } => qps / mean_qps(arrivals_us).unwrap_or(f64::INFINITY),
        Pacing::Closed | Pacing::Offline => 1.0,
    };
    if !(factor.is_finite() && factor > 0.0) {
        return Err(Error::usage(
            format!("the trace cannot be replayed {factor} times as fast as it was recorded"),
            "give a speed or a rate above 0, and for a rate a trace that lasts some time",
        ));
    }
    let mut paced = Growing::default();
    for &arrival_us in arrivals_us {
        paced.push((arrival_us as f64 / factor).round() as u64)?;
    }
    paced.finish()
}

/// Mean arrivals per second between the first and the last of ascending arrivals; absent when all come at once.
pub fn mean_qps(arrivals_us: &[u64]) -> Option<f64> {
    let span_us = arrivals_us.last()? - arrivals_us.first()?;
    (span_us > 0).then(|| (arrivals_us.len() - 1) as f64 * 1e6 / span_us as f64)
}

#[cfg(test)]
pub(crate) mod examples {
    use super::*;

    /// One request per arrival, each with `candidates` candidates.
    pub(crate) fn requests(arrivals_us: &[u64], candidates: u64) -> Vec<Request> {
        let requests = arrivals_us.iter().zip(0..).map(|(&arrival_us, id)| Request {
            arrival_us,
            id,
            user: u64::MAX - id,
            candidates: (0..candidates).map(|c| id * 1000 + c).collect(),
        });
        requests.collect()
    }

    pub(crate) fn origin() -> Origin {
        Origin {
            encoder_hash: "ab".into(),
            rows_hash: Some("cd".into()),
            arrivals: "by hand".into(),
            seed: u64::MAX,
            notes: vec!["a note".into()],
        }
    }

    pub(crate) fn trace(requests: &[Request]) -> Trace {
        let mut builder = TraceBuilder::default();
        requests.iter().for_each(|request| builder.see(request).unwrap());
        builder.finish(origin()).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::{
        examples::{requests, trace},
        *,
    };

    #[test]
    fn speed_and_rate_scale_every_gap_alike() {
        let trace = trace(&requests(&[0, 10, 10, 4_000_000], 1));
        assert_eq!(trace.schedule_us(Pacing::Speed { factor: 2.0 }).unwrap(), [0, 5, 5, 2_000_000]);
        assert_eq!(mean_qps(trace.arrivals_us()), Some(0.75));
        let paced = trace.schedule_us(Pacing::Rate { qps: 3.0 }).unwrap();
        assert_eq!((paced[3], mean_qps(&paced)), (1_000_000, Some(3.0)));
        assert!(trace.schedule_us(Pacing::Speed { factor: 0.0 }).is_err());
    }

    #[test]
    fn the_rate_counts_from_the_first_arrival() {
        assert_eq!(mean_qps(&[1_000_000, 1_500_000, 2_000_000]), Some(2.0));
        assert_eq!((mean_qps(&[5, 5]), mean_qps(&[5]), mean_qps(&[])), (None, None, None));
    }

    #[test]
    fn candidates_are_fixed_only_when_all_requests_have_as_many() {
        let mut requests = requests(&[0, 1], 3);
        assert_eq!(trace(&requests).fixed_candidates(), Some(3));
        requests[1].candidates.pop();
        let uneven = trace(&requests);
        assert_eq!((uneven.fixed_candidates(), uneven.candidates()), (None, &[3, 2][..]));
        assert_eq!((uneven.mean_candidates(), uneven.max_candidates()), (2.5, 3));
    }

    #[test]
    fn requests_are_counted_by_their_candidates() {
        let mut requests = requests(&[0, 1, 2, 3], 20);
        requests[1].candidates.truncate(5);
        assert_eq!(trace(&requests).counts(), [(5, 1.0), (20, 3.0)]);
        assert_eq!(trace(&[]).counts(), []);
    }

    #[test]
    fn a_rate_needs_a_trace_that_lasts() {
        let brief = trace(&requests(&[5, 5], 1));
        let error = brief.schedule_us(Pacing::Rate { qps: 3.0 }).unwrap_err().to_string();
        assert!(error.contains("lasts some time"), "{error}");
    }
}
