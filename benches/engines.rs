//! Service time of single layers: engine × widths × candidates. What the latency table is made of, under criterion.

use autofas_bench::{
    base::names::{EngineName, Layout, Precision},
    export::{
        OnnxModel,
        probe::{self, PlainInput},
    },
    measure::{
        engine::{Engine, SessionOptions, engine},
        service::random_inputs,
    },
};
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
    measurement::WallTime,
};
use std::time::Duration;

const CANDIDATES: [usize; 3] = [100, 1000, 4000];
const LAYERS: [(usize, usize); 4] = [(256, 64), (256, 256), (512, 1024), (64, 1)];

/// The engines that this machine has; what is missing is said and left out.
fn engines() -> Vec<Box<dyn Engine>> {
    let found = [EngineName::Tract, EngineName::OnnxRuntime].map(engine);
    found
        .into_iter()
        .filter_map(|found| found.inspect_err(|error| eprintln!("left out: {error}")).ok())
        .collect()
}

fn bench(
    group: &mut BenchmarkGroup<WallTime>,
    engine: &dyn Engine,
    what: &str,
    model: &OnnxModel,
    candidates: usize,
) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("probe.onnx");
    model.write(&path).unwrap();
    let options = SessionOptions { candidates_hint: Some(candidates), ..SessionOptions::PLAIN };
    let mut session = engine.load(&path, &options).unwrap();
    let inputs = random_inputs(&model.signature, candidates, 1);
    let mut scores = Vec::new();
    group.throughput(Throughput::Elements(candidates as u64));
    let id = BenchmarkId::new(format!("{}/{what}", engine.name()), candidates);
    group.bench_function(id, |b| b.iter(|| session.run(&inputs, &mut scores).unwrap()));
}

fn quick(group: &mut BenchmarkGroup<WallTime>) {
    group.sample_size(20).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
}

fn layers(c: &mut Criterion) {
    let mut group = c.benchmark_group("layer");
    quick(&mut group);
    for engine in &engines() {
        for (from, to) in LAYERS {
            let model = probe::layer(from, to, Precision::Fp32).unwrap();
            for candidates in CANDIDATES {
                bench(&mut group, engine.as_ref(), &format!("{from}x{to}"), &model, candidates);
            }
        }
    }
}

fn first_layers(c: &mut Criterion) {
    let mut group = c.benchmark_group("first layer");
    quick(&mut group);
    let input =
        PlainInput { user_features: 10, item_features: 20, width_per_feature: 8, cardinality: 10_000 };
    for engine in &engines() {
        for layout in Layout::ALL.iter().copied() {
            let model = probe::first_layer(input.inputs(), 256, layout, Precision::Fp32).unwrap();
            for candidates in CANDIDATES {
                bench(&mut group, engine.as_ref(), layout.name(), &model, candidates);
            }
        }
    }
}

criterion_group!(benches, layers, first_layers);
criterion_main!(benches);
