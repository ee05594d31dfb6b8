//! The last step that times: the best network and the plain DNN under replayed traffic, on every engine.

use super::{
    Run,
    meter::{NamedModel, Traffic},
    summary::RoundSummary,
    training::Trained,
};
use crate::{
    base::{Error, Result, names::EngineName},
    measure::{
        job::DataFiles,
        measurement::Measurement,
        replay::{make::make, trace_file},
        workload::request_log,
    },
};
use std::{collections::BTreeMap, path::PathBuf};

/// Measurements by engine: the winner's, then the plain DNN's. Empty when the data has no user and item keys.
pub(super) type Replays = BTreeMap<EngineName, Vec<Measurement>>;

impl Run<'_> {
    /// Replays the run's winner and the plain DNN.
    pub(super) fn replay(&self, rounds: &[RoundSummary], baseline: &Trained) -> Result<Replays> {
        if self.loaded.dataset.user_keys.is_none() || self.loaded.dataset.item_keys.is_none() {
            self.progress.say("no replay: the schema names no user_key and item_key");
            return Ok(Replays::new());
        }
        let winner = RoundSummary::best(rounds);
        let models = [
            NamedModel { name: winner.network.subnet.clone(), path: self.journal.path(&winner.network.onnx) },
            baseline.finished.model(),
        ];
        let traffic = Traffic {
            trace: self.trace()?,
            data: DataFiles {
                rows: self
                    .experiment
                    .data_path()
                    .ok_or_else(|| Error::usage("no data is named", "give --data"))?,
                schema: self.experiment.schema_path(),
                encoders: self.journal.path("encoders.json"),
            },
            hlogs: self.journal.path("replay"),
        };
        let mut replays = Replays::new();
        for &engine in &self.settings.target.engines {
            self.progress
                .stage(&format!("replay {} requests on {engine}", self.settings.traffic.requests), 0);
            let measured = self.journal.remember(&format!("replay/{engine}.json"), || {
                self.meter.replay(engine, &models, &traffic)
            })?;
            replays.insert(engine, measured);
        }
        Ok(replays)
    }

    /// The trace's file, made once; the validation rows ask, all items of the log pad.
    fn trace(&self) -> Result<PathBuf> {
        let path = self.journal.path("replay/trace.parquet");
        if !path.exists() {
            let log = request_log(&self.loaded.dataset, Some(&self.loaded.split.valid))?;
            let recipe = self.experiment.trace_recipe();
            trace_file::write(&path, &make(&log, &recipe, &self.loaded.encoders.hash())?)?;
        }
        Ok(path)
    }
}
