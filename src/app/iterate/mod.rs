//! The main job: search → derive → retrain → export → prove → measure → calibrate, round after round. Each round pays
//! with the latency table that the one before it corrected.
//!
//! [`iterate`] reads as the pipeline. Every step is a file of its own, and every step's result is kept in the run
//! directory by the `journal`, so a run that was killed goes on where it stopped.
//!
//! ```text
//! RUN/  config.toml  data.json  schema.json  encoders.json  environment.json  paths.json
//!       teacher/     weights and metrics of every teacher
//!       networks/ID/ network.safetensors  fit.json  parity.json  model.onnx and its companions
//!       tables/      v1.json, v2.json, …: probes, then one correction per round
//!       rounds/N/    search.json  subnet.json  measured/ENGINE.json  residuals.json
//!       replay/      one result and one .hlog per network and engine
//!       summary.json
//! ```

mod journal;
mod measured;
mod meter;
mod package;
mod summary;
mod traffic;
mod training;

pub use journal::Existing;
pub use meter::{ChildMeter, Meter, NamedModel, ServiceTime};
pub use summary::{
    BaselineSummary, EnginePrediction, NetworkSummary, RoundSummary, Summary, TeacherSummary, WinnerSummary,
};

use crate::{
    app::config::{Experiment, Settings, Stage},
    base::{Error, Result, fsio, progress::Progress},
    data::{self, Loaded, schema::Schema},
    learn::{
        exchange::{Exchange, by_leader},
        train::Rows,
    },
    space::SearchSpace,
};
use journal::Journal;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What every step reads.
struct Run<'a> {
    settings: &'a Settings,
    experiment: &'a Experiment,
    schema: Schema,
    space: SearchSpace,
    loaded: Loaded,
    journal: Journal,
    meter: &'a dyn Meter,
    ranks: &'a dyn Exchange,
    progress: &'a dyn Progress,
}

/// What the data was, so that a resumed run cannot go on with other data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct DataIdentity {
    rows: usize,
    train_rows: usize,
    valid_rows: usize,
    schema_hash: String,
    encoder_hash: String,
}

/// Where the run's input lay on the machine that ran it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunPaths {
    /// The data: a file or a folder.
    pub data: PathBuf,
}

impl RunPaths {
    /// Name of the file in the run directory.
    pub const FILE: &str = "paths.json";
}

/// Runs the loop into `out` and returns what it found; a finished run gives its summary at once.
///
/// All of `ranks` train; rank 0 alone measures and writes, while the others wait for what it found.
pub fn iterate(
    experiment: &Experiment,
    out: &Path,
    existing: Existing,
    meter: &dyn Meter,
    ranks: &dyn Exchange,
    progress: &dyn Progress,
) -> Result<Summary> {
    let journal = by_leader(ranks, || Journal::open(out, &experiment.resolved.to_string(), existing))?;
    journal.remember_together(ranks, "summary.json", || {
        let run = Run::prepare(experiment, journal.clone(), meter, ranks, progress)?;
        let guide = run.guide()?;
        let baseline = run.baseline()?;
        let mut table = by_leader(ranks, || run.probe())?;
        let mut searcher = training::Searcher::new(&run, &guide);
        let mut rounds = Vec::new();
        for round in 1..=experiment.settings.rounds.count {
            progress.say(&format!("round {round} pays with table v{}", table.version));
            let subnet = searcher.search(round, &table)?;
            let winner = run.retrain(&guide, &subnet, table.version)?;
            let calibrated = by_leader(ranks, || run.calibrate(round, &winner, &baseline, &table))?;
            rounds.push(run.round_summary(round, &winner, &calibrated));
            progress.say(&rounds[round - 1].to_string());
            table = calibrated.next;
        }
        let replays = by_leader(ranks, || run.replay(&rounds, &baseline))?;
        Ok(run.summary(&guide, &baseline, rounds, replays))
    })
}

impl<'a> Run<'a> {
    fn prepare(
        experiment: &'a Experiment,
        journal: Journal,
        meter: &'a dyn Meter,
        ranks: &'a dyn Exchange,
        progress: &'a dyn Progress,
    ) -> Result<Self> {
        let settings = &experiment.settings;
        let path = experiment.data_path().ok_or_else(|| {
            Error::usage("no data is named", "give --data FILE, or `path` in [data] of the experiment")
        })?;
        let schema = Schema::load(&experiment.schema_path())?;
        let space = SearchSpace::new(schema.features.clone(), settings.space.mixops.clone())?;
        progress.stage("read and encode the data", 0);
        let loaded = data::load(&schema, &path, &settings.split, settings.seeds.of(Stage::Split))?;
        let run = Self { settings, experiment, schema, space, loaded, journal, meter, ranks, progress };
        run.identify(&path)?;
        Ok(run)
    }

    /// Writes what the data was, or fails when a resumed run was begun with other data.
    fn identify(&self, path: &Path) -> Result<()> {
        let now = DataIdentity {
            rows: self.loaded.dataset.rows(),
            train_rows: self.loaded.split.train.len(),
            valid_rows: self.loaded.split.valid.len(),
            schema_hash: self.schema.hash(),
            encoder_hash: self.loaded.encoders.hash(),
        };
        let begun = self.journal.remember_together(self.ranks, "data.json", || Ok(now.clone()))?;
        if begun != now {
            return Err(Error::usage(
                format!("the run was begun with other data than {}", path.display()),
                "resume it with the same data and schema, or start a new run with another --out",
            ));
        }
        if !self.ranks.leads() {
            return Ok(());
        }
        self.journal.remember("schema.json", || Ok(self.schema.clone()))?;
        self.loaded.encoders.save(&self.journal.path("encoders.json"))?;
        self.meter.describe(&self.journal.path("environment.json"))?;
        let data = std::path::absolute(path).map_err(|e| Error::io(path, "resolve", e))?;
        fsio::write_json(&self.journal.path(RunPaths::FILE), &RunPaths { data })?;
        self.progress.say(&format!(
            "{} rows to train on, {} to validate on, {} features",
            now.train_rows,
            now.valid_rows,
            self.space.features.len()
        ));
        Ok(())
    }

    fn rows(&self) -> Rows<'_> {
        Rows { data: &self.loaded.dataset, split: &self.loaded.split, ranks: self.ranks }
    }

    fn seed(&self, stage: Stage) -> u64 {
        self.settings.seeds.of(stage)
    }
}
