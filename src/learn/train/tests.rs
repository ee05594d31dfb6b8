use super::*;
use crate::{
    base::{
        progress::Silent,
        rng::{self, Generator},
    },
    data::{
        dataset::{EncodedFeature, Slot},
        ids::Ids,
        schema::Side,
    },
    learn::{
        Learn,
        embedding::InputFeature,
        fixtures::every_row,
        student::{Lesson, Student},
        values,
    },
};
use std::cell::Cell;

/// Two ids of 0 to 3; the label is 1 where just one of them is odd.
fn toy() -> (Dataset, Split) {
    let mut data = Dataset { partition_count: 1, ..Dataset::default() };
    let (mut ids, mut labels) = (Vec::new(), Vec::new());
    for index in 0..2 {
        let slot = Slot::Ids { start: index, length: 1 };
        data.features.push(EncodedFeature { name: format!("f{index}"), slot, cardinality: 4 });
    }
    for row in 0..640u32 {
        let (a, b) = (row % 4, row / 4 % 4);
        ids.extend([a, b]);
        labels.push(((a ^ b) % 2) as f32);
    }
    data.ids = Ids::from_rows(2, &ids);
    data.weights = vec![1.0; labels.len()].into();
    data.partitions = vec![0; labels.len()].into();
    data.labels = labels.into();
    let mut rows = every_row(&data);
    rng::shuffle(&mut rows, &mut rng::generator(1, "toy"));
    let train = rows.split_off(128);
    (data, Split { train: train.into(), valid: rows.into() })
}

fn inputs(data: &Dataset, width: usize) -> Vec<InputFeature> {
    let feature = |f: &EncodedFeature| InputFeature {
        name: f.name.clone(),
        side: Side::Item,
        width,
        slot: f.slot,
        cardinality: f.cardinality,
    };
    data.features.iter().map(feature).collect()
}

fn student(data: &Dataset, settings: &TrainSettings, seed: u64) -> Student<'static> {
    Student::new(inputs(data, 4), &[16, 8], settings, Lesson::Labels, seed).unwrap()
}

fn settings() -> TrainSettings {
    TrainSettings {
        learning_rate: 0.02,
        embedding_learning_rate: 0.02,
        batch_size: 64,
        max_epochs: 30,
        patience: 8,
        ..TrainSettings::default()
    }
}

