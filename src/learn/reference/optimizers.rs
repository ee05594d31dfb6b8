//! A hundred steps of the optimizers, with rows that repeat within a batch and rest between.

use super::{Reference, assert_near};
use crate::learn::{
    optimizer::{AdamW, ParamGroup, Scaling},
    row_optimizer::{RowGradient, RowOptimizer},
    settings::{RateSchedule, RowRule},
    values,
};
use candle_core::{Device, Tensor, Var};

/// The fixture, and start values of one of its parts.
fn read(part: &str, columns: usize) -> (Reference, Tensor) {
    let reference = Reference::read(include_str!("../../../fixtures/pytorch/optimizers.json"));
    let start: Vec<f32> = numbers(&reference, &format!("/{part}/start"));
    let rows = start.len() / columns;
    (reference, Tensor::from_vec(start, (rows, columns), &Device::Cpu).unwrap())
}

fn numbers(reference: &Reference, path: &str) -> Vec<f32> {
    reference.numbers(path).into_iter().map(|v| v as f32).collect()
}

/// Compares with the reference after the steps that it kept; returns whether it kept this one.
fn compare(reference: &Reference, part: &str, step: usize, found: &Tensor) -> bool {
    let kept = [1, 10, 100].contains(&step);
    if kept {
        assert_near(part, &values(found).unwrap(), &reference.numbers(&format!("/{part}/after/{step}")));
    }
    kept
}

#[test]
fn a_hundred_steps_of_adamw_equal_pytorchs() {
    let (reference, start) = read("adamw", 1);
    let var = Var::from_tensor(&start).unwrap();
    let mut optimizer = AdamW::default();
    optimizer
        .add(
            &var,
            ParamGroup {
                learning_rate: reference.number("/optimizer/learning_rate"),
                weight_decay: reference.number("/optimizer/weight_decay"),
                scaling: Scaling::Each,
                schedule: RateSchedule::CONSTANT,
            },
        )
        .unwrap();
    let gradients = numbers(&reference, "/adamw/gradients");
    let mut compared = 0;
    for (step, gradient) in gradients.chunks_exact(start.elem_count()).enumerate() {
        let gradient = Tensor::from_vec(gradient.to_vec(), start.shape(), &Device::Cpu).unwrap();
        let loss = var.mul(&gradient).unwrap().sum_all().unwrap();
        optimizer.step(&loss.backward().unwrap(), 1.0).unwrap();
        compared += usize::from(compare(&reference, "adamw", step + 1, &var));
    }
    assert_eq!(compared, 3);
}

/// Steps of a rule over rows that repeat within a batch and rest between.
fn rows_equal_pytorchs(part: &str, rule: RowRule, learning_rate: &str) {
    let width = 3;
    let (reference, table) = read(part, width);
    let mut optimizer = RowOptimizer::new(&table, rule, reference.number(learning_rate), 0.0).unwrap();
    let path = |name: &str| format!("/{part}/{name}");
    let ids: Vec<u32> = reference.numbers(&path("ids")).into_iter().map(|id| id as u32).collect();
    let batch = reference.columns(&path("ids"));
    let upstream = numbers(&reference, &path("upstream"));
    let mut compared = 0;
    for (step, (ids, upstream)) in
        ids.chunks_exact(batch).zip(upstream.chunks_exact(batch * width)).enumerate()
    {
        let gradient = RowGradient::merge(ids.iter().copied().zip(0..), width, |place, sum| {
            sum.iter_mut().zip(&upstream[place as usize * width..]).for_each(|(sum, g)| *sum += g);
        });
        optimizer.step(&gradient).unwrap();
        compared += usize::from(compare(&reference, part, step + 1, &table));
    }
    assert_eq!(compared, 3);
}

#[test]
fn a_hundred_steps_of_adam_over_rows_equal_pytorchs_sparse_adam() {
    rows_equal_pytorchs("rows", RowRule::Adam, "/optimizer/learning_rate");
}

#[test]
fn a_hundred_steps_of_adagrad_over_rows_equal_pytorchs() {
    rows_equal_pytorchs("adagrad", RowRule::Adagrad, "/adagrad/learning_rate");
}
