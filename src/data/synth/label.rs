//! The planted network: one hidden layer of ReLUs whose output is the logit of a click.
//!
//! logit = BIAS + Σ_pairs PAIR·(2·(relu(a − b) + relu(b − a)) − 1) + Σ_hinges (up·relu(x) + down·relu(−x) − mean)
//!       + relu(l) − relu(−l),
//!
//! where a, b ∈ {0, 1} are the two values of a pair, so that a pair adds +PAIR when they differ and −PAIR when
//! not (exclusive or); x is a standard normal number; and l, which comes through whole, is
//! what scenario and tags add. Every term has two units.

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

/// Units of the hidden layer: two for every pair, every hinge, and the linear part.
pub(super) const LAYER_WIDTH: usize = 2 * (PAIRS.len() + HINGES.len() + 1);

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
