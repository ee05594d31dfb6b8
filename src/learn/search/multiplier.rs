//! The factor on λ and λ2 under a budget: a Lagrange multiplier that is moved by dual ascent while θ and α go down.
//!
//! The budget B is a constraint, E(θ, p) ≤ B, and the search's losses are its Lagrangian. With the relative violation
//! v = (E − B)/B, cut to ±1, and s, the share of λ that the ramp lets be paid times the share of their step sizes that the schedules give
//! θ and α (the larger of both), step t of T steps per epoch has the factor
//!
//! ```text
//! I_t = I_{t−1} + (rate/T)·s_t·v_t,        m_t = exp(I_t + damping·v_t)
//! ```
//!
//! Ascent in log space keeps m above 0 and makes a step the same share of it whatever the loss's scale. θ and α answer to m as an
//! integrator does, and two integrators in a ring swing for ever; the term in proportion to v damps them (Platt and Barr 1988, "Constrained
//! differential optimization"; Stooke, Achiam and Abbeel 2020, "Responsive safety in reinforcement learning by PID Lagrangian
//! methods"). While the ramp holds λ back, E says little about m, and while θ and α rest, it cannot answer to m: an integral that went on
//! would be far off when they move. So it moves in proportion to both.
//!
//! A constraint that is slack at the optimum has the multiplier 0: there m falls until [`FARTHEST`] stops it, from where it comes
//! back in time.

use crate::learn::settings::Multiplier;
use serde::{Deserialize, Serialize};

/// Bound of |I|: factors between 1/3000 and 3000.
const FARTHEST: f64 = 8.0;

/// The factor's state: all that the rest of a search needs to know.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Ascent {
    /// I of the equation.
    integral: f64,
    /// v of the last step.
    violation: f64,
}

impl Ascent {
    /// m.
    pub(super) fn factor(&self, multiplier: &Multiplier) -> f64 {
        match *multiplier {
            Multiplier::Fixed => 1.0,
            Multiplier::Dual { damping, .. } => (self.integral + damping * self.violation).exp(),
        }
    }