#[test]
fn features_that_act_only_together_are_learned() {
    let (data, split) = toy();
    let rows = Rows::alone(&data, &split);
    let mut student = student(&data, &settings(), 1);
    let report = fit(&mut student, rows, &settings(), 1, &Silent, &mut Keeper::none()).unwrap();
    assert!(report.metrics.auc.unwrap() > 0.95, "{report:?}");
    // What is reported is what the network that was kept does.
    let scores = score_rows(&student, &data, &split.valid).unwrap();
    assert_eq!(metrics_of(&scores, &data, &split.valid), report.metrics);
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_does_not() {
    let (data, split) = toy();
    let rows = Rows::alone(&data, &split);
    let settings = TrainSettings { max_epochs: 2, ..settings() };
    let folder = tempfile::tempdir().unwrap();
    let bytes = |weights_seed, order_seed| {
        let mut student = student(&data, &settings, weights_seed);
        fit(&mut student, rows, &settings, order_seed, &Silent, &mut Keeper::none()).unwrap();
        let path = folder.path().join("w.safetensors");
        student.params().save(&path).unwrap();
        crate::base::fsio::read(&path).unwrap()
    };
    assert_eq!(bytes(1, 1), bytes(1, 1));
    assert_ne!(bytes(1, 1), bytes(2, 1));
    assert_ne!(bytes(1, 1), bytes(1, 2));
}

/// A network whose loss has the gradient 0.
struct Resting {
    params: Params,
    bank: EmbeddingBank,
    generator: Generator,
}

impl Trainable for Resting {
    fn params(&self) -> &Params {
        &self.params
    }

    fn bank(&self) -> &EmbeddingBank {
        &self.bank
    }

    fn generator(&mut self) -> &mut Generator {
        &mut self.generator
    }

    fn loss(&mut self, embedded: &Tensor, _: &Batch) -> Result<Tensor> {
        let (_, w) = self.params.iter().find(|(name, _)| *name == "hidden.0.weight").unwrap();
        // The slope of relu(−1) is 0.
        let compute = || embedded.neg()?.relu()?.sum_all()? + w.neg()?.relu()?.sum_all()?;
        compute().learn("pretend")
    }

    fn scores(&self, _: &Batch) -> Result<Vec<f32>> {
        unreachable!("only steps are taken")
    }
}

#[test]
fn touched_embeddings_and_dense_layers_decay_each_at_its_own_rate() {
    let (data, _) = toy();
    let mut params = Params::new(1);
    let bank = EmbeddingBank::new(inputs(&data, 1), &mut params).unwrap();
    params.constant("hidden.0.weight", 1, 1.0).unwrap();
    params.set("embedding.ids1", vec![1.0; 8]).unwrap();
    let settings = TrainSettings {
        learning_rate: 0.1,
        embedding_learning_rate: 0.1,
        weight_decay: 0.5,
        embedding_weight_decay: 2.0,
        ..TrainSettings::default()
    };
    let mut model = Resting { params, bank, generator: rng::generator(1, "unused") };
    let mut optimizer = Optimizer::new(&model, &settings).unwrap();
    // Rows 2 and 6 have the ids (2, 0) and (2, 1).
    optimizer.step(&mut model, &Batch::of(&data, &[2, 6]), &Alone).unwrap();
    let after: Vec<Vec<f32>> = model.params.iter().map(|(_, var)| values(var).unwrap()).collect();
    // w·(1 − rate·decay): the moments are 0.
    let wanted = [vec![1.0, 1.0, 0.8, 1.0, 0.8, 0.8, 1.0, 1.0], vec![0.95]];
    for (after, wanted) in after.iter().flatten().zip(wanted.iter().flatten()) {
        assert!((after - wanted).abs() < 1e-6, "{after} {wanted}");
    }
}

/// A network whose validation AUC follows a script, and whose weight counts the steps.
struct Scripted {
    params: Params,
    bank: EmbeddingBank,
    generator: Generator,
    steps: f32,
    aucs: Vec<f64>,
    epoch: Cell<usize>,
}

impl Scripted {
    fn new(aucs: &[f64]) -> Self {
        let mut params = Params::new(1);
        params.constant("w", 1, 0.0).unwrap();
        let bank = EmbeddingBank::new(Vec::new(), &mut params).unwrap();
        Self {
            params,
            bank,
            generator: rng::generator(1, "unused"),
            steps: 0.0,
            aucs: aucs.to_vec(),
            epoch: Cell::new(0),
        }
    }

    fn weight(&self) -> f32 {
        values(self.params.iter().next().unwrap().1).unwrap()[0]
    }
}

impl Trainable for Scripted {
    fn params(&self) -> &Params {
        &self.params
    }

    fn bank(&self) -> &EmbeddingBank {
        &self.bank
    }

    fn generator(&mut self) -> &mut Generator {
        &mut self.generator
    }

    fn loss(&mut self, _: &Tensor, _: &Batch) -> Result<Tensor> {
        self.steps += 1.0;
        self.params.set("w", vec![self.steps])?;
        let (_, w) = self.params.iter().next().unwrap();
        (w.as_tensor() * 0.0).and_then(|w| w.sum_all()).learn("pretend")
    }

    /// Scores of one positive and ten negatives, of which the wanted share lies below the positive; none where NaN is wanted.
    fn scores(&self, batch: &Batch) -> Result<Vec<f32>> {
        let auc = self.aucs[self.epoch.replace(self.epoch.get() + 1)];
        if auc.is_nan() {
            return Ok(vec![f32::NAN; batch.rows()]);
        }
        let below = (auc * 10.0).round() as usize;
        let negative = |i: usize| if i < below { 0.1 } else { 0.9 };
        let mut negatives = 0;
        let score = |&label: &f32| {
            if label > 0.5 {
                return 0.5;
            }
            negatives += 1;
            negative(negatives - 1)
        };
        Ok(batch.labels.iter().map(score).collect())
    }
}

/// Ten rows in two batches of five to train on, eleven to validate on; the label is 1 in the `positive` rows.
fn fit_scripted(model: &mut Scripted, positive: &[usize], settings: TrainSettings) -> Result<FitReport> {
    let rows = 21;
    let mut labels = vec![0.0; rows];
    positive.iter().for_each(|&row| labels[row] = 1.0);
    let (weights, partitions) = (vec![1.0; rows].into(), vec![0; rows].into());
    let data =
        Dataset { labels: labels.into(), weights, partitions, partition_count: 1, ..Dataset::default() };
    let split = Split { train: (0..10).collect(), valid: (10..21).collect() };
    let settings = TrainSettings { batch_size: 5, ..settings };
    fit(model, Rows::alone(&data, &split), &settings, 1, &Silent, &mut Keeper::none())
}

/// With one positive among the rows to validate on.
fn scripted(aucs: &[f64], settings: TrainSettings) -> (Scripted, FitReport) {
    let mut model = Scripted::new(aucs);
    let report = fit_scripted(&mut model, &[15], settings).unwrap();
    (model, report)
}

#[test]
fn training_stops_without_progress_and_goes_back_to_the_best_epoch() {
    let settings = TrainSettings { patience: 2, max_epochs: 9, ..TrainSettings::default() };
    let (model, report) = scripted(&[0.6, 0.5, 0.8, 0.8, 0.7, 0.9], settings);
    assert_eq!((report.best_epoch, report.epochs.len()), (3, 5));
    assert_eq!(report.metrics.auc, Some(0.8));
    // Two steps an epoch: the weight is that after the sixth.
    assert_eq!(model.weight(), 6.0);
}

#[test]
fn training_ends_with_the_last_epoch_when_auc_still_rises() {
    let settings = TrainSettings { patience: 1, max_epochs: 3, ..TrainSettings::default() };
    let (model, report) = scripted(&[0.6, 0.7, 0.8, 0.9], settings);
    assert_eq!((report.best_epoch, report.epochs.len(), model.weight()), (3, 3, 6.0));
}

#[test]
fn a_loss_that_is_no_number_is_an_error_with_its_epoch() {
    let (mut data, split) = toy();
    data.weights.to_mut()[split.train[0] as usize] = f32::NAN;
    let mut student = student(&data, &settings(), 1);
    let failed = fit(&mut student, Rows::alone(&data, &split), &settings(), 1, &Silent, &mut Keeper::none());
    let text = failed.unwrap_err().to_string();
    assert!(text.contains("NaN in epoch 1") && text.contains("learning rate"), "{text}");
}

#[test]
fn without_an_auc_to_steer_by_training_fails_with_the_reason() {
    let text = fit_scripted(&mut Scripted::new(&[0.6, f64::NAN]), &[15], settings()).unwrap_err().to_string();
    assert!(text.contains("scores are not numbers in epoch 2") && text.contains("learning rate"), "{text}");
    let text = fit_scripted(&mut Scripted::new(&[0.6]), &[], settings()).unwrap_err().to_string();
    assert!(text.contains("same label") && text.contains("let the split"), "{text}");
}

#[test]
fn other_labels_are_evaluated_under_their_names() {
    let data = Dataset {
        labels: vec![0.0, 1.0, 1.0].into(),
        other_labels: vec![("buy".into(), vec![1.0, 0.0, 1.0].into()), ("share".into(), vec![0.0; 3].into())],
        ..Dataset::default()
    };
    // In the order of rows 2, 0, 1 the scores are 0.9, 0.2, 0.5.
    let metrics = metrics_of(&[0.9, 0.2, 0.5], &data, &[2, 0, 1]);
    assert_eq!(metrics.auc, Some(1.0));
    assert_eq!(metrics.other_labels["buy"].auc, Some(0.5));
    assert_eq!(metrics.other_labels["share"].auc, None);
    assert_eq!(metrics.other_labels.len(), 2);
}
