//! Equation (6) against enumeration, path sums and finite differences.

use super::*;
use crate::{
    price::{
        fixtures::{every_choice, space},
        path::{path_ms, subnet_ms},
    },
    space::Subnet,
};
use proptest::prelude::*;

/// Irregular prices without any structure that an error could hide behind. The first layer is smooth in the input's
/// widths and unlike a later layer of equal width.
struct Irregular(u64);

impl Irregular {
    fn draw(&self, from: usize, to: usize) -> f64 {
        let mut z = self.0 ^ (from as u64) << 32 ^ to as u64;
        for _ in 0..2 {
            z = (z ^ (z >> 31)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        }
        0.05 + (z >> 40) as f64 / (1u64 << 24) as f64
    }
}

impl LayerPrices for Irregular {
    fn first_ms(&self, input: InputWidths, to: usize) -> Result<FirstLayerPrice> {
        let (a, b) = (self.draw(1 << 20, to), self.draw(1 << 21, to));
        let (user, item) = (input.user / 10.0, input.item / 10.0);
        let (d_user, d_item) = (a * item / 10.0, (a * user + 2.0 * b * item) / 10.0);
        Ok(FirstLayerPrice { ms: a * user * item + b * item * item + 0.1, d_user, d_item })
    }

    fn layer_ms(&self, from: usize, to: usize) -> Result<f64> {
        Ok(self.draw(from, to))
    }

    fn fixed_ms(&self) -> f64 {
        0.07
    }
}

/// [`Irregular`], and a price for everything that inputs are made of.
struct WithInput(Irregular);

impl LayerPrices for WithInput {
    fn first_ms(&self, input: InputWidths, to: usize) -> Result<FirstLayerPrice> {
        self.0.first_ms(input, to)
    }

    fn layer_ms(&self, from: usize, to: usize) -> Result<f64> {
        self.0.layer_ms(from, to)
    }

    fn fixed_ms(&self) -> f64 {
        self.0.fixed_ms()
    }

