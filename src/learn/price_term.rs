//! Latency as terms of a loss. The price room computes values and gradients in plain numbers; here they become
//! tensors whose value and gradient are those.

use super::{Learn, device::device, settings::PriceFirstLayer, values};
use crate::{
    base::Result,
    data::schema::{Schema, Side},
    price::{
        LayerPrices,
        expected::{ExpectedLatency, expected_network_ms},
        feature::{FeatureLatency, fetch_ms},
    },
    space::SearchSpace,
};
use candle_core::Tensor;

/// A scalar with the given `value` whose gradient by each tensor is the given one: value + Σ ⟨gradient, x − x₀⟩.
fn linear_term(value: f64, parts: &[(&Tensor, &[f64])]) -> Result<Tensor> {
    let compute = || {
        let mut sum = Tensor::new(value as f32, device())?;
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
        let feature = fetch_ms(space, theta, self.schema.beta_ms, self.schema.gamma_ms);
        let widths = space.input_widths(|i| theta[i]);
        Ok(Expected { feature, network: expected_network_ms(space, p, widths, self.layers)? })
    }

    /// Loss1's latency in ms. Its value is (4) alone, or when `pay` is joint (4) + (6): features and the whole network. Its
    /// gradient to `theta` `[features]` is that of (4), and when joint also that of the first layer's price at the
    /// expected input widths D(θ); α is held constant, so the later layers add to the value and not to the gradient.
    pub fn loss1_term(
        &self,
        space: &SearchSpace,
        expected: &Expected,
        theta: &Tensor,
        pay: PriceFirstLayer,
    ) -> Result<Tensor> {
        let joint = pay == PriceFirstLayer::Joint;
        let mut gradient = expected.feature.d_theta.clone();
        if joint {
            for (i, (gradient, feature)) in gradient.iter_mut().zip(&space.features).enumerate() {
                let by_width = match space.side_in_request(i) {
                    Some(Side::User) => expected.network.d_user,
                    Some(Side::Item) => expected.network.d_item,
                    None => 0.0,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        learn::{
            fixtures::{LAYERS, mixed},
            params::Params,
            scalar,
        },
        price::fixtures::space_of,
    };
    use candle_core::Device;
    use candle_nn::ops::softmax;

    const THETA: [f64; 8] = [0.9, 0.2, 0.5, 0.7, 0.35, 0.6, 0.45, 0.8];
    const ALPHA: [[f64; 3]; 2] = [[0.3, -0.4, 0.1], [-0.2, 0.5, 0.0]];

    fn scene() -> (Schema, SearchSpace) {
        let (schema, _) = mixed();
        let space = space_of(schema.features.clone(), &[&[24, 12, 0], &[16, 0, 8]]);
        (schema, space)
    }

    fn probabilities(alpha: &[[f64; 3]; 2]) -> Vec<Vec<f64>> {
        let softmax = |alpha: &[f64; 3]| {
            let sum: f64 = alpha.iter().map(|a| a.exp()).sum();
            alpha.iter().map(|a| a.exp() / sum).collect()
        };
        alpha.iter().map(softmax).collect()
    }

    /// A tensor that differentiates, and its gradient after `loss`.
    fn gradient(start: &[f64], loss: impl Fn(&Tensor) -> Tensor) -> (f64, Vec<f32>) {
        let mut params = Params::new(1);
        params.constant("x", start.len(), 0.0).unwrap();
        params.set("x", start.iter().map(|&v| v as f32).collect()).unwrap();
        let (_, var) = params.iter().next().unwrap();
        let loss = loss(var.as_tensor());
        let gradients = loss.backward().unwrap();
        (scalar(&loss).unwrap(), values(gradients.get(var).unwrap()).unwrap())
    }

    /// Central differences of `f` at `x`.
    fn slopes<const N: usize>(x: [f64; N], f: impl Fn(&[f64; N]) -> f64) -> Vec<f64> {
        let at = |i: usize, step: f64| {
            let mut moved = x;
            moved[i] += step;
            f(&moved)
        };
        (0..N).map(|i| (at(i, 1e-5) - at(i, -1e-5)) / 2e-5).collect()
    }

    fn assert_slopes(found: &[f32], wanted: &[f64]) {
        assert!(wanted.iter().any(|w| w.abs() > 1e-2), "slopes of 0 compare nothing");
        for (i, (&found, wanted)) in found.iter().zip(wanted).enumerate() {
            let near = (f64::from(found) - wanted).abs() < 1e-3 * wanted.abs() + 1e-6;
            assert!(near, "{i}: {found} {wanted}");
        }
    }

    #[test]
    fn loss1s_gradient_to_theta_is_the_slope_of_the_latency() {
        let (schema, space) = scene();
        let prices = Prices { schema: &schema, layers: &LAYERS };
        let p = probabilities(&ALPHA);
        for (pay, first_layer) in [(PriceFirstLayer::Joint, true), (PriceFirstLayer::PaperOnly, false)] {
            let total = |theta: &[f64; 8]| {
                let expected = prices.expected(&space, theta, &p).unwrap();
                if first_layer { expected.total_ms() } else { expected.feature.ms }
            };
            let (value, found) = gradient(&THETA, |theta| {
                let expected = prices.expected(&space, &THETA, &p).unwrap();
                prices.loss1_term(&space, &expected, theta, pay).unwrap()
            });
            assert!((value - total(&THETA)).abs() < 1e-5);
            assert_slopes(&found, &slopes(THETA, total));
        }
    }

    #[test]
    fn loss2s_gradient_to_alpha_is_the_slope_of_the_latency_through_the_softmax() {
        let (schema, space) = scene();
        let prices = Prices { schema: &schema, layers: &LAYERS };
        for mixop in 0..2 {
            let at = |alpha: &[f64; 3]| {
                let mut all = ALPHA;
                all[mixop] = *alpha;
                prices.expected(&space, &THETA, &probabilities(&all)).unwrap()
            };
            let (value, found) = gradient(&ALPHA[mixop], |alpha| {
                let mut p: Vec<Tensor> = probabilities(&ALPHA)
                    .into_iter()
                    .map(|p| Tensor::new(p, &Device::Cpu).unwrap())
                    .collect();
                p.iter_mut().for_each(|p| *p = p.to_dtype(candle_core::DType::F32).unwrap());
                p[mixop] = softmax(alpha, 0).unwrap();
                prices.loss2_term(&at(&ALPHA[mixop]), &p).unwrap()
            });
            assert!((value - at(&ALPHA[mixop]).network.ms).abs() < 1e-5);
            assert_slopes(&found, &slopes(ALPHA[mixop], |alpha| at(alpha).network.ms));
        }
    }
}
