//! One training step of the supernet: forward, backward and AdamW, for two search spaces.

use autofas_bench::{
    base::{memory, rng},
    data::{
        schema::Schema,
        synth::{self, SynthSettings},
    },
    learn::{
        losses::cross_entropy,
        optimizer::{AdamW, ParamGroup, Scaling},
        params::Params,
        settings::RateSchedule,
        supernet::Supernet,
    },
    space::{Operator, SearchSpace},
};
use candle_core::{Device, Tensor};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

// As in the program.
#[global_allocator]
static ALLOCATOR: memory::Allocator = memory::ALLOCATOR;

const INPUT_WIDTH: usize = 320;
const ROWS: usize = 2048;

fn schema() -> Schema {
    let settings = SynthSettings { requests: 10, users: 8, items: 40, ..SynthSettings::default() };
    synth::generate(&settings).expect("a small log").schema
}

fn supernet_step(criterion: &mut Criterion) {
    memory::keep_freed();
    let mut group = criterion.benchmark_group("supernet_step");
    group.sample_size(10).throughput(Throughput::Elements(ROWS as u64));
    for widths in [vec![128, 64, 32], vec![512, 256, 128, 64]] {
        let name = format!("3x{widths:?}");
        let mut operators: Vec<_> = widths.into_iter().map(Operator::Mlp).collect();
        operators.push(Operator::Zero);
        let space = SearchSpace::new(schema().features, vec![operators; 3]).expect("a sound space");
        let mut params = Params::new(1);
        let supernet = Supernet::new(&space, INPUT_WIDTH, &mut params).expect("a supernet");
        let mut optimizer = AdamW::default();
        for (_, var) in params.iter() {
            let group = ParamGroup {
                learning_rate: 1e-3,
                weight_decay: 0.0,
                scaling: Scaling::Each,
                schedule: RateSchedule::CONSTANT,
            };
            optimizer.add(var, group).expect("moments");
        }
        let input = rng::normals(ROWS * INPUT_WIDTH, 1.0, &mut rng::generator(1, "bench"));
        let input = Tensor::from_vec(input, (ROWS, INPUT_WIDTH), &Device::Cpu).expect("a matrix");
        let labels: Vec<f32> = (0..ROWS).map(|row| (row % 2) as f32).collect();
        let labels = Tensor::new(labels, &Device::Cpu).expect("labels");
        let weights = labels.ones_like().expect("weights");
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| {
                let p = supernet.probabilities().expect("probabilities");
                let logits = supernet.forward(&input, &p).expect("a forward pass");
                let loss = cross_entropy(&logits, &labels, &weights).expect("a loss");
                optimizer.step(&loss.backward().expect("gradients"), 1.0).expect("a step");
            });
        });
    }
    group.finish();
}

criterion_group!(benches, supernet_step);
criterion_main!(benches);
