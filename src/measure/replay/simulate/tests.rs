use super::*;
use crate::base::rng::{self, Generator};
use proptest::prelude::*;
use rand::RngExt;

/// Poisson arrivals of 1 candidate with a mean gap in ns.
struct Poisson(Generator, f64, f64);

impl Iterator for Poisson {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        self.2 -= self.1 * (1.0 - self.0.random::<f64>()).ln();
        Some(Arrival { at_ns: self.2 as u64, candidates: 1 })
    }
}

const MEAN_WORK_NS: f64 = 1e6;
const REQUESTS: usize = 2_000_000;

fn poisson(load: f64, workers: f64) -> impl Iterator<Item = Arrival> {
    Poisson(rng::generator(3, "arrivals"), MEAN_WORK_NS / load / workers, 0.0).take(REQUESTS)
}

fn exponential() -> impl FnMut(u32, Before) -> u64 {
    let mut generator = rng::generator(4, "work");
    move |_, _| (-MEAN_WORK_NS * (1.0 - generator.random::<f64>()).ln()) as u64
}

/// Relative to `expected`, which is in µs.
fn near(found: Option<f64>, expected_us: f64, tolerance: f64, what: &str) {
    let found = found.unwrap();
    assert!((found / expected_us - 1.0).abs() < tolerance, "{what}: {found} µs for {expected_us} µs");
}

fn quantile_us(latencies: &Latencies, quantile: f64) -> Option<f64> {
    latencies.quantile_us(quantile).map(|us| us as f64)
}

#[test]
fn responses_of_one_memoryless_worker_are_exponential_with_rate_mu_minus_lambda() {
    // Correlation in a queue grows with the load, and with it the error of so many requests.
    for (load, tolerance) in [(0.3, 0.01), (0.6, 0.015), (0.9, 0.06)] {
        let found = simulate(poisson(load, 1.0), 1, exponential()).unwrap();
        let mean_us = 1000.0 / (1.0 - load);
        near(found.response.mean_us(), mean_us, tolerance, "mean response");
        near(found.waiting.mean_us(), load * mean_us, tolerance, "mean waiting");
        for quantile in [0.5f64, 0.9, 0.99, 0.999] {
            let expected = -mean_us * (1.0 - quantile).ln();
            near(quantile_us(&found.response, quantile), expected, 2.0 * tolerance, "response");
        }
        let busy = found.work_ns as f64 / found.span_ns as f64;
        assert!((busy / load - 1.0).abs() < 0.01, "busy {busy} of the time at {load}");
    }
}

#[test]
fn the_mean_wait_before_constant_work_is_that_of_pollaczek_and_khinchine() {
    for (load, tolerance) in [(0.3, 0.01), (0.6, 0.01), (0.9, 0.04)] {
        let found = simulate(poisson(load, 1.0), 1, |_, _| MEAN_WORK_NS as u64).unwrap();
        near(found.waiting.mean_us(), 1000.0 * load / (2.0 * (1.0 - load)), tolerance, "M/D/1");
    }
}

/// Probability that a request has to wait (Erlang C) for `c` workers under the offered work `a = λ/μ`.
fn erlang_c(c: u32, a: f64) -> f64 {
    let terms: Vec<f64> = (0..=c)
        .scan(1.0, |term, k| {
            if k > 0 {
                *term *= a / f64::from(k)
            }
            Some(*term)
        })
        .collect();
    let all_busy = terms[c as usize] * f64::from(c) / (f64::from(c) - a);
    all_busy / (terms[..c as usize].iter().sum::<f64>() + all_busy)
}

#[test]
fn waiting_before_several_memoryless_workers_is_that_of_erlang() {
    assert!((erlang_c(1, 0.7) - 0.7).abs() < 1e-12, "of one worker, the share of time it is busy");
    for (workers, load, tolerance) in [(2, 0.5, 0.01), (2, 0.8, 0.03), (8, 0.8, 0.03)] {
        let found = simulate(poisson(load, f64::from(workers)), workers as usize, exponential()).unwrap();
        let waits = erlang_c(workers, f64::from(workers) * load);
        let leaves_us = 1000.0 / (f64::from(workers) * (1.0 - load));
        near(found.waiting.mean_us(), waits * leaves_us, tolerance, "mean waiting");
        // Those who wait wait exponentially long: the share beyond t is C·exp(−t/leaves).
        let p99 = leaves_us * (waits / 0.01).ln();
        near(quantile_us(&found.waiting, 0.99), p99, 2.0 * tolerance, "p99 of waiting");
    }
}

