//! One training step of every network against PyTorch: losses, logits, gradients, and weights after the step, to
//! 1e-5 of the largest number of each tensor.
//!
//! The reference programs and what they wrote lie in `fixtures/pytorch/`. Their names count from 0 and keep every
//! embedding and every pair of operators apart; each file here says how ours are put together from theirs.

mod lists;
mod optimizers;
mod student;
mod supernet;
mod teacher;

use super::{embedding::EMBEDDING, params::Params, train::Trainable};
use crate::data::{
    dataset::{Batch, Dataset, EncodedFeature, Slot},
    ids::Ids,
};
use candle_core::{Tensor, Var, backprop::GradStore};
use serde_json::Value;

/// What a reference program wrote.
pub(super) struct Reference(Value);

impl Reference {
    fn read(text: &str) -> Self {
        Self(serde_json::from_str(text).unwrap())
    }

    /// The value at a path of keys, such as `/batch/ids`.
    fn at(&self, path: &str) -> &Value {
        self.0.pointer(path).unwrap_or_else(|| panic!("the fixture has no {path}"))
    }

    fn number(&self, path: &str) -> f64 {
        self.at(path).as_f64().unwrap()
    }

    fn numbers(&self, path: &str) -> Vec<f64> {
        let list = self.at(path);
        list.get("data").unwrap_or(list).as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
    }

    fn columns(&self, path: &str) -> usize {
        self.at(path)["shape"].as_array().unwrap().last().unwrap().as_u64().unwrap() as usize
    }

    /// `embedding.0`, `embedding.1`, … of a group one under the other: our joint table.
    fn joint_table(&self, group: &str) -> Vec<f64> {
        let features = 0..self.numbers("/cardinalities").len();
        features.flat_map(|i| self.numbers(&format!("/{group}/embedding.{i}"))).collect()
    }

    /// The batch as a data set of categorical features `f0`, `f1`, ….
    fn dataset(&self) -> Dataset {
        let cardinalities = self.numbers("/cardinalities");
        let single = |path: &str| self.numbers(path).into_iter().map(|v| v as f32).collect::<Vec<_>>();
        let features = cardinalities.iter().enumerate().map(|(i, &cardinality)| EncodedFeature {
            name: format!("f{i}"),
            slot: Slot::Ids { start: i, length: 1 },
            cardinality: cardinality as u32,
        });
        let labels = single("/batch/labels");
        let partitions: Vec<u32> = match self.0.pointer("/batch/partitions") {
            Some(_) => self.numbers("/batch/partitions").into_iter().map(|p| p as u32).collect(),
            None => vec![0; labels.len()],
        };
        Dataset {
            features: features.collect(),
            ids: Ids::from_rows(
                cardinalities.len(),
                &self.numbers("/batch/ids").into_iter().map(|id| id as u32).collect::<Vec<_>>(),
            ),
            weights: single("/batch/weights").into(),
            partition_count: partitions.iter().max().unwrap() + 1,
            partitions: partitions.into(),
            labels: labels.into(),
            ..Dataset::default()
        }
    }
}

fn whole(data: &Dataset) -> Batch {
    Batch::of(data, &(0..data.rows() as u32).collect::<Vec<_>>())
}

/// Puts the reference's values of all parameters in.
fn set_all(params: &Params, values: impl Fn(&str) -> Vec<f64>) {
    for (name, _) in params.iter() {
        params.set(name, values(name).into_iter().map(|v| v as f32).collect()).unwrap();
    }
}

/// Compares all parameters with the reference's.
fn assert_all(params: &Params, values: impl Fn(&str) -> Vec<f64>) {
    for (name, var) in params.iter() {
        assert_near(name, &super::values(var).unwrap(), &values(name));
    }
}

/// Compares the gradients of all dense parameters with the reference's.
fn assert_gradients(params: &Params, gradients: &GradStore, values: impl Fn(&str) -> Vec<f64>) {
    for (name, var) in params.iter().filter(|(name, _)| !name.starts_with(EMBEDDING)) {
        let gradient = gradients.get(var).unwrap_or_else(|| panic!("{name} has no gradient"));
        assert_near(name, &super::values(gradient).unwrap(), &values(name));
    }
}

/// Compares the gradients of a loss by all parameters of `model` with the reference's, and returns the loss.
fn assert_model_gradients(
    model: &mut dyn Trainable,
    batch: &Batch,
    values: impl Fn(&str) -> Vec<f64>,
) -> Tensor {
    let embedded = Var::from_tensor(&model.bank().lookup(batch).unwrap()).unwrap();
    let loss = model.loss(&embedded, batch).unwrap();
    let gradients = loss.backward().unwrap();
    assert_gradients(model.params(), &gradients, &values);
    let by_tables = model.bank().gradients(batch, gradients.get(&embedded).unwrap()).unwrap();
    let [by_table] = &by_tables[..] else { panic!("the fixtures have one table") };
    let (name, table) = model.params().iter().find(|(name, _)| name.starts_with(EMBEDDING)).unwrap();
    let (rows, width) = super::dimensions(table).unwrap();
    let mut dense = vec![0.0; rows * width];
    for (&row, gradient) in by_table.rows.iter().zip(by_table.values.chunks_exact(width)) {
        dense[row as usize * width..][..width].copy_from_slice(gradient);
    }
    assert_near(name, &dense, &values(name));
    loss
}

/// Compares numbers of one tensor to 1e-5 of the largest one, so that small gradients are compared as closely as large ones.
fn assert_near(what: &str, found: &[f32], wanted: &[f64]) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    let largest = wanted.iter().fold(0f64, |most, w| most.max(w.abs()));
    let allowed = 1e-5 * largest + 1e-8;
    for (i, (&found, &wanted)) in found.iter().zip(wanted).enumerate() {
        let near = (f64::from(found) - wanted).abs() < allowed;
        assert!(near, "{what}[{i}]: {found}, PyTorch has {wanted}, and {largest} at most");
    }
}

fn assert_scalar(what: &str, found: &Tensor, wanted: f64) {
    assert_near(what, &[super::scalar(found).unwrap() as f32], &[wanted]);
}
