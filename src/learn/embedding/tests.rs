use super::*;
use crate::{data::dataset::EncodedFeature, learn::dimensions};

/// Two rows: ids [a, s, s, s, b], numbers [x, y]; a and b share a table of width 2, s is a sequence, x and y numbers.
fn batch() -> Batch {
    Batch {
        index: vec![0, 1],
        ids: vec![1, 2, 0, 1, 0, 0, 0, 0, 0, 2],
        numbers: vec![3.0, f32::NAN, -2.0, 0.5],
        labels: vec![0.0; 2],
        weights: vec![1.0; 2],
        partitions: vec![0; 2],
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
    let embedded = bank.forward(&batch()).unwrap().to_vec2::<f32>().unwrap();
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
fn a_gate_covers_exactly_its_features_columns() {
    let bank = bank(&mut Params::new(1));
    let expansion = bank.expansion().unwrap();
    assert_eq!(dimensions(&expansion).unwrap(), (5, bank.width()));
    for (feature, row) in expansion.to_vec2::<f32>().unwrap().iter().enumerate() {
        for (column, &value) in row.iter().enumerate() {
            assert_eq!(value == 1.0, bank.columns(feature).contains(&column));
        }
    }
    // Every column belongs to one feature.
    assert_eq!(expansion.sum(0).unwrap().to_vec1::<f32>().unwrap(), [1.0; 10]);
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
