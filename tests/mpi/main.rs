//! Several ranks train as one process does, and a lost rank ends the job.
//!
//! The tests start this program, or the command line, under `mpirun`; what is ignored here is the part of one rank.

mod launch;
mod lost;
mod program;
mod whole;

use autofas_bench::{
    base::{memory, progress::Silent, rng},
    data::{
        dataset::{Dataset, Split},
        load_table,
        shard::Place,
        split::{SplitSettings, hold_out},
        synth::{self, SynthSettings},
    },
    learn::{
        checkpoint::Keeper,
        embedding::input_features,
        exchange::{Alone, Exchange, join},
        price_term::Prices,
        search::{Scene, Search},
        settings::{
            DistillationLoss, Paths, RetrainSettings, SearchSettings, TeacherSettings, TrainSettings,
        },
        student::{Lesson, Student, lists_of},
        teacher::Teacher,
        train::{Rows, Trainable, fit, score_together},
    },
    price::{linear::LinearPrices, target::MeanService},
    space::{Operator, SearchSpace},
};
use launch::{ranks_of, succeed};
use safetensors::SafeTensors;
use serde_json::Value;
use std::{collections::BTreeMap, fs, path::Path};

// The program's allocator.
#[global_allocator]
static ALLOCATOR: memory::Allocator = memory::ALLOCATOR;

/// The folder that a rank of [`train_everything`] writes into.
const FOLDER: &str = "AUTOFAS_BENCH_TEST_FOLDER";
const BATCH: usize = 96;
const STEPS: usize = 20;
/// What a rank and a process by itself may differ by after [`STEPS`].
const TOLERANCE: f64 = 1e-5;

/// Prices that rise with the widths.
const LINEAR: LinearPrices =
    LinearPrices { column_ms: 0.0, slope_ms: 1e-4, layer_ms: 0.0, user_share: 0.1, fixed_ms: 0.0 };

/// Searches over all paths, and over one or two that every step draws.
const SEARCHES: [(&str, Paths); 3] = [
    ("search", Paths::All),
    ("search of one path", Paths::Sampled { count: 1 }),
    ("search of two paths", Paths::Sampled { count: 2 }),
];

/// As many rows that the last batch of an epoch of `steps` has fewer rows than there are ranks.
fn some(rows: &[u32], steps: usize) -> Vec<u32> {
    rows[..(steps - 1) * BATCH + 3].to_vec()
}

