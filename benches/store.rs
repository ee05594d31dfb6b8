//! Fetching the stored features of one request and decoding them into an engine's input buffers.

#[path = "store_peer/scene.rs"]
mod scene;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use scene::{Fetches, Scene};
use std::path::Path;

fn fetch(c: &mut Criterion) {
    // Beside the synthetic log, which is always there.
    let file = std::env::var_os("AUTOFAS_BENCH_DATA")
        .map(|folder| Path::new(&folder).join("kuairand/impressions.parquet"))
        .filter(|file| file.exists());
    let scene = Scene::new(file.as_deref());
    for kind in ["memory", "embedded"] {
        let store = scene.store(kind);
        let mut group = c.benchmark_group(format!("fetch from the {kind} store"));
        for (candidates, features) in [(1000, 5), (1000, 20), (1000, 60), (3000, 20)] {
            let mut fetches = Fetches::new(&scene, &*store, candidates, features);
            fetches.fetch();
            let (features, groups, bytes) = (fetches.features(), fetches.groups(), fetches.counts().bytes);
            let name = format!("{candidates} candidates, {features} features of {groups} groups");
            group.throughput(Throughput::Bytes(bytes));
            group.bench_function(BenchmarkId::new("decoded", &name), |b| b.iter(|| fetches.fetch()));
            group.bench_function(BenchmarkId::new("copied", &name), |b| b.iter(|| fetches.copied()));
            group.bench_function(BenchmarkId::new("hash maps", &name), |b| b.iter(|| fetches.maps()));
        }
        group.finish();
    }
}

criterion_group!(benches, fetch);
criterion_main!(benches);
