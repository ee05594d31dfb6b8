//! One system at one budget, over its seeds.

use super::{agreement::Agreement, stored::Stored};
use crate::{
    app::{
        compare::result::{Fetched, Latency, Times, Trained, Training},
        config::SystemName,
    },
    base::student::mean_and_deviation,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Mean and standard deviation over the seeds that have a value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OverSeeds {
    /// Mean.
    pub mean: f64,
    /// Standard deviation (n − 1); absent with one seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deviation: Option<f64>,
}

impl OverSeeds {
    fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let values: Vec<f64> = values.collect();
        mean_and_deviation(&values).map(|(mean, deviation)| Self { mean, deviation })
    }
}

/// A kind of time over the seeds, in ms.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TimesSummary {
    /// Of the means.
    pub mean_ms: Option<OverSeeds>,
    /// Of the medians.
    pub p50_ms: Option<OverSeeds>,
    /// Of the 99th percentiles.
    pub p99_ms: Option<OverSeeds>,
}

/// One system at one budget.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SystemSummary {
    /// Which system.
    pub system: SystemName,
    /// Absent for a system without a budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_ms: Option<f64>,
    /// Trainings that came to something.
    pub seeds: usize,
    /// Trainings that could not keep the budget.
    pub unreachable: usize,
    /// Area under the ROC curve.
    pub auc: Option<OverSeeds>,
    /// Over users.
    pub gauc: Option<OverSeeds>,
    /// In nats.
    pub logloss: Option<OverSeeds>,
    /// By K: share of the teacher's best of a request among the K highest scores.
    pub recall_at: BTreeMap<usize, OverSeeds>,
    /// By K: share of the teacher's top K of a request among the K highest scores.
    pub overlap_at: BTreeMap<usize, OverSeeds>,
    /// Expected calibration error.
    pub calibration_error: Option<OverSeeds>,
    /// Mean score over the share of positives.
    pub predicted_over_observed: Option<OverSeeds>,
    /// How many.
    pub features: Option<OverSeeds>,
    /// Trained numbers.
    pub parameters: Option<OverSeeds>,
    /// Of the dense layers for one candidate.
    pub multiply_adds: Option<OverSeeds>,
    /// Where the time of fetching is from.
    pub fetched: Option<Fetched>,
    /// Fetching the features.
    pub fetch: TimesSummary,
    /// The engine's own run.
    pub inference: TimesSummary,
    /// Fetching, assembling and running.
    pub total: TimesSummary,
    /// Replays that may not be believed.
    pub invalid_replays: usize,
    /// What the system did itself; of the teacher, what all teachers of a seed took.
    pub training_s: Option<OverSeeds>,
    /// Between the seeds; absent with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<Agreement>,
}

impl SystemSummary {
    /// Fetching and the engine's own run, in the mean: what a budget limits.
    pub(in crate::app) fn paid_ms(&self) -> Option<f64> {
        Some(self.fetch.mean_ms?.mean + self.inference.mean_ms?.mean)
    }

    /// How far that is above the budget, in percent; absent where it is not.
    pub(in crate::app) fn above_budget_pct(&self) -> Option<f64> {
        let (paid_ms, budget_ms) = (self.paid_ms()?, self.budget_ms?);
        (paid_ms > budget_ms).then(|| 100.0 * (paid_ms / budget_ms - 1.0))
    }
}

/// r(x) on the validation rows, over the seeds: the mean over the teachers of a seed, or what was given in its place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SoftTargets {
    /// Seeds that have one.
    pub seeds: usize,
    /// Area under the ROC curve.
    pub auc: Option<OverSeeds>,
    /// Over users.
    pub gauc: Option<OverSeeds>,
    /// In nats.
    pub logloss: Option<OverSeeds>,
    /// Of all teachers of a seed.
    pub training_s: Option<OverSeeds>,
}

impl SoftTargets {
    pub(super) fn of(stored: &Stored) -> Self {
        let guides = || stored.guides.values();
        Self {
            seeds: stored.guides.len(),
            auc: OverSeeds::of(guides().filter_map(|guide| guide.metrics.auc)),
            gauc: OverSeeds::of(guides().filter_map(|guide| guide.metrics.gauc)),
            logloss: OverSeeds::of(guides().map(|guide| guide.metrics.logloss)),
            training_s: OverSeeds::of(guides().map(|guide| guide.seconds)),
        }
    }
}

