//! What is stored of every training, and what it was made with.

use super::SCHEMA_VERSION;
use crate::{
    app::{
        config::{Stage as Seed, SystemName},
        iterate::Run,
    },
    base::{
        Result,
        names::{EngineName, Layout, Precision},
    },
    learn::metrics::{Calibration, Metrics, TopLists},
    measure::latency::LatencySummary,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The name of a training within its seed, as files have it.
pub(super) fn unit_name(system: SystemName, budget_ms: Option<f64>) -> String {
    budget_ms.map_or(system.to_string(), |ms| format!("{system}-{ms}ms"))
}

/// What all trainings of a comparison have in common.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Setup {
    /// Version of this format.
    pub schema_version: u32,
    /// SHA-256 of the encoded rows.
    pub rows_hash: String,
    /// Rows that are trained on.
    pub train_rows: usize,
    /// Rows that systems are compared on.
    pub valid_rows: usize,
    /// Names of all features, in the order of the trainings' `strengths`.
    pub features: Vec<String>,
    /// Whose latencies are priced and replayed.
    pub engine: EngineName,
    /// How a request becomes inputs.
    pub layout: Layout,
    /// Number format of the graphs.
    pub precision: Precision,
    /// Candidates of the request that is priced.
    pub candidates: usize,
    /// Draws of the bootstrap over users.
    pub resamples: usize,
    /// Seed of those draws.
    pub seed: u64,
}

impl Setup {
    pub(super) fn of(root: &Run) -> Result<Self> {
        let (target, split) = (&root.settings.target, &root.loaded.split);
        Ok(Self {
            schema_version: SCHEMA_VERSION,
            rows_hash: root.loaded.dataset.rows_hash(),
            train_rows: split.train.len(),
            valid_rows: split.valid.len(),
            features: root.schema.features.iter().map(|feature| feature.name.clone()).collect(),
            engine: target.engine,
            layout: target.layout,
            precision: target.precision,
            candidates: target.candidates,
            resamples: root.settings.compare.resamples,
            seed: root.seed(Seed::Rounds),
        })
    }
}

/// One training of one system.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Training {
    /// Which system.
    pub system: SystemName,
    /// Features and mean service time together, which it was to keep; absent for a system without a budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_ms: Option<f64>,
    /// From 0: how far its seeds lie from the experiment's.
    pub seed: u32,
    /// Settings that its trials chose.
    pub settings: Vec<String>,
    /// Seconds of all that the system did itself: search, choices and retraining, without the teacher. What budgets share, such as
    /// the search's warm-up, is in the first of them.
    pub training_s: f64,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// A network.
    Trained(Box<Trained>),
    /// The system cannot keep its budget, and why.
    Unreachable(String),
}

/// What was measured of a trained system.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Trained {
    /// Names of its features.
    pub features: Vec<String>,
    /// Widths of its hidden layers; empty where they are not one behind the other.
    pub layers: Vec<usize>,
    /// Its ranking of all features, where it has one: θ of a search.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strengths: Option<Vec<f64>>,
    /// AUC, GAUC and logloss on the validation rows.
    pub metrics: Metrics,
    /// On the same rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
    /// Of requests of the trace with all their candidates, against the teacher of the same seed. Empty without keys of users and
    /// items.
    pub top_lists: TopLists,
    /// Trained numbers: embeddings, weights and biases; click shares, thresholds and leaves of trees.
    pub parameters: usize,
    /// Multiply-adds of the dense layers for one candidate; trees have none.
    pub multiply_adds: usize,
    /// Price of its features: equation (4).
    pub feature_ms: f64,
    /// Mean service time as the table predicts it; absent where it has no prices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicted_ms: Option<f64>,
    /// By replay; absent without keys of users and items.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// The ONNX file, from the comparison's folder.
    pub onnx: String,
    /// Its scores of the validation rows as little-endian f32, from the comparison's folder.
    pub scores: String,
    /// Seconds of exporting, proving, scoring and replaying it.
    pub measuring_s: f64,
}

