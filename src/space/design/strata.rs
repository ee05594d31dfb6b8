//! Random networks that are spread evenly over depths, widths and numbers of features: to judge a table by.

use super::{random_features, shape};
use crate::{
    base::rng::{self, Generator},
    space::{Operator, SearchSpace, Subnet},
};
use rand::RngExt;
use std::collections::BTreeSet;

/// Like [`random_subnets`](super::random_subnets), with depths and widths spread evenly too, and none that `known` knows: every
/// number of hidden layers comes as often, but for networks without any, which are one in sixteen.
pub fn stratified_subnets(
    space: &SearchSpace,
    count: usize,
    known: impl Fn(&Subnet) -> bool,
    mut rng: Generator,
) -> Vec<Subnet> {
    let mut shapes = BTreeSet::new();
    let draw = |attempt: usize| {
        let [of_features, of_width] = PLASTIC.map(|step| (attempt as f64 * step).fract());
        let features = random_features(space, of_features, &mut rng);
        // All widths of a network lie around one level.
        let share = |rng: &mut Generator| (of_width + rng.random_range(-UNEVEN..UNEVEN)).clamp(0.0, 1.0);
        Subnet { features, operators: operators(space, attempt, share, &mut rng) }
    };
    let mut accept = |subnet: &Subnet| shapes.insert(shape(space, subnet)) && !known(subnet);
    (0..count * 20).map(draw).filter(|subnet| accept(subnet)).take(count).collect()
}

/// Steps of an additive sequence that covers the unit square evenly, however long it gets: 1/ρ and 1/ρ² of the plastic number ρ
/// (Roberts, "The unreasonable effectiveness of quasirandom sequences", 2018).
const PLASTIC: [f64; 2] = [0.754_877_666_246_692_7, 0.569_840_290_998_053_3];
/// One network without hidden layers among so many, where the space has it.
const SHALLOW: usize = 16;
/// How far a layer's width lies from those of the others in its network, as a share of the operators that there are.
const UNEVEN: f64 = 0.35;

/// Operators of the network whose `turn` it is: depths take turns, and each layer's width lies at a `share` (0 to 1) of those that its
/// Mixop offers.
pub(super) fn operators(
    space: &SearchSpace,
    turn: usize,
    mut share: impl FnMut(&mut Generator) -> f64,
    rng: &mut Generator,
) -> Vec<Operator> {
    let skipped = skipped(space, turn, rng);
    let mut operator = |i: usize| {
        let mut layers: Vec<Operator> = space.mixops[i].clone();
        layers.retain(|operator| operator.width().is_some());
        layers.sort_unstable();
        let place = ((share(rng) * layers.len() as f64) as usize).min(layers.len().saturating_sub(1));
        if skipped.contains(&i) {
            Operator::Zero
        } else {
            layers.get(place).copied().unwrap_or(Operator::Zero)
        }
    };
    (0..space.mixops.len()).map(&mut operator).collect()
}

/// Mixops that the network whose `turn` it is skips.
fn skipped(space: &SearchSpace, turn: usize, rng: &mut Generator) -> BTreeSet<usize> {
    let depth = space.mixops.len();
    let mut skippable: Vec<usize> =
        (0..depth).filter(|&i| space.mixops[i].contains(&Operator::Zero)).collect();
    rng::shuffle(&mut skippable, rng);
    // Mixops of nothing but the zero operator are among those that are skipped anyway.
    let deepest =
        space.mixops.iter().filter(|operators| operators.iter().any(|o| o.width().is_some())).count();
    let shallowest = depth - skippable.len();
    let least = shallowest.max(1).min(deepest);
    let hidden = match turn % SHALLOW {
        0 => shallowest,
        _ => least + turn % (deepest + 1 - least),
    };
    skippable.into_iter().take(depth - hidden).collect()
}
