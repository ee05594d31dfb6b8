//! What the harness itself costs: a replay into the engine that answers at once, assembly included.

use autofas_bench::{
    base::names::{EngineName, Layout},
    data::{
        dataset::{Dataset, Slot},
        encode::Encoders,
        synth::{SynthSettings, generate},
    },
    export::signature::{Content, ElementType, Field, Rows, Signature, TensorSpec},
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
    let fields = |element: ElementType| {
        let fields = data.features.iter().filter_map(|feature| match (feature.slot, element) {
            (Slot::Ids { length, .. }, ElementType::I64) => Some(Field {
                feature: feature.name.clone(),
                columns: length,
                cardinality: feature.cardinality,
            }),
            (Slot::Number { .. }, ElementType::F32) => {
                Some(Field { feature: feature.name.clone(), columns: 1, cardinality: 0 })
            }
            _ => None,
        });
        fields.collect::<Vec<_>>()
    };
    let tensor = |name: &str, element| TensorSpec {
        name: name.to_owned(),
        rows: Rows::Candidates,
        element,
        content: Content::Values,
        fields: fields(element),
    };
    let tensors = [tensor("ids", ElementType::I64), tensor("num", ElementType::F32)];
    Signature {
        layout: Layout::Concat,
        tensors: tensors.into_iter().filter(|tensor| !tensor.fields.is_empty()).collect(),
    }
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
