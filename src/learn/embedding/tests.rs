use super::*;
use crate::data::dataset::{Batch, EncodedFeature};
use candle_core::Device;

/// Two rows: ids [a, s, s, s, b], numbers [x, y]; a and b share a table of width 2, s is a sequence, x and y numbers.
fn batch() -> Batch {
    Batch {
        index: vec![0, 1],
        ids: vec![1, 2, 0, 1, 0, 0, 0, 0, 0, 2],
        numbers: vec![3.0, f32::NAN, -2.0, 0.5],
        labels: vec![0.0; 2],
        weights: vec![1.0; 2],
        partitions: vec![0; 2],
        ..Batch::default()
    }
}

fn feature(name: &str, width: usize, slot: Slot, cardinality: u32) -> InputFeature {
    InputFeature { name: name.into(), side: Side::Item, width, slot, cardinality }
}

/// In schema order x, a, s, b, y: the bank puts the pooled s first, then the table of a and b, then the numbers.
fn bank(params: &mut Params) -> EmbeddingBank {
    let id = |start| Slot::Ids { start, length: 1 };
    let features = vec![
        feature("x", 2, Slot::Number { index: 0 }, 0),
        feature("a", 2, id(0), 2),
        feature("s", 3, Slot::Ids { start: 1, length: 3 }, 3),
        feature("b", 2, id(4), 3),
        feature("y", 1, Slot::Number { index: 1 }, 0),
    ];
    let bank = EmbeddingBank::new(features, params).unwrap();
    // Rows of a: 10 11, 12 13; of b: 20 21, 22 23, 24 25.
    params.set("embedding.ids2", vec![10., 11., 12., 13., 20., 21., 22., 23., 24., 25.]).unwrap();
    params.set("embedding.pooled.s", vec![100., 100., 100., 1., 2., 3., 5., 8., 13.]).unwrap();
    params.set("embedding.numbers2.scale", vec![0.5, -1.0]).unwrap();
    params.set("embedding.numbers2.missing", vec![40., 41.]).unwrap();
    params.set("embedding.numbers1.scale", vec![6.0]).unwrap();
    params.set("embedding.numbers1.missing", vec![50.]).unwrap();
    bank
}

#[test]
fn every_kind_is_embedded_as_by_hand() {
    let mut params = Params::new(1);
    let bank = bank(&mut params);
    let embedded = bank.lookup(&batch()).unwrap().to_vec2::<f32>().unwrap();
    let wanted: [[&[f32]; 5]; 2] = [
        // x = 3; a = 1; the mean of rows 2 and 1 without the padding; b = 0; y is missing.
        [&[1.5, -3.0], &[12., 13.], &[3., 5., 8.], &[20., 21.], &[50.]],
        // x = −2; a = 0; an empty list is zeros, not row 0; b = 2; y = 0.5.
        [&[-1.0, 2.0], &[10., 11.], &[0., 0., 0.], &[24., 25.], &[3.0]],
    ];
    for (row, wanted) in embedded.iter().zip(wanted) {
        for (feature, wanted) in wanted.into_iter().enumerate() {
            assert_eq!(&row[bank.columns(feature)], wanted, "feature {feature}");
        }
    }
}

#[test]
fn gradients_are_those_of_the_definition() {
    let mut params = Params::new(1);
    let bank = bank(&mut params);
    // Rows of `batch`, the first one again: every id of it is touched twice.
    let mut batch = batch();
    batch.index.push(0);
    batch.ids.extend_from_within(..5);
    batch.numbers.extend_from_within(..2);
    let by_input: Vec<f32> = (0..3 * bank.width()).map(|i| (i as f32 * 0.7).sin()).collect();
    let by_input = Tensor::from_vec(by_input, (3, bank.width()), &Device::Cpu).unwrap();
    let gradients = bank.gradients(&batch, &by_input).unwrap();
    let loss =
        || (bank.lookup(&batch).unwrap() * &by_input).unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
    let names =
        ["pooled.s", "ids2", "numbers1.scale", "numbers1.missing", "numbers2.scale", "numbers2.missing"];
    let mut touched = 0;
    for (name, gradient) in names.map(|name| format!("embedding.{name}")).iter().zip(gradients) {
        let var = params.iter().find(|(known, _)| known == name).unwrap().1.clone();
        let start = values(&var).unwrap();
        let width = var.dim(1).unwrap();
        for place in 0..start.len() {
            // The loss is linear in every weight, so a difference is exact up to rounding.
            let mut moved = start.clone();
            moved[place] += 1.0;
            params.set(name, start.clone()).unwrap();
            let before = loss();
            params.set(name, moved).unwrap();
            let wanted = loss() - before;
            let row = gradient.rows.binary_search(&((place / width) as u32));
            let found = row.map_or(0.0, |row| gradient.values[row * width + place % width]);
            assert!((found - wanted).abs() < 1e-3, "{name}[{place}]: {found} {wanted}");
            touched += usize::from(found != 0.0);
        }
        params.set(name, start).unwrap();
    }
    // Of s rows 1 and 2, of a and b two rows each, and all numbers, of which one is missing in two rows.
    assert_eq!(touched, 6 + 8 + 1 + 1 + 2);
}

#[test]
fn a_feature_that_the_data_lack_is_named() {
    let known = crate::price::fixtures::feature("price", 4);
    let data = Dataset {
        features: vec![EncodedFeature {
            name: "cost".into(),
            slot: Slot::Number { index: 0 },
            cardinality: 0,
        }],
        ..Dataset::default()
    };
    let text = input_features(&[known], &[0], &data).unwrap_err().to_string();
    assert!(text.contains("`price`"), "{text}");
}
