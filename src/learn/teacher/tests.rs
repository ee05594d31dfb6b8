use super::*;
use crate::learn::{
    embedding::input_features,
    fixtures::{every_row, mixed, scramble},
    settings::TrainSettings,
    values,
};
use candle_core::Device;

fn teacher(feature_dropout: f32) -> (Teacher, Batch) {
    let (schema, loaded) = mixed();
    let data = loaded.dataset;
    let every: Vec<usize> = (0..schema.features.len()).collect();
    let features = input_features(&schema.features, &every, &data).unwrap();
    let train = TrainSettings { dropout: 0.0, ..TrainSettings::default() };
    let settings = TeacherSettings {
        shared: vec![6],
        partition: vec![5],
        feature_dropout,
        train,
        ..TeacherSettings::default()
    };
    let teacher = Teacher::new(features, data.partition_count, &settings, 1).unwrap();
    scramble(teacher.params());
    (teacher, Batch::of(&data, &every_row(&data)))
}

#[test]
fn without_its_partition_a_row_gets_the_mean_of_all_weighted_by_their_shares() {
    let (teacher, batch) = teacher(0.0);
    let frozen = teacher.frozen();
    let input = teacher.embed(&batch).unwrap();
    let logits = |partitions: &[u32]| values(&frozen.forward(&input, partitions).unwrap()).unwrap();
    let own = logits(&batch.partitions);
    let of_each: Vec<Vec<f32>> = (0..3).map(|p| logits(&vec![p; batch.rows()])).collect();
    let shares = [0.5f32, 0.3, 0.2];
    for gate in [1.0f32, 0.0, 0.25] {
        let known = Tensor::new(&[[gate]], &Device::Cpu).unwrap();
        let found = frozen.forward_where_known(&input, &batch.partitions, &known, &shares).unwrap();
        for (row, found) in values(&found).unwrap().into_iter().enumerate() {
            let mean: f32 = of_each.iter().zip(shares).map(|(logits, share)| share * logits[row]).sum();
            let wanted = gate * own[row] + (1.0 - gate) * mean;
            assert!((found - wanted).abs() < 1e-4, "{found} {wanted}");
        }
    }
}

/// A teacher over two features whose data have three partitions that the first feature tells.
fn partitioned(shared: &[usize]) -> (Teacher, Dataset) {
    let (schema, loaded) = mixed();
    let mut data = loaded.dataset;
    let Slot::Ids { start, .. } = data.features[1].slot else { panic!("u_taste is an id") };
    let told: Vec<u32> = (0..data.rows()).map(|row| data.ids.at(row, start) % 3).collect();
    (data.partitions, data.partition_count) = (told.into(), 3);
    let features = input_features(&schema.features, &[1, 2, 5], &data).unwrap();
    let settings =
        TeacherSettings { shared: shared.to_vec(), partition: vec![5], ..TeacherSettings::default() };
    let teacher = Teacher::new(features, 3, &settings, 1).unwrap();
    scramble(teacher.params());
    (teacher, data)
}

#[test]
fn the_plain_network_scores_as_the_teacher_does() {
    let (teacher, data) = partitioned(&[6, 4]);
    let every = every_row(&data);
    let scores = teacher.scores(&Batch::of(&data, &every)).unwrap();
    let network = teacher.to_network(&data, Some("u_taste")).unwrap();
    assert!(matches!(network.body, Body::Partitioned(_)));
    assert!(scores.iter().any(|s| (s - scores[0]).abs() > 0.1), "scores that are all alike");
    for (a, b) in scores.iter().zip(network.score(&data, &every).unwrap()) {
        assert!((a - b).abs() < 1e-5, "{a} {b}");
    }
    let trained: usize = teacher.params().iter().map(|(_, var)| var.elem_count()).sum();
    assert_eq!(network.parameters(), trained);
    // One partition needs no feature that tells it, and no layer before the head.
    let (schema, loaded) = mixed();
    let mut data = loaded.dataset;
    data.partitions = vec![0; data.rows()].into();
    let features = input_features(&schema.features, &[1, 2, 5], &data).unwrap();
    let settings = TeacherSettings { shared: Vec::new(), partition: vec![5], ..TeacherSettings::default() };
    let teacher = Teacher::new(features, 1, &settings, 1).unwrap();
    scramble(teacher.params());
    let network = teacher.to_network(&data, None).unwrap();
    assert!(matches!(network.body, Body::Mlp(_)));
    let scores = teacher.scores(&Batch::of(&data, &every)).unwrap();
    for (a, b) in scores.iter().zip(network.score(&data, &every).unwrap()) {
        assert!((a - b).abs() < 1e-5, "{a} {b}");
    }
}

