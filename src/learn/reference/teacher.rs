//! Two steps of the multi-partition teacher.

use super::{Reference, assert_all, assert_model_gradients, assert_near, set_all, whole};
use crate::{
    data::{dataset::Dataset, schema::Side},
    learn::{
        embedding::InputFeature,
        exchange::Alone,
        settings::{RowRule, TeacherSettings, TrainSettings},
        teacher::Teacher,
        train::{Optimizer, Trainable},
        values,
    },
};

/// A parameter of [`Teacher`] from a group of the fixture.
pub(super) fn parameter(reference: &Reference, group: &str, ours: &str) -> Vec<f64> {
    if ours == "embedding.ids4" {
        return reference.joint_table(group);
    }
    let theirs = match ours.strip_prefix("partition") {
        Some(rest) => format!("partition.{}", rest.replace("output", "1")),
        None => ours.to_owned(),
    };
    reference.numbers(&format!("/{group}/{theirs}"))
}

/// The categorical features of a fixture.
pub(super) fn features(data: &Dataset, width: usize) -> Vec<InputFeature> {
    let feature = |f: &crate::data::dataset::EncodedFeature| InputFeature {
        name: f.name.clone(),
        side: Side::Item,
        width,
        slot: f.slot,
        cardinality: f.cardinality,
    };
    data.features.iter().map(feature).collect()
}

/// No dropout, and the fixture's optimizer.
pub(super) fn settings(reference: &Reference, optimizer: &str) -> TrainSettings {
    let weight_decay = reference.number(&format!("{optimizer}/weight_decay"));
    let learning_rate = reference.number(&format!("{optimizer}/learning_rate"));
    TrainSettings {
        dropout: 0.0,
        learning_rate,
        embedding_optimizer: RowRule::Adam,
        embedding_learning_rate: learning_rate,
        weight_decay,
        embedding_weight_decay: weight_decay,
        ..TrainSettings::default()
    }
}

/// The fixtures' teacher with the weights of `group`.
pub(super) fn teacher(reference: &Reference, group: &str, data: &Dataset, train: TrainSettings) -> Teacher {
    let settings =
        TeacherSettings { shared: vec![12, 8], partition: vec![6], train, ..TeacherSettings::default() };
    let features = features(data, reference.number("/width") as usize);
    let teacher = Teacher::new(features, data.partition_count, &settings, 1).unwrap();
    set_all(teacher.params(), |name| parameter(reference, group, name));
    teacher
}

#[test]
fn two_steps_of_the_teacher_equal_pytorchs() {
    let reference = Reference::read(include_str!("../../../fixtures/pytorch/teacher.json"));
    let data = reference.dataset();
    let batch = whole(&data);
    let train = settings(&reference, "/optimizer");
    let mut teacher = teacher(&reference, "weights", &data, train.clone());
    let mut optimizer = Optimizer::new(&teacher, &train).unwrap();

    let logits = teacher.frozen().forward(&teacher.embed(&batch).unwrap(), &batch.partitions).unwrap();
    assert_near("logits", &values(&logits).unwrap(), &reference.numbers("/logits"));
    let wanted = |name: &str| parameter(&reference, "gradients", name);
    assert_model_gradients(&mut teacher, &batch, wanted);
    for (step, loss_at) in [(1, "/loss"), (2, "/loss_of_step_2")] {
        let loss = optimizer.step(&mut teacher, &batch, &Alone).unwrap();
        assert_near("loss", &[loss as f32], &[reference.number(loss_at)]);
        assert_all(teacher.params(), |name| parameter(&reference, &format!("after_step_{step}"), name));
    }
}
