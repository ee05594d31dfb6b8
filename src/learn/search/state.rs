//! Where a warm-up or a search stands, and everything that the rest of it depends on: what its checkpoints hold.

use super::{Scene, Search, SearchEpoch, multiplier::Ascent};
use crate::{
    base::{Result, progress::Progress},
    learn::{
        checkpoint::{Contents, Keeper, Stored},
        optimizer::AdamW,
    },
};
use serde::{Deserialize, Serialize};

/// Where a warm-up or a search stands.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Position {
    /// The present epoch, from 1.
    pub(super) epoch: usize,
    /// Batches of it that have been trained on.
    pub(super) batch: usize,
    /// Steps of the phase.
    pub(super) done: u64,
    /// Sum of Loss1 over the epoch.
    pub(super) sum1: f64,
    /// Sum of Loss2 over the epoch.
    pub(super) sum2: f64,
    /// The factor on λ and λ2 under a budget.
    pub(super) ascent: Ascent,
    /// The share of λ and λ2 that the last step paid.
    pub(super) share: f64,
    /// The epochs before it.
    pub(super) epochs: Vec<SearchEpoch>,
}

impl Position {
    pub(super) fn start() -> Self {
        Self {
            epoch: 1,
            batch: 0,
            done: 0,
            sum1: 0.0,
            sum2: 0.0,
            ascent: Ascent::default(),
            share: 0.0,
            epochs: Vec::new(),
        }
    }

    pub(super) fn passed(&mut self, loss1: f64, loss2: f64, share: f64) {
        self.batch += 1;
        self.done += 1;
        self.sum1 += loss1;
        self.sum2 += loss2;
        self.share = share;
    }

    pub(super) fn next_epoch(&mut self) {
        (self.epoch, self.batch, self.sum1, self.sum2) = (self.epoch + 1, 0, 0.0, 0.0);
    }
}

impl Search<'_> {
    /// Where the phase stands, with everything gone back to if `keeper` has saved it. `phase` is its name, and the bits of its
    /// price and budget.
    pub(super) fn begin(
        &mut self,
        phase: (&str, (u64, Option<u64>)),
        optimizer: &mut AdamW,
        progress: &dyn Progress,
        keeper: &mut Keeper,
    ) -> Result<Position> {
        let Scene { rows, held_out, settings, seed, .. } = self.scene;
        let sizes = (rows.data.rows(), rows.split.train.len(), held_out.map(<[u32]>::len));
        let search = (phase, settings, seed, sizes, self.params.shapes());
        match keeper.begin_together(rows.ranks, &search, progress)? {
            Some(stored) => self.resume(&stored, optimizer),
            None => Ok(Position::start()),
        }
    }

    /// Everything that the rest of a phase depends on.
    pub(super) fn contents<'s>(&self, at: &Position, optimizer: &'s mut AdamW) -> Contents<'s> {
        Contents::at(at.done, &(at, &self.masks_rng, &self.paths_rng, &self.seen))
            .with("parameters", self.params.state())
            .with("optimizer", optimizer.state())
    }

    /// Goes back to what [`Search::contents`] gave.
    fn resume(&mut self, stored: &Stored, optimizer: &mut AdamW) -> Result<Position> {
        let (at, masks_rng, paths_rng, seen) = stored.position()?;
        (self.masks_rng, self.paths_rng, self.seen) = (masks_rng, paths_rng, seen);
        self.params.resume(&stored.part("parameters"))?;
        optimizer.resume(&stored.part("optimizer"))?;
        Ok(at)
    }
}
