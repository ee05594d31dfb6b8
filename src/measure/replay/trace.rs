//! A trace: which user asks for which candidates, and when.

use crate::base::{Error, Result, error::Place};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Version of the trace files that this program writes.
pub const SCHEMA_VERSION: u32 = 2;

/// One request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Arrival after the start of the trace.
    pub arrival_us: u64,
    /// Unique within the trace.
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
    /// Seed of users, candidates and random arrivals.
    pub seed: u64,
    /// What a reader of results must know: clamped counts, stand-ins.
    pub notes: Vec<String>,
}

/// Requests in order of arrival, and their origin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trace {
    /// From what it was made.
    pub origin: Origin,
    /// At least one, arrivals ascending.
    pub requests: Vec<Request>,
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

impl Trace {
    /// Checks order and content; `file` is named in errors, with the one-based request. `first_row` is the row of the
    /// first request in the file.
    pub fn check(&self, file: &Path, first_row: u64) -> Result<()> {
        let broken = |field: &str, row: u64, problem: &str, fix: &str| {
            Err(Error::input(file, Place::cell(field, row), problem, fix))
        };
        if self.requests.is_empty() {
            return Err(Error::input(
                file,
                Place::whole(),
                "the trace has no requests",
                "make one with `trace make`",
            ));
        }
        let mut last = 0;
        for (request, row) in self.requests.iter().zip(first_row..) {
            if request.arrival_us < last {
                return broken(
                    "arrival_us",
                    row,
                    "arrives before the request above it",
                    "sort by arrival_us",
                );
            }
            if i64::try_from(request.arrival_us).is_err() {
                let problem = "arrives later than 63 bits of microseconds can say";
                return broken("arrival_us", row, problem, "give arrivals in µs from the start of the trace");
            }
            if request.candidates.is_empty() {
                return broken("candidates", row, "no candidates", "give every request at least one");
            }
            last = request.arrival_us;
        }
        Ok(())
    }

    /// Arrival offsets under `pacing`, in µs.
    pub fn schedule_us(&self, pacing: Pacing) -> Result<Vec<u64>> {
        let factor = match pacing {
            Pacing::Speed { factor } => factor,
            Pacing::Rate { qps } => qps / self.mean_qps().unwrap_or(f64::INFINITY),
            Pacing::Closed | Pacing::Offline => 1.0,
        };
        if !(factor.is_finite() && factor > 0.0) {
            return Err(Error::usage(
                format!("the trace cannot be replayed {factor} times as fast as it was recorded"),
                "give a speed or a rate above 0, and for a rate a trace that lasts some time",
            ));
        }
        Ok(self.requests.iter().map(|r| (r.arrival_us as f64 / factor).round() as u64).collect())
    }

    /// The same requests at the arrivals of [`Trace::schedule_us`]; the origin says so.
    pub fn paced(mut self, pacing: Pacing) -> Result<Self> {
        let schedule_us = self.schedule_us(pacing)?;
        self.requests.iter_mut().zip(schedule_us).for_each(|(request, at)| request.arrival_us = at);
        self.origin.arrivals += &match pacing {
            Pacing::Rate { qps } => format!(", stretched to {qps} per second"),
            Pacing::Speed { factor } => format!(", at speed {factor}"),
            Pacing::Closed | Pacing::Offline => String::new(),
        };
        Ok(self)
    }

    /// [`mean_qps`] of the arrivals.
    pub fn mean_qps(&self) -> Option<f64> {
        mean_qps(&self.requests.iter().map(|request| request.arrival_us).collect::<Vec<_>>())
    }

    /// The number of candidates that every request has; absent when they differ.
    pub fn fixed_candidates(&self) -> Option<usize> {
        let first = self.requests.first()?.candidates.len();
        self.requests.iter().all(|request| request.candidates.len() == first).then_some(first)
    }

    /// Mean number of candidates.
    pub fn mean_candidates(&self) -> f64 {
        let sum: usize = self.requests.iter().map(|r| r.candidates.len()).sum();
        sum as f64 / self.requests.len().max(1) as f64
    }

    /// Largest number of candidates.
    pub fn max_candidates(&self) -> usize {
        self.requests.iter().map(|r| r.candidates.len()).max().unwrap_or(0)
    }
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
    pub(crate) fn trace(arrivals_us: &[u64], candidates: u64) -> Trace {
        let requests = arrivals_us.iter().zip(0..).map(|(&arrival_us, id)| Request {
            arrival_us,
            id,
            user: u64::MAX - id,
            candidates: (0..candidates).map(|c| id * 1000 + c).collect(),
        });
        let origin = Origin {
            encoder_hash: "ab".into(),
            rows_hash: Some("cd".into()),
            arrivals: "by hand".into(),
            seed: u64::MAX,
            notes: vec!["a note".into()],
        };
        Trace { origin, requests: requests.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::{examples::trace, *};

    #[test]
    fn speed_and_rate_scale_every_gap_alike() {
        let trace = trace(&[0, 10, 10, 4_000_000], 1);
        assert_eq!(trace.schedule_us(Pacing::Speed { factor: 2.0 }).unwrap(), [0, 5, 5, 2_000_000]);
        assert_eq!(trace.mean_qps(), Some(0.75));
        assert_eq!(trace.schedule_us(Pacing::Rate { qps: 3.0 }).unwrap()[3], 1_000_000);
        let paced = trace.clone().paced(Pacing::Rate { qps: 3.0 }).unwrap();
        assert_eq!(paced.mean_qps(), Some(3.0));
        assert_eq!(paced.origin.arrivals, "by hand, stretched to 3 per second");
        assert!(trace.schedule_us(Pacing::Speed { factor: 0.0 }).is_err());
    }

    #[test]
    fn the_rate_counts_from_the_first_arrival() {
        assert_eq!(mean_qps(&[1_000_000, 1_500_000, 2_000_000]), Some(2.0));
        assert_eq!((mean_qps(&[5, 5]), mean_qps(&[5]), mean_qps(&[])), (None, None, None));
    }

    #[test]
    fn candidates_are_fixed_only_when_all_requests_have_as_many() {
        let mut trace = trace(&[0, 1], 3);
        assert_eq!(trace.fixed_candidates(), Some(3));
        trace.requests[1].candidates.pop();
        assert_eq!(trace.fixed_candidates(), None);
    }

    #[test]
    fn a_rate_needs_a_trace_that_lasts() {
        let error = trace(&[5, 5], 1).schedule_us(Pacing::Rate { qps: 3.0 }).unwrap_err().to_string();
        assert!(error.contains("lasts some time"), "{error}");
    }
}
