//! Settings of everything that is trained, with the defaults of the experiment file. Equation numbers are those of
//! the AutoFAS paper.

use super::optimizer::Scaling;
use crate::base::check::{self, Checked};
use serde::{Deserialize, Serialize};

/// How a plain network is fitted: Adam with decoupled weight decay, early stopping on the validation AUC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainSettings {
    /// Share of a hidden layer's outputs that a training step drops.
    pub dropout: f32,
    /// Share of the concatenated embeddings that a training step drops.
    pub embedding_dropout: f32,
    /// Step size of Adam for dense layers.
    pub learning_rate: f64,
    /// Step size of Adam for rows of embeddings. A row moves only when a batch touches it, where a dense Adam goes on for
    /// 1/(1 − β₁) = 10 steps: at ten times the step size of dense layers a rare id moves as far as there.
    pub embedding_learning_rate: f64,
    /// Decoupled weight decay of dense layers.
    pub weight_decay: f64,
    /// Decoupled weight decay of embeddings.
    pub embedding_weight_decay: f64,
    /// Rows per step.
    pub batch_size: usize,
    /// Passes over the training rows, at most.
    pub max_epochs: usize,
    /// Epochs without a better validation AUC before training stops.
    pub patience: usize,
}

impl Default for TrainSettings {
    fn default() -> Self {
        Self {
            dropout: 0.2,
            embedding_dropout: 0.0,
            learning_rate: 1e-3,
            embedding_learning_rate: 1e-2,
            weight_decay: 0.0,
            embedding_weight_decay: 0.0,
            batch_size: 2048,
            max_epochs: 6,
            patience: 1,
        }
    }
}

impl TrainSettings {
    /// The first setting outside its range.
    pub fn check(&self) -> Checked {
        check::share_below_one("dropout", f64::from(self.dropout))?;
        check::share_below_one("embedding_dropout", f64::from(self.embedding_dropout))?;
        check::positive("learning_rate", self.learning_rate)?;
        check::positive("embedding_learning_rate", self.embedding_learning_rate)?;
        check::not_negative("weight_decay", self.weight_decay)?;
        check::not_negative("embedding_weight_decay", self.embedding_weight_decay)?;
        check::at_least("batch_size", self.batch_size, 1)?;
        check::at_least("max_epochs", self.max_epochs, 1)?;
        check::at_least("patience", self.patience, 1)
    }
}

/// The teacher (ranking network): shared MLP, one MLP per partition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TeacherSettings {
    /// Widths of the layers that all partitions share.
    pub shared: Vec<usize>,
    /// Widths of the layers that each partition has for itself, before its output node.
    pub partition: Vec<usize>,
    /// Share of whole features that each row of a training step misses. A teacher that never misses one spreads what
    /// twins say over both, so that its frozen layers cannot do without either.
    pub feature_dropout: f32,
    /// Teachers with different seeds whose mean score is r(x).
    pub ensemble: usize,
    /// How it is fitted.
    #[serde(flatten)]
    pub train: TrainSettings,
}

impl Default for TeacherSettings {
    fn default() -> Self {
        Self {
            shared: vec![256, 128],
            partition: vec![64],
            feature_dropout: 0.0,
            ensemble: 1,
            train: TrainSettings::default(),
        }
    }
}

impl TeacherSettings {
    /// The first setting outside its range.
    pub fn check(&self) -> Checked {
        check::widths("shared", &self.shared)?;
        check::widths("partition", &self.partition)?;
        check::share_below_one("feature_dropout", f64::from(self.feature_dropout))?;
        check::at_least("ensemble", self.ensemble, 1)?;
        self.train.check()
    }
}

/// Whether Loss1's latency contains the price of the first layer at the expected input widths D(θ).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PriceFirstLayer {
    /// It does, with α held constant; Loss2's holds θ constant.
    #[serde(rename = "joint")]
    Joint,
    /// Loss1 carries the feature latency (4) alone.
    #[serde(rename = "paper")]
    PaperOnly,
}

/// How the draw of a mask (1) passes a gradient to θ.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Gate {
    /// Forward the drawn 0 or 1, backward as if it were θ.
    StraightThrough,
    /// Gumbel-sigmoid, whose temperature falls geometrically over the search.
    Relaxed {
        /// At the first step after the warm-up.
        #[serde(default = "start_temperature")]
        start_temperature: f64,
        /// At the last step.
        #[serde(default = "end_temperature")]
        end_temperature: f64,
    },
}

