//! The forecast against closed forms.

use super::*;
use crate::{
    base::rng,
    measure::replay::work::{Before, WorkSample},
};
use rand::RngExt;

/// Work of 1 ms in the mean, at evenly spaced levels of a distribution of that mean.
fn reference(work_ms: impl Fn(f64) -> f64) -> Reference {
    let count = 20_000;
    let sample = |i: usize| WorkSample {
        candidates: 10,
        before: Before::Work,
        work_ns: (1e6 * work_ms((i as f64 + 0.5) / f64::from(count))) as u64,
    };
    let samples: Vec<_> = (0..count as usize).map(sample).collect();
    // Of the work, half is not the engine's run.
    Reference { network: "plain".to_owned(), service_ms: 0.5, work: WorkModel::fit(&samples).unwrap() }
}

fn constant() -> Reference {
    reference(|_| 1.0)
}

fn exponential() -> Reference {
    reference(|level| -(1.0 - level).ln())
}

const QPS: f64 = 500.0;

fn forecast(objective: &str, workers: usize, reference: &Reference, traffic: Traffic<'_>) -> TailForecast {
    let load = Load { offered_qps: QPS, workers };
    TailForecast::simulate(objective.parse().unwrap(), load, reference, traffic, 3).unwrap()
}

/// Arrivals in µs of a trace that was recorded at another rate than it is asked for.
fn even(count: u64) -> Vec<u64> {
    (0..count).map(|i| i * 40).collect()
}

fn poisson(count: usize) -> Vec<u64> {
    let mut generator = rng::generator(9, "arrivals");
    let gaps = (0..count).map(|_| -1000.0 * (1.0 - generator.random::<f64>()).ln());
    let sums = gaps.scan(0.0, |at, gap| {
        *at += gap;
        Some(*at as u64)
    });
    sums.collect()
}

fn recorded<'a>(offsets_us: &'a [u64], candidates: &'a [u32]) -> Traffic<'a> {
    Traffic::Recorded { offsets_us, candidates }
}

fn near(found: f64, expected: f64, tolerance: f64, what: &str) {
    assert!((found / expected - 1.0).abs() < tolerance, "{what}: {found} for {expected}");
}

#[test]
fn requests_at_even_gaps_wait_for_nobody_until_the_workers_have_no_time_left() {
    let (offsets_us, candidates) = (even(20_000), vec![10; 20_000]);
    for workers in [1, 2] {
        let found = forecast("p99=5ms", workers, &constant(), recorded(&offsets_us, &candidates));
        // Work is twice the service time, and each worker has 2 ms for every request.
        let highest = 0.95 * workers as f64;
        near(found.highest_mean_ms, highest, 1e-3, "the highest mean");
        for share in [0.05, 0.3, 0.62, 0.9, 0.99] {
            let mean_ms = share * highest;
            let TargetLatency { ms, slope } = found.of_mean(mean_ms);
            near(ms, 2.0 * mean_ms, 2e-3, "a response is its work");
            near(slope, 2.0, 0.05, "and grows as it");
            assert!(found.keeps_up(mean_ms));
        }
        // Beyond, no objective is kept, whatever its limit, and the way back is steep.
        for share in [1.001, 1.5, 40.0] {
            let TargetLatency { ms, slope } = found.of_mean(share * highest);
            assert!(ms > 5.0 && ms.is_finite() && !found.keeps_up(share * highest));
            near(slope, 10.0 * 5.0 / found.highest_mean_ms, 1e-9, "the slope beyond");
        }
    }
}

#[test]
fn behind_one_memoryless_worker_percentile_and_slope_are_those_of_m_m_1() {
    let (offsets_us, candidates) = (poisson(200_000), vec![10; 200_000]);
    let found = forecast("p99=50ms", 1, &exponential(), recorded(&offsets_us, &candidates));
    // R is exponential with rate 1/s − λ, s the mean work of 2·m: its quantile is ln 100 · s / (1 − λ·s).
    for (load, within, slope_within) in
        [(0.1, 0.02, 0.06), (0.3, 0.02, 0.06), (0.6, 0.04, 0.1), (0.8, 0.08, 0.2)]
    {
        let work_ms = load / QPS * 1e3;
        let TargetLatency { ms, slope } = found.of_mean(work_ms / 2.0);
        near(ms, 100f64.ln() * work_ms / (1.0 - load), within, "p99");
        near(slope, 2.0 * 100f64.ln() / (1.0 - load).powi(2), slope_within, "its slope");
    }
}

