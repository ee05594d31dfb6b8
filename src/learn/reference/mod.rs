//! One training step of every network against PyTorch: losses, logits, gradients, and weights after the step, to 1e-5.
//!
//! The reference programs and what they wrote lie in `fixtures/pytorch/`. Their names count from 0 and keep every
//! embedding and every pair of operators apart; each file here says how ours are put together from theirs.

mod student;
mod supernet;
mod teacher;

use super::params::Params;
use crate::data::dataset::{Batch, Dataset, EncodedFeature, Slot};
use candle_core::{Tensor, backprop::GradStore};
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
        let partitions = match self.0.pointer("/batch/partitions") {
            Some(_) => self.numbers("/batch/partitions").into_iter().map(|p| p as u32).collect(),
            None => vec![0; labels.len()],
        };
        Dataset {
            features: features.collect(),
            id_slots: cardinalities.len(),
            ids: self.numbers("/batch/ids").into_iter().map(|id| id as u32).collect(),
            weights: single("/batch/weights"),
            partition_count: partitions.iter().max().unwrap() + 1,
            partitions,
            labels,
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

/// Compares the gradients of all parameters with the reference's.
fn assert_gradients(params: &Params, gradients: &GradStore, values: impl Fn(&str) -> Vec<f64>) {
    for (name, var) in params.iter() {
        let gradient = gradients.get(var).unwrap_or_else(|| panic!("{name} has no gradient"));
        assert_near(name, &super::values(gradient).unwrap(), &values(name));
    }
}

fn assert_near(what: &str, found: &[f32], wanted: &[f64]) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    for (i, (&found, &wanted)) in found.iter().zip(wanted).enumerate() {
        assert!((f64::from(found) - wanted).abs() < 1e-5, "{what}[{i}]: {found}, PyTorch has {wanted}");
    }
}

fn assert_scalar(what: &str, found: &Tensor, wanted: f64) {
    assert_near(what, &[super::scalar(found).unwrap() as f32], &[wanted]);
}