fn start_temperature() -> f64 {
    1.0
}

fn end_temperature() -> f64 {
    0.1
}

/// Which operators of every Mixop a step of the search trains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Paths {
    /// The full mixture, equation (2).
    All,
    /// Some, drawn from p for every batch: cheaper steps, noisier gradients.
    Sampled {
        /// How many per Mixop.
        #[serde(default = "two")]
        count: usize,
    },
}

fn two() -> usize {
    2
}

/// Whether Loss2's gradient stops between the masked embeddings and Mixop 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GradientBlock {
    /// It stops: θ learns from Loss1 alone.
    On,
    /// It flows into θ. The embeddings are the frozen teacher's either way.
    Off,
}

/// The search: θ by Loss1 (5), α and the supernet's weights by Loss2 (7).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SearchSettings {
    /// Passes over the training rows after the warm-up.
    pub epochs: usize,
    /// Passes before them that train weights alone, with α and θ frozen and no latency.
    pub warmup_epochs: usize,
    /// Rows per step; one mask is drawn per step.
    pub batch_size: usize,
    /// Share of the training rows that the teacher never sees and Loss1 judges the masks on; 0 judges them on the rows
    /// that the teacher was trained on, as in the paper.
    pub held_out: f64,
    /// Step size of Adam for the supernet's weights.
    pub learning_rate: f64,
    /// Decoupled weight decay of the supernet's weights.
    pub weight_decay: f64,
    /// θ of every feature before the first step: the share of features that the first masks let through.
    pub theta_start: f64,
    /// Step size of Adam for the logits of θ.
    pub theta_learning_rate: f64,
    /// Whether every θ moves in proportion to its gradient (joint) or all at one speed (each). In proportion, noise moves
    /// little, and the strongest features stand first; at one speed, whatever is consistent moves as far as whatever is large.
    pub theta_scaling: Scaling,
    /// Step size of Adam for α.
    pub alpha_learning_rate: f64,
    /// λ of Loss1 (5): loss per ms of feature latency.
    pub lambda: f64,
    /// λ1 of Loss2 (7): weight of the distillation term, the ranking term has 1 − λ1.
    pub lambda1: f64,
    /// λ2 of Loss2 (7): loss per ms of network latency.
    pub lambda2: f64,
    /// Epochs after the warm-up over which λ and λ2 rise linearly from 0.
    pub lambda_ramp_epochs: f64,
    /// What Loss1 pays beside (4).
    pub price_first_layer: PriceFirstLayer,
    /// Operators that a step trains.
    pub paths: Paths,
    /// How θ learns through the draw.
    pub gate: Gate,
    /// Between the masked embeddings and Mixop 1.
    pub gradient_block: GradientBlock,
}

impl Default for SearchSettings {
    fn default() -> Self {
        Self {
            epochs: 2,
            warmup_epochs: 1,
            batch_size: 2048,
            held_out: 0.1,
            learning_rate: 1e-3,
            weight_decay: 0.0,
            theta_start: 0.5,
            theta_learning_rate: 0.02,
            theta_scaling: Scaling::Joint,
            alpha_learning_rate: 0.01,
            lambda: 0.01,
            lambda1: 0.3,
            lambda2: 0.01,
            lambda_ramp_epochs: 0.5,
            price_first_layer: PriceFirstLayer::Joint,
            paths: Paths::All,
            gate: Gate::StraightThrough,
            gradient_block: GradientBlock::On,
        }
    }
}

impl SearchSettings {
    /// The share of λ and λ2 that is paid once so many epochs after the warm-up have passed.
    pub fn lambda_share(&self, epochs: f64) -> f64 {
        match self.lambda_ramp_epochs {
            0.0 => 1.0,
            ramp => (epochs / ramp).min(1.0),
        }
    }

    /// The first setting outside its range.
    pub fn check(&self) -> Checked {
        check::at_least("epochs", self.epochs, 1)?;
        check::at_least("batch_size", self.batch_size, 1)?;
        check::share_below_one("held_out", self.held_out)?;
        check::positive("learning_rate", self.learning_rate)?;
        check::not_negative("weight_decay", self.weight_decay)?;
        check::inside("theta_start", self.theta_start)?;
        check::positive("theta_learning_rate", self.theta_learning_rate)?;
        check::positive("alpha_learning_rate", self.alpha_learning_rate)?;
        check::not_negative("lambda", self.lambda)?;
        check::share("lambda1", self.lambda1)?;
        check::not_negative("lambda2", self.lambda2)?;
        check::not_negative("lambda_ramp_epochs", self.lambda_ramp_epochs)?;
        if let Paths::Sampled { count } = self.paths {
            check::at_least("paths.count", count, 1)?;
        }
        match self.gate {
            Gate::StraightThrough => Ok(()),
            Gate::Relaxed { start_temperature, end_temperature } => {
                check::positive("gate.start_temperature", start_temperature)?;
                check::positive("gate.end_temperature", end_temperature)
            }
        }
    }
}

