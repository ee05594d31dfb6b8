use super::*;
use crate::{
    data::{
        dataset::{Dataset, EncodedFeature, Slot, Split},
        ids::Ids,
    },
    learn::{
        checkpoint::Keeper,
        embedding::input_features,
        fixtures::{every_row, mixed, scramble},
        settings::TrainSettings,
        train::{Rows, fit},
    },
};
use candle_core::Var;

fn settings() -> TwoTowerSettings {
    let train = TrainSettings { dropout: 0.0, ..TrainSettings::default() };
    TwoTowerSettings { user: vec![6], item: vec![5, 7], vector: 4, train, ..TwoTowerSettings::default() }
}

#[test]
fn the_plain_network_scores_as_the_trained_one_does() {
    let (schema, loaded) = mixed();
    let data = &loaded.dataset;
    let rows = every_row(data);
    for (chosen, user, item) in
        [(vec![0, 1, 2, 3, 4, 5, 6, 7], vec![6], vec![5, 7]), (vec![1, 2, 5, 7], vec![], vec![])]
    {
        let features = input_features(&schema.features, &chosen, data).unwrap();
        let settings = TwoTowerSettings { user, item, ..settings() };
        let model = TwoTowers::new(features, &settings, Lesson::Labels, 1).unwrap();
        scramble(model.params());
        // Products of two vectors of small weights are smaller still.
        for (name, var) in model.params().iter() {
            let twice = values(var).unwrap().into_iter().map(|value| 2.0 * value).collect();
            model.params().set(name, twice).unwrap();
        }
        let network = model.to_network().unwrap();
        let names: Vec<&str> = network.inputs.iter().map(|input| input.feature.as_str()).collect();
        let wanted: Vec<&str> = chosen.iter().map(|&i| schema.features[i].name.as_str()).collect();
        assert_eq!(names, wanted);
        let scores = model.scores(&Batch::of(data, &rows)).unwrap();
        assert!(scores.iter().any(|s| (s - scores[0]).abs() > 0.1), "scores that are all alike");
        for (a, b) in scores.iter().zip(network.score(data, &rows).unwrap()) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
        let trained: usize = model.params().iter().map(|(_, var)| var.elem_count()).sum();
        assert_eq!(network.parameters(), trained);
    }
}

/// Half of a step whose difference in the loss floats still tell apart.
const STEP: f32 = 3e-3;

fn loss(model: &mut TwoTowers, embedded: &Tensor, batch: &Batch) -> f64 {
    crate::learn::scalar(&model.loss(embedded, batch).unwrap()).unwrap()
}

/// `loss` at a number's place moved up and down, against the gradient there.
fn assert_slope(what: &str, gradient: &[f32], place: usize, mut loss: impl FnMut(f32) -> f64) {
    let slope = (loss(STEP) - loss(-STEP)) / f64::from(2.0 * STEP);
    let largest = gradient.iter().fold(0f32, |most, g| most.max(g.abs()));
    let off = (slope - f64::from(gradient[place])).abs();
    assert!(off < f64::from(0.03 * largest) + 2e-4, "{what}[{place}]: {slope} and {}", gradient[place]);
}

#[test]
fn gradients_are_those_of_central_differences() {
    let (schema, loaded) = mixed();
    let data = &loaded.dataset;
    let batch = Batch::of(data, &every_row(data));
    let teacher: Vec<f32> = (0..data.rows()).map(|row| (row % 10) as f32 / 10.0).collect();
    let every: Vec<usize> = (0..schema.features.len()).collect();
    let features = input_features(&schema.features, &every, data).unwrap();
    let lesson = Lesson::Distilled { teacher: &teacher, lambda1: 0.4 };
    let mut model = TwoTowers::new(features, &settings(), lesson, 1).unwrap();
    scramble(model.params());
    let embedded = Var::from_tensor(&model.bank.lookup(&batch).unwrap()).unwrap();
    let gradients = model.loss(&embedded, &batch).unwrap().backward().unwrap();
    let dense = model.params.clone();
    let dense: Vec<_> = dense.iter().filter(|(name, _)| !name.starts_with("embedding.")).collect();
    assert_eq!(dense.len(), 2 * 5 + 1, "weights and biases of five layers, and the bias");
    for (name, var) in dense {
        let (start, gradient) = (values(var).unwrap(), values(gradients.get(var).unwrap()).unwrap());
        for place in [0, start.len() / 2, start.len() - 1] {
            assert_slope(name, &gradient, place, |step| {
                let mut moved = start.clone();
                moved[place] += step;
                model.params.set(name, moved).unwrap();
                loss(&mut model, &embedded, &batch)
            });
        }
        model.params.set(name, start).unwrap();
    }
    let (start, gradient) = (values(&embedded).unwrap(), values(gradients.get(&embedded).unwrap()).unwrap());
    for place in 0..model.bank.width() {
        assert_slope("input", &gradient, place, |step| {
            let mut moved = start.clone();
            moved[place] += step;
            let moved = Tensor::from_vec(moved, embedded.shape(), device()).unwrap();
            loss(&mut model, &moved, &batch)
        });
    }
}

/// Four users and four items, of which each user clicks one: neither side alone says anything.
fn matching() -> (Dataset, Split) {
    let pairs: Vec<[u32; 2]> = (0..256).map(|row| [row % 4, row / 4 % 4]).collect();
    let feature = |name: &str, start| EncodedFeature {
        name: name.to_owned(),
        slot: Slot::Ids { start, length: 1 },
        cardinality: 4,
    };
    let rows: Vec<u32> = (0..256).collect();
    let data = Dataset {
        features: vec![feature("user", 0), feature("item", 1)],
        ids: Ids::from_rows(2, &pairs.concat()),
        labels: pairs.iter().map(|[user, item]| f32::from(u8::from(user == item))).collect(),
        weights: vec![1.0; 256].into(),
        partitions: vec![0; 256].into(),
        partition_count: 1,
        ..Dataset::default()
    };
    (data, Split { train: rows.clone().into(), valid: rows.into() })
}

#[test]
fn towers_learn_which_item_each_user_clicks() {
    let (data, split) = matching();
    let features = [(Side::User, "user"), (Side::Item, "item")].into_iter().zip(&data.features);
    let features: Vec<_> = features
        .map(|((side, name), encoded)| InputFeature {
            name: name.to_owned(),
            side,
            width: 4,
            slot: encoded.slot,
            cardinality: 4,
        })
        .collect();
    let train = TrainSettings {
        dropout: 0.0,
        learning_rate: 1e-2,
        batch_size: 64,
        max_epochs: 40,
        patience: 40,
        ..TrainSettings::default()
    };
    let settings = TwoTowerSettings { user: vec![16], item: vec![16], vector: 8, train, ..settings() };
    let mut model = TwoTowers::new(features.clone(), &settings, Lesson::Labels, 1).unwrap();
    let rows = Rows::alone(&data, &split);
    let progress = &crate::base::progress::Silent;
    let report = fit(&mut model, rows, &settings.train, 1, progress, &mut Keeper::none()).unwrap();
    assert_eq!(report.metrics.auc, Some(1.0));
    let losses: Vec<f64> = report.epochs.iter().map(|epoch| epoch.loss).collect();
    assert!(losses[losses.len() - 1] < 0.5 * losses[0], "{losses:?}");
    // One side by itself is no two-tower network.
    let refused = TwoTowers::new(features[..1].to_vec(), &settings, Lesson::Labels, 1).unwrap_err();
    assert!(refused.to_string().contains("none is of the item's"), "{refused}");
}
