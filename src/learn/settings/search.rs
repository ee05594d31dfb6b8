//! The search.

use super::{
    schedule::{Annealing, RateSchedule},
    train::DistillationLoss,
};
use crate::{
    base::check::{self, Checked},
    learn::optimizer::Scaling,
};
use serde::{Deserialize, Serialize};

/// Whether Loss1's latency contains the price of the first layer at the expected input widths D(θ).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PriceFirstLayer {
    /// Loss1 pays it too, with α held constant; Loss2 pays it with θ held constant.
    #[serde(rename = "joint")]
    Joint,
    /// Loss1 carries the feature latency (4) alone.
    #[serde(rename = "paper")]
    PaperOnly,
}

/// How a feature's gate (1) opens and passes a gradient to θ: see [`mask`](crate::learn::mask).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Gate {
    /// Forward the drawn 0 or 1, backward as if it were θ.
    StraightThrough,
    /// Gumbel-sigmoid, whose temperature falls over the search.
    Relaxed {
        /// At the first step after the warm-up.
        #[serde(default = "start_temperature")]
        start_temperature: f64,
        /// At the last step.
        #[serde(default = "end_temperature")]
        end_temperature: f64,
        /// How it falls.
        #[serde(default)]
        schedule: Annealing,
    },
    /// z²/(z² + ε) of the free parameter z, without a draw: the smoothed ℓ0 of LPFS, which ends at 0 or 1.
    SmoothedL0 {
        /// ε at the first step after the warm-up.
        #[serde(default = "start_epsilon")]
        start_epsilon: f64,
        /// ε at the last step.
        #[serde(default = "end_epsilon")]
        end_epsilon: f64,
        /// How it falls.
        #[serde(default)]
        schedule: Annealing,
    },
}

impl Gate {
    fn check(&self) -> Checked {
        match *self {
            Self::StraightThrough => Ok(()),
            Self::Relaxed { start_temperature, end_temperature, .. } => {
                check::positive("gate.start_temperature", start_temperature)?;
                check::positive("gate.end_temperature", end_temperature)
            }
            Self::SmoothedL0 { start_epsilon, end_epsilon, .. } => {
                check::positive("gate.start_epsilon", start_epsilon)?;
                check::positive("gate.end_epsilon", end_epsilon)
            }
        }
    }
}

fn start_temperature() -> f64 {
    1.0
}

fn end_temperature() -> f64 {
    0.1
}

fn start_epsilon() -> f64 {
    0.1
}

fn end_epsilon() -> f64 {
    1e-5
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

/// What becomes of λ and λ2 where [`DeriveSettings`](super::DeriveSettings) states a budget.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Multiplier {
    /// They stay as they are, and the expected latency is what comes of it.
    Fixed,
    /// One factor on both, which starts at 1, rises while the expected latency is above the budget and falls while it is below. A
    /// λ of 0 stays 0. Without a budget nothing moves it.
    Dual {
        /// By how much the factor's logarithm grows in an epoch for every 100 % that the expected latency lies above the
        /// budget.
        #[serde(default = "dual_rate")]
        rate: f64,
        /// What the present violation adds to the factor's logarithm, per 100 %: without it the factor would swing around the
        /// one that holds the budget.
        #[serde(default = "dual_damping")]
        damping: f64,
    },
}

fn dual_rate() -> f64 {
    8.0
}

fn dual_damping() -> f64 {
    4.0
}

impl Default for Multiplier {
    fn default() -> Self {
        Self::Dual { rate: dual_rate(), damping: dual_damping() }
    }
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
    /// Share of the training rows that the first teacher never sees and Loss1 judges the masks on; 0 judges them on the rows
    /// that the teacher was trained on, as in the paper. The others of an ensemble, and trees, see them. Half of it goes to judging
    /// networks of the supernet instead, where that is done: under a budget, and for `[finals] features`.
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
    /// How the weights' step size goes over the warm-up, and again over the search.
    pub schedule: RateSchedule,
    /// How that of θ goes over the search.
    pub theta_schedule: RateSchedule,
    /// How that of α goes over the search. A `begin` lets the operators learn first.
    pub alpha_schedule: RateSchedule,
    /// λ of Loss1 (5): loss per ms of feature latency.
    pub lambda: f64,
    /// λ1 of Loss2 (7): weight of the distillation term, the ranking term has 1 − λ1.
    pub lambda1: f64,
    /// What the distillation term compares: scores row by row, or their order within lists.
    pub distillation_loss: DistillationLoss,
    /// Rows of a list at most, where it compares within lists; longer ones are cut.
    pub longest_list: usize,
    /// λ2 of Loss2 (7): loss per ms of network latency.
    pub lambda2: f64,
    /// Epochs after the warm-up over which λ and λ2 rise linearly from 0.
    pub lambda_ramp_epochs: f64,
    /// What becomes of λ and λ2 under a budget.
    pub multiplier: Multiplier,
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
            schedule: RateSchedule::CONSTANT,
            theta_schedule: RateSchedule::CONSTANT,
            alpha_schedule: RateSchedule::CONSTANT,
            lambda: 0.01,
            lambda1: 0.3,
            distillation_loss: DistillationLoss::Pointwise,
            longest_list: DistillationLoss::LONGEST_LIST,
            lambda2: 0.01,
            lambda_ramp_epochs: 0.5,
            multiplier: Multiplier::default(),
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

    /// How far θ and α can answer to what they pay once the share `progress` of the search has passed: the larger of their step
    /// sizes, as a share of the stated one.
    pub fn response(&self, progress: f64) -> f64 {
        self.theta_schedule.factor(progress).max(self.alpha_schedule.factor(progress))
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
        self.schedule.check(["schedule.begin", "schedule.warmup", "schedule.end"])?;
        let of_theta = ["theta_schedule.begin", "theta_schedule.warmup", "theta_schedule.end"];
        self.theta_schedule.check(of_theta)?;
        let of_alpha = ["alpha_schedule.begin", "alpha_schedule.warmup", "alpha_schedule.end"];
        self.alpha_schedule.check(of_alpha)?;
        check::at_least("longest_list", self.longest_list, 2)?;
        if let Paths::Sampled { count } = self.paths {
            check::at_least("paths.count", count, 1)?;
        }
        if let Multiplier::Dual { rate, damping } = self.multiplier {
            check::positive("multiplier.rate", rate)?;
            check::not_negative("multiplier.damping", damping)?;
        }
        self.gate.check()
    }
}
