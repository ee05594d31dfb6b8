//! Latency as terms of a loss. The price room computes values and gradients in plain numbers; here they become
//! tensors whose value and gradient are those.

use super::{linear_term, settings::PriceFirstLayer, values};
use crate::{
    base::Result,
    data::schema::Schema,
    price::{
        LayerPrices,
        expected::{ExpectedLatency, expected_network_ms},
        feature::{FeatureLatency, FeaturePrices},
        target::{LatencyTarget, TargetLatency},
    },
    space::SearchSpace,
};
use candle_core::Tensor;

/// What the search is asked to pay: prices of features and of layers, and what becomes of them.
pub struct Prices<'a> {
    /// What the features are.
    pub schema: &'a Schema,
    /// L, β and γ of equations (3) and (4).
    pub features: FeaturePrices,
    /// T of equation (6).
    pub layers: &'a dyn LayerPrices,
    /// From the mean service time (6) to the latency that is paid.
    pub target: &'a dyn LatencyTarget,
    /// What features and network may come to together, in ms, where a budget is stated.
    pub budget_ms: Option<f64>,
}

/// Expected latencies under θ and p.
#[derive(Debug, Clone)]
pub struct Expected {
    /// Equation (4), ms.
    pub feature: FeatureLatency,
    /// Equation (6), ms.
    pub network: ExpectedLatency,
    /// What the target makes of (6).
    pub paid: TargetLatency,
    /// ∂ of equation (6) by the θ of every feature, through the network's input.
    pub d_theta_network: Vec<f64>,
}

impl Expected {
    /// Features and what is paid for the network together, in ms: the network starts when the features are there.
    pub fn total_ms(&self) -> f64 {
        self.feature.ms + self.paid.ms
    }
}

impl<'a> Prices<'a> {
    /// Pays for features what the schema declares, without a budget.
    pub fn declared(schema: &'a Schema, layers: &'a dyn LayerPrices, target: &'a dyn LatencyTarget) -> Self {
        Self { schema, features: FeaturePrices::declared(schema), layers, target, budget_ms: None }
    }

    /// Equations (4) and (6) in numbers.
    pub fn expected(&self, space: &SearchSpace, theta: &[f64], p: &[Vec<f64>]) -> Result<Expected> {
        let feature = self.features.expected(theta);
        let input = space.input(|i| theta[i]);
        let network = expected_network_ms(space, p, input, self.layers)?;
        let d_theta_network = space.input_gradient(|i| theta[i], &network.d_input());
        let paid = self.target.of_mean(network.ms);
        Ok(Expected { feature, network, d_theta_network, paid })
    }

    /// Loss1's latency in ms. Its value is (4) alone, or when `pay` is joint (4) + the target's latency at (6): features and
    /// the whole network. Its gradient to `theta` `[features]` is that of (4), and when joint also that of the first layer's
    /// price at the expected input D(θ), times the target's slope; α is held constant, so the later layers add to the
    /// value and not to the gradient.
    pub fn loss1_term(&self, expected: &Expected, theta: &Tensor, pay: PriceFirstLayer) -> Result<Tensor> {
        let joint = pay == PriceFirstLayer::Joint;
        let mut gradient = expected.feature.d_theta.clone();
        if joint {
            let by_network = expected.d_theta_network.iter().map(|slope| expected.paid.slope * slope);
            gradient.iter_mut().zip(by_network).for_each(|(sum, slope)| *sum += slope);
        }
        let value = if joint { expected.total_ms() } else { expected.feature.ms };
        linear_term(value, &[(theta, &gradient)])
    }

    /// Loss2's latency: that of the target at (6) as a function of the operator probabilities, with θ held constant.
    pub fn loss2_term(&self, expected: &Expected, p: &[Tensor]) -> Result<Tensor> {
        let TargetLatency { ms, slope } = expected.paid;
        let by_probability = |d: &Vec<f64>| d.iter().map(|d| slope * d).collect();
        let gradients: Vec<Vec<f64>> = expected.network.d_probability.iter().map(by_probability).collect();
        let parts: Vec<_> = p.iter().zip(&gradients).map(|(p, d)| (p, d.as_slice())).collect();
        linear_term(ms, &parts)
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
        price::{FirstLayerPrice, fixtures::space_of, target::MeanService},
        space::{InputLoad, InputWidths},
    };
    use candle_core::Device;
    use candle_nn::ops::softmax;

    /// [`LAYERS`], and a price for everything that inputs are made of.
    struct WithInput;

    impl LayerPrices for WithInput {
        fn first_ms(&self, input: InputWidths, to: usize) -> Result<FirstLayerPrice> {
            LAYERS.first_ms(input, to)
        }

        fn layer_ms(&self, from: usize, to: usize) -> Result<f64> {
            LAYERS.layer_ms(from, to)
        }

        fn fixed_ms(&self) -> f64 {
            LAYERS.fixed_ms()
        }

        fn input(&self) -> InputLoad {
            InputLoad::from_array(std::array::from_fn(|q| 0.003 * (q + 1) as f64))
        }
    }

    const THETA: [f64; 8] = [0.9, 0.2, 0.5, 0.7, 0.35, 0.6, 0.45, 0.8];
    const ALPHA: [[f64; 3]; 2] = [[0.3, -0.4, 0.1], [-0.2, 0.5, 0.0]];

    /// What a steep target makes of the latency: the gradient is its slope times the mean's.
    struct Squared;

    impl LatencyTarget for Squared {
        fn of_mean(&self, mean_ms: f64) -> TargetLatency {
            TargetLatency { ms: mean_ms * mean_ms, slope: 2.0 * mean_ms }
        }

        fn what(&self) -> String {
            "square".to_owned()
        }
    }

    const TARGETS: [&dyn LatencyTarget; 2] = [&MeanService, &Squared];

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
        let p = probabilities(&ALPHA);
        let (bare, made_of): (&dyn LayerPrices, &dyn LayerPrices) = (&LAYERS, &WithInput);
        let pays = [
            (PriceFirstLayer::Joint, true, bare),
            (PriceFirstLayer::Joint, true, made_of),
            (PriceFirstLayer::PaperOnly, false, made_of),
        ];
        for (target, (pay, first_layer, layers)) in
            TARGETS.into_iter().flat_map(|target| pays.map(|pay| (target, pay)))
        {
            let prices = Prices::declared(&schema, layers, target);
            let total = |theta: &[f64; 8]| {
                let expected = prices.expected(&space, theta, &p).unwrap();
                if first_layer { expected.total_ms() } else { expected.feature.ms }
            };
            let (value, found) = gradient(&THETA, |theta| {
                let expected = prices.expected(&space, &THETA, &p).unwrap();
                prices.loss1_term(&expected, theta, pay).unwrap()
            });
            assert!((value - total(&THETA)).abs() < 1e-5);
            assert_slopes(&found, &slopes(THETA, total));
        }
    }

    #[test]
    fn loss2s_gradient_to_alpha_is_the_slope_of_the_latency_through_the_softmax() {
        let (schema, space) = scene();
        for (target, mixop) in TARGETS.into_iter().flat_map(|target| [(target, 0), (target, 1)]) {
            let prices = Prices::declared(&schema, &LAYERS, target);
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
            assert!((value - at(&ALPHA[mixop]).paid.ms).abs() < 1e-5);
            assert_slopes(&found, &slopes(ALPHA[mixop], |alpha| at(alpha).paid.ms));
        }
    }
}
