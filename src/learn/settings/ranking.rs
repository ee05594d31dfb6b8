//! Rankings of features that the search is compared with.

use super::TrainSettings;
use crate::{
    base::check::{self, Checked},
    learn::optimizer::Scaling,
};
use serde::{Deserialize, Serialize};

/// The rows that a trained network is asked on what each feature is worth.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JudgeSettings {
    /// Share of the training rows that the network never sees and is judged on; 0 judges it on the rows that it was trained on,
    /// where ids of high cardinality look better than they are.
    pub held_out: f64,
    /// Rows that are judged on, at most. They are in memory at once, embedded.
    pub rows: usize,
}

impl Default for JudgeSettings {
    fn default() -> Self {
        Self { held_out: 0.1, rows: 20_000 }
    }
}

impl JudgeSettings {
    /// The first setting outside its range.
    pub fn check(&self) -> Checked {
        check::share_below_one("held_out", self.held_out)?;
        check::at_least("rows", self.rows, 1)
    }
}

/// What an embedding is compared with in Taylor importance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Replacement {
    /// Its mean over the judged rows, as in SHARK.
    #[default]
    Mean,
    /// 0.
    Zero,
}

/// By what a network is measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// What falls of the AUC is lost.
    #[default]
    Auc,
    /// What the log loss rises by is lost.
    LogLoss,
}

/// Importance by permutation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PermutationSettings {
    /// Permutations of each feature whose mean counts.
    pub repeats: usize,
    /// What is lost.
    pub measure: Measure,
}

impl Default for PermutationSettings {
    fn default() -> Self {
        Self { repeats: 3, measure: Measure::Auc }
    }
}

impl PermutationSettings {
    /// The first setting outside its range.
    pub fn check(&self) -> Checked {
        check::at_least("repeats", self.repeats, 1)
    }
}

/// COLD: squeeze-and-excitation weights in front of a plain DNN.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ColdSettings {
    /// Widths of the DNN's hidden layers.
    pub widths: Vec<usize>,
    /// Training rows that the weights are averaged over, at most.
    pub rows: usize,
    /// How it is fitted.
    #[serde(flatten)]
    pub train: TrainSettings,
}

impl Default for ColdSettings {
    fn default() -> Self {
        Self { widths: vec![1024, 512, 256], rows: 100_000, train: TrainSettings::default() }
    }
}

impl ColdSettings {
    /// The first setting outside its range.
    pub fn check(&self) -> Checked {
        check::widths("widths", &self.widths)?;
        check::at_least("rows", self.rows, 1)?;
        self.train.check()
    }
}

/// FSCD: gates with a prior by complexity in front of a plain DNN.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FscdSettings {
    /// Widths of the DNN's hidden layers.
    pub widths: Vec<usize>,
    /// γ1: weight of what a feature costs to fetch, as a share of the dearest.
    pub fetch_weight: f64,
    /// γ2: weight of the width of its embedding, as a share of the widest.
    pub width_weight: f64,
    /// γ3: weight of its cardinality, as ln(1 + cardinality) by that of the largest.
    pub cardinality_weight: f64,
    /// What the prior weighs in the loss of a batch. The paper has 1 / training rows here, and leaves the scale to its γ.
    pub prior_weight: f64,
    /// τ of the concrete relaxation.
    pub temperature: f64,
    /// Probability that a feature is kept before the first step.
    pub gate_start: f32,
    /// Step size of Adam for the logits of the gates.
    pub gate_learning_rate: f64,
    /// Whether every gate moves in proportion to its gradient (joint) or all at one speed (each).
    pub gate_scaling: Scaling,
    /// How it is fitted.
    #[serde(flatten)]
    pub train: TrainSettings,
}

impl Default for FscdSettings {
    fn default() -> Self {
        Self {
            widths: vec![1024, 512, 256],
            fetch_weight: 1.0,
            width_weight: 1.0,
            cardinality_weight: 1.0,
            prior_weight: 1e-4,
            temperature: 0.1,
            gate_start: 0.5,
            gate_learning_rate: 0.02,
            gate_scaling: Scaling::Joint,
            train: TrainSettings::default(),
        }
    }
}

impl FscdSettings {
    /// The first setting outside its range.
    pub fn check(&self) -> Checked {
        check::widths("widths", &self.widths)?;
        check::not_negative("fetch_weight", self.fetch_weight)?;
        check::not_negative("width_weight", self.width_weight)?;
        check::not_negative("cardinality_weight", self.cardinality_weight)?;
        check::not_negative("prior_weight", self.prior_weight)?;
        check::positive("temperature", self.temperature)?;
        check::inside("gate_start", f64::from(self.gate_start))?;
        check::positive("gate_learning_rate", self.gate_learning_rate)?;
        self.train.check()
    }
}
