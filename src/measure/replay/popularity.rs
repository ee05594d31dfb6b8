//! Draws items without replacement, each with probability proportional to how often the log shows it.
//!
//! The counts stand in a binary sum tree: a draw walks from the root to a leaf, and taking an item out corrects the
//! sums above it, so n draws out of M items cost O(n log M) and are exact however much mass the popular items hold.

use crate::base::rng::Generator;
use rand::RngExt;

/// Items by their counts.
#[derive(Debug, Clone)]
pub struct Popularity {
    /// A complete binary tree: node i has the children 2i and 2i + 1, and the leaves start at `leaves`.
    sums: Vec<u64>,
    leaves: usize,
}

impl Popularity {
    /// Item `i` has weight `counts[i]`.
    pub fn new(counts: &[u64]) -> Self {
        let leaves = counts.len().next_power_of_two();
        let mut sums = vec![0; 2 * leaves];
        sums[leaves..leaves + counts.len()].copy_from_slice(counts);
        for node in (1..leaves).rev() {
            sums[node] = sums[2 * node] + sums[2 * node + 1];
        }
        Self { sums, leaves }
    }

    /// Appends draws to `list` until it holds `wanted` items or none is left. Items that `list` holds already are not
    /// drawn again.
    pub fn extend(&mut self, list: &mut Vec<usize>, wanted: usize, rng: &mut Generator) {
        let mut taken: Vec<(usize, u64)> = list.iter().map(|&item| (item, self.take(item))).collect();
        while list.len() < wanted && self.sums[1] > 0 {
            let item = self.find(rng.random_range(0..self.sums[1]));
            taken.push((item, self.take(item)));
            list.push(item);
        }
        for (item, weight) in taken {
            self.add(item, weight);
        }
    }

    /// The item in whose share of the total `point` lies.
    fn find(&self, mut point: u64) -> usize {
        let mut node = 1;
        while node < self.leaves {
            node *= 2;
            if point >= self.sums[node] {
                point -= self.sums[node];
                node += 1;
            }
        }
        node - self.leaves
    }

    fn take(&mut self, item: usize) -> u64 {
        let weight = self.sums[self.leaves + item];
        let mut node = self.leaves + item;
        while node > 0 {
            self.sums[node] -= weight;
            node /= 2;
        }
        weight
    }

    fn add(&mut self, item: usize, weight: u64) {
        let mut node = self.leaves + item;
        while node > 0 {
            self.sums[node] += weight;
            node /= 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng;

    #[test]
    fn all_items_come_once_when_all_are_wanted_and_the_tree_is_as_before() {
        let mut popularity = Popularity::new(&[5, 1, 1000, 3, 2]);
        let before = popularity.sums.clone();
        let mut list = vec![3];
        popularity.extend(&mut list, 99, &mut rng::generator(1, "test"));
        assert_eq!(list[0], 3);
        list.sort_unstable();
        assert_eq!(list, [0, 1, 2, 3, 4]);
        assert_eq!(popularity.sums, before);
    }

    #[test]
    fn draws_follow_the_counts_and_the_second_draw_the_rest() {
        let mut popularity = Popularity::new(&[5, 3, 2]);
        let mut rng = rng::generator(2, "test");
        let (mut first, mut second) = ([0.0; 3], [0.0; 3]);
        let draws = 40_000;
        for _ in 0..draws {
            let mut list = Vec::new();
            popularity.extend(&mut list, 2, &mut rng);
            first[list[0]] += 1.0 / f64::from(draws);
            second[list[1]] += 1.0 / f64::from(draws);
        }
        // Second draw of item 2: after 0, 0.5·2/5; after 1, 0.3·2/7.
        let expected = 0.5 * 2.0 / 5.0 + 0.3 * 2.0 / 7.0;
        for (found, expected) in [(first[0], 0.5), (first[1], 0.3), (first[2], 0.2), (second[2], expected)] {
            assert!((found - expected).abs() < 0.012, "{found} for {expected}");
        }
    }
}
