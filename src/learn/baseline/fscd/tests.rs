use super::*;
use crate::{
    base::progress::Silent,
    data::dataset::Dataset,
    learn::{
        fixtures::{
            every_row, mixed,
            planted::{Planted, USEFUL, assert_first, planted},
            scramble,
        },
        scalar,
        student::Lesson,
        train::Rows,
        values,
    },
    price::fixtures::space_of,
};

fn settings() -> FscdSettings {
    FscdSettings { widths: vec![6], ..Default::default() }
}

/// What a network over the mixed data is made with.
struct World {
    schema: crate::data::schema::Schema,
    loaded: crate::data::Loaded,
    space: SearchSpace,
}

impl World {
    fn new() -> Self {
        let (mut schema, loaded) = mixed();
        for (i, feature) in schema.features.iter_mut().enumerate() {
            feature.fetch_ms = 0.5 * i as f64;
        }
        schema.features[2].must_keep = true;
        schema.features[5].never = true;
        let space = space_of(schema.features.clone(), &[&[6, 0]]);
        Self { schema, loaded, space }
    }

    fn network(&self, settings: &FscdSettings) -> Fscd<'_> {
        let rows = Rows::alone(&self.loaded.dataset, &self.loaded.split);
        let setup = Setup { space: &self.space, rows, lesson: Lesson::Labels, seed: 1 };
        Fscd::new(&setup, &FeaturePrices::declared(&self.schema), settings).unwrap()
    }
}

#[test]
fn the_penalty_is_the_log_of_the_odds_against_keeping_under_the_prior() {
    let world = World::new();
    let settings = FscdSettings {
        fetch_weight: 1.5,
        width_weight: 0.7,
        cardinality_weight: 0.3,
        prior_weight: 0.01,
        ..settings()
    };
    let network = world.network(&settings);
    let features = network.bank().features();
    let names: Vec<&str> = features.iter().map(|feature| feature.name.as_str()).collect();
    assert_eq!(names.len(), 7, "never is not trained on: {names:?}");
    let prices = FeaturePrices::declared(&world.schema);
    let fetch = |name: &str| {
        let i = world.schema.features.iter().position(|feature| feature.name == name).unwrap();
        prices.selected_ms(&[i], world.schema.features.len())
    };
    let largest = |of: &dyn Fn(&InputFeature) -> f64| features.iter().map(of).fold(0.0, f64::max);
    let of_fetch = |feature: &InputFeature| fetch(&feature.name);
    let of_width = |feature: &InputFeature| feature.width as f64;
    let of_ids = |feature: &InputFeature| (1.0 + f64::from(feature.cardinality)).ln();
    for (feature, found) in features.iter().zip(values(&network.penalty).unwrap()) {
        let c = 1.5 * of_fetch(feature) / largest(&of_fetch)
            + 0.7 * of_width(feature) / largest(&of_width)
            + 0.3 * of_ids(feature) / largest(&of_ids);
        let theta = 1.0 - 1.0 / (1.0 + (-c).exp());
        let wanted = 0.01 * ((1.0 - theta) / theta).ln();
        assert!((f64::from(found) - wanted).abs() < 1e-7, "{}: {found} {wanted}", feature.name);
    }
}

/// The loss with an output that reads nothing: the gates' part alone has a gradient, which is ρ·α_i·z_i·(1 − z_i)/τ.
#[test]
fn the_gradient_of_the_prior_is_the_slope_of_the_relaxation() {
    let world = World::new();
    let settings = FscdSettings { temperature: 0.8, prior_weight: 0.1, ..settings() };
    let mut network = world.network(&settings);
    network.params().set("output.weight", vec![0.0; 6]).unwrap();
    let batch = Batch::of(&world.loaded.dataset, &every_row(&world.loaded.dataset));
    let embedded = network.bank().lookup(&batch).unwrap();
    let mut drawn_from = network.generator().clone();
    let gates = values(&network.mask.draw(&mut drawn_from).unwrap()).unwrap();
    let penalty = values(&network.penalty).unwrap();
    let loss = network.loss(&embedded, &batch).unwrap();
    let prior: f32 = gates.iter().zip(&penalty).map(|(z, p)| z * p).sum();
    assert!((scalar(&loss).unwrap() - 2f64.ln() - f64::from(prior)).abs() < 1e-5);
    let gradients = loss.backward().unwrap();
    let (_, var) = network.params().iter().find(|(name, _)| *name == THETA).unwrap();
    let found = values(gradients.get(var).unwrap()).unwrap();
    for (i, found) in found.iter().enumerate() {
        // The third is kept by the schema: its gate is no choice.
        let slope = if i == 2 { 0.0 } else { penalty[i] * gates[i] * (1.0 - gates[i]) / 0.8 };
        assert!((found - slope).abs() < 1e-6, "{i}: {found} {slope}");
    }
    assert!(found.iter().filter(|slope| **slope > 1e-3).count() > 2, "slopes of 0 compare nothing");
}