    fn input(&self) -> InputLoad {
        InputLoad::from_array(std::array::from_fn(|q| 0.01 * (q + 1) as f64))
    }
}

/// The total width is that of an operator, so that merging the input with it would show.
const INPUT: InputWidths = InputWidths { user: 8.0, item: 24.0 };

fn spaces() -> Vec<SearchSpace> {
    vec![
        space(&[&[32, 16]]),
        space(&[&[32, 16, 8], &[32, 16]]),
        space(&[&[32, 0], &[0, 32, 16]]),
        space(&[&[64, 32, 0], &[32, 16, 0], &[16, 8, 0]]),
        space(&[&[0], &[32, 0], &[32, 8]]),
    ]
}

/// Positive weights, normalised within each Mixop.
fn probabilities(space: &SearchSpace, weights: &[f64]) -> Vec<Vec<f64>> {
    let mut weights = weights.iter();
    space
        .mixops
        .iter()
        .map(|operators| {
            let drawn: Vec<f64> =
                operators.iter().map(|_| *weights.next().expect("enough weights")).collect();
            let sum: f64 = drawn.iter().sum();
            drawn.iter().map(|w| w / sum).collect()
        })
        .collect()
}

/// Σ over all choices of Π p · price of the choice's path.
fn enumerated_ms(space: &SearchSpace, p: &[Vec<f64>], prices: &dyn LayerPrices) -> f64 {
    every_choice(space)
        .into_iter()
        .map(|operators| {
            let chance: f64 = operators
                .iter()
                .zip(&space.mixops)
                .zip(p)
                .map(|((chosen, all), p)| p[all.iter().position(|o| o == chosen).unwrap()])
                .product();
            let subnet = Subnet { features: vec![0, 1], operators };
            chance * path_ms(&subnet.layer_widths(), INPUT, prices).unwrap()
        })
        .sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn it_is_the_mean_over_every_path(
        seed: u64,
        weights in prop::collection::vec(0.01f64..1.0, 9),
    ) {
        let prices = Irregular(seed);
        for space in spaces() {
            let p = probabilities(&space, &weights);
            let found = expected_network_ms(&space, &p, INPUT, &prices).unwrap().ms;
            let expected = enumerated_ms(&space, &p, &prices);
            prop_assert!((found / expected - 1.0).abs() < 1e-6, "{found} {expected} {:?}", space.mixops);
        }
    }

    #[test]
    fn its_gradient_agrees_with_central_differences(
        seed: u64,
        weights in prop::collection::vec(0.05f64..1.0, 9),
        user in 1.0f64..50.0,
        item in 1.0f64..50.0,
    ) {
        let prices = Irregular(seed);
        let input = InputWidths { user, item };
        for space in spaces() {
            let p = probabilities(&space, &weights);
            let found = expected_network_ms(&space, &p, input, &prices).unwrap();
            let slope = |at: &dyn Fn(f64) -> f64| (at(1e-5) - at(-1e-5)) / 2e-5;
            for (i, row) in found.d_probability.iter().enumerate() {
                for (k, &gradient) in row.iter().enumerate() {
                    let difference = slope(&|step| {
                        let mut moved = p.clone();
                        moved[i][k] += step;
                        expected_network_ms(&space, &moved, input, &prices).unwrap().ms
                    });
                    prop_assert!((difference - gradient).abs() < 1e-6 * (1.0 + gradient.abs()));
                }
            }
            let moved = |user, item| {
                expected_network_ms(&space, &p, InputWidths { user, item }, &prices).unwrap().ms
            };
            let d_user = slope(&|step| moved(user + step, item));
            let d_item = slope(&|step| moved(user, item + step));
            prop_assert!((d_user - found.d_user).abs() < 1e-6 * (1.0 + d_user.abs()));
            prop_assert!((d_item - found.d_item).abs() < 1e-6 * (1.0 + d_item.abs()));
        }
    }
}

#[test]
fn with_all_mass_on_one_choice_it_is_the_sum_along_that_path() {
    let prices = Irregular(11);
    for space in spaces() {
        for operators in every_choice(&space) {
            let one_hot: Vec<Vec<f64>> = operators
                .iter()
                .zip(&space.mixops)
                .map(|(chosen, all)| all.iter().map(|o| f64::from(u8::from(o == chosen))).collect())
                .collect();
            let subnet = Subnet { features: vec![0, 1], operators };
            let sum = subnet_ms(&space, &subnet, &prices).unwrap();
            let found = expected_network_ms(&space, &one_hot, INPUT, &prices).unwrap().ms;
            assert!((found - sum).abs() < 1e-12, "{:?}: {found} {sum}", subnet.operators);
        }
    }
}

#[test]
fn what_the_input_is_made_of_is_paid_once_whatever_the_path() {
    for space in spaces() {
        let (bare, prices) = (Irregular(7), WithInput(Irregular(7)));
        let input = space.input(|_| 1.0);
        let made_of = prices.input().dot(&input.load);
        assert!(made_of > 0.01);
        let p = probabilities(&space, &[0.3, 0.9, 0.5, 0.2, 0.7, 0.4, 0.6, 0.8, 0.1]);
        let found = expected_network_ms(&space, &p, input, &prices).unwrap();
        let without = expected_network_ms(&space, &p, input, &bare).unwrap();
        assert!((found.ms - without.ms - made_of).abs() < 1e-12);
        assert_eq!(found.d_probability, without.d_probability);
        assert_eq!(found.d_input().load, prices.input());
        for operators in every_choice(&space) {
            let subnet = Subnet { features: vec![0, 1], operators };
            let (dear, cheap) = (subnet_ms(&space, &subnet, &prices), subnet_ms(&space, &subnet, &bare));
            assert!((dear.unwrap() - cheap.unwrap() - made_of).abs() < 1e-12, "{:?}", subnet.operators);
        }
    }
}

#[test]
fn operators_of_zero_mass_need_no_price() {
    struct OnlyOnePath;
    impl LayerPrices for OnlyOnePath {
        fn first_ms(&self, _: InputWidths, to: usize) -> Result<FirstLayerPrice> {
            assert_eq!(to, 16);
            Ok(FirstLayerPrice { ms: 1.0, d_user: 0.0, d_item: 0.0 })
        }
        fn layer_ms(&self, from: usize, to: usize) -> Result<f64> {
            assert_eq!((from, to), (16, 1));
            Ok(2.0)
        }
        fn fixed_ms(&self) -> f64 {
            0.0
        }
    }
    let space = space(&[&[32, 16, 0], &[8, 0]]);
    let p = [vec![0.0, 1.0, 0.0], vec![0.0, 1.0]];
    let found = expected_network_ms(&space, &p, INPUT, &OnlyOnePath).unwrap();
    assert_eq!(found.ms, 3.0);
    assert_eq!(found.d_probability[0][0], 0.0);
}

#[test]
fn probabilities_that_do_not_fit_are_refused() {
    let space = space(&[&[32, 0]]);
    let ask = |p: Vec<Vec<f64>>| expected_network_ms(&space, &p, INPUT, &Irregular(1));
    assert!(ask(vec![vec![1.0]]).unwrap_err().to_string().contains("[2] operators"));
    assert!(ask(vec![]).is_err());
    assert!(ask(vec![vec![f64::NAN, 1.0]]).is_err());
    assert!(ask(vec![vec![-0.5, 1.5]]).is_err());
}