fn arrivals(us: &[u64]) -> Vec<Arrival> {
    us.iter().zip(1..).map(|(us, candidates)| Arrival { at_ns: us * 1000, candidates }).collect()
}

#[test]
fn a_schedule_worked_out_by_hand() {
    // One worker, 10 µs of work each: requests 2 and 3 wait behind the first, the fourth finds nobody.
    let mut states = Vec::new();
    let found = simulate(arrivals(&[0, 4, 5, 100]), 1, |candidates, before| {
        states.push((candidates, before));
        10_000
    })
    .unwrap();
    // A worker that is free at the very moment of an arrival did not pause.
    let expected = [(1, Before::Work), (2, Before::Work), (3, Before::Work), (4, Before::Pause)];
    assert_eq!(states, expected);
    let responses: Vec<u64> =
        found.response.histogram().iter_recorded().map(|v| v.value_iterated_to()).collect();
    assert_eq!(responses, [10, 16, 25]);
    assert_eq!(
        (found.waiting.mean_us(), found.span_ns, found.work_ns),
        (Some((6.0 + 15.0) / 4.0), 110_000, 40_000)
    );
}

#[test]
fn two_workers_take_turns_as_they_become_free() {
    // Work of 30, 5, 5, 5 µs: the second worker serves 2, 3 and 4 while the first is busy.
    let found =
        simulate(arrivals(&[0, 0, 1, 2]), 2, |candidates, _| if candidates == 1 { 30_000 } else { 5_000 });
    let found = found.unwrap();
    let expected_us = [30.0, 5.0, 9.0, 13.0];
    assert_eq!(found.response.mean_us(), Some(expected_us.iter().sum::<f64>() / 4.0));
    assert_eq!(found.waiting.summary().max, Some(8.0));
}

#[test]
fn merged_simulations_count_all_requests_and_nobody_is_refused() {
    let one = simulate(arrivals(&[0, 5]), 1, |_, _| 1_000).unwrap();
    let mut both = one.clone();
    both.merge(&one);
    assert_eq!((both.response.count(), both.work_ns, both.span_ns), (4, 4_000, 12_000));
    assert!(simulate(arrivals(&[0]), 0, |_, _| 1).unwrap_err().to_string().contains("nobody"));
}

proptest! {
    #[test]
    fn more_load_never_lowers_a_quantile_of_the_responses(
        requests in prop::collection::vec((0u64..3_000_000, 1u64..2_000_000), 1..300),
        workers in 1usize..5,
        denser in 0.0f64..1.0,
        heavier in 1.0f64..3.0,
    ) {
        // Gaps and works of the requests in ns, each as long as these say.
        let run = |gap: f64, work: f64, workers: usize| {
            let mut at_ns = 0;
            let arrivals: Vec<Arrival> = requests.iter().map(|(own, _)| {
                at_ns += (*own as f64 * gap) as u64;
                Arrival { at_ns, candidates: 1 }
            }).collect();
            // The worker's past changes nothing here: work that a pause makes longer may well shrink under load.
            let mut works = requests.iter().map(|(_, own)| (*own as f64 * work) as u64);
            simulate(arrivals, workers, |_, _| works.next().unwrap()).unwrap()
        };
        let calm = run(1.0, 1.0, workers);
        let loads = [
            ("requests come sooner", run(denser, 1.0, workers)),
            ("each takes longer", run(1.0, heavier, workers)),
            ("a worker less", run(1.0, 1.0, (workers - 1).max(1))),
        ];
        for (what, loaded) in loads {
            for percent in 1..=100 {
                let quantile = f64::from(percent) / 100.0;
                let [before, after] = [&calm, &loaded].map(|found| found.response.quantile_us(quantile));
                prop_assert!(after >= before, "p{}: {:?} µs after {:?} µs where {}", percent, after, before, what);
            }
        }
    }
}
