//! Which networks to measure so that a table learns most: random ones, and random ones that cover every layer.

mod strata;

pub use strata::stratified_subnets;

use super::{Input, Operator, SearchSpace, Subnet};
use crate::{
    base::rng::{self, Generator},
    data::schema::Side,
};
use rand::RngExt;
use std::collections::{BTreeMap, BTreeSet};

/// Networks that are drawn for one place of a covering design.
const DRAWS: usize = 48;

/// Random subnets of any operators that differ in their shapes from each other and from all `known` ones: the number of
/// features is spread evenly on a logarithmic scale from 4 to all of them. A small space may hold fewer than `count`.
pub fn random_subnets(
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

/// `count` random subnets as [`random_subnets`] draws them, such that every layer of the space is in at least `times` of
/// them where that many networks can hold it: more than `count` where it takes more. Each is the one of several random
/// ones that has most layers which are still wanted.
pub fn covering_subnets(
    space: &SearchSpace,
    count: usize,
    times: usize,
    known: &[Subnet],
    mut rng: Generator,
) -> Vec<Subnet> {
    let mut shapes: BTreeSet<Shape> = known.iter().map(|subnet| shape(space, subnet)).collect();
    let mut wanted: BTreeMap<Edge, usize> = edges(space).into_iter().map(|edge| (edge, times)).collect();
    let mut subnets: Vec<Subnet> = Vec::new();
    let mut in_vain = 0;
    while (subnets.len() < count || wanted.values().any(|&times| times > 0)) && in_vain < DRAWS {
        let shares = 0..DRAWS;
        let drawn = shares.map(|at| random_subnet(space, (at as f64 + 0.5) / DRAWS as f64, &mut rng));
        let new: Vec<Subnet> = drawn.filter(|subnet| !shapes.contains(&shape(space, subnet))).collect();
        let gain = |subnet: &Subnet| {
            let held: BTreeSet<Edge> = edges_of(&subnet.layer_widths()).collect();
            held.iter().map(|edge| wanted.get(edge).copied().unwrap_or(0)).sum::<usize>()
        };
        let most = new.iter().map(&gain).max().unwrap_or(0);
        // Of the best ones any: always the first would always have few features.
        let best: Vec<&Subnet> = new.iter().filter(|subnet| gain(subnet) == most).collect();
        if best.is_empty() || (most == 0 && subnets.len() >= count) {
            in_vain += 1;
            continue;
        }
        let chosen = best[rng.random_range(0..best.len())].clone();
        for edge in edges_of(&chosen.layer_widths()).collect::<BTreeSet<_>>() {
            wanted.entry(edge).and_modify(|times| *times = times.saturating_sub(1));
        }
        shapes.insert(shape(space, &chosen));
        subnets.push(chosen);
    }
    subnets
}

/// A layer by the widths before and behind it: none before the first, 1 behind the output node.
pub type Edge = (Option<usize>, usize);

/// The layers of a network with these hidden widths.
pub fn edges_of(widths: &[usize]) -> impl Iterator<Item = Edge> + '_ {
    let from = std::iter::once(None).chain(widths.iter().copied().map(Some));
    from.zip(widths.iter().copied().chain(std::iter::once(1)))
}

/// Every layer that a network of the space can have, in ascending order.
pub fn edges(space: &SearchSpace) -> BTreeSet<Edge> {
    let depth = space.mixops.len();
    let skippable =
        |mut range: std::ops::Range<usize>| range.all(|i| space.mixops[i].contains(&Operator::Zero));
    let widths = |i: usize| space.mixops[i].iter().filter_map(|operator: &Operator| operator.width());
    let mut found = BTreeSet::new();
    // `from` stands before Mixop `next`; it reaches every Mixop behind it that only zero operators separate it from.
    let mut reach = |from: Option<usize>, next: usize| {
        for to in next..depth {
            if skippable(next..to) {
                found.extend(widths(to).map(|width| (from, width)));
            }
        }
        if skippable(next..depth) {
            found.insert((from, 1));
        }
    };
    reach(None, 0);
    for i in 0..depth {
        widths(i).for_each(|width| reach(Some(width), i + 1));
    }
    found
}

/// What a latency depends on: hidden widths, and the input. Two subnets of one shape are one measurement to the table,
/// whatever their features.
type Shape = (Vec<usize>, Vec<u64>);

fn shape(space: &SearchSpace, subnet: &Subnet) -> Shape {
    let Input { widths, load } = subnet.input(space);
    let input = [widths.user, widths.item].into_iter().chain(load.array());
    (subnet.layer_widths(), input.map(f64::to_bits).collect())
}

/// A random subnet with features between 4 (`share` 0) and all (1). Its depth is drawn first, since operators that are drawn one by
/// one hardly ever leave a network of one layer: the least is one in sixteen, and beside those every depth with hidden layers comes as
/// often (`strata.rs`). Each layer has any width.
fn random_subnet(space: &SearchSpace, share: f64, rng: &mut Generator) -> Subnet {
    let features = random_features(space, share, rng);
    let turn = rng.random_range(0..usize::MAX);
    Subnet { features, operators: strata::operators(space, turn, |rng| rng.random(), rng) }
}

/// Random features, ascending: between 4 (`share` 0) and all that may be chosen (1), one of the candidate's among them. Those
/// marked `must_keep` are always there, those marked `never` are not.
pub fn random_features(space: &SearchSpace, share: f64, rng: &mut Generator) -> Vec<usize> {
    let of = |i: &usize| &space.features[*i];
    let mut features: Vec<usize> = (0..space.features.len()).filter(|i| !of(i).never).collect();
    let all = features.len();
    let fewest = all.min(4) as f64;
    let count = (fewest * (all as f64 / fewest).powf(share)).round() as usize;
    rng::shuffle(&mut features, rng);
    features.sort_by_key(|i| !of(i).must_keep);
    let kept = features.iter().filter(|i| of(i).must_keep).count();
    let mut count = count.min(all).max(kept).max(1);
    // Without a feature of the candidate all would score alike, and nothing is computed once per user.
    let item = features.iter().position(|i| of(i).kind.side() == Side::Item);
    if let Some(item) = item.filter(|&item| item >= count) {
        // What must be kept stays.
        count = count.max(kept + 1);
        features.swap(kept, item);
    }
    features.truncate(count);
    features.sort_unstable();
    features
}

#[cfg(test)]
mod tests;