/// A gate's slope through the network, by differences of the loss under the same draw.
#[test]
fn the_gradient_through_the_network_is_the_slope_of_the_loss() {
    let world = World::new();
    let settings = FscdSettings {
        temperature: 0.8,
        prior_weight: 0.0,
        train: TrainSettings { dropout: 0.0, ..Default::default() },
        ..settings()
    };
    let mut network = world.network(&settings);
    scramble(network.params());
    let batch = Batch::of(&world.loaded.dataset, &every_row(&world.loaded.dataset));
    let embedded = network.bank().lookup(&batch).unwrap();
    let start = network.generator().clone();
    let mut loss_at = |free: &[f32]| {
        network.params().set(THETA, free.to_vec()).unwrap();
        *network.generator() = start.clone();
        network.loss(&embedded, &batch).unwrap()
    };
    let free: Vec<f32> = (0..7).map(|i| 0.3 * (i as f32 - 3.0)).collect();
    let loss = loss_at(&free);
    let slopes: Vec<f64> = (0..7)
        .map(|i| {
            let mut at = |step: f32| {
                let mut moved = free.clone();
                moved[i] += step;
                scalar(&loss_at(&moved)).unwrap()
            };
            (at(0.02) - at(-0.02)) / 0.04
        })
        .collect();
    let gradients = loss.backward().unwrap();
    let (_, var) = network.params().iter().find(|(name, _)| *name == THETA).unwrap();
    let found = values(gradients.get(var).unwrap()).unwrap();
    assert!(slopes.iter().any(|slope| slope.abs() > 3e-3), "{slopes:?}");
    for (found, slope) in found.iter().zip(&slopes) {
        assert!((f64::from(*found) - slope).abs() < 1e-4 + 0.02 * slope.abs(), "{found:?} {slopes:?}");
    }
}

#[test]
fn shards_pay_the_prior_once() {
    let world = World::new();
    let settings = FscdSettings { prior_weight: 0.5, ..settings() };
    let data: &Dataset = &world.loaded.dataset;
    let index = every_row(data);
    let loss = |batch: &Batch| {
        let mut network = world.network(&settings);
        let embedded = network.bank().lookup(batch).unwrap();
        scalar(&network.loss(&embedded, batch).unwrap()).unwrap()
    };
    let whole = loss(&Batch::of(data, &index));
    for size in [2, 3] {
        let place = |rank| crate::data::shard::Place { rank, size };
        let sum: f64 = (0..size).map(|rank| loss(&Batch::shard(data, &index, place(rank)))).sum();
        assert!((sum - whole).abs() < 1e-5, "{size} ranks: {sum} {whole}");
    }
}

fn learn(planted: &Planted, settings: &FscdSettings) -> Strengths {
    let prices = FeaturePrices::declared(&planted.schema);
    let keeper = &mut Keeper::none();
    fscd(&planted.setup(), &prices, settings, &Silent, keeper).unwrap().strengths
}

fn planted_settings(planted: &Planted) -> FscdSettings {
    FscdSettings { widths: vec![16], gate_learning_rate: 0.05, train: planted.train(), ..Default::default() }
}

#[test]
fn the_features_that_matter_come_first() {
    for seed in 1..=3 {
        let planted = planted(seed);
        assert_first(&learn(&planted, &planted_settings(&planted)));
    }
}

#[test]
fn of_two_twins_the_cheap_one_is_kept_where_the_other_costs_much() {
    for seed in 1..=3 {
        let mut planted = planted(seed);
        let [useful, twin] = [USEFUL[0], 0];
        planted.copy(useful, twin);
        let mut strengths = |dear: usize| {
            for i in [useful, twin] {
                planted.schema.features[i].fetch_ms = if i == dear { 50.0 } else { 0.5 };
            }
            let prior = FscdSettings {
                fetch_weight: 20.0,
                prior_weight: 0.01,
                gate_learning_rate: 0.1,
                ..planted_settings(&planted)
            };
            learn(&planted, &prior).values
        };
        let (dear_twin, dear_useful) = (strengths(twin), strengths(useful));
        assert!(dear_twin[useful] > dear_twin[twin] + 0.1, "{seed}: {dear_twin:?}");
        assert!(dear_useful[twin] > dear_useful[useful] + 0.1, "{seed}: {dear_useful:?}");
    }
}