/// Times of a network by replay on the target's engine, one request after the other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Latency {
    /// The runtime.
    pub engine: EngineName,
    /// Candidates of a request in the mean.
    pub candidates: f64,
    /// Where the time of fetching is from.
    pub fetched: Fetched,
    /// Fetching the features.
    pub fetch: Times,
    /// The engine's own run.
    pub inference: Times,
    /// Fetching, assembling and running.
    pub total: Times,
    /// Whether the replay may be believed.
    pub valid: bool,
    /// Why not.
    pub reasons: Vec<String>,
}

/// Where the time of fetching is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Fetched {
    /// Replayed: every request fetched from the store.
    FromStore,
    /// Equation (4) with measured prices, the same for every request.
    MeasuredPrice,
    /// Equation (4) with the schema's prices, the same for every request.
    DeclaredPrice,
}

impl Fetched {
    /// In words.
    pub(in crate::app) fn text(self) -> &'static str {
        match self {
            Self::FromStore => "replayed from the store",
            Self::MeasuredPrice => "the measured price of the features, added to every request",
            Self::DeclaredPrice => "the schema's declared price of the features, added to every request",
        }
    }
}

/// Mean and percentiles in ms; percentiles that too few requests earn are absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Times {
    /// Mean.
    pub mean_ms: Option<f64>,
    /// Median.
    pub p50_ms: Option<f64>,
    /// 99th percentile.
    pub p99_ms: Option<f64>,
}

impl Times {
    pub(super) fn of(summary: &LatencySummary) -> Self {
        let ms = |us: Option<u64>| us.map(|us| us as f64 / 1e3);
        let LatencySummary { mean, p50, p99, .. } = summary;
        Self { mean_ms: mean.map(|us| us / 1e3), p50_ms: ms(*p50), p99_ms: ms(*p99) }
    }

    pub(super) fn constant(ms: f64) -> Self {
        Self { mean_ms: Some(ms), p50_ms: Some(ms), p99_ms: Some(ms) }
    }

    /// With as much in every request.
    pub(super) fn plus(self, ms: f64) -> Self {
        let plus = |own: Option<f64>| own.map(|own| own + ms);
        Self { mean_ms: plus(self.mean_ms), p50_ms: plus(self.p50_ms), p99_ms: plus(self.p99_ms) }
    }
}

impl Training {
    pub(super) fn new(
        system: SystemName,
        budget_ms: Option<f64>,
        seed: u32,
        settings: &[String],
        training_s: f64,
    ) -> Self {
        let outcome = Outcome::Unreachable(String::new());
        Self { system, budget_ms, seed, settings: settings.to_vec(), training_s, outcome }
    }

    pub(super) fn unreachable(self, reason: String) -> Self {
        Self { outcome: Outcome::Unreachable(reason), ..self }
    }

    pub(super) fn trained(self, trained: Trained, measuring_s: f64) -> Self {
        Self { outcome: Outcome::Trained(Box::new(Trained { measuring_s, ..trained })), ..self }
    }

    /// What was measured, unless the budget could not be kept.
    pub fn found(&self) -> Option<&Trained> {
        match &self.outcome {
            Outcome::Trained(trained) => Some(trained),
            Outcome::Unreachable(_) => None,
        }
    }

    /// All seconds that it took.
    pub(super) fn seconds(&self) -> f64 {
        self.training_s + self.found().map_or(0.0, |trained| trained.measuring_s)
    }
}

/// The teachers of a seed, or of all trials.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Guided {
    /// Of r(x) on the validation rows.
    pub(super) metrics: Metrics,
    /// What they took, scores of all rows included.
    pub(super) seconds: f64,
}

/// All trials of a system.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TrialLog {
    /// Which system.
    pub system: SystemName,
    /// The budget that it was tuned at; absent for a system without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_ms: Option<f64>,
    /// In the order of the grid.
    pub trials: Vec<Trial>,
    /// The settings of the highest AUC, the first of equal ones.
    pub chosen: Vec<String>,
}

/// One trial: trained and validated on training rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Trial {
    /// Settings beside the experiment's.
    pub settings: Vec<String>,
    /// On the training rows that were held out; 0 where the budget could not be kept.
    pub auc: f64,
    /// On the same rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logloss: Option<f64>,
    /// What it took.
    pub seconds: f64,
}
