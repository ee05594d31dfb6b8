//! Latencies of many requests: an HDR histogram in microseconds beside the exact sum and maximum, and its summary.
//!
//! A quantile q is reported only when it is earned: the n samples must exceed it at least once with 99 %
//! confidence, 1 − qⁿ ≥ 0.99, so n ≥ ln 0.01 / ln q (7 for p50, 44 for p90, 459 for p99, 4,603 for p99.9). With each comes
//! how far the true one may lie from it (see [`order`]).
//!
//! Passes over one trace repeat the same requests at the same moments: what the trace has to do with a latency is drawn once,
//! however often it is replayed. So both, what is earned and how wide its bounds are, go by the number of **distinct**
//! samples, those of one pass; further passes make the quantile itself steadier and nothing surer.

use super::order;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hdrhistogram::{
    Histogram,
    serialization::{Deserializer, Serializer, V2DeflateSerializer},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{hint::black_box, time::Duration};

/// Room made beforehand, so that recording allocates only for latencies above it.
const EXPECTED_MAX_US: u64 = 600_000_000;

/// Raw latencies, three significant digits from 1 µs upwards. Serialised as `{histogram, sum_ns, max_ns, distinct}`, the first in
/// HdrHistogram's compressed V2 form as base64.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "Packed", into = "Packed")]
pub struct Latencies {
    histogram: Histogram<u64>,
    sum_ns: u128,
    max_ns: u128,
    /// Samples that do not repeat others.
    distinct: u64,
}

impl Default for Latencies {
    fn default() -> Self {
        let mut histogram =
            Histogram::new_with_bounds(1, EXPECTED_MAX_US, 3).expect("constant bounds are valid");
        histogram.auto(true);
        // The system gives a page at its first use, which must not be while the clock runs.
        black_box(&mut histogram).clear();
        Self { histogram, sum_ns: 0, max_ns: 0, distinct: 0 }
    }
}

impl Latencies {
    /// Adds one latency, rounded to the nearest microsecond in the histogram and exact in sum and maximum.
    pub fn record(&mut self, latency: Duration) {
        self.record_ns(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Adds one latency in nanoseconds, as [`Latencies::record`] does.
    pub fn record_ns(&mut self, ns: u64) {
        self.sum_ns += u128::from(ns);
        self.max_ns = self.max_ns.max(u128::from(ns));
        self.distinct += 1;
        self.histogram
            .record((ns.saturating_add(500)) / 1000)
            .expect("a histogram that grows takes any value");
    }

    /// Adds all latencies of `other`, which are of other requests.
    pub fn merge(&mut self, other: &Self) {
        self.distinct += other.distinct;
        self.add(other);
    }

    /// Adds all latencies of `other`, which are of the same requests again: another pass.
    pub fn repeat(&mut self, other: &Self) {
        self.distinct = self.distinct.max(other.distinct);
        self.add(other);
    }

    fn add(&mut self, other: &Self) {
        self.sum_ns += other.sum_ns;
        self.max_ns = self.max_ns.max(other.max_ns);
        self.histogram.add(&other.histogram).expect("a histogram that grows takes any value");
    }

    /// Number of latencies.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// Number of latencies without repetitions.
    pub fn distinct(&self) -> u64 {
        self.distinct
    }

    /// Exact mean in microseconds; none when empty.
    pub fn mean_us(&self) -> Option<f64> {
        (self.count() > 0).then(|| self.sum_ns as f64 / 1000.0 / self.count() as f64)
    }

    /// The value at `quantile` in microseconds, when enough samples earn it.
    pub fn quantile_us(&self, quantile: f64) -> Option<u64> {
        (self.distinct >= samples_needed(quantile)).then(|| self.histogram.value_at_quantile(quantile))
    }

    /// Bounds of the true quantile in microseconds, where it is reported: lower and upper, each with 99 % confidence. Of repeated
    /// requests they are the latencies at the same places among all as the bounds of one pass have among its own.
    pub fn bounds_us(&self, quantile: f64) -> Option<[u64; 2]> {
        let ranks = order::ranks(self.distinct, quantile)?;
        let times = |rank: u64| u128::from(rank) * u128::from(self.count());
        let distinct = u128::from(self.distinct);
        // From n samples to k · n: the l-th of n are the (k (l − 1) + 1)-th to the (k · l)-th.
        let lower = (times(ranks.lower - 1) / distinct) as u64 + 1;
        let upper = times(ranks.upper).div_ceil(distinct) as u64;
        let (mut seen, mut bounds) = (0, [None; 2]);
        for value in self.histogram.iter_recorded() {
            seen += value.count_since_last_iteration();
            let us = value.value_iterated_to();
            if bounds[0].is_none() && seen >= lower {
                bounds[0] = Some(self.histogram.lowest_equivalent(us));
            }
            if seen >= upper {
                bounds[1] = Some(self.histogram.highest_equivalent(us));
                break;
            }
        }
        Some([bounds[0]?, bounds[1]?])
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
            bounds: Bounds {
                p50: self.bounds_us(0.5),
                p90: self.bounds_us(0.9),
                p99: self.bounds_us(0.99),
                p999: self.bounds_us(0.999),
            },
            mean: self.mean_us(),
            max: (self.count() > 0).then_some(self.max_ns as f64 / 1000.0),
            count: self.count(),
        }
    }
}

/// [`Latencies`] between two processes.
#[derive(Serialize, Deserialize)]
struct Packed {
    histogram: String,
    sum_ns: u128,
    max_ns: u128,
    distinct: u64,
}

impl From<Latencies> for Packed {
    fn from(latencies: Latencies) -> Self {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new()
            .serialize(&latencies.histogram, &mut bytes)
            .expect("a vector takes any histogram of counts below 2⁶³");
        let Latencies { sum_ns, max_ns, distinct, .. } = latencies;
        Self { histogram: STANDARD.encode(bytes), sum_ns, max_ns, distinct }
    }
}

impl TryFrom<Packed> for Latencies {
    type Error = String;

    fn try_from(packed: Packed) -> Result<Self, String> {
        let bytes =
            STANDARD.decode(packed.histogram).map_err(|e| format!("a histogram is not base64 ({e})"))?;
        let read: Histogram<u64> = Deserializer::new()
            .deserialize(&mut &bytes[..])
            .map_err(|e| format!("a histogram cannot be decoded ({e})"))?;
        // Into one that grows, which the form does not say.
        let (sum_ns, max_ns, distinct) = (packed.sum_ns, packed.max_ns, packed.distinct);
        let mut latencies = Self { sum_ns, max_ns, distinct, ..Self::default() };
        latencies.histogram.add(&read).expect("a histogram that grows takes any value");
        Ok(latencies)
    }
}

/// Samples that a quantile needs so that at least one of them lies above it, with 99 % confidence.
pub fn samples_needed(quantile: f64) -> u64 {
    (0.01f64.ln() / quantile.ln()).ceil() as u64
}

/// Quantiles, mean and maximum of latencies, in the unit that the field's name carries (`response_us`). Quantiles
/// that too few samples support are absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// How far the true quantiles may lie from those above.
    #[serde(default, skip_serializing_if = "Bounds::is_empty")]
    pub bounds: Bounds,
    /// Mean; absent without samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean: Option<f64>,
    /// Maximum; absent without samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// Number of samples, repetitions among them.
    pub count: u64,
}

/// Of every quantile that is reported its lower and upper bound, in the same unit. Each bound alone holds with 99 %
/// confidence when the requests of one pass are independent: see [`order`]. Passes repeat requests, and do not make it narrower.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Bounds {
    /// Of the median.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50: Option<[u64; 2]>,
    /// Of the 90th percentile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p90: Option<[u64; 2]>,
    /// Of the 99th percentile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99: Option<[u64; 2]>,
    /// Of the 99.9th percentile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p999: Option<[u64; 2]>,
}

