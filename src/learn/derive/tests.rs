//! Choices worked out by hand.

use super::*;
use crate::{
    data::schema::{Feature, Kind, Schema},
    learn::{fixtures::schema, settings::Budget},
    price::memory::Parameters,
    price::{
        fixtures::{feature, space_of},
        linear::LinearPrices,
        target::{LatencyTarget, MeanService, TargetLatency},
    },
    space::Operator,
};

const LAYERS: LinearPrices =
    LinearPrices { column_ms: 0.0, slope_ms: 0.01, layer_ms: 0.5, user_share: 1.0, fixed_ms: 1.0 };

/// Five features of the store, of width 2, whose fetch times are 1 to 5 ms.
fn features() -> Vec<Feature> {
    (1..=5).map(|i| Feature { fetch_ms: f64::from(i), ..feature(&format!("f{i}"), 2) }).collect()
}

fn outcome(theta: [f64; 5]) -> SearchOutcome {
    let probabilities = vec![vec![0.2, 0.5, 0.3], vec![0.4, 0.4, 0.2]];
    SearchOutcome::of(theta.to_vec(), probabilities)
}

fn budget(budget_ms: f64) -> DeriveSettings {
    DeriveSettings::Budget(Budget::of_mean(budget_ms))
}

fn choose(features: Vec<Feature>, theta: [f64; 5], settings: DeriveSettings) -> Result<Subnet> {
    choose_for(&MeanService, features, theta, settings)
}

fn choose_for(
    target: &dyn LatencyTarget,
    features: Vec<Feature>,
    theta: [f64; 5],
    settings: DeriveSettings,
) -> Result<Subnet> {
    let schema = Schema { gamma_ms: 0.1, ..schema(features) };
    let space = space_of(schema.features.clone(), &[&[8, 4, 0], &[0, 4, 8]]);
    let prices = Prices::declared(&schema, &LAYERS, target);
    let derived = derive(&space, &outcome(theta), &settings, &prices);
    if let Some(budget) = settings.budget() {
        let parameters = Parameters::new(vec![1; space.features.len()]);
        let affordable = Limits { space: &space, prices: &prices, budget, parameters: &parameters }.check();
        assert_eq!(affordable.err().map(|e| e.to_string()), derived.as_ref().err().map(|e| e.to_string()));
    }
    derived
}

const THETA: [f64; 5] = [0.3, 0.9, 0.5, 0.6, 0.8];

#[test]
fn a_threshold_keeps_what_lies_above_it_and_top_k_the_strongest() {
    let of = |settings| choose(features(), THETA, settings).unwrap().features;
    // 0.5 does not lie above 0.5.
    assert_eq!(of(DeriveSettings::Threshold { theta: 0.5 }), [1, 3, 4]);
    assert_eq!(of(DeriveSettings::Threshold { theta: 0.25 }), [0, 1, 2, 3, 4]);
    assert_eq!(of(DeriveSettings::TopK { k: 2 }), [1, 4]);
    assert_eq!(of(DeriveSettings::TopK { k: 9 }), [0, 1, 2, 3, 4]);
}

#[test]
fn every_mixop_keeps_its_strongest_operator_and_ties_go_to_the_first() {
    let subnet = choose(features(), THETA, DeriveSettings::TopK { k: 1 }).unwrap();
    assert_eq!(subnet.operators, [Operator::Mlp(4), Operator::Zero]);
    let tied = [0.4, 0.7, 0.7, 0.7, 0.1];
    assert_eq!(choose(features(), tied, DeriveSettings::TopK { k: 2 }).unwrap().features, [1, 2]);
}

/// What `count` features cost whose slowest fetch takes `slowest_ms`: their count, and layers 4 and 1 on them,
/// 1 + 0.5 + 0.01·(2·count·4) + 0.5 + 0.01·(4·1) ms.
fn cost(slowest_ms: f64, count: f64) -> f64 {
    slowest_ms + 0.1 * count + 2.04 + 0.08 * count
}

