//! Bernoulli gates with the straight-through gradient (Bengio et al. 2013): forward the draw, backward as if it were θ, so
//! ∂L/∂θ_i = Σ_batch ⟨∂L/∂(g_i e_i), e_i⟩.

use candle_core::{Result, Tensor};

/// 1 where the draw of [0, 1) is below θ, else 0.
pub(super) fn draw(theta: &[f32], uniform: &[f32]) -> Vec<f32> {
    uniform.iter().zip(theta).map(|(&u, &theta)| f32::from(u8::from(u < theta))).collect()
}

/// Gates `[features]` whose value is `drawn` and whose gradient is θ's.
pub(super) fn gates(theta: &Tensor, drawn: Vec<f32>) -> Result<Tensor> {
    let drawn = Tensor::from_vec(drawn, theta.shape(), theta.device())?;
    (drawn - theta.detach())?.add(theta)
}
