//! Latencies of many requests: an HDR histogram in microseconds beside the exact sum and maximum, and its summary.
//!
//! A quantile q is reported only when it is earned: the n samples must exceed it at least once with 99 %
//! confidence, 1 − qⁿ ≥ 0.99, so n ≥ ln 0.01 / ln q (7 for p50, 44 for p90, 459 for p99, 4,603 for p99.9).

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::{hint::black_box, time::Duration};

/// Room made beforehand, so that recording allocates only for latencies above it.
const EXPECTED_MAX_US: u64 = 600_000_000;

/// Raw latencies, three significant digits from 1 µs upwards.
#[derive(Debug, Clone)]
pub struct Latencies {
    histogram: Histogram<u64>,
    sum_ns: u128,
    max_ns: u128,
}

impl Default for Latencies {
    fn default() -> Self {
        let mut histogram =
            Histogram::new_with_bounds(1, EXPECTED_MAX_US, 3).expect("constant bounds are valid");
        histogram.auto(true);
        // The system gives a page at its first use, which must not be while the clock runs.
        black_box(&mut histogram).clear();
        Self { histogram, sum_ns: 0, max_ns: 0 }
    }
}

impl Latencies {
    /// Adds one latency, rounded to the nearest microsecond in the histogram and exact in sum and maximum.
    pub fn record(&mut self, latency: Duration) {
        let ns = latency.as_nanos();
        self.sum_ns += ns;
        self.max_ns = self.max_ns.max(ns);
        let us = ((ns + 500) / 1000) as u64;
        self.histogram.record(us).expect("a histogram that grows takes any value");
    }

    /// Adds all latencies of `other`.
    pub fn merge(&mut self, other: &Self) {
        self.sum_ns += other.sum_ns;
        self.max_ns = self.max_ns.max(other.max_ns);
        self.histogram.add(&other.histogram).expect("a histogram that grows takes any value");
    }

    /// Number of latencies.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// Exact mean in microseconds; none when empty.
    pub fn mean_us(&self) -> Option<f64> {
        (self.count() > 0).then(|| self.sum_ns as f64 / 1000.0 / self.count() as f64)
    }

    /// The value at `quantile` in microseconds, when enough samples earn it.
    pub fn quantile_us(&self, quantile: f64) -> Option<u64> {
        (self.count() >= samples_needed(quantile)).then(|| self.histogram.value_at_quantile(quantile))
    }

    /// The histogram in microseconds.
    pub fn histogram(&self) -> &Histogram<u64> {
        &self.histogram
    }

    /// What is reported of them.
    pub fn summary(&self) -> LatencySummary {
        LatencySummary {
            p50: self.quantile_us(0.5),
            p90: self.quantile_us(0.9),
            p99: self.quantile_us(0.99),
            p999: self.quantile_us(0.999),
            mean: self.mean_us(),
            max: (self.count() > 0).then_some(self.max_ns as f64 / 1000.0),
            count: self.count(),
        }
    }
}

/// Samples that a quantile needs so that at least one of them lies above it, with 99 % confidence.
pub fn samples_needed(quantile: f64) -> u64 {
    (0.01f64.ln() / quantile.ln()).ceil() as u64
}

/// Quantiles, mean and maximum of latencies, in the unit that the field's name carries (`response_us`). Quantiles
/// that too few samples support are absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LatencySummary {
    /// Median.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50: Option<u64>,
    /// 90th percentile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p90: Option<u64>,
    /// 99th percentile, from 459 samples on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99: Option<u64>,
    /// 99.9th percentile, from 4,603 samples on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p999: Option<u64>,
    /// Mean; absent without samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean: Option<f64>,
    /// Maximum; absent without samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// Number of samples.
    pub count: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_us(values: impl IntoIterator<Item = u64>) -> Latencies {
        let mut latencies = Latencies::default();
        values.into_iter().for_each(|us| latencies.record(Duration::from_micros(us)));
        latencies
    }

    #[test]
    fn samples_needed_are_the_published_ones() {
        assert_eq!([0.5, 0.9, 0.99, 0.999].map(samples_needed), [7, 44, 459, 4603]);
    }

    #[test]
    fn a_quantile_appears_with_the_sample_that_earns_it() {
        let (few, enough) = (of_us(0..458).summary(), of_us(0..459).summary());
        assert_eq!((few.p99, few.p999), (None, None));
        assert!(enough.p99.is_some() && enough.p999.is_none());
        assert_eq!(of_us(0..4602).summary().p999, None);
        assert!(of_us(0..4603).summary().p999.is_some());
        let text = serde_json::to_string(&few).unwrap();
        assert!(text.contains("\"p90\"") && !text.contains("p99"), "{text}");
    }

    #[test]
    fn quantiles_of_a_uniform_ramp_are_right_to_three_digits_and_the_mean_is_exact() {
        let summary = of_us(1..=10_000).summary();
        for (found, expected) in [(summary.p50, 5000.0), (summary.p99, 9900.0), (summary.p999, 9990.0)] {
            let found = found.unwrap() as f64;
            assert!((found - expected).abs() <= expected * 1e-3, "{found} for {expected}");
        }
        assert_eq!((summary.mean, summary.max, summary.count), (Some(5000.5), Some(10_000.0), 10_000));
    }

    #[test]
    fn merging_equals_recording_together_and_long_latencies_are_not_cut() {
        let mut merged = of_us([1, 2, 3]);
        merged.merge(&of_us([5, 3_600_000_000]));
        assert_eq!(merged.summary(), of_us([1, 2, 3, 5, 3_600_000_000]).summary());
        let top = merged.histogram().max() as f64;
        assert!((top - 3.6e9).abs() < 3.6e6, "{top}");
    }

    #[test]
    fn the_mean_keeps_what_whole_microseconds_lose() {
        let mut latencies = Latencies::default();
        latencies.record(Duration::from_nanos(1400));
        assert_eq!(latencies.mean_us(), Some(1.4));
    }

    #[test]
    fn without_samples_there_is_neither_mean_nor_maximum() {
        let text = serde_json::to_string(&of_us([]).summary()).unwrap();
        assert_eq!(text, r#"{"count":0}"#);
    }
}
