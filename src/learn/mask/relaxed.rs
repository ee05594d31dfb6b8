//! Relaxed Bernoulli gates (Gumbel-sigmoid, Maddison et al. 2017): σ((z + logit u) / τ) with u uniform, whose temperature τ falls
//! over the search. As τ goes to 0 it becomes the draw of a 1 with chance σ(z). The gradient is that of the relaxed value.

use candle_core::{Result, Tensor};
use candle_nn::ops::sigmoid;

/// Gates `[features]` of the free parameters z and one draw of [0, 1) each.
pub(super) fn gates(free: &Tensor, uniform: &[f32], temperature: f64) -> Result<Tensor> {
    let noise: Vec<f32> = uniform
        .iter()
        .map(|&u| {
            let u = u.clamp(1e-6, 1.0 - 1e-6);
            (u / (1.0 - u)).ln()
        })
        .collect();
    let noise = Tensor::from_vec(noise, free.shape(), free.device())?;
    sigmoid(&((free + noise)? / temperature)?)
}