/// Which features are kept once θ is learned. In every Mixop the operator of the largest α is kept.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "rule", rename_all = "snake_case")]
pub enum DeriveSettings {
    /// Those whose θ is above a threshold.
    Threshold {
        /// The threshold.
        #[serde(default = "half")]
        theta: f64,
    },
    /// The strongest.
    TopK {
        /// How many.
        #[serde(default = "thirty")]
        k: usize,
    },
    /// The largest set within a latency budget: by falling θ, all that still fits.
    Budget {
        /// Features and network together, in ms. Has no default that makes sense: 0 is refused.
        #[serde(default)]
        budget_ms: f64,
    },
}

fn half() -> f64 {
    0.5
}

fn thirty() -> usize {
    30
}

impl Default for DeriveSettings {
    fn default() -> Self {
        Self::Threshold { theta: half() }
    }
}

impl DeriveSettings {
    /// The first setting outside its range.
    pub fn check(&self) -> Checked {
        match *self {
            Self::Threshold { theta } => check::share("theta", theta),
            Self::TopK { k } => check::at_least("k", k, 1),
            Self::Budget { budget_ms } => check::positive("budget_ms", budget_ms),
        }
    }
}

/// Training the derived network from scratch, with the teacher's scores as soft targets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RetrainSettings {
    /// λ1 of (7): weight of mean (r − p)², the ranking term has 1 − λ1.
    pub distillation: f64,
    /// How it is fitted.
    #[serde(flatten)]
    pub train: TrainSettings,
}

impl Default for RetrainSettings {
    fn default() -> Self {
        Self { distillation: 0.3, train: TrainSettings::default() }
    }
}

impl RetrainSettings {
    /// The first setting outside its range.
    pub fn check(&self) -> Checked {
        check::share("distillation", self.distillation)?;
        self.train.check()
    }
}

/// The plain DNN on all features that the winner is set beside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BaselineSettings {
    /// Widths of its hidden layers.
    pub widths: Vec<usize>,
    /// How it is fitted.
    #[serde(flatten)]
    pub train: TrainSettings,
}

impl Default for BaselineSettings {
    fn default() -> Self {
        Self { widths: vec![1024, 512, 256], train: TrainSettings::default() }
    }
}

impl BaselineSettings {
    /// The first setting outside its range.
    pub fn check(&self) -> Checked {
        check::widths("widths", &self.widths)?;
        self.train.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_within_their_ranges() {
        TeacherSettings::default().check().unwrap();
        SearchSettings::default().check().unwrap();
        DeriveSettings::default().check().unwrap();
        RetrainSettings::default().check().unwrap();
        BaselineSettings::default().check().unwrap();
    }

    #[test]
    fn latency_is_paid_in_full_after_the_ramp_and_not_before() {
        let share = |ramp, epochs| {
            SearchSettings { lambda_ramp_epochs: ramp, ..Default::default() }.lambda_share(epochs)
        };
        assert_eq!([0.0, 0.125, 0.5, 3.0].map(|epochs| share(0.5, epochs)), [0.0, 0.25, 1.0, 1.0]);
        assert_eq!(share(0.0, 0.0), 1.0);
    }

    #[test]
    fn a_violation_names_its_key() {
        let dropped = TeacherSettings {
            train: TrainSettings { dropout: 1.0, ..Default::default() },
            ..Default::default()
        };
        assert_eq!(dropped.check().unwrap_err().key, "dropout");
        let gate = Gate::Relaxed { start_temperature: 1.0, end_temperature: 0.0 };
        let cold = SearchSettings { gate, ..Default::default() };
        assert_eq!(cold.check().unwrap_err().key, "gate.end_temperature");
        for theta_start in [0.0, 1.0] {
            let stuck = SearchSettings { theta_start, ..Default::default() };
            assert_eq!(stuck.check().unwrap_err().key, "theta_start");
        }
    }
}