    /// Goes one of `steps` steps per epoch, at an expected latency of `expected_ms`. `answered` is s.
    pub(super) fn step(
        &mut self,
        multiplier: &Multiplier,
        (expected_ms, budget_ms): (f64, f64),
        answered: f64,
        steps: u64,
    ) {
        let Multiplier::Dual { rate, .. } = *multiplier else { return };
        let violation = ((expected_ms - budget_ms) / budget_ms).clamp(-1.0, 1.0);
        let moved = self.integral + rate / steps as f64 * answered * violation;
        *self = Self { integral: moved.clamp(-FARTHEST, FARTHEST), violation };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUAL: Multiplier = Multiplier::Dual { rate: 8.0, damping: 4.0 };

    /// min −Σ b_i·ln x_i subject to Σ c_i·x_i ≤ B: the Lagrangian's stationary point is x_i = b_i/(λ·c_i), and the budget is
    /// spent at λ* = Σb/B. Gradient descent on ln x, whose slope is −b_i + λ·c_i·x_i, beside the ascent on λ. The λ and the cost that
    /// it comes to, and the largest |E − B|/B of its last tenth.
    fn solved(b: &[f64], c: &[f64], budget: f64, lambda: f64, multiplier: &Multiplier) -> (f64, f64, f64) {
        let mut log_x = vec![0.0f64; b.len()];
        let mut ascent = Ascent::default();
        let cost = |log_x: &[f64]| log_x.iter().zip(c).map(|(x, c)| c * x.exp()).sum::<f64>();
        let (epochs, steps) = (20, 200);
        let mut worst = 0.0f64;
        for step in 0..epochs * steps {
            let ramp = (step as f64 / steps as f64).min(1.0);
            let paid = ramp * lambda * ascent.factor(multiplier);
            for ((x, b), c) in log_x.iter_mut().zip(b).zip(c) {
                *x -= 0.02 * (-b + paid * c * x.exp());
            }
            ascent.step(multiplier, (cost(&log_x), budget), ramp, steps);
            if step > epochs * steps * 9 / 10 {
                worst = worst.max((cost(&log_x) / budget - 1.0).abs());
            }
        }
        (lambda * ascent.factor(multiplier), cost(&log_x), worst)
    }

    #[test]
    fn the_multiplier_comes_to_that_of_the_closed_form_from_above_and_from_below() {
        let (b, c) = ([1.0, 0.5, 2.0, 0.25], [1.0, 3.0, 0.5, 2.0]);
        for budget in [0.5, 2.0, 10.0] {
            let wanted = b.iter().sum::<f64>() / budget;
            for start in [0.02 * wanted, wanted, 50.0 * wanted] {
                let (lambda, cost, worst) = solved(&b, &c, budget, start, &DUAL);
                assert!(
                    (lambda / wanted - 1.0).abs() < 0.01,
                    "{budget} from {start}: {lambda}, not {wanted}"
                );
                assert!((cost / budget - 1.0).abs() < 0.01 && worst < 0.02, "{budget}: {cost} {worst}");
            }
        }
    }

    /// min −b·x subject to c·x ≤ B, where λ* = b/c, by descent on x at rate η: nothing but λ holds x, so x integrates what λ is off by, as
    /// λ does with x. A small v then swings with a period of 2π·√(T·B/(η·b·c·rate)) steps. v from x = 0.95·x* and λ = λ* on, in steps.
    fn swings(damping: f64) -> (f64, Vec<f64>) {
        let (b, c, budget, eta, rate, steps) = (2.0, 0.5, 3.0, 0.02, 8.0, 200);
        let multiplier = Multiplier::Dual { rate, damping };
        let mut ascent = Ascent::default();
        let mut x = 0.95 * budget / c;
        let period = std::f64::consts::TAU * (f64::from(steps) * budget / (eta * b * c * rate)).sqrt();
        let mut violations = vec![c * x / budget - 1.0];
        for _ in 0..(10.0 * period) as usize {
            x += eta * (b - b / c * ascent.factor(&multiplier) * c);
            ascent.step(&multiplier, (c * x, budget), 1.0, steps as u64);
            violations.push(c * x / budget - 1.0);
        }
        (period, violations)
    }

    #[test]
    fn without_damping_a_linear_problem_swings_for_ever_with_the_period_of_the_closed_form() {
        let (period, free) = swings(0.0);
        let (_, damped) = swings(4.0);
        for round in 0..9 {
            let at = |turns: f64| ((f64::from(round) + turns) * period).round() as usize;
            assert!((free[at(0.0)] + 0.05).abs() < 0.002, "{round}: {}", free[at(0.0)]);
            assert!((free[at(0.5)] - 0.05).abs() < 0.002, "{round}: {}", free[at(0.5)]);
            assert!(round == 0 || damped[at(0.0)..].iter().all(|v| v.abs() < 0.001), "{round}");
        }
    }

    #[test]
    fn a_slack_budget_lets_the_factor_fall_to_its_bound_and_no_farther() {
        let mut ascent = Ascent::default();
        for _ in 0..10_000 {
            ascent.step(&DUAL, (0.1, 1.0), 1.0, 100);
        }
        assert!((ascent.factor(&DUAL) - (-FARTHEST - 4.0 * 0.9f64).exp()).abs() < 1e-12);
        // It comes back: at once by its damping, and then at its rate.
        ascent.step(&DUAL, (2.0, 1.0), 1.0, 100);
        assert!(ascent.factor(&DUAL) > (-FARTHEST).exp());
    }

    #[test]
    fn the_ramp_holds_the_integral_back_and_a_fixed_multiplier_never_moves() {
        let mut ascent = Ascent::default();
        ascent.step(&DUAL, (1.5, 1.0), 0.0, 10);
        ascent.step(&DUAL, (1.0, 1.0), 0.0, 10);
        assert_eq!(ascent.factor(&DUAL), 1.0);
        ascent.step(&DUAL, (1.25, 1.0), 0.5, 10);
        // 8/10 · 0.5 · 0.25 + 4 · 0.25.
        assert!((ascent.factor(&DUAL) - 1.1f64.exp()).abs() < 1e-12);
        let mut still = Ascent::default();
        still.step(&Multiplier::Fixed, (9.0, 1.0), 1.0, 10);
        assert_eq!((still, still.factor(&Multiplier::Fixed)), (Ascent::default(), 1.0));
    }
}
