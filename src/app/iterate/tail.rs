//! A budget that is stated as a percentile under load: what each round's search pays then, and what each round's winner shows
//! when it is replayed.
//!
//! The forecast that a search pays with needs to know how requests scatter ([`Reference`]). The first round takes that from the
//! plain DNN, which is there before any search; later ones from the winner of the last round whose replay may be believed.

use super::{
    Run,
    budget::{BudgetSummary, TailSummary},
    measured::{Calibrated, MeasuredTime},
    meter::{ServiceTime, Traffic},
    traffic::Replayed,
    training::Trained,
};
use crate::{
    app::config::Stage,
    base::{Error, Result, error::Place, objective::Objective},
    learn::exchange::by_leader,
    measure::{
        replay::{forecast, slo::Observed, trace_file::TraceReader},
        tail::{Load, Reference, TailForecast},
    },
    price::target::{LatencyTarget, MeanService},
};
use serde::{Deserialize, Serialize};

/// The plain DNN, timed and replayed before the first search.
const REFERENCE: &str = "replay/reference.json";

/// What is kept of it.
#[derive(Serialize, Deserialize)]
struct TimedAndReplayed {
    service: ServiceTime,
    replayed: Replayed,
}

/// What the searches of a run pay for.
pub(super) struct Target<'a> {
    run: &'a Run<'a>,
    /// Absent where the budget, if there is one, is one of the mean.
    tail: Option<Tail>,
}

struct Tail {
    objective: Objective,
    reference: Reference,
    /// What the present round pays.
    forecast: Option<TailForecast>,
}

impl Run<'_> {
    /// The percentile that the budget is stated in, if it is.
    pub(super) fn objective(&self) -> Option<Objective> {
        self.settings.derive.budget()?.objective
    }

    /// Fails when an objective is stated that no replay could show.
    pub(super) fn check_objective(&self) -> Result<()> {
        match self.objective() {
            Some(_) if !self.has_keys() => Err(self.no_traffic()),
            _ => Ok(()),
        }
    }

    fn no_traffic(&self) -> Error {
        Error::input(
            self.experiment.schema_path(),
            Place::field("data"),
            "no user_key and item_key are named, so no traffic can be replayed to hold an objective against",
            "name both columns there, or state a budget of the mean as budget_ms in [derive] of the experiment",
        )
    }

    pub(super) fn load(&self) -> Load {
        let traffic = &self.settings.traffic;
        Load { offered_qps: traffic.qps, workers: traffic.workers }
    }

    /// The run's requests, with a folder for the histograms of a replay.
    fn traffic_into(&self, folder: &str) -> Result<Traffic> {
        let traffic = self.traffic()?.ok_or_else(|| self.no_traffic())?;
        Ok(Traffic { hlogs: self.journal.path(folder), ..traffic })
    }

    /// The plain DNN as a reference.
    fn first_reference(&self, baseline: &Trained) -> Result<Reference> {
        let engine = self.settings.target.engine;
        let traffic = self.traffic_into("replay/reference")?;
        let model = [baseline.finished.model()];
        let found: TimedAndReplayed = self.journal.remember(REFERENCE, || {
            self.progress.measuring(&format!("time and replay the plain DNN on {engine}"));
            let service = self.meter.service(engine, &model, Some(&traffic))?.into_iter().next();
            let replayed = self.replay_models(engine, &model, &traffic)?.into_iter().next();
            let (Some(service), Some(replayed)) = (service, replayed) else { return Err(self.no_scatter()) };
            Ok(TimedAndReplayed { service, replayed })
        })?;
        if found.service.noise_pct > self.settings.probe.max_noise_pct {
            self.progress.say(&format!(
                "the service time of the plain DNN stayed noisy ({:.1} %): the first round's forecast is doubtful",
                found.service.noise_pct
            ));
        }
        let work = found.replayed.measurement.work.ok_or_else(|| self.no_scatter())?;
        Ok(Reference { network: baseline.finished.name.clone(), service_ms: found.service.mean_ms, work })
    }

    fn no_scatter(&self) -> Error {
        Error::usage(
            format!("{} does not say how long requests take", self.journal.path(REFERENCE).display()),
            "remove it to replay the plain DNN again, or raise [traffic] requests in a new run",
        )
    }

    fn forecast(&self, round: usize, tail: &Tail) -> Result<TailForecast> {
        self.journal.remember(&format!("rounds/{round}/forecast.json"), || {
            self.progress.stage("simulate the queue", 0);
            let trace = TraceReader::open(&self.trace_path())?.trace()?;
            let traffic = forecast::Traffic::of(&trace);
            let seed = self.seed(Stage::Traffic);
            TailForecast::simulate(tail.objective, self.load(), &tail.reference, traffic, seed)
        })
    }

    /// A network's percentile under replayed traffic against the objective, with what was predicted for it.
    pub(super) fn tail_summary(
        &self,
        objective: Objective,
        feature_ms: f64,
        predicted_ms: f64,
        replayed: &Replayed,
    ) -> BudgetSummary {
        let observed = Observed::of(&replayed.measurement);
        let with_features = |us: Option<f64>| us.map(|us| feature_ms + us / 1e3);
        let budget_ms = objective.limit_us / 1e3;
        let upper_ms = with_features(observed.response_upper_us.get(objective.percentile));
        BudgetSummary {
            budget_ms,
            measured_ms: with_features(observed.response_us.get(objective.percentile)),
            met: observed.valid && upper_ms.is_some_and(|upper_ms| upper_ms <= budget_ms),
            tail: Some(TailSummary {
                objective,
                load: self.load(),
                predicted_ms,
                upper_ms,
                valid: observed.valid,
            }),
        }
    }
}

