//! Simulated requests per second on one core: drawing gap, candidates and work, the queue, and both histograms.

use autofas_bench::{
    base::rng,
    measure::replay::{
        forecast::{ForecastSettings, Traffic, at_rate, capacity_qps},
        work::{Before, WorkSample},
        work_model::WorkModel,
    },
};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rand::RngExt;
use std::time::Duration;

const REQUESTS: usize = 1_000_000;

/// Work in proportion to the candidates, with an exponential part of a tenth.
fn samples(candidates: impl Fn(f64) -> u32) -> Vec<WorkSample> {
    let mut generator = rng::generator(1, "bench");
    (0..30_000)
        .map(|i| {
            let candidates = candidates(generator.random());
            let slower = 1.0 - 0.1 * (1.0 - generator.random::<f64>()).ln();
            let before = if i % 2 == 0 { Before::Work } else { Before::Pause };
            WorkSample { candidates, before, work_ns: (f64::from(candidates) * 4000.0 * slower) as u64 }
        })
        .collect()
}

fn queue(c: &mut Criterion) {
    let mut group = c.benchmark_group("simulated requests");
    group.sample_size(10).measurement_time(Duration::from_secs(3));
    group.throughput(Throughput::Elements(REQUESTS as u64));
    // From 100 to 10,000 candidates, as many in every decade.
    let skewed = samples(|u| (100.0 * 100f64.powf(u)) as u32);
    for (name, samples) in [("500 candidates", samples(|_| 500)), ("100 to 10,000 candidates", skewed)] {
        let model = WorkModel::fit(&samples).unwrap();
        let candidates: Vec<u32> = samples.iter().map(|sample| sample.candidates).collect();
        let counts = if candidates.iter().all(|count| *count == candidates[0]) {
            &candidates[..1]
        } else {
            &candidates
        };
        let poisson = Traffic::Poisson { candidates: counts };
        let offsets_us: Vec<u64> = (0..candidates.len() as u64).map(|i| i * 3000).collect();
        let recorded = Traffic::Recorded { offsets_us: &offsets_us, candidates: &candidates };
        for (arrivals, traffic) in [("Poisson", poisson), ("recorded", recorded)] {
            for workers in [1, 16] {
                let settings = ForecastSettings { requests: REQUESTS, ..ForecastSettings::of(workers, 1) };
                let qps = 0.8 * capacity_qps(&model, traffic, workers);
                group.bench_function(BenchmarkId::new(format!("{arrivals}, {name}"), workers), |b| {
                    b.iter(|| at_rate(&model, traffic, settings, qps).unwrap())
                });
            }
        }
    }
}

criterion_group!(benches, queue);
criterion_main!(benches);