#[test]
fn a_budget_takes_by_falling_theta_what_it_pays_for_and_passes_over_what_is_too_dear() {
    let of = |budget_ms| choose(features(), THETA, budget(budget_ms)).unwrap().features;
    // By falling θ the fetch times are 2, 5, 4, 3, 1. A fourth feature costs more than the third, whichever it is.
    assert_eq!(of(cost(5.0, 3.0) + 1e-9), [1, 3, 4]);
    assert_eq!(of(cost(5.0, 3.0) - 1e-9), [1, 4]);
    // The second takes 5 ms; without it the others fit.
    assert_eq!(of(cost(5.0, 2.0) - 1e-9), [0, 1, 2, 3]);
    // Nothing but the weakest fits, which takes 1 ms.
    assert_eq!(of(cost(2.0, 1.0) - 1e-9), [0]);
    assert_eq!(of(cost(1.0, 1.0) + 1e-9), [0]);
}

/// The same on zero operators alone: 1 + 0.5 + 0.01·(2·count·1) ms for the layers.
fn least_cost(slowest_ms: f64, count: f64) -> f64 {
    slowest_ms + 0.1 * count + 1.5 + 0.02 * count
}

#[test]
fn a_budget_below_the_strongest_operators_is_kept_with_the_cheapest() {
    let subnet = choose(features(), THETA, budget(cost(1.0, 1.0) - 1e-9)).unwrap();
    assert_eq!((subnet.features, subnet.operators), (vec![0], vec![Operator::Zero, Operator::Zero]));
    // Where features must be kept, the others are taken by falling θ beside them.
    let mut kept = features();
    kept[1].must_keep = true;
    let subnet = choose(kept, THETA, budget(least_cost(2.0, 2.0) + 1e-9)).unwrap();
    assert_eq!((subnet.features, subnet.operators), (vec![0, 1], vec![Operator::Zero, Operator::Zero]));
}

#[test]
fn a_budget_that_pays_for_nothing_is_refused_with_the_price_of_the_cheapest_network() {
    let refused = |features, budget_ms| {
        let refused = choose(features, THETA, budget(budget_ms)).unwrap_err();
        assert!(matches!(refused, Error::Limit { .. }), "{refused}");
        refused.to_string()
    };
    let text = refused(features(), least_cost(1.0, 1.0) - 1e-9);
    assert!(text.contains(&format!("costs {:.3} ms", least_cost(1.0, 1.0))), "{text}");
    let mut kept = features();
    kept[3].must_keep = true;
    let text = refused(kept, least_cost(4.0, 1.0) - 1e-9);
    assert!(text.contains(&format!("costs {:.3} ms", least_cost(4.0, 1.0))), "{text}");
}

/// The 99th percentile behind one memoryless worker that serves 0.4 requests per ms, up to a mean: ln(100)·m / (1 − 0.4·m).
struct Queue(f64);

impl LatencyTarget for Queue {
    fn of_mean(&self, mean_ms: f64) -> TargetLatency {
        match self.keeps_up(mean_ms) {
            true => {
                let left = 1.0 - 0.4 * mean_ms;
                let nines = 100f64.ln();
                TargetLatency { ms: nines * mean_ms / left, slope: nines / left.powi(2) }
            }
            false => TargetLatency { ms: 1e6 * mean_ms, slope: 1e6 },
        }
    }

    fn keeps_up(&self, mean_ms: f64) -> bool {
        mean_ms < self.0
    }

    fn what(&self) -> String {
        "p99 under load".to_owned()
    }
}

fn objective(text: &str) -> DeriveSettings {
    DeriveSettings::Budget(Budget { objective: Some(text.parse().unwrap()), ..Budget::default() })
}