/// Trains a teacher, a student and a search on `ranks`; rank 0 writes their parameters and reports.
fn train_everything(ranks: &dyn Exchange, folder: &Path) {
    let log = synth::generate(&SynthSettings { requests: 300, ..SynthSettings::default() }).unwrap();
    let schema = &log.schema;
    let loaded = load_table(schema, &log.table, &SplitSettings::Shuffle { valid_fraction: 0.2 }, 1).unwrap();
    let mut data: Dataset = loaded.dataset;
    // Weights and partitions that differ from row to row, so that every shard has its own.
    let mut draw = rng::generator(1, "weights");
    data.weights = rng::uniforms(data.rows(), 0.5, &mut draw).iter().map(|w| w + 0.5).collect();
    data.partitions = (0..data.rows() as u32).map(|row| row % 7 % 3).collect();
    data.partition_count = 3;
    let split = Split { train: some(&loaded.split.train, STEPS).into(), valid: loaded.split.valid.clone() };
    let together = Rows { data: &data, split: &split, ranks };
    let every: Vec<usize> = (0..schema.features.len()).collect();
    let features = || input_features(&schema.features, &every, &data).unwrap();
    let train = TrainSettings {
        batch_size: BATCH,
        max_epochs: 1,
        dropout: 0.2,
        embedding_dropout: 0.1,
        ..TrainSettings::default()
    };
    let write = |name: &str, report: Value| {
        if ranks.leads() {
            fs::write(folder.join(format!("{name}.json")), report.to_string()).unwrap();
        }
    };
    let path = |name: &str| folder.join(format!("{name}.safetensors"));

    let settings = TeacherSettings {
        shared: vec![48, 24],
        partition: vec![16],
        feature_dropout: 0.1,
        train: train.clone(),
        ..TeacherSettings::default()
    };
    let new_teacher = || Teacher::new(features(), data.partition_count, &settings, 5).unwrap();
    let mut teacher = new_teacher();
    let report = fit(&mut teacher, together, &settings.train, 5, &Silent, &mut Keeper::none()).unwrap();
    write("teacher", serde_json::to_value(report).unwrap());
    if ranks.leads() {
        teacher.params().save(&path("teacher")).unwrap();
    }

    // The same guide for any number of ranks, so that only the step that is looked at differs.
    let mut guide = new_teacher();
    fit(&mut guide, Rows::alone(&data, &split), &settings.train, 5, &Silent, &mut Keeper::none()).unwrap();
    let all: Vec<u32> = (0..data.rows() as u32).collect();
    let soft = score_together(&guide, together, &all).unwrap();

    let lesson = Lesson::Distilled { teacher: &soft, lambda1: 0.3 };
    let mut student = Student::new(features(), &[32, 16], &train, lesson, 6).unwrap();
    let report = fit(&mut student, together, &train, 6, &Silent, &mut Keeper::none()).unwrap();
    write("student", serde_json::to_value(report).unwrap());
    if ranks.leads() {
        student.params().save(&path("student")).unwrap();
    }

    let settings = RetrainSettings {
        distillation_loss: DistillationLoss::Pairwise,
        longest_list: 8,
        train: train.clone(),
        ..RetrainSettings::default()
    };
    let lists = lists_of(&settings, &data, &split.train).unwrap();
    let lesson = Lesson::of(&settings, &soft, lists.as_ref());
    let mut student = Student::new(features(), &[32, 16], &train, lesson, 6).unwrap();
    let report = fit(&mut student, together, &train, 6, &Silent, &mut Keeper::none()).unwrap();
    write("student of lists", serde_json::to_value(report).unwrap());
    if ranks.leads() {
        student.params().save(&path("student of lists")).unwrap();
    }

    let operators = [Operator::Mlp(32), Operator::Mlp(16), Operator::Zero];
    let space = SearchSpace::new(schema.features.clone(), vec![operators.to_vec(); 2]).unwrap();
    // Half of the steps warm up.
    let short = Split { train: some(&split.train, STEPS / 2).into(), valid: split.valid.clone() };
    let held_out: Vec<u32> = hold_out(&split.train, 0.1, 1).unwrap().taken().collect();
    for (name, paths) in SEARCHES {
        let settings = SearchSettings {
            epochs: 1,
            warmup_epochs: 1,
            batch_size: BATCH,
            paths,
            ..SearchSettings::default()
        };
        let scene = Scene {
            rows: Rows { data: &data, split: &short, ranks },
            held_out: Some(&held_out),
            teacher: &guide,
            soft: &soft,
            settings: &settings,
            seed: 7,
        };
        let mut search = Search::new(&space, scene).unwrap();
        search.warm_up(&Silent, &mut Keeper::none()).unwrap();
        let outcome = search
            .run(&Prices::declared(schema, &LINEAR, &MeanService), &Silent, &mut Keeper::none())
            .unwrap();
        write(name, serde_json::to_value(outcome).unwrap());
        if ranks.leads() {
            search.save(&path(name)).unwrap();
        }
    }
}

#[test]
#[ignore = "is one rank of another test"]
fn rank_that_trains() {
    let folder = std::env::var(FOLDER).unwrap();
    train_everything(&*join().unwrap(), folder.as_ref());
}

/// The numbers of a file of tensors by name.
fn tensors(path: &Path) -> BTreeMap<String, Vec<f64>> {
    let bytes = fs::read(path).unwrap();
    let numbers = |data: &[u8]| {
        let numbers = data.chunks_exact(4).map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap())));
        numbers.collect()
    };
    let tensors = SafeTensors::deserialize(&bytes).unwrap().tensors();
    tensors.into_iter().map(|(name, view)| (name, numbers(view.data()))).collect()
}

