//! Distillation within lists.

use super::{Reference, assert_near};
use crate::learn::losses::lists::{ListLoss, over_lists};

#[test]
fn losses_within_lists_and_their_gradients_equal_pytorchs() {
    let reference = Reference::read(include_str!("../../../fixtures/pytorch/lists.json"));
    let singles = |path: &str| reference.numbers(path).into_iter().map(|v| v as f32).collect::<Vec<_>>();
    let (logits, teacher) = (singles("/logits"), singles("/teacher_scores"));
    let ends: Vec<u32> = reference.numbers("/ends").into_iter().map(|end| end as u32).collect();
    for (name, loss) in [("pairwise", ListLoss::Pairwise), ("listwise", ListLoss::Listwise)] {
        let (value, gradient) = over_lists(loss, &logits, &teacher, &ends);
        let gradient: Vec<f32> = gradient.into_iter().map(|g| g as f32).collect();
        assert_near(name, &[value as f32], &[reference.number(&format!("/{name}/loss"))]);
        assert_near(name, &gradient, &reference.numbers(&format!("/{name}/gradient")));
    }
}
