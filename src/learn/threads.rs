//! The number of threads changes no byte of what is trained: twenty steps of a teacher, a student and searches.

use super::{
    checkpoint::Keeper,
    embedding::input_features,
    fixtures::every_row,
    params::Params,
    price_term::Prices,
    search::{Scene, Search},
    settings::{Paths, SearchSettings, TeacherSettings, TrainSettings},
    student::{Lesson, Student},
    teacher::Teacher,
    train::{Rows, Trainable, fit, score_rows},
    values,
};
use crate::{
    base::progress::Silent,
    data::{
        Loaded,
        dataset::Split,
        load_table,
        schema::Schema,
        split::SplitSettings,
        synth::{self, SynthSettings},
    },
    price::{fixtures::space_of, linear::LinearPrices, target::MeanService},
};
use serde::Serialize;

const LAYERS: LinearPrices =
    LinearPrices { column_ms: 0.0, slope_ms: 2e-5, layer_ms: 0.05, user_share: 0.1, fixed_ms: 0.2 };

/// More rows than a product sums over in one pass.
const BATCH: usize = 700;

/// Steps of an epoch; the last batch is not full.
const STEPS: usize = 10;

/// The bits of all parameters by name, and what the training reported, its last AUC among it.
#[derive(Debug, PartialEq)]
struct End {
    bits: Vec<(String, Vec<u32>)>,
    report: String,
}

impl End {
    fn of(params: &Params, report: &impl Serialize) -> Self {
        let bits = |var| values(var).unwrap().into_iter().map(f32::to_bits).collect();
        let bits = params.iter().map(|(name, var)| (name.to_owned(), bits(var))).collect();
        Self { bits, report: serde_json::to_string(report).unwrap() }
    }
}

fn world() -> (Schema, Loaded) {
    let log = synth::generate(&SynthSettings { requests: 450, ..SynthSettings::default() }).unwrap();
    let mut loaded =
        load_table(&log.schema, &log.table, &SplitSettings::Shuffle { valid_fraction: 0.2 }, 1).unwrap();
    let Split { train, .. } = &mut loaded.split;
    assert!(train.len() >= STEPS * BATCH, "{} rows", train.len());
    train.to_mut().truncate(STEPS * BATCH - 3);
    (log.schema, loaded)
}

/// Trains everything on so many threads. Widths are those for which gemm by itself takes other kernels for other shares of
/// the rows: at most 64, and 1 at the output.
fn train_everything((schema, loaded): &(Schema, Loaded), threads: usize, seed: u64) -> Vec<End> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| {
        let rows = Rows::alone(&loaded.dataset, &loaded.split);
        let every: Vec<usize> = (0..schema.features.len()).collect();
        let features = || input_features(&schema.features, &every, rows.data).unwrap();
        let train = TrainSettings { batch_size: BATCH, max_epochs: 2, patience: 2, ..Default::default() };
        let settings = TeacherSettings {
            shared: vec![128, 64],
            partition: vec![16],
            feature_dropout: 0.1,
            train: train.clone(),
            ..TeacherSettings::default()
        };
        let mut teacher = Teacher::new(features(), rows.data.partition_count, &settings, seed).unwrap();
        let report = fit(&mut teacher, rows, &train, seed, &Silent, &mut Keeper::none()).unwrap();
        let mut ends = vec![End::of(teacher.params(), &report)];
        let soft = score_rows(&teacher, rows.data, &every_row(rows.data)).unwrap();

        let lesson = Lesson::Distilled { teacher: &soft, lambda1: 0.3 };
        let mut student = Student::new(features(), &[128, 64, 8], &train, lesson, seed).unwrap();
        let report = fit(&mut student, rows, &train, seed, &Silent, &mut Keeper::none()).unwrap();
        ends.push(End::of(student.params(), &report));

        let space = space_of(schema.features.clone(), &[&[128, 64, 0], &[64, 8, 0]]);
        for paths in [Paths::All, Paths::Sampled { count: 1 }, Paths::Sampled { count: 2 }] {
            let settings = SearchSettings {
                epochs: 1,
                warmup_epochs: 1,
                batch_size: BATCH,
                paths,
                ..Default::default()
            };
            let (teacher, soft, settings) = (&teacher, &soft[..], &settings);
            let held_out = Some(&loaded.split.valid[..300]);
            let scene = Scene { rows, held_out, teacher, soft, settings, seed };
            let mut search = Search::new(&space, scene).unwrap();
            search.warm_up(&Silent, &mut Keeper::none()).unwrap();
            let prices = Prices::declared(schema, &LAYERS, &MeanService);
            let outcome = search.run(&prices, &Silent, &mut Keeper::none()).unwrap();
            ends.push(End::of(search.params(), &outcome));
        }
        ends
    })
}

#[test]
fn the_number_of_threads_changes_no_byte_of_twenty_steps_and_their_auc() {
    let world = world();
    let one = train_everything(&world, 1, 1);
    assert!(one.iter().all(|end| end.report.contains("\"auc\":0.")), "every report has an AUC");
    for threads in [2, 3] {
        for (found, wanted) in train_everything(&world, threads, 1).iter().zip(&one) {
            for ((name, found), (_, wanted)) in found.bits.iter().zip(&wanted.bits) {
                assert!(found == wanted, "{threads} threads: {name} differs");
            }
            assert_eq!(found.report, wanted.report, "{threads} threads");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_again_and_another_seed_does_not() {
    let world = world();
    let first = train_everything(&world, 2, 1);
    assert!(train_everything(&world, 2, 1) == first);
    for (other, first) in train_everything(&world, 2, 2).iter().zip(&first) {
        assert!(other.report != first.report && other.bits != first.bits);
    }
}
