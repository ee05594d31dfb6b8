use super::*;
use crate::{
    data::{
        dataset::{Dataset, EncodedFeature, Slot},
        ids::Ids,
        schema::Side,
    },
    learn::network::{Body, Embedding, Network, NetworkInput},
};

fn split(input: u32, threshold: f32, missing: Branch, other: u32) -> Node {
    Node::Split { input, threshold, missing, other }
}

fn leaf(value: f32) -> Node {
    Node::Leaf { value }
}

/// Two trees over two inputs. The first asks the first below 0.5, then the second below 2 (missing goes on); the other asks
/// the second below −1 (missing goes below).
fn two_trees() -> Forest {
    Forest {
        base_score: 0.5,
        roots: vec![0, 5],
        nodes: vec![
            split(0, 0.5, Branch::Other, 4),
            split(1, 2.0, Branch::Other, 3),
            leaf(1.0),
            leaf(2.0),
            leaf(4.0),
            split(1, -1.0, Branch::Below, 7),
            leaf(8.0),
            leaf(16.0),
        ],
        gains: vec![3.0, 4.0],
    }
}

fn input(feature: &str, embedding: Embedding) -> NetworkInput {
    NetworkInput { feature: feature.into(), side: Side::User, width: 1, embedding }
}

/// The trees over an id and a number.
fn network() -> Network {
    let number = Embedding::Number { scale: vec![1.0], missing: vec![f32::NAN] };
    Network {
        inputs: vec![input("user", Embedding::Table { rows: vec![0.25, 0.5, 0.75] }), input("price", number)],
        body: Body::Forest(two_trees()),
    }
}

/// User 1 without a price; user 0 with the price 2.
fn data() -> Dataset {
    let feature = |name: &str, slot, cardinality| EncodedFeature { name: name.into(), slot, cardinality };
    Dataset {
        features: vec![
            feature("user", Slot::Ids { start: 0, length: 1 }, 3),
            feature("price", Slot::Number { index: 0 }, 0),
        ],
        ids: Ids::from_rows(1, &[1, 0]),
        number_slots: 1,
        numbers: vec![f32::NAN, 2.0].into(),
        labels: vec![0.0, 1.0].into(),
        ..Dataset::default()
    }
}

#[test]
fn every_leaf_of_two_trees_is_reached_as_worked_out_by_hand() {
    let nan = f32::NAN;
    for (x, expected) in [
        ([0.25, 1.0], 0.5 + 1.0 + 16.0),
        ([0.25, -2.0], 0.5 + 1.0 + 8.0),
        ([0.25, 2.0], 0.5 + 2.0 + 16.0),
        ([0.25, nan], 0.5 + 2.0 + 8.0),
        // At a threshold is not below it.
        ([0.5, -1.0], 0.5 + 4.0 + 16.0),
        ([0.5, nan], 0.5 + 4.0 + 8.0),
        ([nan, -1.5], 0.5 + 4.0 + 8.0),
    ] {
        assert_eq!(two_trees().log_odds(&x), expected, "{x:?}");
    }
}

#[test]
fn a_network_of_trees_scores_rows_by_the_numbers_of_their_values() {
    let network = network();
    let sigmoid = |x: f32| 1.0 / (1.0 + (-x).exp());
    assert_eq!(network.score(&data(), &[1, 0]).unwrap(), [sigmoid(18.5), sigmoid(12.5)]);
    assert_eq!((network.parameters(), network.multiply_adds()), (1 + 8 + 3, 0));
    let lacking = Dataset { features: Vec::new(), ..data() };
    assert!(network.score(&lacking, &[0]).unwrap_err().to_string().contains("`user`"));
}

#[test]
fn what_is_no_tree_is_refused() {
    two_trees().check(2).unwrap();
    let broken = |change: fn(&mut Forest)| {
        let mut forest = two_trees();
        change(&mut forest);
        forest.check(2).unwrap_err()
    };
    for change in [
        (|forest| forest.nodes.truncate(7)) as fn(&mut Forest),
        |forest| forest.nodes[0] = split(0, 0.5, Branch::Other, 3),
        |forest| forest.nodes[0] = split(0, 0.5, Branch::Other, 40),
        |forest| forest.nodes[5] = split(2, 0.5, Branch::Other, 7),
        |forest| forest.nodes[5] = split(1, f32::NAN, Branch::Other, 7),
        |forest| forest.nodes[5] = leaf(1.0),
        |forest| forest.nodes.push(leaf(1.0)),
    ] {
        assert!(broken(change).contains("is not whole"), "{}", broken(change));
    }
    for roots in [vec![], vec![1, 5], vec![0, 5, 5], vec![0, 8]] {
        let forest = Forest { roots, ..two_trees() };
        assert!(forest.check(2).unwrap_err().contains("begin at nodes of their own"));
    }
    assert!(broken(|forest| forest.gains.clear()).contains("one gain"));
}

#[test]
fn a_list_is_the_exact_mean_of_what_it_holds_and_missing_when_it_is_empty() {
    let rows = vec![9.0, 1.0 / 4096.0, 3.0 / 4096.0, 4095.0 / 4096.0];
    let tags = input("tags", Embedding::Pooled { rows, length: 3 });
    let data = Dataset { ids: Ids::from_rows(3, &[1, 2, 3, 0, 3, 0, 0, 0, 0]), ..Dataset::default() };
    let of = |row| tags.value(&data, row, Slot::Ids { start: 0, length: 3 });
    assert_eq!((of(0), of(1)), (4099.0 / 4096.0 / 3.0, 4095.0 / 4096.0));
    assert!(of(2).is_nan());
}
