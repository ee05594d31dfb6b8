//! The state in the middle of a training, so that a killed one goes on instead of starting again.
//!
//! A training asks its [`Keeper`] once where it stands ([`Keeper::begin`]) and shows it its state after every step
//! ([`Keeper::keep`]); the keeper decides when to write. What it writes is everything that later steps depend on:
//! parameters, the optimiser's moments, the position in the data, sums so far, the best epoch, and the generator of
//! random draws, so that a training that went on ends with the same bytes as one that was never disturbed.

mod file;

pub use file::{Contents, Part, State, Stored, Values};

use super::exchange::Exchange;
use crate::base::{
    Error, Result,
    check::{self, Checked},
    error::Place,
    fsio, hash,
    progress::Progress,
    stop::Stop,
};
use serde::{Deserialize, Serialize};
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// `[checkpoints]`: how often a training is saved, and how many of its saved states are kept.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CheckpointSettings {
    /// Seconds between two saved states; 0 saves after every step.
    pub every_seconds: f64,
    /// Saved states of one training that are kept: the newest ones.
    pub keep: usize,
}

impl Default for CheckpointSettings {
    fn default() -> Self {
        Self { every_seconds: 60.0, keep: 2 }
    }
}

impl CheckpointSettings {
    /// The first setting outside its range.
    pub fn check(&self) -> Checked {
        check::not_negative("every_seconds", self.every_seconds)?;
        check::at_least("keep", self.keep, 1)
    }
}

/// When a training shows its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// After a step.
    Step,
    /// After an epoch and its validation.
    EpochEnd,
}

/// Of the time between two saved states, writing takes at most one part in this many (unless every step is saved).
const COST_SHARE: u32 = 20;

const ENDING: &str = "safetensors";

/// Saves one training into a folder of its own, and reads it back.
#[derive(Debug)]
pub struct Keeper {
    folder: Option<PathBuf>,
    settings: CheckpointSettings,
    stop: Stop,
    /// Tells this training from others.
    training: String,
    saved_at: Instant,
    cost: Duration,
}

impl Keeper {
    /// Saves into `folder`. When `stop` is requested, the training saves once more and ends with
    /// [`Error::Interrupted`].
    pub fn new(folder: PathBuf, settings: CheckpointSettings, stop: Stop) -> Self {
        Self { folder: Some(folder), ..Self::with(settings, stop) }
    }

    /// For a training that nobody will go on with.
    pub fn none() -> Self {
        Self::with(CheckpointSettings::default(), Stop::never())
    }

    fn with(settings: CheckpointSettings, stop: Stop) -> Self {
        let (training, saved_at, cost) = (String::new(), Instant::now(), Duration::ZERO);
        Self { folder: None, settings, stop, training, saved_at, cost }
    }

    /// The newest saved state of `training`, which is all that tells one training from another: settings, seed, sizes.
    ///
    /// An unreadable file gives way to an older one, with a word about it. No readable file, or one of another
    /// training, is an error that names it.
    pub fn begin(&mut self, training: &impl Serialize, progress: &dyn Progress) -> Result<Option<Stored>> {
        self.saved_at = Instant::now();
        let Some(folder) = self.folder.clone() else { return Ok(None) };
        self.training = hash::sha256(&serde_json::to_vec(training).expect("plain data"))[..16].to_owned();
        let wrong = |path: &Path, problem: String| file::unusable(path, Place::whole(), problem);
        let mut broken = None;
        for (_, path) in saved(&folder)?.into_iter().rev() {
            match Stored::read(&path) {
                Ok(stored) if stored.training() == self.training => {
                    progress.say(&format!("  goes on from {}", path.display()));
                    return Ok(Some(stored));
                }
                Ok(_) => return Err(wrong(&path, "the checkpoint of another training".to_owned())),
                Err(problem) => {
                    progress.say(&format!(
                        "  {} is no readable checkpoint ({problem}); looking for an older one",
                        path.display()
                    ));
                    broken.get_or_insert_with(|| wrong(&path, format!("no readable checkpoint ({problem})")));
                }
            }
        }
        broken.map_or(Ok(None), Err)
    }

    /// [`Keeper::begin`] for all ranks: rank 0's keeper reads, and the others get what it read.
    pub fn begin_together(
        &mut self,
        ranks: &dyn Exchange,
        training: &impl Serialize,
        progress: &dyn Progress,
    ) -> Result<Option<Stored>> {
        if ranks.place().size == 1 {
            return self.begin(training, progress);
        }
        if ranks.leads() {
            let stored = self.begin(training, progress)?;
            let bytes = stored.as_ref().map(|stored| fsio::read(stored.path())).transpose()?;
            ranks.broadcast(Some(bytes.unwrap_or_default()));
            return Ok(stored);
        }
        let bytes = ranks.broadcast(None);
        if bytes.is_empty() {
            return Ok(None);
        }
        let path = Path::new("rank 0's checkpoint");
        let wrong = |problem: String| Error::input(path, Place::whole(), problem, "start all ranks again");
        Stored::of(path, &bytes).map(Some).map_err(wrong)
    }

    /// Saves `contents` when it is time to, or when somebody has asked to stop; then fails in the latter case.
    pub fn keep<'c>(&mut self, moment: Moment, contents: impl FnOnce() -> Contents<'c>) -> Result<()> {
        if self.is_due(moment) || self.stop.requested() {
            self.save(&contents())?;
        }
        self.stop.check()
    }

    fn is_due(&self, moment: Moment) -> bool {
        if self.folder.is_none() {
            return false;
        }
        // What is longer than any duration is never.
        let every = Duration::try_from_secs_f64(self.settings.every_seconds).unwrap_or(Duration::MAX);
        let least = if every.is_zero() { every } else { self.cost * COST_SHARE };
        self.saved_at.elapsed()
            >= match moment {
                Moment::Step => every.max(least),
                Moment::EpochEnd => least,
            }
    }

    fn save(&mut self, contents: &Contents) -> Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let begun = Instant::now();
        let path = folder.join(format!("{:012}.{ENDING}", contents.steps()));
        contents.write(&path, &self.training)?;
        // Those of later steps are of a past that could not be read back.
        let (older, later): (Vec<_>, Vec<_>) =
            saved(folder)?.into_iter().partition(|(steps, _)| *steps <= contents.steps());
        let surplus = older.len().saturating_sub(self.settings.keep);
        for (_, path) in older[..surplus].iter().chain(&later) {
            fsio::remove(path)?;
        }
        self.cost = begun.elapsed();
        self.saved_at = Instant::now();
        Ok(())
    }

    /// Removes all saved states: the training's result is kept elsewhere.
    pub fn clear(&self) -> Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        fsio::remove_dir(folder)?;
        // The folder above holds those of other trainings, or nothing.
        if let Some(above) = folder.parent() {
            let _ = std::fs::remove_dir(above);
        }
        Ok(())
    }
}

/// The saved states of a folder by their number of steps, the oldest first.
fn saved(folder: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io(folder, "list", e)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| Error::io(folder, "list", e))?.path();
        let steps = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        if let (Some(steps), Some(ENDING)) = (steps, path.extension().and_then(|e| e.to_str())) {
            found.push((steps, path));
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests;
