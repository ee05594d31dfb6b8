//! A percentile of the response under load as a function of the mean service time: what a search pays when its budget is an
//! objective such as p99 ≤ 20 ms at 50 requests per second.
//!
//! One network was replayed, and its [`WorkModel`] says how its requests scatter. Another network of mean service time m is
//! taken to scatter in the same proportions: its work is that of the model times m over the mean service time of the one that
//! was replayed, whatever a request adds to the engine's run included. The queue in front of the workers is then
//! [simulated](super::replay::simulate) under the arrivals and candidate counts of the trace, for means that keep the workers
//! busy for 2.5 to 95 % of the time. All means meet the same arrivals and the same draws (common random numbers), so that two
//! of them differ by their means alone, and a [`Curve`] through them has a slope that can be followed.
//!
//! From 95 % on no replay may be believed (see [`validity`](super::validity)), and a queue has no length but that of the trace.
//! There the latency is a line that begins at the objective's limit, or at the last simulated value where that is above it,
//! and climbs ten times as steeply as a limit over its mean: no network there keeps the objective, and the slope points back.

use super::{
    replay::{
        forecast::{self, ForecastSettings, Traffic},
        work_model::WorkModel,
    },
    validity::OVERLOADED_SHARE,
};
use crate::{
    base::{Error, Result, objective::Objective},
    price::{
        curve::Curve,
        target::{LatencyTarget, TargetLatency},
    },
};
use serde::{Deserialize, Serialize};

/// Means that are simulated.
const POINTS: usize = 38;
/// Requests of each, at least.
const REQUESTS: usize = 200_000;
/// How steep the line beyond them is at least, in limits per mean.
const STEEPNESS: f64 = 10.0;

/// A network that was replayed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reference {
    /// Its name.
    pub network: String,
    /// Its mean service time as the latency table counts it, in ms.
    pub service_ms: f64,
    /// How long its requests kept a worker.
    pub work: WorkModel,
}

impl Reference {
    /// A network whose mean is that of all work of a replay, for the requests of `traffic`: the means that are asked for then hold
    /// whatever a request keeps its worker with.
    pub fn of_work(network: String, work: WorkModel, traffic: Traffic<'_>) -> Result<Self> {
        let service_ms = traffic.mean_work_us(&work) / 1e3;
        if service_ms > 0.0 { Ok(Self { network, service_ms, work }) } else { Err(in_no_time(&network)) }
    }

    /// The work of requests of a network of this mean, in ms: it scatters in the proportions of this one's.
    pub fn work_at(&self, mean_ms: f64) -> WorkModel {
        self.work.scaled(mean_ms / self.service_ms)
    }
}

fn in_no_time(network: &str) -> Error {
    Error::usage(
        format!("{network} was replayed in no time, so no load can be told from it"),
        "replay it on an engine that computes something",
    )
}

/// Under which load an objective has to hold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// Mean requests per second.
    pub offered_qps: f64,
    /// Workers behind one queue.
    pub workers: usize,
}

impl std::fmt::Display for Load {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { offered_qps, workers } = self;
        let s = if *workers == 1 { "" } else { "s" };
        write!(f, "{offered_qps} requests per second to {workers} worker{s}")
    }
}

/// The percentile of an objective over mean service times.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TailForecast {
    /// The objective.
    pub objective: Objective,
    /// Under which load.
    #[serde(flatten)]
    pub load: Load,
    /// Of arrivals' work.
    pub seed: u64,
    /// Whose requests show how work scatters.
    pub network: String,
    /// Mean service time that keeps the workers busy for 95 % of the time: where the curve ends, in ms.
    pub highest_mean_ms: f64,
    /// The simulated percentile up to there.
    pub curve: Curve,
}

impl TailForecast {
    /// Simulates `objective` under `load`. The arrivals of `traffic` are stretched to the load's rate.
    pub fn simulate(
        objective: Objective,
        load: Load,
        reference: &Reference,
        traffic: Traffic<'_>,
        seed: u64,
    ) -> Result<Self> {
        let Load { offered_qps, workers } = load;
        let settings = ForecastSettings { workers, requests: REQUESTS, seed };
        let Reference { network, service_ms, work } = reference;
        // What the workers could serve of the reference's requests, in what is asked of them.
        let capacity = forecast::capacity_qps(work, traffic, workers) / offered_qps;
        if !(capacity.is_finite() && capacity > 0.0 && service_ms.is_finite() && *service_ms > 0.0) {
            return Err(in_no_time(network));
        }
        let point = |i: usize| {
            let mean_ms = OVERLOADED_SHARE * i as f64 / POINTS as f64 * capacity * service_ms;
            let simulated = forecast::at_rate(&reference.work_at(mean_ms), traffic, settings, offered_qps)?;
            let us = simulated.response.quantile_us(objective.percentile.quantile());
            Ok((mean_ms, us.unwrap_or_default() as f64 / 1e3))
        };
        let points: Vec<(f64, f64)> = (1..=POINTS).map(point).collect::<Result<_>>()?;
        Ok(Self {
            objective,
            load,
            seed,
            network: network.clone(),
            highest_mean_ms: OVERLOADED_SHARE * capacity * service_ms,
            curve: Curve::through(points),
        })
    }

    fn limit_ms(&self) -> f64 {
        self.objective.limit_us / 1e3
    }
}

impl LatencyTarget for TailForecast {
    fn of_mean(&self, mean_ms: f64) -> TargetLatency {
        if self.keeps_up(mean_ms) {
            return self.curve.at(mean_ms);
        }
        let last = self.curve.at(self.highest_mean_ms);
        let slope = f64::max(last.slope, STEEPNESS * self.limit_ms() / self.highest_mean_ms);
        let from_ms = f64::max(last.ms, self.limit_ms());
        TargetLatency { ms: from_ms + slope * (mean_ms - self.highest_mean_ms), slope }
    }

    fn keeps_up(&self, mean_ms: f64) -> bool {
        mean_ms <= self.highest_mean_ms
    }

    fn what(&self) -> String {
        format!("{} of the response at {}", self.objective.percentile.name(), self.load)
    }
}

#[cfg(test)]
mod tests;
