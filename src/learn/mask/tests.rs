use super::*;
use crate::{
    base::rng,
    learn::{
        ops::gate::{Columns, gate},
        settings::Annealing,
    },
    price::fixtures::feature,
};
use candle_core::{Device, Var};

fn features(count: usize) -> Vec<Feature> {
    (0..count).map(|i| feature(&format!("f{i}"), 1)).collect()
}

const RELAXED: Gate =
    Gate::Relaxed { start_temperature: 1.0, end_temperature: 0.1, schedule: Annealing::Geometric };
const SMOOTHED: Gate =
    Gate::SmoothedL0 { start_epsilon: 0.1, end_epsilon: 1e-6, schedule: Annealing::Geometric };

#[test]
fn draws_hit_theta_on_average_and_repeat_by_seed() {
    let mut params = Params::new(1);
    let mask = Mask::new(&features(2000), 0.3, Gate::StraightThrough, &mut params).unwrap();
    let draw = |seed| {
        let gates = mask.draw(&mut rng::generator(seed, "masks")).unwrap();
        values(&gates).unwrap()
    };
    let mean = draw(1).iter().sum::<f32>() / 2000.0;
    // Five standard deviations of the mean of 2,000 draws.
    assert!((mean - 0.3).abs() < 0.052, "{mean}");
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
}

