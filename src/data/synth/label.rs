//! The planted network: one hidden layer of ReLUs whose output is the logit of a click.
//!
//! logit = BIAS + Σ_pairs PAIR·(2·(relu(a − b) + relu(b − a)) − 1) + Σ_hinges (up·relu(x) + down·relu(−x) − mean)
//!       + relu(l) − relu(−l),
//!
//! where a, b ∈ {0, 1} are the two values of a pair, so that a pair adds +PAIR when they differ and −PAIR when
//! not (exclusive or); x is a standard normal number; and l, which comes through whole, is
//! what scenario and tags add.
//!
//! # How wide the layer is
//!
//! That reads as two units for every term, but most of them only carry something linear, which all terms can share:
//!
//! relu(a − b) + relu(b − a) = a + b − 2·relu(a + b − 1) for a, b ∈ {0, 1}, and
//! up·relu(x) + down·relu(−x) = −down·x + (up + down)·relu(x).
//!
//! So every pair and every hinge bends in one place and needs one unit of its own; what is left is one linear function L,
//! with l in it. L has bounds on any log, and above them one more unit holds it: L = relu(L + c) − c, the c by the output's
//! bias. (For numbers without bounds it would take two: L = relu(L) − relu(−L).) Leave any of these units out, and no
//! weights of the others make up for it.

use super::world::{Impression, TAGS};

/// Strength of a pair.
const PAIR: f64 = 1.2;
/// Sets the share of clicks to about 0.4.
const BIAS: f64 = -0.5;
/// What each scenario adds.
const SCENARIO: [f64; 3] = [-0.8, 0.2, 1.4];
/// The tags' effects are evenly spaced from −TAG to TAG; an item adds the mean of its tags'.
const TAG: f64 = 2.2;
/// E[relu(x)] of a standard normal x: 1/√(2π).
const MEAN_RELU: f64 = 0.398_942_280_401_432_7;

