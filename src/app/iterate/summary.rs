//! What a run found, for people and for `summary.json`.

mod text;

pub(in crate::app) use text::layers_text;

use super::{
    Guide, Run,
    budget::BudgetSummary,
    journal::Journal,
    measured::{Calibrated, MeasuredTime},
    probed::ProbeSummary,
    recommend::converged,
    traffic::{Replayed, Replays},
    training::Trained,
};
use crate::{
    base::{Result, names::EngineName},
    learn::metrics::Metrics,
    measure::latency::LatencySummary,
    price::{agreement::Shape, calibrate::Calibration},
    space::Subnet,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::Path};

/// Where it is kept.
pub(super) const FILE: &str = "summary.json";
/// Version of `summary.json`.
pub(super) const SCHEMA_VERSION: u32 = 4;

/// The result of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Version of this layout.
    pub schema_version: u32,
    /// The ranking network.
    pub teacher: TeacherSummary,
    /// By engine: how many prices of single layers the first round paid with stayed noisy.
    pub probes: BTreeMap<EngineName, ProbeSummary>,
    /// Every round.
    pub rounds: Vec<RoundSummary>,
    /// Why there was no further round.
    pub ended: Ending,
    /// The network of the best validation AUC that was found, among those within the measured budget where one is stated.
    pub winner: WinnerSummary,
    /// The plain DNN on all features.
    pub baseline: BaselineSummary,
}

/// Why a run's rounds ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ending {
    /// The winner stayed the same and was predicted within the noise of its measurement.
    Converged,
    /// `rounds.count` was reached.
    Limit,
}

/// r(x) on the validation rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TeacherSummary {
    /// AUC, GAUC and logloss.
    #[serde(flatten)]
    pub metrics: Metrics,
    /// Standard error of the AUC, after Hanley and McNeil; absent without an AUC, and in summaries of earlier programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auc_standard_error: Option<f64>,
    /// What is wrong with it, with what mends it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The metrics of the trees that teach, alone, where some do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trees: Option<Metrics>,
}

impl TeacherSummary {
    pub(super) fn of(guide: &Guide) -> Self {
        Self {
            metrics: guide.metrics.clone(),
            auc_standard_error: guide.judgement.auc_standard_error,
            warnings: guide.judgement.warnings.clone(),
            trees: guide.teaching.trees_metrics().cloned(),
        }
    }
}

/// A trained network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// Standard error of the measurement.
    pub noise_pct: f64,
    /// The measurement stayed too noisy to show anything.
    pub winner_void: bool,
    /// Whether the round's table had seen this shape, so that the prediction is none.
    pub shape: Shape,
    /// The plain DNN's service time in the same measurement.
    pub baseline: MeasuredTime,
    /// Networks that stayed noisier than `probe.max_noise_pct` after all repeats. None of them corrects the table or judges it.
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
    /// The network that was found.
    #[serde(flatten)]
    pub network: NetworkSummary,
    /// Price of its features: equation (4).
    pub feature_ms: f64,
    /// Features and network against `derive.budget_ms`, or under replayed traffic on the target's engine against
    /// `derive.objective`; absent without a budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetSummary>,
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
    /// Its service time by engine.
    pub service: BTreeMap<EngineName, MeasuredTime>,
    /// Features and network against `derive.budget_ms`, or in the last replay against `derive.objective`; absent without a
    /// budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetSummary>,
    /// Under replayed traffic by engine.
    pub replays: BTreeMap<EngineName, ReplaySummary>,
}

/// A network under replayed traffic on one engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// Mean service time that the run's last table expects over the trace's numbers of candidates; absent where it has no
    /// prices for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_service_ms: Option<f64>,
}

impl ReplaySummary {
    pub(super) fn of(Replayed { runs, measurement }: &Replayed, expected_service_ms: Option<f64>) -> Self {
        Self {
            valid: measurement.valid,
            reasons: measurement.reasons.clone(),
            runs: *runs,
            offered_qps: measurement.load.offered_qps,
            answered_qps: measurement.load.answered_qps,
            response_us: measurement.response_us.clone(),
            expected_service_ms,
        }
    }
}

