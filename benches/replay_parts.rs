//! Parts of a replay alone: writing down one request, and drawing a schedule.

use autofas_bench::measure::replay::{
    arrivals::Arrivals,
    recorder::{Cut, Part, Recording, Times},
    trace::{Origin, Pacing, Request, TraceBuilder},
};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::time::Duration;

const REQUESTS: usize = 100_000;

/// Times that differ as those of a real run do.
fn times(request: usize) -> Times {
    let due = Duration::from_micros(700 * request as u64);
    let begun = due + Duration::from_nanos(1000 + (request * 7919 % 90_000) as u64);
    let assembled = begun + Duration::from_nanos(20_000 + (request * 104_729 % 9000) as u64);
    let completed = assembled + Duration::from_nanos(400_000 + (request * 15_485_863 % 300_000) as u64);
    Times { part: Part::of(request, REQUESTS), due, free: due, begun, assembled, fetched: None, completed }
}

fn recorder(c: &mut Criterion) {
    let all: Vec<Times> = (0..REQUESTS).map(times).collect();
    let schedule: Vec<u64> = all.iter().map(|times| times.due.as_micros() as u64).collect();
    let cut = Cut::of(&schedule);
    let mut recording = Recording { intervals: cut.intervals(), ..Recording::default() };
    let mut group = c.benchmark_group("recorder");
    group.sample_size(20).throughput(Throughput::Elements(REQUESTS as u64));
    group.bench_function("requests", |b| {
        b.iter(|| {
            for (&times, &arrival_us) in all.iter().zip(&schedule) {
                recording.answered(times);
                recording.intervals[cut.index(arrival_us)].answered.answered(&times);
            }
        });
    });
    group.bench_function("merging another worker's", |b| {
        b.iter_batched(
            || recording.clone(),
            |mut total| {
                total.merge(recording.clone());
                total
            },
            criterion::BatchSize::LargeInput,
        );
    });
}

fn schedule(c: &mut Criterion) {
    let mut group = c.benchmark_group("schedule");
    group.sample_size(20).throughput(Throughput::Elements(REQUESTS as u64));
    for arrivals in [Arrivals::Poisson { qps: 1000.0 }, Arrivals::Constant { qps: 1000.0 }] {
        let name = BenchmarkId::from_parameter(arrivals.to_string());
        group.bench_function(name, |b| b.iter(|| arrivals.schedule(REQUESTS, 1).unwrap()));
    }
    let offsets = Arrivals::Poisson { qps: 1000.0 }.schedule(REQUESTS, 1).unwrap().offsets_us;
    let mut trace = TraceBuilder::default();
    for (&arrival_us, id) in offsets.iter().zip(0..) {
        trace.see(&Request { arrival_us, id, user: id, candidates: vec![id] }).unwrap();
    }
    let trace = trace.finish(Origin::default()).unwrap();
    group.bench_function("stretched to a rate", |b| {
        b.iter(|| trace.schedule_us(Pacing::Rate { qps: 300.0 }).unwrap());
    });
}

criterion_group!(benches, recorder, schedule);
criterion_main!(benches);
