//! Choosing by lot.

use crate::base::rng::{self, Generator};
use rand::RngExt;

/// A random choice of a number of things (rows, blocks of rows), all choices equally likely, made one by one (Knuth's algorithm S):
/// each of the `left` that are still to come is chosen with probability `wanted / left`.
#[derive(Clone)]
pub(super) struct Selection {
    left: usize,
    wanted: usize,
    rng: Generator,
}

impl Selection {
    /// Chooses `wanted` of as many as are to come.
    pub(super) fn new(left: usize, wanted: usize, seed: u64, purpose: &str) -> Self {
        Self { left, wanted, rng: rng::generator(seed, purpose) }
    }

    /// How many are still to come.
    pub(super) fn left(&self) -> usize {
        self.left
    }

    /// Whether the next one is chosen.
    pub(super) fn chooses(&mut self) -> bool {
        let chosen = self.rng.random_range(0..self.left) < self.wanted;
        self.left -= 1;
        self.wanted -= usize::from(chosen);
        chosen
    }
}

/// How many of `rows` a share is: at least one.
pub(super) fn count(rows: usize, share: f64) -> usize {
    ((rows as f64 * share).round() as usize).max(1)
}
