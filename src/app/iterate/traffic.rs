//! The last step that times: the best network and the plain DNN under replayed traffic, on every engine.

use super::{
    Run,
    meter::{NamedModel, Traffic},
    summary::RoundSummary,
    training::Trained,
};
use crate::{
    app::config::Stage,
    base::{Error, Result, names::EngineName},
    measure::{
        job::DataFiles,
        measurement::Measurement,
        replay::{
            arrivals::Arrivals,
            make::{ListLength, Order, RequestLog, TraceRecipe, make},
            trace_file,
        },
    },
};
use std::{collections::BTreeMap, path::PathBuf};

/// Measurements by engine: the winner's, then the plain DNN's. Empty when the data has no user and item keys.
pub(super) type Replays = BTreeMap<EngineName, Vec<Measurement>>;

impl Run<'_> {
    /// Replays the run's winner and the plain DNN.
    pub(super) fn replay(&self, rounds: &[RoundSummary], baseline: &Trained) -> Result<Replays> {
        let Some(log) = self.request_log() else {
            self.progress.say("no replay: the schema names no user_key and item_key");
            return Ok(Replays::new());
        };
        let winner = RoundSummary::best(rounds);
        let models = [
            NamedModel { name: winner.network.subnet.clone(), path: self.journal.path(&winner.network.onnx) },
            baseline.finished.model(),
        ];
        let traffic = Traffic {
            trace: self.trace(&log)?,
            data: DataFiles {
                rows: self.experiment.data_path().ok_or_else(|| Error::usage("no data is named", "give --data"))?,
                schema: self.experiment.schema_path(),
                encoders: self.journal.path("encoders.json"),
            },
            hlogs: self.journal.path("replay"),
        };
        let mut replays = Replays::new();
        for &engine in &self.settings.target.engines {
            self.progress.stage(&format!("replay {} requests on {engine}", self.settings.traffic.requests), 0);
            let measured = self.journal.remember(&format!("replay/{engine}.json"), || {
                self.meter.replay(engine, &models, &traffic)
            })?;
            replays.insert(engine, measured);
        }
        Ok(replays)
    }

    /// Who saw what, in the order of the log.
    fn request_log(&self) -> Option<RequestLog> {
        let data = &self.loaded.dataset;
        let (users, items) = (data.user_keys.as_ref()?, data.item_keys.as_ref()?);
        let valid = self.loaded.split.valid.iter().map(|&row| row as usize);
        let request = |row: usize| data.requests.as_ref().map(|requests| requests[row]);
        // Requests come from the validation rows; candidates are padded from all items of the log.
        let train = self.loaded.split.train.iter().map(|&row| row as usize);
        Some(RequestLog::new(valid.chain(train).map(|row| (request(row), users[row], items[row]))))
    }

    /// The trace's file, made once.
    fn trace(&self, log: &RequestLog) -> Result<PathBuf> {
        let path = self.journal.path("replay/trace.parquet");
        if !path.exists() {
            let traffic = &self.settings.traffic;
            let arrivals = match self.experiment.arrivals_path() {
                Some(path) => Arrivals::recorded(path, traffic.qps),
                None => Arrivals::Poisson { qps: traffic.qps },
            };
            let recipe = TraceRecipe {
                arrivals,
                requests: traffic.requests,
                order: Order::Log,
                length: ListLength::Fixed(traffic.candidates),
                seed: self.seed(Stage::Traffic),
            };
            trace_file::write(&path, &make(log, &recipe, &self.loaded.encoders.hash())?)?;
        }
        Ok(path)
    }
}
