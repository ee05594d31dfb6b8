//! The experiment file: one TOML file that holds everything a run depends on.
//!
//! Three layers lie over each other, value by value: the defaults (the settings structs of the rooms that use them),
//! the file, and the command line. `tree` knows nothing but nested keys; `resolve` lays the layers over each other
//! and finds the one key that is wrong; `print` shows the result with the origin of every value; `settings` holds
//! the tables that no lower room owns. What comes out is an [`Experiment`], checked once, so that no later stage has to.

mod compare;
mod examples;
mod pareto;
mod print;
mod resolve;
mod seeds;
mod settings;
mod space;
mod tree;

pub use compare::{CompareSettings, SystemName};
pub use pareto::ParetoSettings;
pub use resolve::{Origin, Override, Resolved};
pub use seeds::{SeedSettings, Stage};
pub use settings::{DataSettings, RoundSettings, Settings, TargetSettings, TrafficSettings};
pub use space::SpaceSettings;
pub(in crate::app) use tree::differing;

use crate::{
    base::{Error, Result, fsio},
    measure::replay::{
        arrivals::Arrivals,
        make::{ListLength, Order, TraceRecipe},
    },
};
use std::path::{Path, PathBuf};

/// A validated experiment, with the paths of its file made usable from the working directory.
#[derive(Debug, Clone, PartialEq)]
pub struct Experiment {
    /// Every table of the file.
    pub settings: Settings,
    /// What the user wrote, with origins: for printing and for the run directory.
    pub resolved: Resolved,
    folder: PathBuf,
}

impl Experiment {
    /// Reads and checks an experiment file; `overrides` from the command line win.
    pub fn load(path: &Path, overrides: &[Override]) -> Result<Self> {
        Self::parse(path, &fsio::read_text(path)?, overrides)
    }

    /// Like [`Experiment::load`], for a text that is already there; `path` names it in errors.
    pub fn parse(path: &Path, text: &str, overrides: &[Override]) -> Result<Self> {
        let (settings, resolved) = resolve::resolve(path, text, overrides)?;
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        Ok(Self { settings, resolved, folder })
    }

    /// The schema file.
    pub fn schema_path(&self) -> PathBuf {
        self.located("data.schema", &self.settings.data.schema)
    }

    /// The data, unless neither file nor command line names it.
    pub fn data_path(&self) -> Option<PathBuf> {
        self.settings.data.path.as_ref().map(|path| self.located("data.path", path))
    }

    /// The data, or an error that says how to name it.
    pub fn named_data(&self) -> Result<PathBuf> {
        self.data_path().ok_or_else(|| {
            Error::usage("no data is named", "give --data FILE, or `path` in [data] of the experiment")
        })
    }

    /// The latency table that the first round pays with, when it is not to be probed.
    pub fn table_path(&self) -> Option<PathBuf> {
        self.settings.target.table.as_ref().map(|path| self.located("target.table", path))
    }

    /// Measured prices of fetching, when the schema's declared ones are not to be paid.
    pub fn fetch_prices_path(&self) -> Option<PathBuf> {
        let prices = self.settings.target.fetch_prices.as_ref();
        prices.map(|path| self.located("target.fetch_prices", path))
    }

    /// The ranking model that teaches, when it was made elsewhere.
    pub fn teacher_path(&self) -> Option<PathBuf> {
        self.settings.teacher.onnx.as_ref().map(|path| self.located("teacher.onnx", path))
    }

    /// The store that replays of a comparison fetch from.
    pub fn compared_store_path(&self) -> Option<PathBuf> {
        self.settings.compare.store.as_ref().map(|path| self.located("compare.store", path))
    }

    /// The same experiment with changed settings, which are not checked again.
    pub fn changed(&self, change: impl FnOnce(&mut Settings)) -> Self {
        let mut changed = self.clone();
        change(&mut changed.settings);
        changed.resolved.tree = resolve::document_of(&changed.settings);
        changed
    }

    /// The same experiment with values that win over all others, which were written in `file`.
    pub fn with(&self, file: &Path, overrides: &[Override]) -> Result<Self> {
        let (settings, resolved) = resolve::overridden(&self.resolved, file, overrides)?;
        Ok(Self { settings, resolved, folder: self.folder.clone() })
    }

    /// The trace that `[traffic]` describes.
    pub fn trace_recipe(&self) -> TraceRecipe {
        let traffic = &self.settings.traffic;
        let arrivals = match &traffic.arrivals {
            None => Arrivals::Poisson { qps: traffic.qps },
            Some(path) => Arrivals::Recorded {
                file: self.located("traffic.arrivals", path),
                time_column: traffic.time_column.clone(),
                candidates_column: None,
            },
        };
        TraceRecipe {
            arrivals,
            requests: traffic.requests,
            order: Order::Sampled,
            length: ListLength::Fixed(traffic.candidates),
            seed: self.settings.seeds.of(Stage::Traffic),
        }
    }

    /// Paths in the file count from the file's folder, those of the command line from the working directory.
    fn located(&self, key: &str, path: &Path) -> PathBuf {
        match self.resolved.origin(key) {
            Origin::CommandLine => path.to_owned(),
            Origin::File | Origin::Default => self.folder.join(path),
        }
    }
}

#[cfg(test)]
mod tests;
