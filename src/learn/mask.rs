//! Feature masks: equation (1), g_i = 1 with probability θ_i, one draw per batch over the whole embedding.
//!
//! θ is the sigmoid of a free parameter. Two gates are offered:
//!
//! * *straight-through*: forward uses the draw g, backward treats it as θ, so
//!   ∂L/∂θ_i = Σ_batch ⟨∂L/∂(g_i e_i), e_i⟩;
//! * *relaxed*: σ((logit θ + logit u) / τ) with u uniform (Maddison et al. 2017), whose temperature τ falls over the
//!   search; its gradient is that of the relaxed value.

use super::{Learn, params::Params, settings::Gate};
use crate::base::{Result, rng::Generator};
use candle_core::{Device, Tensor};
use candle_nn::ops::sigmoid;
use rand::RngExt;

/// Name of the free parameters in [`Params`].
pub const THETA: &str = "theta";

/// The gates of all features.
#[derive(Debug, Clone)]
pub struct Mask {
    free: Tensor,
}

impl Mask {
    /// θ = `start` for every one of `features`.
    pub fn new(features: usize, start: f32, params: &mut Params) -> Result<Self> {
        Ok(Self { free: params.constant(THETA, features, (start / (1.0 - start)).ln())? })
    }

    /// θ, with gradient: `[features]`.
    pub fn theta(&self) -> Result<Tensor> {
        sigmoid(&self.free).learn("compute θ")
    }

    /// θ as numbers.
    pub fn theta_values(&self) -> Result<Vec<f64>> {
        Ok(super::values(&self.theta()?)?.into_iter().map(f64::from).collect())
    }

    /// One draw: a row of gates `[1, features]` with gradient to θ. `progress` runs from 0 to 1 over the search.
    pub fn draw(&self, gate: &Gate, progress: f64, rng: &mut Generator) -> Result<Tensor> {
        let uniform: Vec<f32> = (0..self.free.elem_count()).map(|_| rng.random::<f32>()).collect();
        match gate {
            Gate::StraightThrough => {
                let theta = super::values(&self.theta()?)?;
                let drawn = uniform.iter().zip(theta).map(|(&u, t)| f32::from(u8::from(u < t))).collect();
                self.straight_through(drawn)
            }
            Gate::Relaxed { start_temperature, end_temperature } => {
                let temperature = start_temperature * (end_temperature / start_temperature).powf(progress);
                self.relaxed(uniform, temperature)
            }
        }
    }

    /// The given draw as gates with the straight-through gradient.
    pub fn straight_through(&self, drawn: Vec<f32>) -> Result<Tensor> {
        let theta = self.theta()?;
        let compute = || {
            let drawn = Tensor::from_vec(drawn, theta.shape(), theta.device())?;
            // The value is `drawn`; the gradient is that of θ.
            (drawn - theta.detach())?.add(&theta)?.unsqueeze(0)
        };
        compute().learn("draw masks")
    }

    fn relaxed(&self, uniform: Vec<f32>, temperature: f64) -> Result<Tensor> {
        let noise: Vec<f32> = uniform
            .iter()
            .map(|&u| {
                let u = u.clamp(1e-6, 1.0 - 1e-6);
                (u / (1.0 - u)).ln()
            })
            .collect();
        let compute = || {
            let noise = Tensor::from_vec(noise, self.free.shape(), &Device::Cpu)?;
            sigmoid(&((&self.free + noise)? / temperature)?)?.unsqueeze(0)
        };
        compute().learn("draw relaxed masks")
    }
}

/// Gates without gradient of `shape` `[rows, features]`: each is 0 with probability `share`, drawn row by row.
pub fn missing(shape: (usize, usize), share: f32, rng: &mut Generator) -> Result<Tensor> {
    let gates = (0..shape.0 * shape.1).map(|_| f32::from(u8::from(rng.random::<f32>() >= share)));
    Tensor::from_iter(gates, &Device::Cpu)
        .and_then(|gates| gates.reshape(shape))
        .learn("draw missing features")
}

/// Multiplies each feature's columns by its gate: `[rows, width]` from embeddings `[rows, width]`, gates
/// `[1, features]` (or `[rows, features]`) and the bank's expansion `[features, width]`.
pub fn apply(embedded: &Tensor, gates: &Tensor, expansion: &Tensor) -> Result<Tensor> {
    gates.matmul(expansion).and_then(|row| embedded.broadcast_mul(&row)).learn("mask embeddings")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng;

    #[test]
    fn draws_hit_theta_on_average_and_repeat_by_seed() {
        let mut params = Params::new(1);
        let mask = Mask::new(2000, 0.3, &mut params).unwrap();
        let draw = |seed| {
            let gates = mask.draw(&Gate::StraightThrough, 0.0, &mut rng::generator(seed, "masks")).unwrap();
            super::super::values(&gates).unwrap()
        };
        let mean = draw(1).iter().sum::<f32>() / 2000.0;
        // Five standard deviations of the mean of 2,000 draws.
        assert!((mean - 0.3).abs() < 0.052, "{mean}");
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn the_straight_through_gradient_is_the_formula() {
        // L = Σ (c ⊙ g e)², so ∂L/∂(g e) = 2c² g e and ∂L/∂θ_i = Σ_batch Σ_columns 2 c² g e · e.
        let mut params = Params::new(1);
        let mask = Mask::new(2, 0.4, &mut params).unwrap();
        let expansion = Tensor::new(&[[1f32, 1.0, 0.0], [0.0, 0.0, 1.0]], &Device::Cpu).unwrap();
        let embedded = Tensor::new(&[[1f32, -2.0, 3.0], [0.5, 1.5, -1.0]], &Device::Cpu).unwrap();
        let drawn = [1f32, 0.0];
        let masked = apply(&embedded, &mask.straight_through(drawn.to_vec()).unwrap(), &expansion).unwrap();
        let shifted = (&masked + 0.25).unwrap();
        let gradients = shifted.sqr().unwrap().sum_all().unwrap().backward().unwrap();
        let (_, free) = params.iter().next().unwrap();
        let got = gradients.get(free).unwrap().to_vec1::<f32>().unwrap();
        // Chain through the sigmoid: θ(1 − θ) = 0.24.
        let slope = |g: f32, e: f32| (g * e + 0.25) * e;
        let first = |g: f32| [1.0, -2.0, 0.5, 1.5].map(|e| slope(g, e)).iter().sum::<f32>();
        let second = |g: f32| [3.0, -1.0].map(|e| slope(g, e)).iter().sum::<f32>();
        let want = [2.0 * first(drawn[0]) * 0.24, 2.0 * second(drawn[1]) * 0.24];
        assert!((got[0] - want[0]).abs() < 1e-4 && (got[1] - want[1]).abs() < 1e-4, "{got:?} {want:?}");
    }
}
