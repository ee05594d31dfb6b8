//! Latency as terms of a loss. The price room computes values and gradients in plain numbers; here they become
//! tensors whose value and gradient are those.

use super::{Learn, values};
use crate::{
    base::Result,
    data::schema::{Schema, Side},
    price::{
        LayerPrices,
        expected::{ExpectedLatency, expected_network_ms},
        feature::{FeatureLatency, feature_ms},
    },
    space::SearchSpace,
};
use candle_core::{Device, Tensor};

/// A scalar with the given `value` whose gradient by each tensor is the given one: value + Σ ⟨gradient, x − x₀⟩.
fn linear_term(value: f64, parts: &[(&Tensor, &[f64])]) -> Result<Tensor> {
    let compute = || {
        let mut sum = Tensor::new(value as f32, &Device::Cpu)?;
        for (x, gradient) in parts {
            let gradient: Vec<f32> = gradient.iter().map(|&g| g as f32).collect();
            let gradient = Tensor::from_vec(gradient, x.shape(), x.device())?;
            sum = (sum + ((*x - x.detach())? * gradient)?.sum_all()?)?;
        }
        Ok(sum)
    };
    compute().learn("add the latency to the loss")
}

/// What the search is asked to pay: declared feature prices and measured layer prices.
pub struct Prices<'a> {
    /// Features, β and γ of equations (3) and (4).
    pub schema: &'a Schema,
    /// T of equation (6).
    pub layers: &'a dyn LayerPrices,
}

/// Expected latencies under θ and p.
#[derive(Debug, Clone)]
pub struct Expected {
    /// Equation (4), ms.
    pub feature: FeatureLatency,
    /// Equation (6), ms.
    pub network: ExpectedLatency,
}

impl Expected {
    /// Both together, in ms: the network starts when the features are there.
    pub fn total_ms(&self) -> f64 {
        self.feature.ms + self.network.ms
    }
}

impl Prices<'_> {
    /// Equations (4) and (6) in numbers.
    pub fn expected(&self, space: &SearchSpace, theta: &[f64], p: &[Vec<f64>]) -> Result<Expected> {
        let feature = feature_ms(&space.features, theta, self.schema.beta_ms, self.schema.gamma_ms);
        let widths = space.input_widths(|i| theta[i]);
        Ok(Expected { feature, network: expected_network_ms(space, p, widths, self.layers)? })
    }

    /// Loss1's latency: (4), and with `joint` the network's price as a function of the expected input widths D(θ),
    /// with α held constant. Gradient to `theta` `[features]`.
    pub fn loss1_term(
        &self,
        space: &SearchSpace,
        expected: &Expected,
        theta: &Tensor,
        joint: bool,
    ) -> Result<Tensor> {
        let mut gradient = expected.feature.d_theta.clone();
        if joint {
            for (gradient, feature) in gradient.iter_mut().zip(&space.features) {
                let by_width = match feature.kind.side() {
                    Side::User => expected.network.d_user,
                    Side::Item => expected.network.d_item,
                };
                *gradient += by_width * feature.width as f64;
            }
        }
        let value = if joint { expected.total_ms() } else { expected.feature.ms };
        linear_term(value, &[(theta, &gradient)])
    }

    /// Loss2's latency: (6) as a function of the operator probabilities, with θ held constant.
    pub fn loss2_term(&self, expected: &Expected, p: &[Tensor]) -> Result<Tensor> {
        let parts: Vec<_> =
            p.iter().zip(&expected.network.d_probability).map(|(p, d)| (p, d.as_slice())).collect();
        linear_term(expected.network.ms, &parts)
    }
}

/// Operator probabilities as numbers.
pub fn probability_values(p: &[Tensor]) -> Result<Vec<Vec<f64>>> {
    p.iter().map(|p| Ok(values(p)?.into_iter().map(f64::from).collect())).collect()
}
