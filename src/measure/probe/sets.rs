//! Sets of a space's features that first layers are probed over: the grid of input widths, and others that tell apart what
//! inputs are made of.

use crate::{
    base::{
        names::Layout,
        rng::{self, Generator},
    },
    data::schema::Side,
    space::{Group, SearchSpace, design::random_features},
};
use std::collections::BTreeSet;

/// Random sets of features beside the grid and the groups.
const RANDOM_SETS: usize = 12;

/// The features of a request's side, such that every beginning of the list holds each group in about its share; the narrowest comes
/// first, for the least input that a network can have.
pub(super) fn in_proportion(space: &SearchSpace, side: Side, rng: &mut Generator) -> Vec<usize> {
    let mut here: Vec<usize> =
        (0..space.features.len()).filter(|&i| space.side_in_request(i) == Some(side)).collect();
    rng::shuffle(&mut here, rng);
    let group = |i: usize| Group::of(&space.features[i]);
    let place = |i: usize| {
        let members: Vec<usize> = here.iter().copied().filter(|&other| group(other) == group(i)).collect();
        let at = members.iter().position(|&member| member == i).unwrap_or(0);
        (at as f64 + 0.5) / members.len() as f64
    };
    let mut placed: Vec<(f64, usize)> = here.iter().map(|&i| (place(i), i)).collect();
    placed.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut order: Vec<usize> = placed.into_iter().map(|(_, i)| i).collect();
    if let Some(narrowest) = (0..order.len()).min_by_key(|&at| space.features[order[at]].width) {
        let narrowest = order.remove(narrowest);
        order.insert(0, narrowest);
    }
    order
}

/// Sets of features whose widths form a grid: beginnings of both sides' lists, from the fewest features that a network can
/// have to all.
pub(super) fn grid(space: &SearchSpace, [users, items]: &[Vec<usize>; 2], layout: Layout) -> Vec<Vec<usize>> {
    let beginnings = |order: &[usize], least: usize, shares: &[f64]| -> BTreeSet<usize> {
        let width = |count: usize| order[..count].iter().map(|&i| space.features[i].width).sum::<usize>();
        let reaches = |share: f64| {
            let wanted = share * width(order.len()) as f64;
            (0..order.len()).find(|&count| width(count) as f64 >= wanted).unwrap_or(order.len())
        };
        let counts = shares.iter().map(|&share| reaches(share).max(least));
        counts.chain([least, order.len()]).map(|count| count.min(order.len())).collect()
    };
    // One row of the user's side costs little, and grows evenly with its width.
    let user_shares: &[f64] = match layout {
        Layout::Concat => &[0.25, 0.5],
        _ => &[0.5],
    };
    // Rows tell candidates apart that have nothing else.
    let least = usize::from(layout.rows().is_none());
    let mut points = Vec::new();
    for user in beginnings(users, 0, user_shares) {
        for item in beginnings(items, least, &[0.25, 0.5]) {
            let mut features = [&users[..user], &items[..item]].concat();
            features.sort_unstable();
            points.push(features);
        }
    }
    points
}

/// Sets that are no points of the grid: of every group of a side its features alone, and one of them; and random sets.
pub(super) fn other_sets(
    space: &SearchSpace,
    sides: &[Vec<usize>; 2],
    grid: &[Vec<usize>],
    rng: &mut Generator,
) -> Vec<Vec<usize>> {
    let mut sets: Vec<Vec<usize>> = Vec::new();
    let mut add = |mut set: Vec<usize>| {
        set.sort_unstable();
        let input = |set: &Vec<usize>| space.input(|i| f64::from(u8::from(set.binary_search(&i).is_ok())));
        if !grid.iter().chain(&sets).any(|known| input(known) == input(&set)) {
            sets.push(set);
        }
    };
    for (side, other) in [(&sides[0], &sides[1]), (&sides[1], &sides[0])] {
        let groups: BTreeSet<Group> = side.iter().map(|&i| Group::of(&space.features[i])).collect();
        for group in groups {
            let members: Vec<usize> =
                side.iter().copied().filter(|&i| Group::of(&space.features[i]) == group).collect();
            for own in [&members[..], &members[..1]] {
                add([own, &other[..other.len().div_ceil(2)]].concat());
            }
        }
    }
    (0..RANDOM_SETS).for_each(|at| add(random_features(space, (at as f64 + 0.5) / RANDOM_SETS as f64, rng)));
    sets
}