impl Bounds {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
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

    #[test]
    fn bounds_are_the_samples_of_the_binomial_ranks() {
        // 100 samples 1 … 100: ranks 38 and 63 bound the median, and values below 1,024 are exact.
        let summary = of_us(1..=100).summary();
        assert_eq!(summary.bounds.p50, Some([38, 63]));
        assert_eq!((summary.bounds.p99, summary.p99), (None, None));
        // From 459 samples on the largest is the bound of p99.
        assert_eq!(of_us(1..=459).summary().bounds.p99.unwrap()[1], 459);
    }

    #[test]
    fn repeating_the_same_requests_earns_no_quantile_and_makes_no_bound_narrower() {
        let one = of_us(1..=100);
        let mut three = one.clone();
        three.repeat(&one);
        three.repeat(&one);
        assert_eq!((three.count(), three.distinct()), (300, 100));
        assert_eq!(three.summary().bounds, one.summary().bounds, "ranks 38 and 63 of every hundred");
        // 300 different ones: ranks 130 and 171 (scipy.stats.binom.ppf).
        let different = of_us(1..=300).summary();
        assert_eq!((different.bounds.p50, different.p50), (Some([130, 171]), Some(150)));
        let (mut few, pass) = (Latencies::default(), of_us(0..458));
        (0..3).for_each(|_| few.repeat(&pass));
        assert_eq!((few.count(), few.summary().p99), (3 * 458, None));
        // A pass that was cut short repeats some and adds none.
        few.repeat(&of_us(0..200));
        assert_eq!(few.distinct(), 458);
    }

    #[test]
    fn latencies_come_back_from_their_written_form_with_every_count_and_go_on_growing() {
        let latencies = of_us([1, 1, 7, 80_000, 3_600_000_000]);
        let text = serde_json::to_string(&latencies).unwrap();
        let mut back: Latencies = serde_json::from_str(&text).unwrap();
        assert_eq!(back.summary(), latencies.summary());
        assert_eq!(back.histogram(), latencies.histogram());
        back.merge(&of_us([36_000_000_000]));
        assert_eq!((back.count(), back.summary().max), (6, Some(3.6e10)));
        for broken in [text.replace("HIST", "HI#T"), text.replace("HIST", "AAAA")] {
            assert_ne!(broken, text);
            assert!(serde_json::from_str::<Latencies>(&broken).is_err());
        }
    }
}
