//! What a long verb would do, how long, and with how much room: what `--dry-run` says. A verb reads and checks all that it would before
//! its first training, and then gives a [`Plan`] instead of beginning.
//!
//! Numbers of steps are those that the verb counts by itself. Times are measured on this machine where that takes seconds
//! ([`rate`]) and come from the settings otherwise; what cannot be told before is named, and the sum is then a lower bound.

pub mod rate;
mod text;

pub(in crate::app) use text::span;

use crate::measure::{
    cost,
    limits::{SystemLimits, disk_free_bytes},
};
use schemars::JsonSchema;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Version of [`Plan`].
const SCHEMA_VERSION: u32 = 1;

/// What a verb would do.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Plan {
    /// Version of this layout.
    pub schema_version: u32,
    /// The verb.
    pub verb: String,
    /// Where its results would go; absent where they are only printed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub out: Option<PathBuf>,
    /// What is there.
    pub state: OutState,
    /// What was read and found sound.
    pub read: Vec<Input>,
    /// What would be done, in that order.
    pub steps: Vec<Step>,
    /// How long that takes.
    pub time: Time,
    /// What it writes.
    pub disk: Room,
    /// What it holds at once.
    pub memory: Room,
    /// What there is to say beside that.
    pub notes: Vec<String>,
}

/// What is in the place of the results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OutState {
    /// Nothing: it would be made.
    New,
    /// Something that the results would be added to, or that they would be written over.
    Exists,
    /// An earlier start, whose finished steps would be kept.
    Resumed,
    /// All that is asked for: it would be given at once.
    Finished,
}

impl OutState {
    /// Of a file or folder that a verb writes anew.
    pub fn of(path: &Path) -> Self {
        if path.exists() { Self::Exists } else { Self::New }
    }
}

/// Something that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Input {
    /// What it is to the verb.
    pub what: String,
    /// Where it is.
    pub path: PathBuf,
    /// What was found in it.
    pub found: String,
}

/// What a step consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Trainings of a network, a supernet or trees.
    Training,
    /// Models that are measured.
    Model,
    /// Packages that are exported and proved in every engine.
    Proof,
    /// Passes of replayed requests.
    Replay,
    /// Visits to sets of features in a store.
    Visit,
    /// Rows that are written.
    Row,
    /// Whole systems: trained, exported, scored, measured.
    System,
}

/// How long something takes, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct Seconds {
    /// With as few epochs, repeats and rounds as there can be.
    pub least_s: f64,
    /// With as many as the settings allow; absent where nothing bounds it, so that the other is a lower bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub most_s: Option<f64>,
}

/// One kind of work.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Step {
    /// What is done.
    pub step: String,
    /// What is counted.
    pub unit: Unit,
    /// How many there are at least, those that are done among them.
    pub least: usize,
    /// How many at most; absent where that turns out only on the way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub most: Option<usize>,
    /// How many of them an earlier start has done.
    pub done: usize,
    /// Epochs of each training, at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<usize>,
    /// Rows of an epoch, requests of a pass, or rows of a proof.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<usize>,
    /// What the rest takes; absent where nothing tells before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<Seconds>,
}

impl Step {
    /// A step that is done so many times.
    pub fn times(step: impl Into<String>, unit: Unit, count: usize) -> Self {
        Self::between(step, unit, count, Some(count))
    }

    /// A step that is done at least and at most so often.
    pub fn between(step: impl Into<String>, unit: Unit, least: usize, most: Option<usize>) -> Self {
        Self { step: step.into(), unit, least, most, done: 0, epochs: None, rows: None, seconds: None }
    }

    /// So many of them are there already.
    pub fn done(self, done: usize) -> Self {
        Self { done, ..self }
    }

    /// What each of them reads.
    pub fn rows(self, rows: usize) -> Self {
        Self { rows: Some(rows), ..self }
    }

    /// How often each of them reads it, at most.
    pub fn epochs(self, epochs: usize) -> Self {
        Self { epochs: Some(epochs), ..self }
    }

