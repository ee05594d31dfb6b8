//! The known ways in which a search fails, on a log that is small enough to know better: the label is the parity of two ids, which no
//! network without a hidden layer can tell, and all other ids are noise.

use super::*;
use crate::{
    base::progress::Silent,
    data::{
        dataset::{Dataset, EncodedFeature, Slot, Split},
        ids::Ids,
        schema::Schema,
    },
    learn::{
        derive::derive,
        embedding::input_features,
        fixtures::{every_row, schema},
        optimizer::Scaling,
        settings::{
            Annealing, DeriveSettings, Gate, Paths, RateSchedule, RowRule, TeacherSettings, TrainSettings,
        },
        train::{fit, score_rows},
    },
    price::{
        fixtures::{feature, space_of},
        linear::LinearPrices,
        target::MeanService,
    },
};
use rand::RngExt;
use std::sync::Mutex;

const ROWS: u32 = 4000;
const NOISE: usize = 6;

/// A hidden layer costs 1 ms.
const LAYERS: LinearPrices =
    LinearPrices { column_ms: 0.0, slope_ms: 0.0, layer_ms: 1.0, user_share: 1.0, fixed_ms: 0.0 };

struct Parity {
    schema: Schema,
    space: SearchSpace,
    data: Dataset,
    split: Split,
    teacher: Teacher,
    soft: Vec<f32>,
}

impl Parity {
    fn new(seed: u64, mixops: &[&[usize]]) -> Self {
        let names: Vec<String> = (0..2 + NOISE).map(|i| format!("f{i}")).collect();
        let mut features: Vec<_> = names.iter().map(|name| feature(name, 4)).collect();
        features.iter_mut().for_each(|feature| feature.fetch_ms = 0.1);
        let mut draw = rng::generator(seed, "parity");
        let (mut ids, mut labels) = (Vec::new(), Vec::new());
        for _ in 0..ROWS {
            let row: Vec<u32> = names.iter().map(|_| draw.random_range(0..4)).collect();
            // One label in twenty is wrong.
            let odd = (row[0] + row[1]) % 2 == 1;
            labels.push(f32::from(u8::from(odd != (draw.random::<f32>() < 0.05))));
            ids.extend(row);
        }
        let slot = |start| Slot::Ids { start, length: 1 };
        let encoded = |(i, name): (usize, &String)| EncodedFeature {
            name: name.clone(),
            slot: slot(i),
            cardinality: 4,
        };
        let data = Dataset {
            features: names.iter().enumerate().map(encoded).collect(),
            ids: Ids::from_rows(names.len(), &ids),
            weights: vec![1.0; labels.len()].into(),
            partitions: vec![0; labels.len()].into(),
            partition_count: 1,
            labels: labels.into(),
            ..Dataset::default()
        };
        let split = Split { train: (0..3000).collect(), valid: (3000..ROWS).collect() };
        let every: Vec<usize> = (0..names.len()).collect();
        let train = TrainSettings {
            learning_rate: 0.01,
            dropout: 0.0,
            // The decay was chosen with this rule.
            embedding_optimizer: RowRule::Adam,
            embedding_learning_rate: 0.01,
            embedding_weight_decay: 1.0,
            batch_size: 128,
            max_epochs: 8,
            patience: 8,
            ..TrainSettings::default()
        };
        let settings =
            TeacherSettings { shared: vec![16], partition: vec![8], train, ..TeacherSettings::default() };
        let inputs = input_features(&features, &every, &data).unwrap();
        let mut teacher = Teacher::new(inputs, 1, &settings, seed).unwrap();
        let seen = Split { train: (0..2000).collect(), valid: split.valid.clone() };
        let rows = Rows::alone(&data, &seen);
        let report = fit(&mut teacher, rows, &settings.train, seed, &Silent, &mut Keeper::none()).unwrap();
        assert!(report.metrics.auc.unwrap() > 0.9, "{report:?}");
        let soft = score_rows(&teacher, &data, &every_row(&data)).unwrap();
        let (schema, space) = (schema(features.clone()), space_of(features, mixops));
        Self { schema, space, data, split, teacher, soft }
    }

