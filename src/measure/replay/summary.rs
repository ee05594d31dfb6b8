//! A trace in a few numbers.

use super::{
    trace::{Trace, TraceBuilder, mean_qps},
    trace_file::TraceReader,
};
use crate::{base::Result, data::distinct::Distinct};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::path::Path;

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
    /// Arrivals over time. Absent when all come at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<RateOverTime>,
    /// Most arrivals within any second. Absent when the trace is shorter than that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_qps: Option<f64>,
    /// [`TraceSummary::peak_qps`] over the mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_over_mean: Option<f64>,
    /// Deviation of the gaps between arrivals over their mean: 0 at constant distance, 1 for a Poisson process, more for
    /// bursts. Absent with fewer than two gaps, or when all come at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap_variation: Option<f64>,
    /// Gaps between arrivals. Absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap_us: Option<Quantiles>,
    /// Number of candidates.
    pub candidates: Quantiles,
    /// Mean number of candidates.
    pub mean_candidates: f64,
    /// Largest number of candidates.
    pub max_candidates: usize,
    /// Hash of the encoders that the keys belong to.
    pub encoder_hash: String,
    /// Hash of the rows that users and candidates were taken from, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_hash: Option<String>,
    /// Seed of users, candidates, candidate counts and random arrivals.
    pub seed: u64,
    /// What a reader of results must know.
    pub notes: Vec<String>,
}

/// Arrivals over time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RateOverTime {
    /// Length of a slice; the slices lie side by side from the first arrival to the last.
    pub slice_ms: f64,
    /// Arrivals per second in every slice.
    pub qps: Vec<f64>,
}

/// How numbers are spread: values that a share of them does not exceed, to three digits, and the largest exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Quantiles {
    pub p10: u64,
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub max: u64,
}

/// Slices of [`RateOverTime`] at most; fewer when there are few requests.
const SLICES: usize = 20;
/// Requests per slice on average at least: with fewer, the slices would show chance.
const PER_SLICE: usize = 5;
const SECOND_US: u64 = 1_000_000;

impl TraceSummary {
    /// Reads the file at `path` and looks at every request.
    pub fn read(path: &Path) -> Result<Self> {
        let mut reader = TraceReader::open(path)?;
        let origin = reader.origin().clone();
        let (mut builder, mut users) = (TraceBuilder::default(), Distinct::default());
        reader.try_for_each(|request| {
            let request = request?;
            users.push(request.user)?;
            builder.see(&request)
        })?;
        Ok(Self::of(&builder.finish(origin)?, users.ascending()?.count()))
    }

    /// Of a trace with so many distinct users.
    fn of(trace: &Trace, users: usize) -> Self {
        let arrivals = trace.arrivals_us();
        let mean_qps = mean_qps(arrivals);
        let peak_qps = peak_qps(arrivals);
        let candidates = trace.candidates().iter().map(|&count| u64::from(count));
        Self {
            schema_version: 3,
            requests: trace.requests(),
            users,
            arrivals: trace.origin.arrivals.clone(),
            duration_ms: span_us(arrivals) as f64 / 1e3,
            mean_qps: mean_qps.unwrap_or(0.0),
            rate: over_time(arrivals),
            peak_qps,
            peak_over_mean: peak_qps.zip(mean_qps).map(|(peak, mean)| peak / mean),
            gap_variation: variation(arrivals),
            gap_us: Quantiles::of(gaps(arrivals)),
            candidates: Quantiles::of(candidates).unwrap_or_else(Quantiles::nothing),
            mean_candidates: trace.mean_candidates(),
            max_candidates: trace.max_candidates(),
            encoder_hash: trace.origin.encoder_hash.clone(),
            rows_hash: trace.origin.rows_hash.clone(),
            seed: trace.origin.seed,
            notes: trace.origin.notes.clone(),
        }
    }
}

impl Quantiles {
    /// Absent when there are no values.
    fn of(values: impl Iterator<Item = u64>) -> Option<Self> {
        let mut histogram = Histogram::<u64>::new(3).expect("three digits are allowed");
        let mut max = None;
        for value in values {
            // It grows by itself to any value.
            histogram.record(value).expect("a histogram that resizes itself");
            max = max.max(Some(value));
        }
        let max = max?;
        let at = |quantile| histogram.value_at_quantile(quantile).min(max);
        Some(Self { p10: at(0.1), p50: at(0.5), p90: at(0.9), p99: at(0.99), max })
    }

    fn nothing() -> Self {
        Self { p10: 0, p50: 0, p90: 0, p99: 0, max: 0 }
    }
}

fn gaps(arrivals_us: &[u64]) -> impl Iterator<Item = u64> {
    arrivals_us.windows(2).map(|pair| pair[1] - pair[0])
}

fn span_us(arrivals_us: &[u64]) -> u64 {
    arrivals_us.last().zip(arrivals_us.first()).map_or(0, |(last, first)| last - first)
}

fn variation(arrivals_us: &[u64]) -> Option<f64> {
    if arrivals_us.len() < 3 {
        return None;
    }
    let count = (arrivals_us.len() - 1) as f64;
    let mean = span_us(arrivals_us) as f64 / count;
    let variance = gaps(arrivals_us).map(|gap| (gap as f64 - mean).powi(2)).sum::<f64>() / count;
    (mean > 0.0).then(|| variance.sqrt() / mean)
}