    /// What each one takes; the sum is over what is left.
    pub fn each(self, each: Option<Seconds>) -> Self {
        let left = |count: usize| count.saturating_sub(self.done) as f64;
        let seconds = each.map(|each| Seconds {
            least_s: each.least_s * left(self.least),
            most_s: each.most_s.zip(self.most).map(|(each, most)| each * left(most)),
        });
        Self { seconds, ..self }
    }

    /// Whether anything of it is left.
    fn is_open(&self) -> bool {
        self.most.is_none_or(|most| most > self.done)
    }
}

/// How long all of it takes.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Time {
    /// Sum over the steps whose time is known, with as few of everything as there can be.
    pub least_s: f64,
    /// The same with as many as the settings allow; absent where a step has no bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub most_s: Option<f64>,
    /// Steps that nothing tells the time of: they come on top.
    pub without: Vec<String>,
    /// Where the times come from.
    pub basis: Vec<String>,
}

/// Room on the disk or in memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Room {
    /// What is needed, at least.
    pub least_bytes: u64,
    /// What is left here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free_bytes: Option<u64>,
    /// What that counts.
    pub basis: String,
}

/// What a verb finds out on its way to a plan.
#[derive(Debug, Default)]
pub struct Draft {
    /// What was read.
    pub read: Vec<Input>,
    /// What would be done.
    pub steps: Vec<Step>,
    /// Where the times come from.
    pub basis: Vec<String>,
    /// Bytes that would be written, at least, by what they are.
    pub disk: Vec<(u64, String)>,
    /// What there is to say beside that.
    pub notes: Vec<String>,
}

impl Draft {
    /// Something was read.
    pub fn has_read(&mut self, what: &str, path: impl Into<PathBuf>, found: impl Into<String>) {
        self.read.push(Input { what: what.to_owned(), path: path.into(), found: found.into() });
    }

    /// So many bytes would be written.
    pub fn writes(&mut self, bytes: u64, what: impl Into<String>) {
        self.disk.push((bytes, what.into()));
    }

    /// The plan for `verb` into `out`. Memory is what this process has taken to read and check all of it: whatever comes, that is
    /// there while it does.
    pub fn plan<'p>(mut self, verb: &str, out: impl Into<Option<&'p Path>>, state: OutState) -> Plan {
        let out = out.into();
        let folder = out.unwrap_or(Path::new("."));
        if state == OutState::Finished {
            self.steps.clear();
            self.disk = vec![(0, "nothing is left to do".to_owned())];
        }
        let limits = SystemLimits::current(folder);
        let memory = Room {
            least_bytes: cost::peak_bytes().unwrap_or_default(),
            free_bytes: limits.memory_bytes(),
            basis: "the most that this dry run has taken, with the data read and a network built".to_owned(),
        };
        let kinds: Vec<&str> = self.disk.iter().map(|(_, what)| what.as_str()).collect();
        let disk = Room {
            least_bytes: self.disk.iter().map(|(bytes, _)| bytes).sum(),
            free_bytes: disk_free_bytes(folder),
            basis: kinds.join(", "),
        };
        if let Some(free) = disk.free_bytes.filter(|&free| free < disk.least_bytes) {
            let (needed, free) = (text::bytes(disk.least_bytes), text::bytes(free));
            let problem = format!(
                "at least {needed} are needed on the disk, and {free} are free in {}",
                folder.display()
            );
            self.notes.push(format!("{problem}: name a folder on another disk with --out"));
        }
        let open = || self.steps.iter().filter(|step| step.is_open());
        let known = || open().filter_map(|step| step.seconds);
        let without: Vec<String> =
            open().filter(|step| step.seconds.is_none()).map(|step| step.step.clone()).collect();
        let time = Time {
            // A sum of nothing would be -0.0.
            least_s: known().map(|seconds| seconds.least_s).fold(0.0, |sum, least_s| sum + least_s),
            most_s: known().map(|seconds| seconds.most_s).sum::<Option<f64>>().filter(|_| without.is_empty()),
            without,
            basis: self.basis,
        };
        let Self { read, steps, notes, .. } = self;
        Plan {
            schema_version: SCHEMA_VERSION,
            verb: verb.to_owned(),
            out: out.map(Path::to_owned),
            state,
            read,
            steps,
            time,
            disk,
            memory,
            notes,
        }
    }
}

#[cfg(test)]
mod tests;
