//! Worths in closed form, and on a log where it is known which features matter.

use super::*;
use crate::{
    base::{progress::Silent, rng, stop::Stop},
    data::{dataset::Slot, ids::Ids, schema::Kind},
    learn::{
        embedding::input_features,
        fixtures::{
            LAYERS, every_row, mixed,
            planted::{FEATURES, Planted, assert_first, planted},
            scramble,
        },
        importance::priced::priced,
        metrics::Placements,
        network::PlainOnly,
        price_term::Prices,
        settings::{Measure, PermutationSettings, Replacement, TeacherSettings, TrainSettings},
        student::{Lesson, Student},
        teacher::Teacher,
    },
    price::{fixtures::space_of, target::MeanService},
    space::{Operator, Subnet},
};

#[test]
fn every_way_to_ask_a_trained_network_puts_first_what_matters() {
    for seed in 1..=2 {
        let planted = planted(seed);
        let student = planted.trained();
        for rows in [&planted.split.train, &planted.split.valid] {
            let judged = Judged::new(&planted.schema, &planted.data, rows);
            let first = |of, importances: Vec<Importance>| {
                assert_first(&Strengths::of_network(of, &planted.space, &importances).unwrap());
            };
            for replacement in [Replacement::Mean, Replacement::Zero] {
                first(Method::Taylor, taylor(&student, &judged, replacement, &Silent).unwrap());
            }
            for measure in [Measure::Auc, Measure::LogLoss] {
                let settings = PermutationSettings { repeats: 2, measure };
                let permuted =
                    permutation(&student, &judged, &settings, seed, &Silent, &Stop::never()).unwrap();
                assert_eq!(
                    permuted,
                    permutation(&student, &judged, &settings, seed, &Silent, &Stop::never()).unwrap()
                );
                first(Method::Permutation, permuted);
                first(Method::LeaveOneOut, leave_one_out(&student, &judged, measure, &Silent).unwrap());
            }
        }
    }
}

/// logit = ⟨w, e⟩ + b, so ∂L/∂e_f = (p − y)·w_f and the importance is E[w|p − y|·|⟨w_f, ē_f − e_f⟩|] / E[w].
#[test]
fn taylor_importance_of_a_linear_network_is_the_closed_form() {
    let (schema, mut loaded) = mixed();
    let weights = (0..loaded.dataset.rows()).map(|row| (row % 3) as f32 * 0.7).collect::<Vec<_>>();
    loaded.dataset.weights = weights.into();
    let data = &loaded.dataset;
    let rows = every_row(data);
    let every: Vec<usize> = (0..schema.features.len()).collect();
    let features = input_features(&schema.features, &every, data).unwrap();
    let student = Student::new(features, &[], &TrainSettings::default(), Lesson::Labels, 1).unwrap();
    scramble(student.params());
    // The plain network has its columns in another order, and uses no tensors.
    let network = student.to_network().unwrap();
    let width = network.input_width();
    let plain = network.mlp(PlainOnly::Integers).unwrap();
    let inputs = plain.embed(data, &rows).unwrap();
    let scores = network.score(data, &rows).unwrap();
    let mean: Vec<f64> = (0..width)
        .map(|c| inputs.iter().skip(c).step_by(width).map(|&x| f64::from(x)).sum::<f64>() / rows.len() as f64)
        .collect();
    let total: f64 = data.weights.iter().map(|&w| f64::from(w)).sum();
    let judged = Judged::new(&schema, data, &rows);
    for replacement in [Replacement::Mean, Replacement::Zero] {
        let found = taylor(&student, &judged, replacement, &Silent).unwrap();
        let starts = network.inputs.iter().scan(0, |next, input| {
            *next += input.width;
            Some(*next - input.width)
        });
        for ((input, start), found) in network.inputs.iter().zip(starts).zip(&found) {
            let wanted: f64 = inputs
                .chunks_exact(width)
                .zip(&scores)
                .enumerate()
                .map(|(row, (x, &p))| {
                    let step: f64 = (start..start + input.width)
                        .map(|c| {
                            let to = if replacement == Replacement::Mean { mean[c] } else { 0.0 };
                            f64::from(plain.layers[0].weight[c]) * (to - f64::from(x[c]))
                        })
                        .sum();
                    f64::from(data.weights[row]) * f64::from((p - data.labels[row]).abs()) * step.abs()
                })
                .sum::<f64>()
                / total;
            assert_eq!(found.feature, input.feature);
            assert!(wanted > 1e-4 && (found.value - wanted).abs() < 1e-5, "{found:?} {wanted}");
        }
    }
}

