//! Requests of the log as the run asks them, and the last step that times: the best network and the plain DNN under
//! replayed traffic, on every engine.

use super::{
    DataIdentity, Run,
    meter::{NamedModel, Traffic},
    summary::{NetworkSummary, RoundSummary},
    training::Trained,
};
use crate::{
    base::{Result, names::EngineName},
    measure::{
        measurement::Measurement,
        replay::{
            make::{DataHashes, PlannedTrace, plan},
            trace::Pacing,
            trace_file::TraceReader,
        },
        store::StoreChoice,
        traced::DataFiles,
        workload::request_log,
    },
    price::{path::path_ms, table::LatencyTable},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::PathBuf};

/// A measurement, and how often it was tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::app) struct Replayed {
    /// 2 when the first was not valid.
    pub(in crate::app) runs: usize,
    /// The last one.
    pub(in crate::app) measurement: Measurement,
}

/// By engine: the winner's, then the plain DNN's. Empty when the data has no user and item keys.
pub(super) type Replays = BTreeMap<EngineName, Vec<Replayed>>;

impl Run<'_> {
    /// Replays the run's winner and the plain DNN.
    pub(super) fn replay(&self, winner: &RoundSummary, baseline: &Trained) -> Result<Replays> {
        let Some(traffic) = self.traffic()? else {
            self.progress.say("no replay: the schema names no user_key and item_key");
            return Ok(Replays::new());
        };
        let models = [
            NamedModel { name: winner.network.subnet.clone(), path: self.journal.path(&winner.network.onnx) },
            baseline.finished.model(),
        ];
        let mut replays = Replays::new();
        for &engine in &self.settings.target.engines {
            let requests = self.settings.traffic.requests;
            self.progress.measuring(&format!("replay {requests} requests on {engine}"));
            let replayed = self.journal.remember(&format!("replay/{engine}.json"), || {
                self.replay_models(engine, &models, &traffic)
            })?;
            replays.insert(engine, replayed);
        }
        Ok(replays)
    }

    /// One measurement per model; what is not valid after a second try is said.
    pub(in crate::app) fn replay_models(
        &self,
        engine: EngineName,
        models: &[NamedModel],
        traffic: &Traffic,
    ) -> Result<Vec<Replayed>> {
        let replayed = replay_until_valid(models, |models| self.meter.replay(engine, models, traffic))?;
        for (model, replayed) in models.iter().zip(&replayed).filter(|(_, r)| !r.measurement.valid) {
            let reasons = replayed.measurement.reasons.join("; ");
            self.progress.say(&format!("NOT VALID, replay of {} on {engine}: {reasons}", model.name));
        }
        Ok(replayed)
    }

    /// By engine, what `table` expects the service times of these networks to be, in ms, in the mean over the trace's
    /// requests with their numbers of candidates. None where it has no prices for a network or a number, as for a plain DNN
    /// outside the search space.
    pub(super) fn expected_service_ms(
        &self,
        networks: [&NetworkSummary; 2],
        table: &LatencyTable,
    ) -> Result<BTreeMap<EngineName, Vec<Option<f64>>>> {
        if !self.has_keys() {
            return Ok(BTreeMap::new());
        }
        let counts = TraceReader::open(&self.trace_path())?.trace()?.counts();
        let expected = |&engine: &EngineName| {
            let prices = table.expected_prices(&self.meter.context(engine)?, &counts).ok();
            let of = |network: &NetworkSummary| {
                let chosen = |i: usize| network.features.contains(&self.space.features[i].name);
                let input = self.space.input(|i| f64::from(u8::from(chosen(i))));
                path_ms(&network.layers, input, prices.as_ref()?).ok()
            };
            Ok((engine, networks.map(of).into()))
        };
        self.settings.target.engines.iter().map(expected).collect()
    }

    /// The run's requests; absent when the data does not say which rows belong to which user and item.
    pub(in crate::app) fn traffic(&self) -> Result<Option<Traffic>> {
        if !self.has_keys() {
            return Ok(None);
        }
        Ok(Some(Traffic {
            trace: self.trace_path(),
            data: DataFiles {
                rows: self.experiment.named_data()?,
                schema: self.experiment.schema_path(),
                encoders: self.journal.path("encoders.json"),
            },
            hlogs: self.journal.path("replay"),
            pacing: Pacing::Rate { qps: self.settings.traffic.qps },
            store: StoreChoice::None,
        }))
    }

    /// The trace of a run that has none yet: the validation rows ask, the items of all rows pad.
    pub(super) fn new_trace(&self) -> Result<Option<PlannedTrace>> {
        if !self.has_keys() || self.trace_path().exists() {
            return Ok(None);
        }
        let log = request_log(&self.loaded.dataset, Some(&self.loaded.split.valid))?;
        // Whoever replays it compares these with what it reads: they are those of data.json.
        let DataIdentity { encoder_hash: encoders, rows_hash: rows, .. } = self.identity.clone();
        let trace = plan(log, &self.experiment.trace_recipe(), DataHashes { encoders, rows })?;
        // Recorded arrivals that cannot be stretched to the rate show here.
        trace.check_pacing(Pacing::Rate { qps: self.settings.traffic.qps })?;
        trace.notes().iter().for_each(|note| self.progress.say(&format!("note: {note}")));
        Ok(Some(trace))
    }

    pub(in crate::app) fn trace_path(&self) -> PathBuf {
        self.journal.path("replay/trace.parquet")
    }

    pub(in crate::app) fn has_keys(&self) -> bool {
        self.loaded.dataset.user_keys.is_some() && self.loaded.dataset.item_keys.is_some()
    }
}

/// One measurement per model; those that are not valid are made once more.
fn replay_until_valid(
    models: &[NamedModel],
    replay: impl Fn(&[NamedModel]) -> Result<Vec<Measurement>>,
) -> Result<Vec<Replayed>> {
    let mut replayed: Vec<_> =
        replay(models)?.into_iter().map(|measurement| Replayed { runs: 1, measurement }).collect();
    for (model, replayed) in models.iter().zip(&mut replayed).filter(|(_, r)| !r.measurement.valid) {
        if let Some(measurement) = replay(std::slice::from_ref(model))?.pop() {
            *replayed = Replayed { runs: 2, measurement };
        }
    }
    Ok(replayed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{measurement::examples::measurement, replay::recorder::Recording};
    use std::cell::RefCell;

    #[test]
    fn an_invalid_replay_is_repeated_once_and_marked() {
        let of = |valid| Measurement { valid, ..measurement(&Recording::default(), 1, 2) };
        let models = ["good", "lucky", "bad"].map(|name| NamedModel { name: name.into(), path: name.into() });
        let asked = RefCell::new(Vec::new());
        let replayed = replay_until_valid(&models, |models| {
            let again = !asked.borrow().is_empty();
            let names = models.iter().map(|model| model.name.as_str());
            asked.borrow_mut().extend(names.clone().map(str::to_owned));
            Ok(names.map(|name| of(name == "good" || (name == "lucky" && again))).collect())
        });
        let found: Vec<_> = replayed.unwrap().iter().map(|r| (r.runs, r.measurement.valid)).collect();
        assert_eq!(found, [(1, true), (2, true), (2, false)]);
        assert_eq!(*asked.borrow(), ["good", "lucky", "bad", "lucky", "bad"]);
    }
}
