//! What the harness itself costs: a replay into the engine that answers at once, assembly included.

use autofas_bench::{
    base::names::{EngineName, Layout},
    data::{
        dataset::Dataset,
        encode::Encoders,
        schema::Side,
        synth::{SynthSettings, generate},
    },
    export::signature::Signature,
    measure::{
        engine::{SessionOptions, engine},
        lookup::Lookups,
        replay::{
            arrivals::Arrivals,
            clock::RealClock,
            issue::{IssueOptions, Loop, issue},
            make::{DataHashes, ListLength, Order, TraceRecipe, plan},
        },
        workload::{ResolvedTrace, TraceWorkload, request_log},
    },
};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::{path::Path, time::Duration};

const REQUESTS: usize = 500;

/// All features in the layout that repeats the user's: the most that assembly can have to copy.
fn signature(data: &Dataset) -> Signature {
    Signature::of_features(Layout::Concat, data.features.iter().map(|feature| (Side::Item, feature)))
}

fn replay(c: &mut Criterion) {
    let log = generate(&SynthSettings::default()).unwrap();
    let rows: Vec<u32> = (0..log.table.rows() as u32).collect();
    let encoders = Encoders::fit(&log.schema, &log.table, &rows).unwrap();
    let data = encoders.encode(&log.schema, &log.table).unwrap();
    let requests = request_log(&data, None).unwrap();
    let null = engine(EngineName::Null).unwrap();
    let options = SessionOptions::PLAIN;
    let clock = RealClock::start();
    let mut group = c.benchmark_group("replay into the null engine");
    group.sample_size(20).measurement_time(Duration::from_secs(2));
    for candidates in [100, 500] {
        let recipe = TraceRecipe {
            arrivals: Arrivals::Constant { qps: 1000.0 },
            requests: REQUESTS,
            order: Order::Sampled,
            length: ListLength::Fixed(candidates),
            seed: 1,
        };
        let hashes = DataHashes { encoders: encoders.hash(), rows: data.rows_hash() };
        let trace = plan(requests.clone(), &recipe, hashes).unwrap();
        let resolved = ResolvedTrace::new("made here".as_ref(), trace.requests().map(Ok), &data).unwrap();
        let workload =
            TraceWorkload::new(&resolved, &data, &log.schema, &signature(&data), &Lookups::default())
                .unwrap();
        let schedule = vec![0; REQUESTS];
        group.throughput(Throughput::Elements(REQUESTS as u64));
        group.bench_function(BenchmarkId::from_parameter(candidates), |b| {
            b.iter(|| {
                let session = null.load(Path::new("none"), &options).unwrap();
                let closed = IssueOptions { mode: Loop::Closed, ..IssueOptions::default() };
                issue(&workload, &schedule, &mut [session], &clock, &closed).unwrap()
            })
        });
    }
}

criterion_group!(benches, replay);
criterion_main!(benches);
