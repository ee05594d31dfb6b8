//! Networks that nobody searched for: what a table is corrected by and judged on, beside the winner.

use crate::{
    base::rng::{self, Generator},
    data::schema::Side,
    space::{SearchSpace, Subnet},
};
use rand::RngExt;
use std::collections::BTreeSet;

/// Random subnets of any operators that differ in their shapes from each other and from all `known` ones: the number of
/// features is spread evenly on a logarithmic scale from 4 to all of them. A small space may hold fewer than `count`.
pub(super) fn random_subnets(
    space: &SearchSpace,
    count: usize,
    known: &[Subnet],
    mut rng: Generator,
) -> Vec<Subnet> {
    let mut shapes: BTreeSet<Shape> = known.iter().map(|subnet| shape(space, subnet)).collect();
    let mut subnets = Vec::new();
    for attempt in 0..count * 20 {
        if subnets.len() == count {
            break;
        }
        let share = ((attempt % count) as f64 + 0.5) / count as f64;
        let subnet = random_subnet(space, share, &mut rng);
        if shapes.insert(shape(space, &subnet)) {
            subnets.push(subnet);
        }
    }
    subnets
}

/// What a latency depends on: hidden widths, and input widths of both sides. Two subnets of one shape are one
/// measurement to the table, whatever their features.
type Shape = (Vec<usize>, [u64; 2]);

fn shape(space: &SearchSpace, subnet: &Subnet) -> Shape {
    let input = subnet.input_widths(space);
    (subnet.layer_widths(), [input.user, input.item].map(f64::to_bits))
}

fn random_subnet(space: &SearchSpace, share: f64, rng: &mut Generator) -> Subnet {
    let all = space.features.len();
    let fewest = all.min(4) as f64;
    let count = (fewest * (all as f64 / fewest).powf(share)).round() as usize;
    let mut features: Vec<usize> = (0..all).collect();
    rng::shuffle(&mut features, rng);
    let count = count.clamp(1, all);
    // Without a feature of the candidate all would score alike, and nothing is computed once per user.
    let item = features.iter().position(|&i| space.features[i].kind.side() == Side::Item);
    if let Some(item) = item.filter(|&item| item >= count) {
        features.swap(0, item);
    }
    features.truncate(count);
    features.sort_unstable();
    let operators =
        space.mixops.iter().map(|operators| operators[rng.random_range(0..operators.len())]).collect();
    Subnet { features, operators }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        data::schema::{Feature, Kind},
        price::fixtures,
        space::Operator,
    };

    #[test]
    fn random_subnets_never_share_a_shape_with_a_known_one() {
        // One user and one item feature, both always chosen, and two operators: two shapes in all.
        let space = fixtures::space(&[&[16, 0]]);
        let draw = |known: &[Subnet]| random_subnets(&space, 5, known, rng::generator(1, "test"));
        let both = draw(&[]);
        assert_eq!(both.len(), 2);
        assert_ne!(both[0].layer_widths(), both[1].layer_widths());
        assert_eq!(draw(&both[..1]), both[1..]);
        assert_eq!(draw(&both), []);
    }

    #[test]
    fn subnets_of_equal_widths_have_one_shape_though_their_features_differ() {
        let features = (0..6).map(|i| fixtures::feature(&format!("f{i}"), 4)).collect();
        let space = SearchSpace::new(features, vec![vec![Operator::Mlp(8)]]).unwrap();
        // Four of six features have fifteen sets, and one shape.
        let found = random_subnets(&space, 12, &[], rng::generator(1, "test"));
        let shapes: BTreeSet<Shape> = found.iter().map(|subnet| shape(&space, subnet)).collect();
        assert_eq!(shapes.len(), found.len());
        assert_eq!(found.len(), 3);
    }

    #[test]
    fn every_random_subnet_reads_something_of_the_candidate() {
        let feature = |i: usize| {
            let kind = if i == 0 { Kind::Item } else { Kind::User };
            Feature { kind, ..fixtures::feature(&format!("f{i}"), 1 + i) }
        };
        let space = SearchSpace::new((0..30).map(feature).collect(), vec![vec![Operator::Mlp(8)]]).unwrap();
        let found = random_subnets(&space, 20, &[], rng::generator(1, "test"));
        assert_eq!(found.len(), 20);
        assert!(found.iter().all(|subnet| subnet.input_widths(&space).item == 1.0));
    }
}
