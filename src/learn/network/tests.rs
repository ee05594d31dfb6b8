use super::*;
use crate::data::{
    dataset::{EncodedFeature, Slot},
    ids::Ids,
};

/// An id of the user and a number of the item, both one wide.
fn inputs() -> Vec<NetworkInput> {
    let input =
        |feature: &str, side, embedding| NetworkInput { feature: feature.into(), side, width: 1, embedding };
    vec![
        input("p", Side::User, Embedding::Table { rows: vec![0.0, 1.0, 2.0] }),
        input("q", Side::Item, Embedding::Number { scale: vec![1.0], missing: vec![3.0] }),
    ]
}

/// p = 2 with q = 1.5, and p = 1 with q missing.
fn data() -> Dataset {
    let feature = |name: &str, slot, cardinality| EncodedFeature { name: name.into(), slot, cardinality };
    Dataset {
        features: vec![
            feature("p", Slot::Ids { start: 0, length: 1 }, 3),
            feature("q", Slot::Number { index: 0 }, 0),
        ],
        ids: Ids::from_rows(1, &[2, 1]),
        number_slots: 1,
        numbers: vec![1.5, f32::NAN].into(),
        labels: vec![0.0, 1.0].into(),
        ..Dataset::default()
    }
}

fn dense(inputs: usize, weight: &[f32], bias: &[f32]) -> Dense {
    Dense { inputs, outputs: bias.len(), weight: weight.to_vec(), bias: bias.to_vec() }
}

fn two_tower() -> Network {
    let user = vec![dense(1, &[1.0, -1.0], &[0.5, 0.25]), dense(2, &[1.0, 2.0, 3.0, 4.0], &[0.5, -1.0])];
    let item = vec![dense(1, &[2.0, -1.0], &[0.0, 1.0])];
    Network { inputs: inputs(), body: Body::TwoTower(TwoTower { user, item, bias: -6.0 }) }
}

fn partitioned() -> Network {
    let shared = vec![dense(2, &[1.0, 2.0, 1.0, -1.0], &[0.0, 0.0])];
    let heads = vec![vec![dense(2, &[1.0, 0.0], &[-3.0])], vec![dense(2, &[0.0, 1.0], &[-2.0])]];
    let partition_of = vec![0, 1, 0];
    Network {
        inputs: inputs(),
        body: Body::Partitioned(Partitioned { input: 0, partition_of, shared, heads }),
    }
}

fn assert_logits(network: &Network, wanted: [f32; 2]) {
    let found = network.score(&data(), &[0, 1]).unwrap();
    assert_eq!(found.len(), wanted.len());
    for (found, wanted) in found.iter().zip(wanted) {
        assert!((found - sigmoid(wanted)).abs() < 1e-7, "{found}, and not σ({wanted})");
    }
}

#[test]
fn two_towers_score_the_product_of_their_vectors() {
    // Row 0: user 2 → (2.5, −1.75) → (2.5, 0) → (3, 4); item 1.5 → (3, −0.5); 9 − 2 − 6.
    // Row 1: user 1 → (1.5, −0.75) → (1.5, 0) → (2, 2); item 3 → (6, −2); 12 − 4 − 6.
    assert_logits(&two_tower(), [1.0, 2.0]);
}

#[test]
fn a_row_goes_through_the_head_of_the_partition_that_its_id_tells() {
    // Row 0: (2 + 1.5, 4 − 1.5) through the first head: 3.5 − 3.
    // Row 1: (1 + 3, 2 − 3) → (4, 0) through the second: 0 − 2.
    assert_logits(&partitioned(), [0.5, -2.0]);
}

#[test]
fn parameters_and_multiply_adds_are_those_of_one_candidate() {
    // 3 + 2 of the embeddings; layers of 2 + 2, 4 + 2 and 2 + 2; the bias.
    let network = two_tower();
    assert_eq!((network.parameters(), network.multiply_adds()), (5 + 4 + 6 + 4 + 1, 2 + 4 + 2 + 2));
    // Both heads are there, and a candidate goes through one.
    let network = partitioned();
    assert_eq!((network.parameters(), network.multiply_adds()), (5 + 6 + 2 * 3, 4 + 2));
}

#[test]
fn what_is_for_plain_networks_refuses_others_by_name_with_a_fix() {
    for (network, name) in [(two_tower(), "two-tower"), (partitioned(), "head per partition")] {
        for (purpose, what, fix) in [
            (PlainOnly::Integers, "int8", "fp32"),
            (PlainOnly::ItemTable, "item table", "user-once"),
            (PlainOnly::Retraining, "again", "from the start"),
        ] {
            let text = network.mlp(purpose).unwrap_err().to_string();
            assert!([name, what, fix].iter().all(|part| text.contains(part)), "{text}");
        }
    }
}