/// A teacher with a feature that tells the partition.
fn routing_teacher() -> (Schema, Teacher, Dataset) {
    let (mut schema, loaded) = mixed();
    // `c_trace` is made the feature that routes.
    schema.partition = Some(schema.features[4].column.clone());
    let every: Vec<usize> = (0..schema.features.len()).collect();
    let features = input_features(&schema.features, &every, &loaded.dataset).unwrap();
    let settings = TeacherSettings { shared: vec![6], partition: vec![5], ..TeacherSettings::default() };
    let teacher = Teacher::new(features, loaded.dataset.partition_count, &settings, 1).unwrap();
    scramble(teacher.params());
    (schema, teacher, loaded.dataset)
}

/// Cross entropy of one row.
fn loss_of(logit: f32, label: f32) -> f64 {
    let (z, y) = (f64::from(logit), f64::from(label));
    z.max(0.0) - z * y + (-z.abs()).exp().ln_1p()
}

/// By differences along the line from the embedding to its mean; for the feature that routes, away from its head as well.
#[test]
fn taylor_importance_of_a_teacher_is_the_slope_towards_the_mean_and_counts_what_routing_knows() {
    let (schema, teacher, data) = routing_teacher();
    let rows = every_row(&data);
    let judged = Judged::new(&schema, &data, &rows);
    let found = taylor(&teacher, &judged, Replacement::Mean, &Silent).unwrap();
    let bank = teacher.bank();
    let batch = Batch::of(&data, &rows);
    let embedded = values(&bank.lookup(&batch).unwrap()).unwrap();
    let mean = judged.mean_embedding(bank).unwrap();
    let shares = data.partition_shares(&rows);
    assert!(shares.iter().filter(|share| **share > 0.1).count() > 1, "one partition routes nothing");
    for (f, found) in found.iter().enumerate() {
        let losses = |step: f32| -> Vec<f64> {
            let mut inputs = embedded.clone();
            for row in inputs.chunks_exact_mut(bank.width()) {
                bank.columns(f).for_each(|c| row[c] += step * (mean[c] - row[c]));
            }
            let inputs = Tensor::from_vec(inputs, (rows.len(), bank.width()), &candle_core::Device::Cpu);
            let gate = Tensor::new(&[[1.0 - step]], &candle_core::Device::Cpu).unwrap();
            let routing = match f {
                4 => Routing::Mixed { gate: &gate, shares: &shares },
                _ => Routing::Own,
            };
            let logits = values(&teacher.logits(&inputs.unwrap(), &batch.partitions, &routing).unwrap());
            logits.unwrap().iter().zip(&batch.labels).map(|(&z, &y)| loss_of(z, y)).collect()
        };
        let slopes = losses(0.02).into_iter().zip(losses(-0.02)).map(|(a, b)| ((a - b) / 0.04).abs());
        let wanted = slopes.sum::<f64>() / rows.len() as f64;
        assert!(wanted > 1e-4, "{}: {wanted}", found.feature);
        assert!((found.value - wanted).abs() < 0.02 * wanted + 1e-4, "{found:?} {wanted}");
    }
}

