//! A step of a derived network with distillation.

use super::{
    Reference, assert_all, assert_model_gradients, assert_near, assert_scalar, set_all,
    teacher::{features, settings},
    whole,
};
use crate::learn::{
    exchange::Alone,
    student::{Lesson, Student},
    train::{Optimizer, Trainable},
};

/// A parameter of [`Student`] from a group of the fixture.
fn parameter(reference: &Reference, group: &str, ours: &str) -> Vec<f64> {
    if ours == "embedding.ids4" {
        return reference.joint_table(group);
    }
    let theirs = ours.replace("hidden", "layer").replace("output", "layer.2");
    reference.numbers(&format!("/{group}/{theirs}"))
}

#[test]
fn a_step_of_the_student_equals_pytorchs() {
    let reference = Reference::read(include_str!("../../../fixtures/pytorch/student.json"));
    let data = reference.dataset();
    let batch = whole(&data);
    let settings = settings(&reference, "/optimizer");
    let scores: Vec<f32> = reference.numbers("/batch/teacher_scores").into_iter().map(|r| r as f32).collect();
    let lambda1 = reference.number("/lambda1");
    let network = |lesson| {
        let features = features(&data, reference.number("/width") as usize);
        let student = Student::new(features, &[6, 4], &settings, lesson, 1).unwrap();
        set_all(student.params(), |name| parameter(&reference, "weights", name));
        student
    };
    let mut untaught = network(Lesson::Labels);
    let embedded = untaught.bank().lookup(&batch).unwrap();
    let untaught = untaught.loss(&embedded, &batch).unwrap();
    assert_scalar("loss on labels", &untaught, reference.number("/loss_labels"));

    let mut student = network(Lesson::Distilled { teacher: &scores, lambda1 });
    let mut optimizer = Optimizer::new(&student, &settings).unwrap();
    let chances: Vec<f64> =
        reference.numbers("/logits").into_iter().map(|z| 1.0 / (1.0 + (-z).exp())).collect();
    assert_near("scores", &student.scores(&batch).unwrap(), &chances);
    let wanted = |name: &str| parameter(&reference, "gradients", name);
    let loss = assert_model_gradients(&mut student, &batch, wanted);
    assert_scalar("loss", &loss, reference.number("/loss"));
    optimizer.step(&mut student, &batch, &Alone).unwrap();
    assert_all(student.params(), |name| parameter(&reference, "after_step", name));
}