/// The last arrival counts to the last slice.
fn over_time(arrivals_us: &[u64]) -> Option<RateOverTime> {
    let span_us = span_us(arrivals_us);
    if span_us == 0 {
        return None;
    }
    let slices = (arrivals_us.len() / PER_SLICE).clamp(1, SLICES);
    let mut counts = vec![0u64; slices];
    for arrival_us in arrivals_us {
        let slice = u128::from(arrival_us - arrivals_us[0]) * slices as u128 / u128::from(span_us);
        counts[(slice as usize).min(slices - 1)] += 1;
    }
    let slice_us = span_us as f64 / slices as f64;
    let qps = counts.into_iter().map(|count| count as f64 * 1e6 / slice_us).collect();
    Some(RateOverTime { slice_ms: slice_us / 1e3, qps })
}

/// A window of one second slides over the arrivals.
fn peak_qps(arrivals_us: &[u64]) -> Option<f64> {
    if span_us(arrivals_us) < SECOND_US {
        return None;
    }
    let (mut begin, mut peak) = (0, 0);
    for (end, arrival_us) in arrivals_us.iter().enumerate() {
        while arrival_us - arrivals_us[begin] >= SECOND_US {
            begin += 1;
        }
        peak = peak.max(end + 1 - begin);
    }
    Some(peak as f64)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            trace::examples::{origin, requests, trace},
            trace_file,
        },
        *,
    };

    fn of(arrivals: &[u64]) -> TraceSummary {
        TraceSummary::of(&trace(&requests(arrivals, 3)), arrivals.len())
    }

    #[test]
    fn the_variation_of_gaps_is_0_for_a_metronome_and_known_for_two_gaps() {
        assert_eq!(of(&[0, 5, 10, 15]).gap_variation, Some(0.0));
        // Gaps 1 and 3: mean 2, deviation 1.
        assert_eq!(of(&[0, 1, 4]).gap_variation, Some(0.5));
        assert_eq!((of(&[7, 7, 7]).gap_variation, of(&[7, 7, 7]).rate), (None, None));
        assert_eq!((of(&[7, 7, 7]).mean_qps, of(&[0, 1_000_000]).mean_qps), (0.0, 1.0));
        assert_eq!((of(&[7]).gap_us, of(&[7]).peak_qps), (None, None));
    }

    #[test]
    fn the_peak_is_that_of_the_busiest_second_wherever_it_begins() {
        // 1.6 s to 2.5 s holds five; the second that begins with the first of them ends before 2.6 s.
        let arrivals: Vec<u64> =
            [0, 900, 1600, 1700, 2000, 2400, 2500, 2600, 4000].map(|ms| ms * 1000).to_vec();
        let summary = of(&arrivals);
        assert_eq!((summary.peak_qps, summary.mean_qps), (Some(5.0), 2.0));
        assert_eq!(summary.peak_over_mean, Some(2.5));
        assert_eq!(of(&[0, 999_999]).peak_qps, None);
    }

    #[test]
    fn slices_hold_every_arrival_once_and_show_where_they_are() {
        // 100 in the first second, 300 in the second.
        let arrivals: Vec<u64> =
            (0..100).map(|i| i * 10_000).chain((0..=300).map(|i| 1_000_000 + i * 10_000 / 3)).collect();
        let rate = of(&arrivals).rate.unwrap();
        assert_eq!((rate.slice_ms, rate.qps.len()), (100.0, 20));
        assert_eq!((rate.qps[0], rate.qps[9], rate.qps[10]), (100.0, 100.0, 300.0));
        let arrived: f64 = rate.qps.iter().map(|qps| qps * 0.1).sum();
        assert!((arrived - 401.0).abs() < 1e-9, "{arrived}");
        assert_eq!(of(&[0, 1, 2]).rate.unwrap().qps.len(), 1, "few requests, few slices");
    }

    #[test]
    fn quantiles_are_those_of_the_gaps_and_counts() {
        // Gaps of 1 to 100 µs.
        let arrivals: Vec<u64> = (0..=100).map(|i| i * (i + 1) / 2).collect();
        assert_eq!(of(&arrivals).gap_us, Some(Quantiles { p10: 10, p50: 50, p90: 90, p99: 99, max: 100 }));
        assert_eq!(of(&arrivals).candidates, Quantiles { p10: 3, p50: 3, p90: 3, p99: 3, max: 3 });
        let wide = Quantiles::of([1, 1_000_003].into_iter()).unwrap();
        assert_eq!((wide.p10, wide.max), (1, 1_000_003));
        assert!(Quantiles::of([0, u64::from(u32::MAX) << 31].into_iter()).is_some());
    }

    #[test]
    fn a_file_is_summarised_with_its_users() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.parquet");
        let mut requests = requests(&[0, 1000, 2000], 3);
        requests[2].user = requests[0].user;
        trace_file::write(&path, &origin(), 3, requests).unwrap();
        let summary = TraceSummary::read(&path).unwrap();
        assert_eq!((summary.requests, summary.users, summary.max_candidates), (3, 2, 3));
        assert_eq!((summary.duration_ms, summary.seed), (2.0, u64::MAX));
        assert_eq!(summary.notes, ["a note"]);
    }
}