impl<'a> Target<'a> {
    /// `baseline` is needed where there is an objective.
    pub(super) fn new(run: &'a Run<'a>, baseline: Option<&Trained>) -> Result<Self> {
        let tail = match (run.objective(), baseline) {
            (Some(objective), Some(baseline)) => {
                let reference = by_leader(run.ranks, || run.first_reference(baseline))?;
                Some(Tail { objective, reference, forecast: None })
            }
            _ => None,
        };
        Ok(Self { run, tail })
    }

    /// What the search of `round` pays.
    pub(super) fn of_round(&mut self, round: usize) -> Result<&dyn LatencyTarget> {
        let Self { run, tail } = self;
        let Some(tail) = tail else { return Ok(&MeanService) };
        let forecast = by_leader(run.ranks, || run.forecast(round, tail))?;
        Ok(tail.forecast.insert(forecast))
    }

    /// Replays the round's winner where the budget is one of a percentile, and takes it as the next reference if its replay
    /// may be believed.
    pub(super) fn respond(
        &mut self,
        round: usize,
        winner: &Trained,
        calibrated: &Calibrated,
    ) -> Result<Option<BudgetSummary>> {
        let run = self.run;
        let Some(tail) = &mut self.tail else { return Ok(None) };
        let Some(forecast) = &tail.forecast else { return Ok(None) };
        let engine = run.settings.target.engine;
        let part = &calibrated.engines[&engine];
        let replayed: Replayed = by_leader(run.ranks, || {
            run.journal.remember(&format!("rounds/{round}/replay.json"), || {
                run.progress.measuring(&format!("replay the round's network on {engine}"));
                let traffic = run.traffic_into(&format!("rounds/{round}/replay"))?;
                let replayed = run.replay_models(engine, &[winner.finished.model()], &traffic)?;
                replayed.into_iter().next().ok_or_else(|| run.no_scatter())
            })
        })?;
        let feature_ms = run.feature_ms(&winner.finished.subnet);
        let predicted_ms = feature_ms + forecast.of_mean(part.winner.predicted_ms).ms;
        let summary = run.tail_summary(tail.objective, feature_ms, predicted_ms, &replayed);
        let MeasuredTime { ms: service_ms, void, .. } = part.winner_time;
        match replayed.measurement.work {
            Some(work) if replayed.measurement.valid && !void => {
                tail.reference = Reference { network: winner.finished.name.clone(), service_ms, work };
            }
            _ => run.progress.say(&format!(
                "the replay or the service time of {} may not be believed: forecasts stay those of {}",
                winner.finished.name, tail.reference.network
            )),
        }
        Ok(Some(summary))
    }
}