#[test]
fn a_teacher_loses_with_a_permuted_feature_what_it_loses_with_permuted_partitions() {
    let (schema, teacher, data) = routing_teacher();
    let rows = every_row(&data);
    let judged = Judged::new(&schema, &data, &rows);
    let settings = PermutationSettings { repeats: 1, measure: Measure::LogLoss };
    let found = permutation(&teacher, &judged, &settings, 5, &Silent, &Stop::never()).unwrap();
    let mut order: Vec<u32> = rows.clone();
    rng::shuffle(&mut order, &mut rng::generator(5, "permutation 0 of c_trace"));
    // The same with rows that were changed before they were encoded.
    let slot = data.features[4].slot;
    let Slot::Ids { start, length: 1 } = slot else { panic!("`c_trace` is one id: {slot:?}") };
    let mut changed = data.clone();
    let mut ids: Vec<u32> = rows.iter().flat_map(|&row| data.ids.of_row(row as usize)).collect();
    for (row, &from) in order.iter().enumerate() {
        ids[row * data.ids.slots() + start] = data.ids.at(from as usize, start);
        changed.partitions.to_mut()[row] = data.partitions[from as usize];
    }
    changed.ids = Ids::from_rows(data.ids.slots(), &ids);
    let loss = |data: &Dataset| {
        let scores = teacher.scores(&Batch::of(data, &rows)).unwrap();
        crate::learn::metrics::logloss(&scores, &data.labels)
    };
    let wanted = loss(&changed) - loss(&data);
    assert!(wanted.abs() > 1e-3 && (found[4].value - wanted).abs() < 1e-6, "{:?} {wanted}", found[4]);
    assert_eq!(found[4].deviation, None);
    // Without routing, the feature's own columns matter less or more, but not the same.
    let unrouted = Schema { partition: None, ..schema.clone() };
    let judged = Judged::new(&unrouted, &data, &rows);
    let apart = permutation(&teacher, &judged, &settings, 5, &Silent, &Stop::never()).unwrap();
    assert!((apart[4].value - wanted).abs() > 1e-4);
    assert_eq!(apart[3], found[3]);
}

/// A network that reads one feature and has weights of 0 for all others.
fn of_one_feature(planted: &Planted) -> Student<'static> {
    let features = input_features(&planted.space.features, &[0, 1, 2], &planted.data).unwrap();
    let student = Student::new(features, &[], &TrainSettings::default(), Lesson::Labels, 1).unwrap();
    let columns = student.bank().columns(1);
    let weight = (0..12).map(|c| if c == columns.start { 1.0 } else { 0.0 }).collect();
    student.params().set("output.weight", weight).unwrap();
    // Three tables of five rows: the id is the first number of its row.
    let table = (0..15).flat_map(|row| [(row % 5) as f32 - 2.5, 0.0, 0.0, 0.0]).collect();
    student.params().set("embedding.ids4", table).unwrap();
    student
}

#[test]
fn the_only_useful_feature_brings_the_auc_to_a_half_and_a_useless_one_loses_nothing() {
    let planted = planted(1);
    let student = of_one_feature(&planted);
    let rows = every_row(&planted.data);
    let judged = Judged::new(&planted.schema, &planted.data, &rows);
    let scores: Vec<f32> = rows.iter().map(|&row| planted.ids[row as usize * FEATURES + 1] as f32).collect();
    let alone = crate::base::rank::auc(&scores, &planted.data.labels).unwrap();
    assert!(alone > 0.65, "{alone}");
    let left_out = leave_one_out(&student, &judged, Measure::Auc, &Silent).unwrap();
    let lost: Vec<f64> = left_out.iter().map(|importance| importance.value).collect();
    assert_eq!((lost[0], lost[2]), (0.0, 0.0));
    assert!((lost[1] - (alone - 0.5)).abs() < 1e-12, "{lost:?} {alone}");
    // Against ties, which scatter by nothing, it is the error of one AUC: that of 4,000 rows is near 1/√(3·4,000) = 0.009.
    let placements = |scores: &[f32]| Placements::of(scores, &planted.data.labels).unwrap();
    let error = placements(&scores).gain_over(&placements(&vec![0.5; rows.len()])).error;
    assert!((0.006..0.0095).contains(&error), "{error}");
    let errors: Vec<f64> = left_out.iter().map(|importance| importance.error.unwrap()).collect();
    assert_eq!((errors[0], errors[2]), (0.0, 0.0));
    assert!((errors[1] - error).abs() < 1e-6, "{errors:?} {error}");
    let of_loss = leave_one_out(&student, &judged, Measure::LogLoss, &Silent).unwrap();
    assert_eq!(of_loss[1].error, None, "it is an error of AUCs");
    let settings = PermutationSettings { repeats: 20, ..Default::default() };
    let permuted = permutation(&student, &judged, &settings, 1, &Silent, &Stop::never()).unwrap();
    assert_eq!((permuted[0].value, permuted[0].deviation), (0.0, Some(0.0)));
    // A single permuted AUC scatters as well, independently of the other.
    let of_permuted = permuted[1].error.unwrap();
    let both = error.hypot(0.0091);
    assert!((of_permuted / both - 1.0).abs() < 0.1, "{of_permuted} {both}");
    // The AUC of a random order of 4,000 rows scatters by about 1/√(3·4,000) = 0.009; that of ties by less.
    let deviation = permuted[1].deviation.unwrap();
    assert!((0.004..0.02).contains(&deviation), "{deviation}");
    assert!((permuted[1].value - (alone - 0.5)).abs() < 5.0 * 0.0091 / 20f64.sqrt(), "{permuted:?} {alone}");
}

