//! The search for the highest rate at an objective, with replays: the curve of [`slo`](super::replay::slo) says which rate is
//! next, and each is a [`Campaign`] over the same trace, stretched to it.
//!
//! It begins at the rate that a simulation holds possible, from the work of a first pass in closed loop. Where the stated passes
//! are too few for the least duration, more are made.

use super::{
    campaign::{Campaign, Measured, Outcome},
    latency::samples_needed,
    measurement::Measurement,
    replay::{
        forecast::{self, ForecastSettings, Traffic},
        slo::{Observed, Percentiles, SloCurve, Standing},
        trace::Pacing,
        work_model::WorkModel,
    },
};
use crate::base::{
    Error, Result,
    objective::{Objective, Percentile},
};

/// What is searched.
#[derive(Debug, Clone)]
pub struct PeakSearch<'a> {
    /// One job of one model; its pacing does not count.
    pub campaign: Campaign,
    /// What has to hold.
    pub objectives: Vec<Objective>,
    /// As [`SloCurve::precision_pct`].
    pub precision_pct: f64,
    /// The job's trace.
    pub traffic: Traffic<'a>,
    /// Its number of requests.
    pub requests: usize,
}

/// Requests that are simulated for the first rate: it need not be exact.
const FIRST_RATE_REQUESTS: usize = 50_000;
/// Replays of a rate at most, where they leave it undecided.
const ATTEMPTS: usize = 3;
/// Where the simulation knows no rate that holds, the search begins at this share of the capacity.
const LOW_SHARE: f64 = 0.1;

impl PeakSearch<'_> {
    /// Searches with whatever `replay` makes of a campaign. `keep` gets, after every replay, the result of the highest rate that
    /// holds (of the last rate while none does, of the closed pass before the first) with the curve so far; the last of these is
    /// returned. When a replay fails or is interrupted, it is in the curve as far as it came, its result is kept where there is no
    /// other of a rate, and the error is returned.
    pub fn run(
        mut self,
        mut replay: impl FnMut(&Campaign) -> Result<Outcome>,
        mut keep: impl FnMut(&Measured) -> Result<()>,
    ) -> Result<Measured> {
        self.check_length()?;
        let mut curve = SloCurve::new(self.objectives.clone(), self.precision_pct)?;
        let (mut closed, failure) = only(replay(&self.closed())?)?;
        keep_with(&curve, &mut closed, &mut keep)?;
        if let Some(failure) = failure {
            return Err(failure);
        }
        let start_qps = self.start_qps(&closed)?;
        self.take_plan(&closed.measurement);
        let mut best: Option<Measured> = None;
        while let Some(qps) = curve.next_rate(start_qps) {
            for _ in 0..ATTEMPTS {
                let (measured, failure) = only(replay(&self.at(qps))?)?;
                let (observed, stopped) =
                    (Observed::of(&measured.measurement), measured.measurement.interrupted);
                let standing = match stopped {
                    true => curve.add_stopped(qps, observed),
                    false => curve.add(qps, observed),
                };
                let better = standing == Standing::Holds || curve.highest_qps.is_none() && !stopped;
                let best = match &mut best {
                    Some(best) if !better => best,
                    best => best.insert(measured),
                };
                keep_with(&curve, best, &mut keep)?;
                if let Some(failure) = failure {
                    return Err(failure);
                }
                // Only the verdict stands against an undecided rate: a machine that was disturbed may be quiet the next time.
                if standing != Standing::Undecided {
                    break;
                }
            }
        }
        curve.finish();
        let mut best = best.ok_or_else(nothing)?;
        keep_with(&curve, &mut best, &mut keep)?;
        Ok(best)
    }

    /// One pass in closed loop.
    fn closed(&self) -> Campaign {
        let mut closed = self.campaign.clone();
        closed.plan.repeats = 1;
        closed.jobs.iter_mut().for_each(|job| (job.pacing, job.max_queue) = (Pacing::Closed, None));
        closed
    }

    fn start_qps(&self, closed: &Measured) -> Result<f64> {
        let Measured { measurement, recording, .. } = closed;
        let model = WorkModel::fit(recording.work.samples())?;
        let workers = measurement.setup.workers;
        let settings = ForecastSettings {
            requests: FIRST_RATE_REQUESTS,
            ..ForecastSettings::of(workers, measurement.plan.seed)
        };
        let found = forecast::highest_qps(&model, self.traffic, settings, &self.objectives)?;
        Ok(found.unwrap_or_else(|| LOW_SHARE * forecast::capacity_qps(&model, self.traffic, workers)))
    }

    /// All rates run on the plan that the closed pass chose, so that the curve is that of one.
    fn take_plan(&mut self, closed: &Measurement) {
        let Some(choice) = &closed.setup.plan_choice else { return };
        for job in &mut self.campaign.jobs {
            job.plans.extend(job.models.iter().map(|model| (model.clone(), choice.clone())));
        }
    }

    /// Refuses a trace that cannot earn the objectives' percentiles: passes repeat its requests.
    fn check_length(&self) -> Result<()> {
        let needed = |objective: &Objective| samples_needed(objective.percentile.quantile());
        let short = self.objectives.iter().find(|objective| needed(objective) > self.requests as u64);
        short.map_or(Ok(()), |objective| {
            let name = objective.percentile.name();
            Err(Error::usage(
                format!("{name} needs {} requests, and the trace has {}", needed(objective), self.requests),
                "make a longer trace with --requests, or state an objective for a lower percentile",
            ))
        })
    }

    /// The campaign at a rate, with as many passes as its duration needs.
    fn at(&self, qps: f64) -> Campaign {
        let mut campaign = self.campaign.clone();
        campaign.jobs.iter_mut().for_each(|job| job.pacing = Pacing::Rate { qps });
        // A little more, since a schedule ends with its last arrival.
        let lasting = 1.02 * campaign.plan.limits.min_duration_s * qps;
        let passes = (lasting / self.requests.max(1) as f64).ceil() as usize;
        campaign.plan.repeats = campaign.plan.repeats.max(passes);
        campaign
    }
}