/// The largest difference, and where it is.
fn worst(found: &BTreeMap<String, Vec<f64>>, wanted: &BTreeMap<String, Vec<f64>>) -> (f64, String) {
    assert!(found.keys().eq(wanted.keys()));
    let mut worst = (0.0, String::new());
    for (name, wanted) in wanted {
        for (i, (found, wanted)) in found[name].iter().zip(wanted).enumerate() {
            let difference = (found - wanted).abs();
            if difference > worst.0 || difference.is_nan() {
                worst = (difference, format!("{name}[{i}]: {found} instead of {wanted}"));
            }
        }
    }
    worst
}

/// All numbers that a training left, by file and name.
fn numbers(folder: &Path) -> BTreeMap<String, Vec<f64>> {
    let mut found = BTreeMap::new();
    for name in ["teacher", "student", "student of lists"].into_iter().chain(SEARCHES.map(|(name, _)| name)) {
        for (tensor, values) in tensors(&folder.join(format!("{name}.safetensors"))) {
            found.insert(format!("{name} {tensor}"), values);
        }
        let report: Value =
            serde_json::from_slice(&fs::read(folder.join(format!("{name}.json"))).unwrap()).unwrap();
        let mut values = Vec::new();
        losses(&report, &mut values);
        assert!(!values.is_empty());
        found.insert(format!("{name} losses"), values);
    }
    found
}

fn losses(report: &Value, found: &mut Vec<f64>) {
    match report {
        Value::Object(members) => {
            for (name, value) in members {
                match value.as_f64() {
                    Some(number) if name.starts_with("loss") => found.push(number),
                    _ => losses(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| losses(item, found)),
        _ => {}
    }
}

#[test]
fn any_number_of_ranks_trains_as_one_process_does() {
    let alone = tempfile::tempdir().unwrap();
    train_everything(&Alone, alone.path());
    let wanted = numbers(alone.path());
    for ranks in [1, 2, 4] {
        let folder = tempfile::tempdir().unwrap();
        let mut command = ranks_of("rank_that_trains", ranks);
        command.env(FOLDER, folder.path());
        succeed(command);
        let worst = worst(&numbers(folder.path()), &wanted);
        println!("{ranks} ranks: largest difference {:.1e} at {}", worst.0, worst.1);
        assert!(worst.0 <= if ranks == 1 { 0.0 } else { TOLERANCE }, "{ranks} ranks: {}", worst.1);
    }
}

#[test]
fn two_ranks_give_the_same_bytes_again() {
    let [first, second] = [(); 2].map(|()| {
        let folder = tempfile::tempdir().unwrap();
        let mut command = ranks_of("rank_that_trains", 2);
        command.env(FOLDER, folder.path());
        succeed(command);
        numbers(folder.path())
    });
    assert!(first == second, "{}", worst(&first, &second).1);
}

#[test]
#[ignore = "is one rank of another test"]
fn rank_that_exchanges() {
    let ranks = join().unwrap();
    let Place { rank, size } = ranks.place();
    for round in 0..2000 {
        // A sum whose terms tell their rank, of lengths that divide evenly or not, in one bucket or several.
        let length = if round % 100 == 99 { (1 << 21) + 5 } else { 1 + 7 * round };
        let mut values: Vec<f32> = (0..length).map(|i| (i % 1000 + rank) as f32).collect();
        ranks.sum(&mut values);
        let others = (size * (size - 1) / 2) as f32;
        let wanted = |i: usize| (size * (i % 1000)) as f32 + others;
        assert!(values.iter().enumerate().all(|(i, &value)| value == wanted(i)), "round {round}");
        // Some ranks have nothing.
        let own = |rank: usize| vec![rank as f32; (rank + round) % 3];
        let all: Vec<f32> = (0..size).flat_map(own).collect();
        assert_eq!(ranks.gather_floats(own(rank)), all, "round {round}");
        let said = ranks.broadcast((rank == 0).then(|| vec![round as u8; round]));
        assert_eq!(said, vec![round as u8; round]);
    }
}

#[test]
fn sums_gathers_and_broadcasts_arrive_on_every_rank() {
    for ranks in 1..=5 {
        succeed(ranks_of("rank_that_exchanges", ranks));
    }
}
