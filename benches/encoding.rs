//! From columns to rows of ids and numbers: fitting, encoding, and copying a training batch.

use autofas_bench::data::{
    dataset::Batch,
    encode::Encoders,
    synth::{SynthSettings, generate},
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::{hint::black_box, time::Duration};

const BATCH_ROWS: usize = 2048;

fn encoding(c: &mut Criterion) {
    let log = generate(&SynthSettings { requests: 2000, ..Default::default() }).unwrap();
    let rows: Vec<u32> = (0..log.table.rows() as u32).collect();
    let encoders = Encoders::fit(&log.schema, &log.table, &rows).unwrap();
    let data = encoders.encode(&log.schema, &log.table).unwrap();
    let mut group = c.benchmark_group("encoding");
    group.sample_size(20).measurement_time(Duration::from_secs(2));
    group.throughput(Throughput::Elements(rows.len() as u64));
    group.bench_function("fit", |b| b.iter(|| Encoders::fit(&log.schema, &log.table, &rows).unwrap()));
    group.bench_function("encode", |b| b.iter(|| encoders.encode(&log.schema, &log.table).unwrap()));
    group.throughput(Throughput::Elements(BATCH_ROWS as u64));
    let batch = &rows[..BATCH_ROWS];
    group.bench_function("batch", |b| b.iter(|| Batch::of(&data, black_box(batch))));
}

criterion_group!(benches, encoding);
criterion_main!(benches);