    /// What a search finds, and what it says.
    fn search(&self, settings: &SearchSettings, seed: u64) -> (SearchOutcome, String) {
        let held_out: Vec<u32> = (2000..3000).collect();
        let scene = Scene {
            rows: Rows::alone(&self.data, &self.split),
            held_out: Some(&held_out),
            teacher: &self.teacher,
            soft: &self.soft,
            settings,
            seed,
        };
        let mut search = Search::new(&self.space, scene).unwrap();
        search.warm_up(&Silent, &mut Keeper::none()).unwrap();
        let said = Said::default();
        let prices = Prices::declared(&self.schema, &LAYERS, &MeanService);
        let outcome = search.run(&prices, &said, &mut Keeper::none()).unwrap();
        (outcome, said.0.into_inner().unwrap().join("\n"))
    }
}

#[derive(Default)]
struct Said(Mutex<Vec<String>>);

impl Progress for Said {
    fn stage(&self, _: &str, _: u64) {}
    fn advance(&self, _: u64, _: &str) {}
    fn say(&self, line: &str) {
        self.0.lock().unwrap().push(line.to_owned());
    }
}

fn settings() -> SearchSettings {
    SearchSettings {
        epochs: 4,
        warmup_epochs: 4,
        batch_size: 128,
        theta_learning_rate: 0.03,
        alpha_learning_rate: 0.03,
        learning_rate: 3e-3,
        lambda: 0.0,
        lambda2: 0.1,
        lambda_ramp_epochs: 1.0,
        ..SearchSettings::default()
    }
}

const SMOOTHED: Gate =
    Gate::SmoothedL0 { start_epsilon: 0.1, end_epsilon: 1e-5, schedule: Annealing::Geometric };

/// How far from its start θ of any noise feature is, at most, and of any useful one at least.
fn moved(outcome: &SearchOutcome) -> (f64, f64) {
    let far = |theta: &[f64]| theta.iter().map(|theta| (theta - 0.5).abs()).collect::<Vec<_>>();
    let (useful, noise) = outcome.theta.split_at(2);
    (far(noise).into_iter().fold(0.0, f64::max), far(useful).into_iter().fold(1.0, f64::min))
}

#[test]
fn what_is_noise_stays_where_it_began_unless_all_move_at_one_speed() {
    for seed in 1..=3 {
        let parity = Parity::new(seed, &[&[8, 0]]);
        let run = |theta_scaling| {
            let settings = SearchSettings { theta_scaling, lambda2: 0.0, ..settings() };
            let (outcome, said) = parity.search(&settings, seed);
            (moved(&outcome), said)
        };
        let ((noise, useful), said) = run(Scaling::Joint);
        assert!(noise < 0.06 && useful > 0.25, "seed {seed}: noise moved by {noise}, the useful by {useful}");
        assert!(!said.contains("within its noise"), "seed {seed}: {said}");
        // What Adam does by itself.
        let ((noise, _), _) = run(Scaling::Each);
        assert!(noise > 0.15, "seed {seed}: {noise}");
    }
}

#[test]
fn of_labels_that_nothing_tells_a_search_says_that_theta_moved_by_chance() {
    let mut parity = Parity::new(1, &[&[8, 0]]);
    let mut draw = rng::generator(1, "labels");
    let labels = (0..ROWS).map(|_| f32::from(u8::from(draw.random::<bool>())));
    parity.data.labels = labels.collect();
    // A teacher that knows nothing, either.
    for (_, var) in parity.teacher.params().iter().filter(|(name, _)| name.starts_with("partition0.output")) {
        var.set(&var.zeros_like().unwrap()).unwrap();
    }
    parity.soft.fill(0.5);
    let (_, said) = parity.search(&SearchSettings { lambda2: 0.0, ..settings() }, 1);
    assert!(said.contains("θ has moved within its noise"), "{said}");
}

