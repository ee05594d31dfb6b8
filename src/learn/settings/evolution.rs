//! Evolution over the networks of a space.

use crate::base::check::{self, Checked};
use serde::{Deserialize, Serialize};

/// `[evolution]`: how networks are bred where several budgets are searched.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EvolutionSettings {
    /// Networks of a generation.
    pub population: usize,
    /// Generations after the first one, which is drawn at random.
    pub generations: usize,
    /// How many of the best stay and have children.
    pub parents: usize,
    /// Probability that a child draws an operator anew.
    pub mutation: f64,
}

impl Default for EvolutionSettings {
    fn default() -> Self {
        Self { population: 48, generations: 15, parents: 12, mutation: 0.2 }
    }
}

impl EvolutionSettings {
    /// The first setting outside its range.
    pub fn check(&self) -> Checked {
        check::at_least("parents", self.parents, 2)?;
        check::at_least("population", self.population, self.parents + 1)?;
        check::at_least("generations", self.generations, 1)?;
        check::share("mutation", self.mutation)
    }
}