/// Two features that act only together.
pub(super) struct Pair {
    pub names: [&'static str; 2],
    values: fn(&Impression) -> [u32; 2],
}

/// A number whose effect has another slope below 0 than above.
struct Hinge {
    up: f64,
    down: f64,
    value: fn(&Impression) -> Option<f32>,
}

/// Every kind and every source takes part in a pair.
pub(super) const PAIRS: &[Pair] = &[
    Pair { names: ["u_taste", "i_style"], values: |i| [i.user.taste, i.item.style] },
    Pair { names: ["u_plan", "x_seen"], values: |i| [i.user.plan, i.pair.seen] },
    Pair { names: ["c_device", "i_format"], values: |i| [i.request.device, i.item.format] },
    Pair { names: ["c_campaign", "x_channel"], values: |i| [i.request.campaign, i.pair.channel] },
];

const HINGES: &[Hinge] = &[
    Hinge { up: 1.3, down: -0.3, value: |i| Some(i.item.quality) },
    Hinge { up: 0.3, down: -1.3, value: |i| i.pair.affinity },
    Hinge { up: -1.3, down: 0.3, value: |i| Some(i.user.activity) },
];

/// Units of the hidden layer: one for every pair, every hinge, and the linear part of all.
pub(super) const LAYER_WIDTH: usize = PAIRS.len() + HINGES.len() + 1;

/// Terms of the logit: the pairs, the hinges, scenario and tags.
pub(super) const EFFECTS: usize = PAIRS.len() + HINGES.len() + 2;

fn relu(x: f64) -> f64 {
    x.max(0.0)
}

/// What each term adds to the logit.
pub(super) fn effects(impression: &Impression) -> [f64; EFFECTS] {
    let pairs = PAIRS.iter().map(|pair| {
        let [a, b] = (pair.values)(impression).map(f64::from);
        PAIR * (2.0 * (relu(a - b) + relu(b - a)) - 1.0)
    });
    // A missing number adds nothing.
    let hinges = HINGES.iter().map(|hinge| {
        (hinge.value)(impression).map_or(0.0, |x| {
            let x = f64::from(x);
            hinge.up * relu(x) + hinge.down * relu(-x) - (hinge.up + hinge.down) * MEAN_RELU
        })
    });
    let tags = &impression.item.tags;
    let tag = |&tag: &u32| TAG * (2.0 * f64::from(tag) / f64::from(TAGS - 1) - 1.0);
    let linear =
        [SCENARIO[impression.request.scenario], tags.iter().map(tag).sum::<f64>() / tags.len() as f64];
    let mut effects = [0.0; EFFECTS];
    effects.iter_mut().zip(pairs.chain(hinges).chain(linear)).for_each(|(slot, effect)| *slot = effect);
    effects
}

/// Probability of a click.
pub(super) fn click_chance(impression: &Impression) -> f64 {
    let logit = BIAS + effects(impression).iter().sum::<f64>();
    1.0 / (1.0 + (-logit).exp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::synth::{SynthSettings, world::World};

    /// What all terms of a row share: L. A missing number has no effect, not even the one of x = 0.
    fn linear(impression: &Impression) -> f64 {
        let pairs =
            PAIRS.iter().map(|pair| 2.0 * PAIR * f64::from((pair.values)(impression).iter().sum::<u32>()));
        let hinges = HINGES.iter().map(|hinge| match (hinge.value)(impression) {
            Some(x) => -hinge.down * f64::from(x),
            None => (hinge.up + hinge.down) * MEAN_RELU,
        });
        let [.., scenario, tags] = effects(impression);
        pairs.chain(hinges).sum::<f64>() + scenario + tags
    }

    /// Outputs of the hidden layer, unit by unit and then row by row, with the weight of each unit and the bias.
    fn layer(impressions: &[Impression]) -> (Vec<Vec<f64>>, Vec<f64>, f64) {
        let all = |unit: &dyn Fn(&Impression) -> f64| impressions.iter().map(unit).collect::<Vec<_>>();
        let mut units = Vec::new();
        let mut weights = Vec::new();
        let mut bias = BIAS;
        for pair in PAIRS {
            units.push(all(&|i| relu(f64::from((pair.values)(i).iter().sum::<u32>()) - 1.0)));
            weights.push(-4.0 * PAIR);
            bias -= PAIR;
        }
        for hinge in HINGES {
            units.push(all(&|i| relu((hinge.value)(i).map_or(0.0, f64::from))));
            weights.push(hinge.up + hinge.down);
            bias -= (hinge.up + hinge.down) * MEAN_RELU;
        }
        let lift = all(&|i| -linear(i)).into_iter().fold(0.0, f64::max);
        units.push(all(&|i| relu(linear(i) + lift)));
        weights.push(1.0);
        (units, weights, bias - lift)
    }

    /// Root mean square of what is left of `target` after the best fit by `columns` and a constant.
    fn misfit(target: &[f64], columns: &[&Vec<f64>]) -> f64 {
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let mut basis: Vec<Vec<f64>> = Vec::new();
        let rest = |column: &[f64], basis: &[Vec<f64>]| {
            let mut rest = column.to_vec();
            // Twice, for what rounding leaves the first time.
            for direction in basis.iter().chain(basis) {
                let share = dot(&rest, direction);
                rest.iter_mut().zip(direction).for_each(|(rest, d)| *rest -= share * d);
            }
            rest
        };
        let constant = vec![1.0; target.len()];
        for column in std::iter::once(&constant).chain(columns.iter().copied()) {
            let mut direction = rest(column, &basis);
            let length = dot(&direction, &direction).sqrt();
            direction.iter_mut().for_each(|d| *d /= length);
            basis.push(direction);
        }
        let rest = rest(target, &basis);
        (dot(&rest, &rest) / rest.len() as f64).sqrt()
    }

    #[test]
    fn a_layer_of_the_stated_width_holds_the_planted_logit_and_can_spare_no_unit() {
        let world = World::draw(&SynthSettings { requests: 200, ..SynthSettings::default() });
        let impressions: Vec<Impression> = world.impressions().collect();
        let logits: Vec<f64> = impressions.iter().map(|i| BIAS + effects(i).iter().sum::<f64>()).collect();
        let (units, weights, bias) = layer(&impressions);
        assert_eq!(units.len(), LAYER_WIDTH);
        for (row, logit) in logits.iter().enumerate() {
            let output =
                bias + units.iter().zip(&weights).map(|(unit, weight)| weight * unit[row]).sum::<f64>();
            assert!((output - logit).abs() < 1e-9, "row {row}: {output} {logit}");
        }
        assert!(misfit(&logits, &units.iter().collect::<Vec<_>>()) < 1e-9);
        for out in 0..units.len() {
            let mut others: Vec<_> = units.iter().collect();
            others.remove(out);
            let misfit = misfit(&logits, &others);
            assert!(misfit > 0.2, "without unit {out} the logit is missed by {misfit}");
        }
    }
}
