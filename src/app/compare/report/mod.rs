//! What all stored trainings say together: means and deviations, paired tests of AutoFAS against every other system, agreement
//! between seeds, and the time that it all took.

mod against;
mod agreement;
mod stored;
mod summary;
mod text;

pub use against::Against;
pub use agreement::Agreement;
pub use summary::{OverSeeds, SoftTargets, SystemSummary, TimesSummary};

use super::{
    SCHEMA_VERSION,
    result::{Setup, Training, TrialLog},
};
use crate::{
    app::report::quality,
    base::{Error, Result, fsio},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;
use stored::Stored;

/// A comparison: `compare.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Comparison {
    /// Version of this format.
    pub schema_version: u32,
    /// What all trainings have in common.
    pub setup: Setup,
    /// r(x), which all systems that learn from a teacher are taught.
    pub soft_targets: SoftTargets,
    /// Every system at every budget, over its seeds.
    pub systems: Vec<SystemSummary>,
    /// AutoFAS against every other system, at every budget.
    pub against: Vec<Against>,
    /// How every system was tuned.
    pub trials: Vec<TrialLog>,
    /// What it took.
    pub compute: Compute,
    /// Every training.
    pub trainings: Vec<Training>,
}

/// Hours that the stored work took on the clock, on as many cores as the machine has.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Compute {
    /// Of the teachers of all seeds.
    pub teachers_h: f64,
    /// Of trials and their teachers.
    pub trials_h: f64,
    /// Of searches, choices and trainings.
    pub trainings_h: f64,
    /// Of exports, proofs, scores and replays.
    pub measurements_h: f64,
    /// Of the table of latencies, where it was probed.
    pub table_h: f64,
    /// All together.
    pub total_h: f64,
}

impl Compute {
    fn of(stored: &Stored) -> Self {
        let guides: f64 = stored.guides.values().map(|guide| guide.seconds).sum();
        let trials: f64 = stored.trials.iter().flat_map(|log| &log.trials).map(|trial| trial.seconds).sum();
        let trials = trials + stored.trial_guide_s;
        let trainings: f64 = stored.trainings.iter().map(|training| training.training_s).sum();
        let found = stored.trainings.iter().filter_map(Training::found);
        let measurements: f64 = found.map(|trained| trained.measuring_s).sum();
        let all = [guides, trials, trainings, measurements, stored.table_s].map(|seconds| seconds / 3600.0);
        let [teachers_h, trials_h, trainings_h, measurements_h, table_h] = all;
        Self { teachers_h, trials_h, trainings_h, measurements_h, table_h, total_h: all.iter().sum() }
    }
}

/// Of the picture of all systems.
pub(in crate::app) const CAPTION: &str = "AUC against latency (bars: deviation over seeds)";

/// Reports on what is stored in the folder of a comparison, and writes it as `compare.json`, `compare.md` and `compare.svg`
/// there. Trains nothing.
pub fn render(folder: &Path) -> Result<Comparison> {
    let stored = Stored::read(folder)?;
    let comparison = Comparison {
        schema_version: SCHEMA_VERSION,
        soft_targets: SoftTargets::of(&stored),
        systems: summary::of_all(&stored),
        against: against::all(folder, &stored)?,
        compute: Compute::of(&stored),
        setup: stored.setup,
        trials: stored.trials,
        trainings: stored.trainings,
    };
    fsio::write_json(&folder.join("compare.json"), &comparison)?;
    fsio::write(&folder.join("compare.md"), comparison.to_markdown().as_bytes())?;
    let picture = folder.join("compare.svg");
    let svg = quality::svg(CAPTION, &comparison.curves()).map_err(|e| Error::io(&picture, "draw", e))?;
    fsio::write(&picture, svg.as_bytes())?;
    Ok(comparison)
}