#[test]
fn the_price_of_a_feature_stands_beside_its_worth() {
    let planted = planted(1);
    let mut schema = Schema { gamma_ms: 0.1, ..planted.schema.clone() };
    schema.features[0].kind = Kind::User;
    schema.features[2].kind = Kind::User;
    schema.features[0].fetch_ms = 3.0;
    let space = space_of(schema.features.clone(), &[&[16, 0]]);
    let student = of_one_feature(&planted);
    let rows = every_row(&planted.data);
    let judged = Judged::new(&schema, &planted.data, &rows);
    let left_out = leave_one_out(&student, &judged, Measure::Auc, &Silent).unwrap();
    let subnet = Subnet { features: vec![0, 1, 2], operators: vec![Operator::Mlp(16)] };
    let prices = Prices::declared(&schema, &LAYERS, &MeanService);
    let all = priced(left_out.clone(), &space, &subnet, &prices).unwrap();
    let names: Vec<&str> = all.iter().map(|priced| priced.importance.feature.as_str()).collect();
    assert_eq!(names, ["f1", "f0", "f2"], "by worth, then in their order");
    // f1 is the only one of the item. f0 is the slowest to fetch, by 2 ms. Four columns of the user cost 0.1·0.002·16 each.
    let columns = 4.0 * 0.1 * 0.002 * 16.0;
    assert_eq!(all[0].saved_ms, None);
    assert!((all[1].saved_ms.unwrap() - (2.0 + 0.1 + columns)).abs() < 1e-9);
    assert!((all[2].saved_ms.unwrap() - (0.1 + columns)).abs() < 1e-9);
    let other = Subnet { features: vec![0, 1], ..subnet };
    let refused = priced(left_out, &space, &other, &prices).unwrap_err().to_string();
    assert!(refused.contains("`f2`"), "{refused}");
}

#[test]
fn strengths_are_of_every_feature_that_may_be_selected() {
    let mut planted = planted(1);
    planted.space.features[3].never = true;
    let importance = |i: usize, value| Importance::plain(format!("f{i}"), value);
    let all: Vec<_> = (0..FEATURES).filter(|&i| i != 3).map(|i| importance(i, i as f64 - 2.0)).collect();
    let strengths = Strengths::of_network(Method::Taylor, &planted.space, &all).unwrap();
    assert_eq!(strengths.values, [-2.0, -1.0, 0.0, 0.0, 2.0, 3.0, 4.0, 5.0]);
    let refused = |importances: &[Importance]| {
        Strengths::of_network(Method::Taylor, &planted.space, importances).unwrap_err().to_string()
    };
    assert!(refused(&all[1..]).contains("`f0`"));
    let mut diverged = all;
    diverged[5].value = f64::NAN;
    assert!(refused(&diverged).contains("`f6` is NaN"));
}

#[test]
fn what_a_network_is_judged_on_it_has_not_seen_unless_that_is_asked_for() {
    let planted = planted(1);
    let divided = |held_out, rows| judged_rows(&planted.split, &JudgeSettings { held_out, rows }, 3).unwrap();
    let (split, judged) = divided(0.25, 10_000);
    assert_eq!((split.train.len(), judged.len()), (2400, 800));
    assert!(judged.iter().all(|row| !split.train.contains(row)));
    assert_eq!(split.valid, planted.split.valid);
    let (split, judged) = divided(0.0, 500);
    assert_eq!((split.train.len(), judged.len()), (3200, 500));
    assert!(judged.iter().all(|row| split.train.contains(row)));
    let none: Vec<u32> = Vec::new();
    let judged = Judged::new(&planted.schema, &planted.data, &none);
    let refused = taylor(&of_one_feature(&planted), &judged, Replacement::Mean, &Silent).unwrap_err();
    assert!(refused.to_string().contains("no rows"), "{refused}");
}