#[test]
fn an_objective_under_load_counts_what_the_queue_makes_of_the_mean() {
    // Of `count` features whose slowest takes `slowest_ms`: features, and the percentile of 2.04 + 0.08·count ms.
    let cost =
        |slowest_ms: f64, count: f64| slowest_ms + 0.1 * count + Queue(2.4).of_mean(2.04 + 0.08 * count).ms;
    let of = |limit_ms: f64| {
        let settings = objective(&format!("p99={limit_ms:.6}ms"));
        choose_for(&Queue(2.4), features(), THETA, settings).map(|subnet| subnet.features)
    };
    assert_eq!(of(cost(5.0, 3.0) + 1e-3).unwrap(), [1, 3, 4]);
    assert_eq!(of(cost(5.0, 3.0) - 1e-3).unwrap(), [1, 4]);
    assert_eq!(of(cost(2.0, 1.0) - 1e-3).unwrap(), [0]);
    // Five features take 2.44 ms, which no limit pays for; four are served.
    assert_eq!(of(9e5).unwrap().len(), 4);
    let text = of(1.1 + Queue(2.4).of_mean(1.52).ms - 1e-3).unwrap_err().to_string();
    for expected in [
        "ms for features and p99 under load",
        &format!("{:.3} ms of p99 under load", Queue(2.4).of_mean(1.52).ms),
    ] {
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn a_network_that_no_worker_keeps_up_with_is_said_with_its_mean() {
    let mut kept = features();
    kept.iter_mut().for_each(|feature| feature.must_keep = true);
    let text = choose_for(&Queue(1.2), kept, THETA, objective("p99=900s")).unwrap_err().to_string();
    assert!(text.contains("takes 1.600 ms of service") && text.contains("keep up"), "{text}");
}

#[test]
fn must_keep_and_never_overrule_every_rule() {
    let mut features = features();
    features[0].must_keep = true;
    features[1].never = true;
    let of = |settings| choose(features.clone(), THETA, settings).unwrap().features;
    assert_eq!(of(DeriveSettings::Threshold { theta: 0.7 }), [0, 4]);
    assert_eq!(of(DeriveSettings::Threshold { theta: 0.95 }), [0]);
    assert_eq!(of(DeriveSettings::TopK { k: 2 }), [0, 4]);
    assert_eq!(of(DeriveSettings::TopK { k: 9 }), [0, 2, 3, 4]);
    assert_eq!(of(budget(4.0)), [0]);
}

#[test]
fn every_rule_takes_the_strongest_feature_of_the_item_even_when_all_users_are_stronger() {
    let mut features = features();
    for user in [1, 3, 4] {
        features[user].kind = Kind::User;
    }
    // By falling θ: 1, 4, 3 of the user, then 2 and 0 of the item.
    let of = |features: &[Feature], settings| choose(features.to_vec(), THETA, settings).unwrap().features;
    assert_eq!(of(&features, DeriveSettings::TopK { k: 1 }), [2]);
    assert_eq!(of(&features, DeriveSettings::TopK { k: 3 }), [1, 2, 4]);
    assert_eq!(of(&features, DeriveSettings::Threshold { theta: 0.7 }), [1, 2, 4]);
    // The item's alone costs 3 ms to fetch, and with the strongest of the user as much.
    assert_eq!(of(&features, budget(5.5)), [1, 2]);
    features[4].must_keep = true;
    assert_eq!(of(&features, DeriveSettings::TopK { k: 1 }), [2, 4]);
    assert_eq!(of(&features, DeriveSettings::Threshold { theta: 0.95 }), [2, 4]);
    features[0].must_keep = true;
    assert_eq!(of(&features, DeriveSettings::TopK { k: 1 }), [0, 4], "one of the item is kept already");
    features[0].kind = Kind::User;
    features[2].never = true;
    let refused = choose(features, THETA, DeriveSettings::TopK { k: 3 }).unwrap_err().to_string();
    assert!(refused.contains("all candidates"), "{refused}");
}

#[test]
fn a_threshold_above_every_theta_says_what_to_do() {
    let text = choose(features(), THETA, DeriveSettings::Threshold { theta: 0.9 }).unwrap_err().to_string();
    assert!(text.contains("[search] lambda"), "{text}");
}

#[test]
fn the_price_of_a_subnet_is_its_slowest_fetch_plus_counts_plus_layers() {
    let schema = Schema { gamma_ms: 0.1, ..schema(features()) };
    let space = space_of(schema.features.clone(), &[&[8, 4, 0], &[0, 4, 8]]);
    let prices = Prices::declared(&schema, &LAYERS, &MeanService);
    let subnet = Subnet { features: vec![0, 2], operators: vec![Operator::Zero, Operator::Mlp(8)] };
    let wanted = 3.0 + 0.2 + 1.0 + (0.5 + 0.01 * 4.0 * 8.0) + (0.5 + 0.01 * 8.0);
    assert!((Price::of(&space, &subnet, &prices).unwrap().total_ms() - wanted).abs() < 1e-12);
}