#[test]
fn gates_that_are_all_open_or_all_closed_are_said_with_what_mends_it() {
    let parity = Parity::new(1, &[&[8, 0]]);
    let open = SearchSettings { theta_start: 0.98, epochs: 1, lambda2: 0.0, ..settings() };
    let (outcome, said) = parity.search(&open, 1);
    assert!(outcome.theta.iter().all(|&theta| theta > 0.95), "{:?}", outcome.theta);
    assert!(said.contains("every θ is above 0.95") && said.contains("Raise [search] lambda"), "{said}");
    let closed = SearchSettings { gate: SMOOTHED, lambda: 20.0, ..settings() };
    let (outcome, said) = parity.search(&closed, 1);
    assert!(outcome.theta.iter().all(|&theta| theta < 0.05), "{:?}", outcome.theta);
    assert!(said.contains("every θ is below 0.05") && said.contains("Lower [search] lambda"), "{said}");
    // A choice by count or budget is a network all the same, a threshold says why it has none.
    let prices = Prices::declared(&parity.schema, &LAYERS, &MeanService);
    let derived = |rule| derive(&parity.space, &outcome, &rule, &prices);
    assert_eq!(derived(DeriveSettings::TopK { k: 1 }).unwrap().features.len(), 1);
    let text = derived(DeriveSettings::default()).unwrap_err().to_string();
    assert!(
        text.contains("every θ is below the threshold") && text.contains("lower [search] lambda"),
        "{text}"
    );
}

/// The ids' price is the sum of all that are read.
fn priced(seed: u64) -> Parity {
    let mut parity = Parity::new(seed, &[&[8, 0]]);
    parity.schema.gamma_ms = 0.1;
    parity
}

#[test]
fn smoothed_gates_end_closed_for_noise_and_open_for_what_is_useful() {
    for seed in 1..=3 {
        let settings = SearchSettings { gate: SMOOTHED, lambda: 0.3, lambda2: 0.0, ..settings() };
        let (outcome, said) = priced(seed).search(&settings, seed);
        let (useful, noise) = outcome.theta.split_at(2);
        assert!(useful.iter().all(|&theta| theta > 0.999), "seed {seed}: {useful:?}");
        assert!(noise.iter().all(|&theta| theta < 5e-4), "seed {seed}: {noise:?}");
        assert!(!said.contains("every θ"), "{said}");
    }
}

/// Whether a search ends with a hidden layer. The label takes one, and it is worth its price.
fn finds_a_layer(parity: &Parity, settings: &SearchSettings, seed: u64) -> bool {
    let (outcome, said) = parity.search(settings, seed);
    let zero = |p: &Vec<f64>| p[..p.len() - 1].iter().all(|operator| operator < &p[p.len() - 1]);
    let none = outcome.probabilities.iter().all(zero);
    assert_eq!(said.contains("every Mixop has chosen its zero operator"), none, "{said}");
    let auc = outcome.epochs.last().unwrap().metrics.auc.unwrap();
    assert!(none || auc > 0.9, "seed {seed}: a layer that tells nothing, AUC {auc}");
    !none
}

#[test]
fn depth_collapses_without_warm_up_and_ramp_and_not_with_them() {
    let with =
        |paths| SearchSettings { theta_start: 0.9, lambda2: 0.03, warmup_epochs: 8, paths, ..settings() };
    let without = |paths| SearchSettings { warmup_epochs: 0, lambda_ramp_epochs: 0.0, ..with(paths) };
    for seed in 1..=3 {
        let parity = Parity::new(seed, &[&[8, 4, 0], &[8, 4, 0]]);
        for paths in [Paths::All, Paths::Sampled { count: 2 }, Paths::Sampled { count: 1 }] {
            assert!(finds_a_layer(&parity, &with(paths), seed), "seed {seed}, {paths:?}");
        }
        // The mixture trains all operators in every step, so that they often learn in time by themselves.
        for count in [2, 1] {
            let paths = Paths::Sampled { count };
            assert!(!finds_a_layer(&parity, &without(paths), seed), "seed {seed}, {paths:?}");
        }
    }
    let parity = Parity::new(3, &[&[8, 0]]);
    assert!(!finds_a_layer(&parity, &without(Paths::All), 3));
    assert!(finds_a_layer(&parity, &with(Paths::All), 3));
}

#[test]
fn alpha_rests_until_its_schedule_begins() {
    let parity = Parity::new(1, &[&[8, 0]]);
    let alpha_schedule = RateSchedule { begin: 0.9999, ..RateSchedule::CONSTANT };
    let (outcome, _) = parity.search(&SearchSettings { epochs: 1, alpha_schedule, ..settings() }, 1);
    assert_eq!(outcome.probabilities, [[0.5, 0.5]]);
}
