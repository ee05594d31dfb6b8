//! What `replay` makes of its measurements by simulation, and the search for the highest rate.

use crate::{
    app::cli::forecast,
    base::{Error, Result, objective::Objective},
    measure::{
        campaign::{Campaign, Measured, Outcome},
        capacity::CapacityQuestion,
        measurement::Measurement,
        peak::PeakSearch,
        replay::{
            forecast::{ForecastSettings, LOADS_PCT, Traffic, forecast},
            trace::Trace,
            work_model::WorkModel,
        },
    },
};
use clap::Args;

/// Queues: forecast and search.
#[derive(Debug, Args)]
pub(super) struct QueueArgs {
    /// Afterwards, forecast the response at 10 to 95 % of what the workers can serve, by simulating their queue
    #[arg(long)]
    simulate: bool,
    /// Search the highest rate at which this holds with 99 % confidence, such as p99=20ms; may be repeated
    #[arg(long, value_name = "P=TIME", conflicts_with_all = ["qps", "speed", "closed", "offline", "baseline"])]
    pub(super) slo: Vec<Objective>,
    /// The search ends when a rate fails that is above one that holds by no more than this, in percent
    #[arg(long, value_name = "PCT", default_value_t = 3.0, requires = "slo")]
    slo_precision: f64,
    /// How many cores this rate needs at --slo, and how many candidates per request it affords
    #[arg(long, value_name = "Q", requires = "slo")]
    capacity_qps: Option<f64>,
}

impl QueueArgs {
    /// Adds to a result what was asked for beside the replay itself.
    pub(super) fn add_to(&self, measured: &mut Measured, trace: &Trace) -> Result<()> {
        let Measured { measurement, recording, .. } = measured;
        measurement.work = WorkModel::fit(recording.work.samples()).ok();
        if !self.simulate && self.capacity_qps.is_none() {
            return Ok(());
        }
        // Here, too few requests are worth a word.
        let model = WorkModel::fit(recording.work.samples())?;
        let settings = ForecastSettings::of(measurement.setup.workers, measurement.plan.seed);
        let traffic = Traffic::of(trace);
        if self.simulate {
            let own = measurement.load.offered_qps;
            let own = own.as_slice();
            measurement.forecast =
                Some(forecast(&model, traffic, trace.stretched(), settings, &LOADS_PCT, own)?);
        }
        if let Some(qps) = self.capacity_qps {
            let threads = measurement.setup.threads;
            let question = CapacityQuestion { qps, objectives: &self.slo, threads, settings };
            measurement.capacity = Some(question.answer(&model, traffic, measurement.slo.as_ref())?);
        }
        Ok(())
    }

    /// Searches the highest rate of each job, one search after the other; each is of the same one model, and its scores are held
    /// against those of the engines before it. `keep` gets the results so far after every rate.
    pub(super) fn search(
        &self,
        campaign: &Campaign,
        trace: &Trace,
        mut replay: impl FnMut(&Campaign) -> Result<Outcome>,
        mut keep: impl FnMut(&[Measured]) -> Result<()>,
    ) -> Result<Outcome> {
        let mut measured: Vec<Measured> = Vec::new();
        let mut failure = None;
        for job in &campaign.jobs {
            let done = measured.len();
            let earlier: Vec<_> = measured.iter().filter_map(|measured| measured.scores.clone()).collect();
            let scored = job.models.iter().map(|model| (model.clone(), earlier.clone())).collect();
            let search = PeakSearch {
                campaign: Campaign { jobs: vec![job.clone()], plan: campaign.plan.clone(), scored },
                objectives: self.slo.clone(),
                precision_pct: self.slo_precision,
                traffic: Traffic::of(trace),
                requests: trace.requests(),
            };
            let found = search.run(&mut replay, |best| {
                measured.truncate(done);
                measured.push(best.clone());
                keep(&measured)
            });
            if let Err(error) = found {
                let stopped = matches!(error, Error::Interrupted { .. });
                failure.get_or_insert(error);
                if stopped {
                    break;
                }
            }
        }
        match failure {
            Some(error) if measured.is_empty() => Err(error),
            failure => Ok(Outcome { measured: vec![measured], failure }),
        }
    }
}

/// Fails where an objective does not hold at any rate that was tried.
pub(super) fn check(results: &[&Measurement]) -> Result<()> {
    results.iter().filter_map(|result| result.slo.as_ref()).try_for_each(|curve| curve.check())
}

/// Forecast, curve and capacity of a result as text, as far as it has them.
pub(super) fn text(result: &Measurement) -> Vec<String> {
    let curve = result.slo.as_ref().map(forecast::curve_text);
    let forecast = result.forecast.as_ref().map(forecast::forecast_text);
    let capacity = result.capacity.as_ref().map(forecast::capacity_text);
    [curve, forecast, capacity].into_iter().flatten().collect()
}