/// Of all stored trainings, in their order.
pub(super) fn of_all(stored: &Stored) -> Vec<SystemSummary> {
    let same = |a: &Training, b: &Training| (a.system, a.budget_ms) == (b.system, b.budget_ms);
    let seconds = |training: &Training| match training.system {
        // It was trained before all others, which it guides.
        SystemName::Teacher => stored.guides.get(&training.seed).map_or(0.0, |guide| guide.seconds),
        _ => training.training_s,
    };
    stored.trainings.chunk_by(same).map(|trainings| of_one(trainings, seconds)).collect()
}

fn of_one(trainings: &[Training], seconds: impl Fn(&Training) -> f64) -> SystemSummary {
    let found: Vec<&Trained> = trainings.iter().filter_map(Training::found).collect();
    let spread = |of: &dyn Fn(&Trained) -> Option<f64>| OverSeeds::of(found.iter().filter_map(|t| of(t)));
    let times = |part: fn(&Latency) -> Times| {
        let of = |value: fn(Times) -> Option<f64>| {
            OverSeeds::of(found.iter().filter_map(|trained| value(part(trained.latency.as_ref()?))))
        };
        TimesSummary { mean_ms: of(|t| t.mean_ms), p50_ms: of(|t| t.p50_ms), p99_ms: of(|t| t.p99_ms) }
    };
    let by_k = |of: fn(&Trained) -> &BTreeMap<usize, f64>| {
        let mut all: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
        let values = found.iter().flat_map(|trained| of(trained));
        values.for_each(|(&k, &value)| all.entry(k).or_default().push(value));
        all.into_iter().filter_map(|(k, values)| Some((k, OverSeeds::of(values.into_iter())?))).collect()
    };
    let count = |value: usize| value as f64;
    SystemSummary {
        system: trainings[0].system,
        budget_ms: trainings[0].budget_ms,
        seeds: found.len(),
        unreachable: trainings.len() - found.len(),
        auc: spread(&|t| t.metrics.auc),
        gauc: spread(&|t| t.metrics.gauc),
        logloss: spread(&|t| Some(t.metrics.logloss)),
        recall_at: by_k(|t| &t.top_lists.recall_at),
        overlap_at: by_k(|t| &t.top_lists.overlap_at),
        calibration_error: spread(&|t| t.calibration.map(|c| c.expected_error)),
        predicted_over_observed: spread(&|t| t.calibration.and_then(|c| c.predicted_over_observed)),
        features: spread(&|t| Some(count(t.features.len()))),
        parameters: spread(&|t| Some(count(t.parameters))),
        multiply_adds: spread(&|t| Some(count(t.multiply_adds))),
        fetched: found.iter().find_map(|t| Some(t.latency.as_ref()?.fetched)),
        fetch: times(|latency| latency.fetch),
        inference: times(|latency| latency.inference),
        total: times(|latency| latency.total),
        invalid_replays: found.iter().filter(|t| t.latency.as_ref().is_some_and(|l| !l.valid)).count(),
        training_s: OverSeeds::of(trainings.iter().map(seconds)),
        agreement: Agreement::of(&found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::compare::result::Outcome;

    #[test]
    fn a_budget_is_exceeded_by_fetching_and_inference_and_not_by_the_whole_request() {
        let ms = |mean: f64| TimesSummary {
            mean_ms: Some(OverSeeds { mean, deviation: None }),
            p50_ms: None,
            p99_ms: None,
        };
        let training = Training {
            system: SystemName::Rd,
            budget_ms: Some(0.8),
            seed: 0,
            settings: Vec::new(),
            training_s: 1.0,
            outcome: Outcome::Unreachable(String::new()),
        };
        let mut system = of_one(&[training], |_| 0.0);
        (system.fetch, system.inference, system.total) = (ms(0.5), ms(0.3), ms(0.9));
        assert_eq!(system.above_budget_pct(), None);
        system.inference = ms(0.5);
        assert!((system.above_budget_pct().unwrap() - 25.0).abs() < 1e-9);
        system.budget_ms = None;
        assert_eq!(system.above_budget_pct(), None);
    }
}
