//! Feature masks, equation (1): which features a step lets through, and how θ learns from it.
//!
//! Every feature has one free parameter. A gate is a function of it, and θ is the share of the feature that the gate keeps: what
//! equations (3) and (4) and the input widths D(θ) price, and what a choice is read from. Three gates are offered:
//!
//! | gate | θ of the free parameter z | a step sees |
//! | --- | --- | --- |
//! | `straight_through` | σ(z) | 0 or 1, drawn with chance θ |
//! | `relaxed` | σ(z) | a number between 0 and 1, drawn around θ, nearer to 0 and 1 with every step |
//! | `smoothed_l0` | z²/(z² + ε) | θ itself, which ends at 0 or 1 as ε falls |
//!
//! Where the price is θ's, its gradient goes through that function: with a sigmoid it vanishes at both ends, with the smoothed ℓ0
//! it is ∂L/∂z = ∂L/∂θ·2εz/(z² + ε)², largest at z = √(ε/3), so that late in the search only features near √ε still pay.

mod missing;
mod relaxed;
mod smoothed_l0;
mod straight_through;

pub use missing::missing;

use super::{Learn, device::device, params::Params, settings::Gate, values};
use crate::{
    base::{Result, rng::Generator},
    data::schema::Feature,
};
use candle_core::Tensor;
use candle_nn::ops::sigmoid;
use rand::RngExt;

/// Name of the free parameters in [`Params`].
pub const THETA: &str = "theta";

/// The gates of all features.
#[derive(Debug, Clone)]
pub struct Mask {
    free: Tensor,
    /// 1 where θ is learned, 0 where the schema has decided.
    open: Tensor,
    /// 1 where the schema has decided to keep.
    kept: Tensor,
    gate: Gate,
    /// From 0 to 1 over the search.
    progress: f64,
}

impl Mask {
    /// θ = `start` for all `features` but those that the schema decides: 1 where it says `must_keep`, 0 where `never`.
    pub fn new(features: &[Feature], start: f32, gate: Gate, params: &mut Params) -> Result<Self> {
        let flags = |flag: fn(&Feature) -> bool| {
            let flags: Vec<f32> = features.iter().map(|f| f32::from(u8::from(flag(f)))).collect();
            Tensor::new(flags, device()).learn("create masks")
        };
        let free = match gate {
            Gate::SmoothedL0 { start_epsilon, .. } => smoothed_l0::free_of(start, start_epsilon),
            Gate::StraightThrough | Gate::Relaxed { .. } => (start / (1.0 - start)).ln(),
        };
        Ok(Self {
            free: params.constant(THETA, features.len(), free)?,
            open: flags(|f| !f.must_keep && !f.never)?,
            kept: flags(|f| f.must_keep)?,
            gate,
            progress: 0.0,
        })
    }

    /// Sets temperature or ε to what they are once the share `progress` of the search has passed. The smoothed ℓ0's θ depends on
    /// it.
    pub fn anneal(&mut self, progress: f64) {
        self.progress = progress;
    }

    /// θ, with gradient: `[features]`.
    pub fn theta(&self) -> Result<Tensor> {
        let learned = match self.gate {
            Gate::SmoothedL0 { start_epsilon, end_epsilon, schedule } => {
                smoothed_l0::kept(&self.free, schedule.at(start_epsilon, end_epsilon, self.progress))
            }
            Gate::StraightThrough | Gate::Relaxed { .. } => sigmoid(&self.free),
        };
        self.decided(learned).learn("compute θ")
    }

    /// Puts in what the schema has decided.
    fn decided(&self, learned: candle_core::Result<Tensor>) -> candle_core::Result<Tensor> {
        (learned? * &self.open)? + &self.kept
    }

    /// θ as numbers.
    pub fn theta_values(&self) -> Result<Vec<f64>> {
        Ok(values(&self.theta()?)?.into_iter().map(f64::from).collect())
    }

    /// The gates of a step: a row `[1, features]` with gradient to θ.
    pub fn draw(&self, rng: &mut Generator) -> Result<Tensor> {
        match self.gate {
            Gate::StraightThrough => {
                let theta = values(&self.theta()?)?;
                self.straight_through(straight_through::draw(&theta, &self.uniform(rng)))
            }
            Gate::Relaxed { start_temperature, end_temperature, schedule } => {
                let temperature = schedule.at(start_temperature, end_temperature, self.progress);
                let mut gates = || {
                    let drawn = relaxed::gates(&self.free, &self.uniform(rng), temperature);
                    self.decided(drawn)?.unsqueeze(0)
                };
                gates().learn("draw relaxed masks")
            }
            Gate::SmoothedL0 { .. } => self.theta()?.unsqueeze(0).learn("open the gates"),
        }
    }

    /// One draw of [0, 1) per feature.
    fn uniform(&self, rng: &mut Generator) -> Vec<f32> {
        (0..self.free.elem_count()).map(|_| rng.random::<f32>()).collect()
    }

    /// The given draw as gates with the straight-through gradient.
    pub fn straight_through(&self, drawn: Vec<f32>) -> Result<Tensor> {
        let theta = self.theta()?;
        straight_through::gates(&theta, drawn).and_then(|gates| gates.unsqueeze(0)).learn("draw masks")
    }

    /// After a step of the optimizer: a free parameter of the smoothed ℓ0 that went below 0 stops there, so that its gate is
    /// exactly closed. `params` are those that it was made in.
    pub fn settle(&self, params: &Params) -> Result<()> {
        let Gate::SmoothedL0 { .. } = self.gate else { return Ok(()) };
        let mut free = values(&self.free)?;
        if smoothed_l0::settle(&mut free) { params.set(THETA, free) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