#[test]
fn a_teacher_whose_partition_no_request_tells_is_refused_with_the_fix() {
    let (teacher, mut data) = partitioned(&[6]);
    let refused = |data: &Dataset, told_by: Option<&str>| {
        let text = teacher.to_network(data, told_by).unwrap_err().to_string();
        let before = Teacher::check_leaving(teacher.bank.features(), &teacher.settings, data, told_by);
        assert_eq!(before.unwrap_err().to_string(), text, "what shows before the training");
        text
    };
    for nobody in [None, Some("absent")] {
        let text = refused(&data, nobody);
        assert!(text.contains("no feature tells") && text.contains("schema"), "{text}");
    }
    let text = refused(&data, Some("i_tags"));
    assert!(text.contains("`i_tags`") && text.contains("single id"), "{text}");
    data.partitions.to_mut()[0] = (data.partitions[0] + 1) % 3;
    let text = refused(&data, Some("u_taste"));
    assert!(text.contains("several values") && text.contains("min_count"), "{text}");
    let (flat, data) = partitioned(&[]);
    let text = flat.to_network(&data, Some("u_taste")).unwrap_err().to_string();
    assert!(text.contains("[teacher] shared"), "{text}");
}

#[test]
fn a_given_teacher_is_learned_from_beside_the_labels() {
    let (mut teacher, batch) = teacher(0.0);
    let loss = |teacher: &mut Teacher| {
        super::super::scalar(&teacher.loss(&teacher.embed(&batch).unwrap(), &batch).unwrap()).unwrap()
    };
    let labels = loss(&mut teacher);
    // Half of the cross entropy, and half of the squares of what the scores lack.
    let scores = teacher.scores(&batch).unwrap();
    let mut given = vec![f32::NAN; batch.index.iter().max().map_or(0, |&row| row as usize + 1)];
    batch.index.iter().zip(&scores).for_each(|(&row, score)| given[row as usize] = score * 0.5);
    let squares = scores.iter().map(|&score| f64::from(score * 0.5).powi(2)).sum::<f64>();
    teacher.learn_from(given.into());
    let wanted = 0.5 * labels + 0.5 * squares / scores.len() as f64;
    assert!((loss(&mut teacher) - wanted).abs() < 1e-6);
    teacher.settings.distillation = 0.0;
    assert_eq!(loss(&mut teacher), labels);
}

#[test]
fn features_are_missing_while_it_trains_and_never_while_it_scores() {
    let (mut dropping, batch) = teacher(0.5);
    let (mut whole, _) = teacher(0.0);
    let loss = |teacher: &mut Teacher| {
        super::super::scalar(&teacher.loss(&teacher.embed(&batch).unwrap(), &batch).unwrap()).unwrap()
    };
    assert_eq!(loss(&mut whole), loss(&mut whole));
    let first = loss(&mut dropping);
    assert_ne!(first, loss(&mut whole));
    assert_ne!(first, loss(&mut dropping), "every step misses others");
    assert_eq!(dropping.scores(&batch).unwrap(), whole.scores(&batch).unwrap());
}
