//! `[seeds]`: where randomness starts, one seed per stage of the loop. Within a stage, [`crate::base::rng`] gives weights,
//! batches, masks and dropout a stream each.

use serde::{Deserialize, Serialize};

/// A part of the loop with a seed of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Which rows are trained on.
    Split,
    /// The teacher's weights, batches and dropout.
    Teacher,
    /// The supernet's weights, batches and masks.
    Search,
    /// Weights, batches and dropout of networks that a search finds.
    Retrain,
    /// The plain DNN's.
    Baseline,
    /// Requests and arrivals.
    Traffic,
    /// The inputs of probes.
    Probe,
    /// Which diverse and held-out subnets are replayed.
    Rounds,
}

/// `[seeds]`: one for all, and one for each stage that shall differ.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SeedSettings {
    /// For every stage without its own.
    pub base: u32,
    /// See [`Stage::Split`].
    pub split: Option<u32>,
    /// See [`Stage::Teacher`].
    pub teacher: Option<u32>,
    /// See [`Stage::Search`].
    pub search: Option<u32>,
    /// See [`Stage::Retrain`].
    pub retrain: Option<u32>,
    /// See [`Stage::Baseline`].
    pub baseline: Option<u32>,
    /// See [`Stage::Traffic`].
    pub traffic: Option<u32>,
    /// See [`Stage::Probe`].
    pub probe: Option<u32>,
    /// See [`Stage::Rounds`].
    pub rounds: Option<u32>,
}

impl SeedSettings {
    /// The seed of a stage.
    pub fn of(&self, stage: Stage) -> u64 {
        let own = match stage {
            Stage::Split => self.split,
            Stage::Teacher => self.teacher,
            Stage::Search => self.search,
            Stage::Retrain => self.retrain,
            Stage::Baseline => self.baseline,
            Stage::Traffic => self.traffic,
            Stage::Probe => self.probe,
            Stage::Rounds => self.rounds,
        };
        own.unwrap_or(self.base).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_takes_its_own_seed_before_the_base() {
        let seeds = SeedSettings { base: 7, teacher: Some(3), ..Default::default() };
        assert_eq!((seeds.of(Stage::Teacher), seeds.of(Stage::Search)), (3, 7));
    }
}