/// The one result of a campaign of one job and one model, and what ended it early.
fn only(outcome: Outcome) -> Result<(Measured, Option<Error>)> {
    let Outcome { measured, failure } = outcome;
    match (measured.into_iter().flatten().next(), failure) {
        (Some(measured), failure) => Ok((measured, failure)),
        (None, failure) => Err(failure.unwrap_or_else(nothing)),
    }
}

/// Puts the curve into a result and hands that on.
fn keep_with(
    curve: &SloCurve,
    result: &mut Measured,
    keep: &mut impl FnMut(&Measured) -> Result<()>,
) -> Result<()> {
    result.measurement.slo = Some(curve.clone());
    keep(result)
}

fn nothing() -> Error {
    Error::usage("no model was replayed", "search with one model on one engine")
}

impl Observed {
    /// What a curve keeps of a result.
    pub fn of(measurement: &Measurement) -> Self {
        let response = &measurement.response_us;
        let us = |value: Option<u64>| value.map(|us| us as f64);
        let upper = |bounds: Option<[u64; 2]>| us(bounds.map(|[_, upper]| upper));
        let bounds = response.bounds;
        Self {
            requests: response.count,
            rejected: measurement.rejected,
            response_us: Percentiles::of(|percentile| match percentile {
                Percentile::P50 => us(response.p50),
                Percentile::P90 => us(response.p90),
                Percentile::P99 => us(response.p99),
                Percentile::P999 => us(response.p999),
            }),
            response_upper_us: Percentiles::of(|percentile| match percentile {
                Percentile::P50 => upper(bounds.p50),
                Percentile::P90 => upper(bounds.p90),
                Percentile::P99 => upper(bounds.p99),
                Percentile::P999 => upper(bounds.p999),
            }),
            valid: measurement.valid,
            reasons: measurement.reasons.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
