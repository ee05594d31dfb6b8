//! The smoothed ℓ0 of LPFS (Guo et al. 2022, arXiv 2206.00267): a gate without a draw,
//!
//! ```text
//! g_ε(z) = z² / (z² + ε)        g_ε′(z) = 2εz / (z² + ε)²
//! ```
//!
//! whose ε falls over the search. Σ g_ε(z) tends to ‖z‖₀: where z ≠ 0 the gate goes to 1, and it is exactly 0 at z = 0. So the
//! gates part: a feature whose z was pushed below √ε in time closes, all others open.
//!
//! θ of (3) and (4), and of a choice, is g itself at the present ε. LPFS adds a penalty of its own, minimised by proximal steps,
//! which put z at exactly 0. Here the latency is the penalty, paid at θ = g, and the projection onto z ≥ 0 after every step takes
//! their place: a step across 0 ends at 0. As g_ε′(0) = 0, a gate that is closed so stays closed; what closes gates before the
//! weights are warm is kept off them by the warm-up and by the ramp of λ. A gate at rest opens by itself as ε falls, from θ at
//! the start's ε; so what has no price and says nothing ends open.

use candle_core::{Result, Tensor};

/// z > 0 with g_ε(z) = θ.
pub(super) fn free_of(theta: f32, epsilon: f64) -> f32 {
    let theta = f64::from(theta);
    (epsilon * theta / (1.0 - theta)).sqrt() as f32
}

/// g_ε of all free parameters.
pub(super) fn kept(free: &Tensor, epsilon: f64) -> Result<Tensor> {
    let squared = free.sqr()?;
    squared.div(&(&squared + epsilon)?)
}

/// Moves what is below 0 to 0; whether anything was.
pub(super) fn settle(free: &mut [f32]) -> bool {
    let below = free.iter_mut().filter(|z| **z < 0.0);
    below.map(|z| *z = 0.0).count() > 0
}
