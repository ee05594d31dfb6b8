//! What a run found, for people and for `summary.json`.

mod text;

use super::{
    Run,
    measured::Calibrated,
    traffic::{Replayed, Replays},
    training::{Guide, Trained},
};
use crate::{
    base::names::EngineName, learn::metrics::Metrics, measure::latency::LatencySummary,
    price::calibrate::Calibration,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of `summary.json`.
pub(super) const SCHEMA_VERSION: u32 = 2;

/// The result of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Version of this layout.
    pub schema_version: u32,
    /// The ranking network.
    pub teacher: TeacherSummary,
    /// Every round.
    pub rounds: Vec<RoundSummary>,
    /// The derived network of the best validation AUC.
    pub winner: WinnerSummary,
    /// The plain DNN on all features.
    pub baseline: BaselineSummary,
}

/// r(x) on the validation rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TeacherSummary {
    /// AUC, GAUC and logloss.
    #[serde(flatten)]
    pub metrics: Metrics,
}

/// A trained network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NetworkSummary {
    /// Canonical id.
    pub subnet: String,
    /// Names of its features.
    pub features: Vec<String>,
    /// Widths of its hidden layers.
    pub layers: Vec<usize>,
    /// On the validation rows.
    #[serde(flatten)]
    pub metrics: Metrics,
    /// Trained numbers, embeddings included.
    pub parameters: usize,
    /// Multiply-adds of the dense layers for one candidate.
    pub multiply_adds: usize,
    /// The ONNX file, from the run's folder.
    pub onnx: String,
}

/// One engine in one round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EnginePrediction {
    /// What the round's table said about the winner.
    pub predicted_ms: f64,
    /// Its measured service time: the median over blocks of the mean of a block's runs without their slowest quarter.
    pub measured_ms: f64,
    /// (predicted − measured) / measured.
    pub residual_pct: f64,
    /// Spread of the measurement.
    pub noise_pct: f64,
    /// The plain DNN's service time in the same measurement.
    pub baseline_ms: f64,
    /// Spread of that.
    pub baseline_noise_pct: f64,
    /// Networks that stayed noisier than `probe.max_noise_pct` after all repeats. None of them corrects the table.
    pub void: Vec<String>,
    /// The other networks, with the table that the search paid with and with the corrected one.
    pub calibration: Calibration,
}

/// One round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoundSummary {
    /// From 1.
    pub round: usize,
    /// Version of the table that the search paid with.
    pub table_version: u32,
    /// The derived network.
    #[serde(flatten)]
    pub network: NetworkSummary,
    /// By engine.
    pub engines: BTreeMap<EngineName, EnginePrediction>,
}

/// The network that the run recommends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WinnerSummary {
    /// The round that found it.
    pub round: usize,
    /// What it is.
    #[serde(flatten)]
    pub network: NetworkSummary,
    /// Its service time in ms by engine.
    pub measured_ms: BTreeMap<EngineName, f64>,
    /// Under replayed traffic by engine.
    pub replays: BTreeMap<EngineName, ReplaySummary>,
}

/// A network under replayed traffic on one engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplaySummary {
    /// Whether the response times may be believed.
    pub valid: bool,
    /// Why not.
    pub reasons: Vec<String>,
    /// How often it was replayed: 2 when the first was not valid.
    pub runs: usize,
    /// Mean rate of the schedule.
    pub offered_qps: Option<f64>,
    /// Answered requests per second.
    pub answered_qps: f64,
    /// Completion − scheduled arrival.
    pub response_us: LatencySummary,
}

impl ReplaySummary {
    fn of(Replayed { runs, measurement }: &Replayed) -> Self {
        Self {
            valid: measurement.valid,
            reasons: measurement.reasons.clone(),
            runs: *runs,
            offered_qps: measurement.load.offered_qps,
            answered_qps: measurement.load.answered_qps,
            response_us: measurement.response_us.clone(),
        }
    }
}

/// The yardstick.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BaselineSummary {
    /// What it is.
    #[serde(flatten)]
    pub network: NetworkSummary,
    /// Its service time in ms by engine.
    pub measured_ms: BTreeMap<EngineName, f64>,
    /// Under replayed traffic by engine.
    pub replays: BTreeMap<EngineName, ReplaySummary>,
}

impl RoundSummary {
    /// The round of the highest validation AUC; the earliest of equal ones.
    pub fn best(rounds: &[Self]) -> &Self {
        let auc = |round: &Self| round.network.metrics.auc.unwrap_or(0.0);
        rounds
            .iter()
            .reduce(|best, round| if auc(round) > auc(best) { round } else { best })
            .expect("one round")
    }
}

impl Run<'_> {
    pub(super) fn network_summary(&self, trained: &Trained) -> NetworkSummary {
        let finished = &trained.finished;
        NetworkSummary {
            subnet: finished.id.clone(),
            features: finished.subnet.feature_names(&self.space).into_iter().map(str::to_owned).collect(),
            layers: finished.subnet.layer_widths(),
            metrics: trained.fit.metrics.clone(),
            parameters: finished.parameters,
            multiply_adds: finished.multiply_adds,
            onnx: format!("networks/{}/model.onnx", finished.name),
        }
    }

    pub(super) fn round_summary(
        &self,
        round: usize,
        winner: &Trained,
        calibrated: &Calibrated,
    ) -> RoundSummary {
        let engines = calibrated.engines.iter().map(|(&engine, part)| {
            let prediction = EnginePrediction {
                predicted_ms: part.winner.predicted_ms,
                measured_ms: part.winner.measured_ms,
                residual_pct: part.winner.residual_pct,
                noise_pct: part.winner.noise_pct,
                baseline_ms: part.baseline_ms,
                baseline_noise_pct: part.baseline_noise_pct,
                void: part.void.clone(),
                calibration: part.calibration.clone(),
            };
            (engine, prediction)
        });
        RoundSummary {
            round,
            table_version: calibrated.next.version - 1,
            network: self.network_summary(winner),
            engines: engines.collect(),
        }
    }

    pub(super) fn summary(
        &self,
        guide: &Guide,
        baseline: &Trained,
        rounds: Vec<RoundSummary>,
        replays: Replays,
    ) -> Summary {
        let best = RoundSummary::best(&rounds);
        let replayed = |position: usize| {
            let of = |replays: &Vec<Replayed>| replays.get(position).map(ReplaySummary::of);
            replays.iter().filter_map(|(&engine, replays)| Some((engine, of(replays)?))).collect()
        };
        let service =
            |of: fn(&EnginePrediction) -> f64| best.engines.iter().map(|(&e, p)| (e, of(p))).collect();
        Summary {
            schema_version: SCHEMA_VERSION,
            teacher: TeacherSummary { metrics: guide.metrics.clone() },
            winner: WinnerSummary {
                round: best.round,
                network: best.network.clone(),
                measured_ms: service(|p| p.measured_ms),
                replays: replayed(0),
            },
            baseline: BaselineSummary {
                network: self.network_summary(baseline),
                measured_ms: service(|p| p.baseline_ms),
                replays: replayed(1),
            },
            rounds,
        }
    }
}