/// The yardstick.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BaselineSummary {
    /// What it is.
    #[serde(flatten)]
    pub network: NetworkSummary,
    /// Its service time by engine.
    pub service: BTreeMap<EngineName, MeasuredTime>,
    /// Under replayed traffic by engine.
    pub replays: BTreeMap<EngineName, ReplaySummary>,
}

impl Summary {
    /// The one of the run in `folder`, once it is finished.
    pub(in crate::app) fn of_run(folder: &Path) -> Result<Option<Self>> {
        Journal::followed(folder).recall_document(FILE, SCHEMA_VERSION)
    }

    /// Fails when a budget was stated and no round's network was measured within it. The summary holds all the same.
    pub fn check_budget(&self) -> Result<()> {
        match &self.winner.budget {
            Some(budget) if !budget.met => Err(budget.missed(&self.winner.network.subnet)),
            _ => Ok(()),
        }
    }
}

/// What a run found beside its networks.
pub(super) struct Found {
    pub(super) probes: BTreeMap<EngineName, ProbeSummary>,
    pub(super) rounds: Vec<RoundSummary>,
    /// Position of the recommended round.
    pub(super) best: usize,
    pub(super) replays: Replays,
    /// By engine: what the last table expects of the winner and the plain DNN over the trace.
    pub(super) expected_ms: BTreeMap<EngineName, Vec<Option<f64>>>,
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
        table_version: u32,
        winner: &Trained,
        calibrated: &Calibrated,
        tail: Option<BudgetSummary>,
    ) -> RoundSummary {
        let engines = calibrated.engines.iter().map(|(&engine, part)| {
            let prediction = EnginePrediction {
                predicted_ms: part.winner.predicted_ms,
                measured_ms: part.winner.measured_ms,
                residual_pct: part.winner.residual_pct,
                noise_pct: part.winner.noise_pct,
                winner_void: part.winner_time.void,
                shape: part.winner.shape,
                baseline: part.baseline_time,
                void: part.void.clone(),
                calibration: part.calibration.clone(),
            };
            (engine, prediction)
        });
        let mut summary = RoundSummary {
            round,
            table_version,
            network: self.network_summary(winner),
            feature_ms: self.feature_ms(&winner.finished.subnet),
            budget: None,
            engines: engines.collect(),
        };
        summary.budget = tail.or_else(|| self.mean_budget(&summary));
        summary
    }

    /// Equation (4) for a choice of features.
    pub(in crate::app) fn feature_ms(&self, subnet: &Subnet) -> f64 {
        self.feature_prices.selected_ms(&subnet.features, self.space.features.len())
    }

    pub(super) fn summary(&self, guide: &Guide, baseline: &Trained, found: Found) -> Summary {
        let Found { probes, rounds, best, replays, expected_ms } = found;
        let ended = match converged(&rounds, self.settings.target.engine) {
            true => Ending::Converged,
            false => Ending::Limit,
        };
        let best = &rounds[best];
        let replayed = |position: usize| {
            let of = |(&engine, replays): (&EngineName, &Vec<Replayed>)| {
                let expected_ms = expected_ms.get(&engine).and_then(|all| *all.get(position)?);
                Some((engine, ReplaySummary::of(replays.get(position)?, expected_ms)))
            };
            replays.iter().filter_map(of).collect()
        };
        let service = |of: fn(&EnginePrediction) -> MeasuredTime| {
            best.engines.iter().map(|(&engine, p)| (engine, of(p))).collect()
        };
        Summary {
            schema_version: SCHEMA_VERSION,
            teacher: TeacherSummary::of(guide),
            probes,
            winner: WinnerSummary {
                round: best.round,
                network: best.network.clone(),
                service: service(|p| MeasuredTime {
                    ms: p.measured_ms,
                    noise_pct: p.noise_pct,
                    void: p.winner_void,
                }),
                budget: self.budget(best, &replays),
                replays: replayed(0),
            },
            baseline: BaselineSummary {
                network: self.network_summary(baseline),
                service: service(|p| p.baseline),
                replays: replayed(1),
            },
            rounds,
            ended,
        }
    }
}
