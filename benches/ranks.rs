//! Search steps of a rank, as rank 0 sees them: prints one JSON line with the time of every step, what a step sends, and
//! how long sending alone takes. `scripts/figures/ranks` runs it under `mpirun` with one and with two ranks.

use autofas_bench::{
    base::{memory, progress::Progress},
    data::{
        dataset::Split,
        load_table,
        schema::Feature,
        split::SplitSettings,
        synth::{self, SynthSettings},
    },
    learn::{
        checkpoint::Keeper,
        embedding::input_features,
        exchange,
        price_term::Prices,
        search::{Scene, Search},
        settings::{SearchSettings, TeacherSettings},
        teacher::Teacher,
        train::{Rows, Trainable},
    },
    price::{linear::LinearPrices, target::MeanService},
    space::{Operator, SearchSpace},
};
use std::{sync::Mutex, time::Instant};

// The program's allocator: a step makes many large short-lived tensors.
#[global_allocator]
static ALLOCATOR: memory::Allocator = memory::ALLOCATOR;

const INPUT_WIDTH: usize = 320;
const BATCH: usize = 2048;
const STEPS: usize = 12;

/// Notes when every step ended.
struct Clock(Mutex<Vec<Instant>>);

impl Progress for Clock {
    fn stage(&self, _: &str, _: u64) {}
    fn advance(&self, _: u64, _: &str) {
        self.0.lock().expect("one thread").push(Instant::now());
    }
    fn say(&self, _: &str) {}
}

fn main() {
    let ranks = exchange::join().expect("a job");
    let ranks = &*ranks;
    let settings =
        SynthSettings { requests: BATCH * (STEPS + 2) / 20, candidates: 20, ..SynthSettings::default() };
    let log = synth::generate(&settings).expect("a log");
    let count = log.schema.features.len();
    let widened = log.schema.features.iter().enumerate().map(|(i, feature)| Feature {
        width: INPUT_WIDTH / count + usize::from(i < INPUT_WIDTH % count),
        ..feature.clone()
    });
    let mut schema = log.schema.clone();
    schema.features = widened.collect();
    let by_chance = SplitSettings::Shuffle { valid_fraction: 0.01 };
    let loaded = load_table(&schema, &log.table, &by_chance, 1).expect("rows");
    let data = loaded.dataset;
    let split = Split { train: loaded.split.train[..BATCH * STEPS].to_vec().into(), ..loaded.split };
    let every: Vec<usize> = (0..count).collect();
    let features = input_features(&schema.features, &every, &data).expect("features");
    let teacher = TeacherSettings::default();
    let teacher = Teacher::new(features, data.partition_count, &teacher, 1).expect("a teacher");
    assert_eq!(teacher.bank().width(), INPUT_WIDTH);
    let soft = vec![0.5; data.rows()];
    let settings =
        SearchSettings { epochs: 1, warmup_epochs: 0, batch_size: BATCH, ..SearchSettings::default() };
    let operators = [512, 256, 128, 64].map(Operator::Mlp).to_vec();
    let space = SearchSpace::new(schema.features.clone(), vec![operators; 3]).expect("a space");
    let scene = Scene {
        rows: Rows { data: &data, split: &split, ranks },
        held_out: None,
        teacher: &teacher,
        soft: &soft,
        settings: &settings,
        seed: 1,
    };
    let mut search = Search::new(&space, scene).expect("a search");
    let clock = Clock(Mutex::default());
    // Prices are no part of what is timed.
    let free = LinearPrices::default();
    search
        .run(&Prices::declared(&schema, &free, &MeanService), &clock, &mut Keeper::none())
        .expect("an epoch");
    let ends = clock.0.into_inner().expect("one thread");
    // The first steps fill the allocator.
    let steps: Vec<f64> = ends.windows(2).skip(2).map(|w| (w[1] - w[0]).as_secs_f64() * 1e3).collect();

    // 960 operators behind the input and twice behind each other, each with a row of biases.
    let parameters = 960 * (INPUT_WIDTH + 1) + 2 * 960 * (960 + 4) + 960 + 4 + 12 + count;
    let mut sent = vec![0.5f32; parameters];
    let sums: Vec<f64> = (0..10)
        .map(|_| {
            let begin = Instant::now();
            ranks.sum(&mut sent);
            begin.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    if ranks.leads() {
        println!(
            "{{\"ranks\": {}, \"steps_ms\": {steps:?}, \"sums_ms\": {sums:?}, \"gradient_bytes\": {}}}",
            ranks.place().size,
            4 * parameters
        );
    }
}