/// P(W > t) behind one worker of constant work d under Poisson arrivals of rate λ (Erlang 1909):
/// P(W ≤ t) = (1 − ρ) Σ_{k ≤ t/d} (λ(k·d − t))ᵏ/k! · e^{−λ(k·d − t)}.
fn m_d_1_waits_at_most(load: f64, t: f64) -> f64 {
    let mut sum = 0.0;
    let mut factorial = 1.0;
    for k in 0..=t.floor() as i32 {
        factorial *= f64::from(k.max(1));
        let x = load * (f64::from(k) - t);
        sum += x.powi(k) / factorial * (-x).exp();
    }
    (1.0 - load) * sum
}

#[test]
fn behind_one_worker_of_constant_work_percentiles_are_those_of_m_d_1() {
    let (offsets_us, candidates) = (poisson(200_000), vec![10; 200_000]);
    for (text, level) in [("p90=50ms", 0.9), ("p99=50ms", 0.99)] {
        let found = forecast(text, 1, &constant(), recorded(&offsets_us, &candidates));
        for (load, within) in [(0.3, 0.03), (0.5, 0.03), (0.8, 0.08)] {
            // In units of the work.
            let (mut low, mut high) = (0.0, 30.0);
            while high - low > 1e-6 {
                let middle = (low + high) / 2.0;
                if m_d_1_waits_at_most(load, middle) < level { low = middle } else { high = middle }
            }
            let work_ms = load / QPS * 1e3;
            near(found.of_mean(work_ms / 2.0).ms, work_ms * (1.0 + low), within, text);
        }
    }
}

#[test]
fn it_never_falls_and_its_slope_is_that_of_central_differences() {
    let (offsets_us, candidates) = (poisson(5000), (0..5000).map(|i| 5 + i % 20).collect::<Vec<u32>>());
    let found = forecast("p99=20ms", 2, &exponential(), recorded(&offsets_us, &candidates));
    let mut before = 0.0;
    for i in 1..400 {
        let mean_ms = 0.005 * f64::from(i) * found.highest_mean_ms;
        let TargetLatency { ms, slope } = found.of_mean(mean_ms);
        assert!(ms >= before && slope > 0.0, "{mean_ms}: {ms} after {before}, {slope}");
        before = ms;
        let step = 1e-6 * found.highest_mean_ms;
        let across = (mean_ms - found.highest_mean_ms).abs() <= step;
        let differences =
            (found.of_mean(mean_ms + step).ms - found.of_mean(mean_ms - step).ms) / (2.0 * step);
        assert!(across || (slope / differences - 1.0).abs() < 0.01, "{mean_ms}: {slope} for {differences}");
    }
}

#[test]
fn a_forecast_repeats_by_seed_and_reads_back() {
    let (offsets_us, candidates) = (poisson(2000), vec![10; 2000]);
    let of = || forecast("p99=20ms", 1, &exponential(), recorded(&offsets_us, &candidates));
    let found = of();
    assert_eq!(found, of());
    let read: TailForecast = serde_json::from_str(&serde_json::to_string(&found).unwrap()).unwrap();
    assert_eq!(read, found);
    assert_eq!(found.what(), "p99 of the response at 500 requests per second to 1 worker");
}

#[test]
fn a_network_that_was_served_in_no_time_says_nothing_of_a_load() {
    let (offsets_us, candidates) = (even(100), vec![10; 100]);
    let load = Load { offered_qps: QPS, workers: 1 };
    let nothing = Reference { service_ms: 0.0, ..constant() };
    let objective = "p99=20ms".parse().unwrap();
    let refused =
        TailForecast::simulate(objective, load, &nothing, recorded(&offsets_us, &candidates), 1).unwrap_err();
    assert!(refused.to_string().contains("in no time"), "{refused}");
}