#[test]
fn the_straight_through_gradient_is_the_formula() {
    // L = Σ (g e + ¼)², so ∂L/∂(g e) = 2·(g e + ¼) and ∂L/∂θ_i = Σ_batch Σ_columns 2·(g e + ¼)·e.
    let mut params = Params::new(1);
    let mask = Mask::new(&features(2), 0.4, Gate::StraightThrough, &mut params).unwrap();
    let columns = Columns::new(vec![0..2, 2..3]);
    let embedded = Tensor::new(&[[1f32, -2.0, 3.0], [0.5, 1.5, -1.0]], &Device::Cpu).unwrap();
    let drawn = [1f32, 0.0];
    let masked = gate(&embedded, &mask.straight_through(drawn.to_vec()).unwrap(), &columns).unwrap();
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

#[test]
fn what_the_schema_decides_is_not_drawn() {
    let mut features = features(3);
    features[0].must_keep = true;
    features[1].never = true;
    for gate in [Gate::StraightThrough, RELAXED, SMOOTHED] {
        let mut params = Params::new(1);
        let mut mask = Mask::new(&features, 0.5, gate, &mut params).unwrap();
        let theta = mask.theta_values().unwrap();
        assert_eq!(theta[..2], [1.0, 0.0]);
        assert!((theta[2] - 0.5).abs() < 1e-6, "{gate:?}: {theta:?}");
        mask.anneal(0.5);
        for seed in 0..20 {
            let gates = mask.draw(&mut rng::generator(seed, "masks")).unwrap();
            assert_eq!(values(&gates).unwrap()[..2], [1.0, 0.0]);
            let gradients = gates.sum_all().unwrap().backward().unwrap();
            let (_, free) = params.iter().next().unwrap();
            let by_theta = values(gradients.get(free).unwrap()).unwrap();
            assert!(by_theta[..2] == [0.0, 0.0] && by_theta[2] > 0.0, "{gate:?}: {by_theta:?}");
        }
    }
}

/// θ at these free parameters, and its gradient to them.
fn theta_and_slope(mask: &Mask, params: &Params, free: &[f32]) -> (Vec<f32>, Vec<f32>) {
    params.set(THETA, free.to_vec()).unwrap();
    let theta = mask.theta().unwrap();
    let gradients = theta.sum_all().unwrap().backward().unwrap();
    let (_, var) = params.iter().next().unwrap();
    (values(&theta).unwrap(), values(gradients.get(var).unwrap()).unwrap())
}

#[test]
fn the_smoothed_l0_and_its_slope_are_their_formulas() {
    let free = [0.0f32, 1e-3, 0.05, 0.3, 1.0, 4.0];
    for progress in [0.0, 0.5, 1.0] {
        let mut params = Params::new(1);
        let mut mask = Mask::new(&features(free.len()), 0.5, SMOOTHED, &mut params).unwrap();
        mask.anneal(progress);
        // 0.1, √(0.1·10⁻⁶), 10⁻⁶.
        let epsilon = 0.1 * 1e-5f64.powf(progress);
        let (theta, slope) = theta_and_slope(&mask, &params, &free);
        for ((z, theta), slope) in free.iter().map(|&z| f64::from(z)).zip(theta).zip(slope) {
            let wanted = [z * z / (z * z + epsilon), 2.0 * epsilon * z / (z * z + epsilon).powi(2)];
            let largest = 0.65 / epsilon.sqrt();
            assert!((f64::from(theta) - wanted[0]).abs() < 1e-6, "ε {epsilon}, z {z}: {theta}");
            assert!((f64::from(slope) - wanted[1]).abs() < 1e-6 * largest, "ε {epsilon}, z {z}: {slope}");
        }
    }
}

#[test]
fn as_epsilon_falls_the_smoothed_l0_becomes_the_l0() {
    let mut params = Params::new(1);
    let gate = Gate::SmoothedL0 { start_epsilon: 0.1, end_epsilon: 1e-12, schedule: Annealing::Geometric };
    let mut mask = Mask::new(&features(4), 0.5, gate, &mut params).unwrap();
    mask.anneal(1.0);
    let (theta, slope) = theta_and_slope(&mask, &params, &[0.0, 0.01, 0.3, 2.0]);
    assert_eq!((theta[0], slope[0]), (0.0, 0.0));
    assert_eq!(theta[2..], [1.0, 1.0]);
    assert!(theta[1] > 1.0 - 1e-6);
    // Between them the slope is largest at z = √(ε/3): 3√3/8 of 1/√ε.
    let mut params = Params::new(1);
    let mask = Mask::new(&features(3), 0.5, SMOOTHED, &mut params).unwrap();
    let at = (0.1f32 / 3.0).sqrt();
    let (_, slope) = theta_and_slope(&mask, &params, &[at * 0.9, at, at * 1.1]);
    assert!(slope[1] > slope[0] && slope[1] > slope[2], "{slope:?}");
    let largest = 3.0 * 3f32.sqrt() / 8.0 / 0.1f32.sqrt();
    assert!((slope[1] - largest).abs() < 1e-4, "{slope:?} {largest}");
}

#[test]
fn a_smoothed_gate_that_is_stepped_across_closes_for_good_and_the_others_open() {
    let mut params = Params::new(1);
    let mut mask = Mask::new(&features(3), 0.5, SMOOTHED, &mut params).unwrap();
    assert!(mask.theta_values().unwrap().iter().all(|theta| (theta - 0.5).abs() < 1e-6));
    params.set(THETA, vec![-0.02, 0.3, -0.0]).unwrap();
    mask.settle(&params).unwrap();
    let (theta, slope) = {
        mask.anneal(1.0);
        let free = values(&mask.free).unwrap();
        assert_eq!(free, [0.0, 0.3, 0.0]);
        theta_and_slope(&mask, &params, &free)
    };
    assert_eq!((theta[0], slope[0]), (0.0, 0.0));
    assert!(theta[1] > 0.9999);
    // The gates of a step are θ: nothing is drawn.
    let drawn = |seed| values(&mask.draw(&mut rng::generator(seed, "masks")).unwrap()).unwrap();
    assert_eq!(drawn(1), theta);
    assert_eq!(drawn(2), theta);
    // Other gates may go below 0.
    let mut params = Params::new(1);
    let mask = Mask::new(&features(1), 0.5, RELAXED, &mut params).unwrap();
    params.set(THETA, vec![-3.0]).unwrap();
    mask.settle(&params).unwrap();
    assert_eq!(values(&mask.free).unwrap(), [-3.0]);
}

#[test]
fn a_relaxed_gate_ends_as_the_draw_with_chance_theta() {
    let uniform: Vec<f32> = (0..1000).map(|i| (i as f32 + 0.5) / 1000.0).collect();
    let free = Var::from_tensor(&Tensor::full(-0.8473f32, 1000, &Device::Cpu).unwrap()).unwrap();
    // σ(−0.8473) = 0.3: of evenly spread draws, 300 are kept.
    let gates = values(&relaxed::gates(&free, &uniform, 1e-3).unwrap()).unwrap();
    let between = gates.iter().filter(|&&gate| gate > 0.01 && gate < 0.99).count();
    let kept = gates.iter().sum::<f32>() / 1000.0;
    assert!(between <= 6 && (kept - 0.3).abs() < 0.003, "{between} {kept}");
}
