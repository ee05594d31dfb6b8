//! A trace in a few numbers.

use super::trace::{Trace, mean_qps};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// What a reader wants to know of a trace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TraceSummary {
    /// Version of this format.
    pub schema_version: u32,
    /// Number of requests.
    pub requests: usize,
    /// Number of distinct users.
    pub users: usize,
    /// The arrivals in words.
    pub arrivals: String,
    /// From the first arrival to the last.
    pub duration_ms: f64,
    /// Mean arrivals per second; 0 when all come at once.
    pub mean_qps: f64,
    /// Deviation of the gaps between arrivals over their mean: 0 at constant distance, 1 for a Poisson process, more for
    /// bursts. Absent with fewer than two gaps, or when all come at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap_variation: Option<f64>,
    /// Mean number of candidates.
    pub mean_candidates: f64,
    /// Largest number of candidates.
    pub max_candidates: usize,
    /// Hash of the encoders that the keys belong to.
    pub encoder_hash: String,
    /// Hash of the rows that users and candidates were taken from, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_hash: Option<String>,
    /// What a reader of results must know.
    pub notes: Vec<String>,
}

impl TraceSummary {
    /// Looks at every request.
    pub fn of(trace: &Trace) -> Self {
        let arrivals: Vec<u64> = trace.requests.iter().map(|request| request.arrival_us).collect();
        let duration_us = arrivals.last().zip(arrivals.first()).map_or(0, |(last, first)| last - first);
        let users: HashSet<u64> = trace.requests.iter().map(|request| request.user).collect();
        Self {
            schema_version: 2,
            requests: trace.requests.len(),
            users: users.len(),
            arrivals: trace.origin.arrivals.clone(),
            duration_ms: duration_us as f64 / 1e3,
            mean_qps: mean_qps(&arrivals).unwrap_or(0.0),
            gap_variation: variation(&arrivals),
            mean_candidates: trace.mean_candidates(),
            max_candidates: trace.max_candidates(),
            encoder_hash: trace.origin.encoder_hash.clone(),
            rows_hash: trace.origin.rows_hash.clone(),
            notes: trace.origin.notes.clone(),
        }
    }
}

fn variation(arrivals_us: &[u64]) -> Option<f64> {
    let gaps: Vec<f64> = arrivals_us.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
    if gaps.len() < 2 {
        return None;
    }
    let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
    let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
    (mean > 0.0).then(|| variance.sqrt() / mean)
}

#[cfg(test)]
mod tests {
    use super::{super::trace::examples::trace, *};

    #[test]
    fn the_variation_of_gaps_is_0_for_a_metronome_and_known_for_two_gaps() {
        let of = |arrivals: &[u64]| TraceSummary::of(&trace(arrivals, 3));
        assert_eq!(of(&[0, 5, 10, 15]).gap_variation, Some(0.0));
        // Gaps 1 and 3: mean 2, deviation 1.
        assert_eq!(of(&[0, 1, 4]).gap_variation, Some(0.5));
        assert_eq!(of(&[7, 7, 7]).gap_variation, None);
        assert_eq!((of(&[7, 7, 7]).mean_qps, of(&[0, 1_000_000]).mean_qps), (0.0, 1.0));
    }

    #[test]
    fn counts_are_those_of_the_requests() {
        let summary = TraceSummary::of(&trace(&[0, 2000], 3));
        assert_eq!((summary.requests, summary.users, summary.max_candidates), (2, 2, 3));
        assert_eq!(summary.duration_ms, 2.0);
    }
}
