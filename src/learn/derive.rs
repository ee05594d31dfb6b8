//! From θ and p to one network: the strongest features, and in every Mixop the strongest operator.
//!
//! Whatever the rule, one feature of the item's side is among them, the strongest: without any, all candidates of a
//! request would score alike.

use super::{price_term::Prices, search::SearchOutcome, settings::DeriveSettings};
use crate::{
    base::{Error, Result},
    data::schema::Side,
    price::{feature::feature_ms, path::subnet_ms},
    space::{SearchSpace, Subnet},
};

/// The network that the search's outcome stands for. `must_keep` and `never` of the schema are honoured.
///
/// Equal strengths go to the feature that stands first in the schema and to the operator listed first.
pub fn derive(
    space: &SearchSpace,
    outcome: &SearchOutcome,
    settings: &DeriveSettings,
    prices: &Prices,
) -> Result<Subnet> {
    let operators = space
        .mixops
        .iter()
        .zip(&outcome.probabilities)
        .map(|(operators, p)| operators[strongest(p)])
        .collect();
    space.check_item_side()?;
    let Ranked { features: ranked, least } = ranked_features(space, &outcome.theta);
    let subnet = |count: usize| {
        let mut features = ranked[..count].to_vec();
        features.sort_unstable();
        Subnet { features, operators: Clone::clone(&operators) }
    };
    let count = match *settings {
        DeriveSettings::Threshold { theta } => {
            let chosen = |&&i: &&usize| outcome.theta[i] > theta || space.features[i].must_keep;
            match ranked.iter().filter(chosen).count() {
                0 => 0,
                _ => least + ranked[least..].iter().filter(chosen).count(),
            }
        }
        DeriveSettings::TopK { k } => k.clamp(least, ranked.len()),
        DeriveSettings::Budget { budget_ms } => {
            let mut fitting = None;
            for count in least..=ranked.len() {
                if price_ms(space, &subnet(count), prices)? <= budget_ms {
                    fitting = Some(count);
                }
            }
            fitting.ok_or_else(|| over_budget(budget_ms, space, &subnet(least), prices))?
        }
    };
    if count == 0 {
        return Err(Error::usage(
            "no feature is left: every θ is below the threshold",
            "lower [search] lambda, lower [derive] theta, or derive by top_k",
        ));
    }
    Ok(subnet(count))
}

/// Predicted latency of one network in ms: (4) at θ ∈ {0, 1} and the path through its layers.
pub fn price_ms(space: &SearchSpace, subnet: &Subnet, prices: &Prices) -> Result<f64> {
    let chosen = |i: usize| f64::from(u8::from(subnet.features.binary_search(&i).is_ok()));
    let theta: Vec<f64> = (0..space.features.len()).map(chosen).collect();
    let Prices { schema, layers } = *prices;
    let features = feature_ms(&space.features, &theta, schema.beta_ms, schema.gamma_ms);
    Ok(features.ms + subnet_ms(space, subnet, layers)?)
}

/// Selectable features in the order in which they are taken.
struct Ranked {
    features: Vec<usize>,
    /// How many of them every network has.
    least: usize,
}

/// Those to keep first, then the strongest of the item's side if none of these is of it, then the rest by falling θ.
fn ranked_features(space: &SearchSpace, theta: &[f64]) -> Ranked {
    let mut features: Vec<usize> = (0..space.features.len()).filter(|&i| !space.features[i].never).collect();
    features.sort_by(|&a, &b| {
        let kept = |i: usize| space.features[i].must_keep;
        kept(b).cmp(&kept(a)).then(theta[b].total_cmp(&theta[a])).then(a.cmp(&b))
    });
    let kept = features.iter().filter(|&&i| space.features[i].must_keep).count();
    let first_item = features.iter().position(|&i| space.features[i].kind.side() == Side::Item);
    match first_item.filter(|&at| at >= kept) {
        Some(at) => {
            features[kept..=at].rotate_right(1);
            Ranked { features, least: kept + 1 }
        }
        None => Ranked { features, least: kept },
    }
}

fn strongest(p: &[f64]) -> usize {
    (1..p.len()).fold(0, |best, k| if p[k] > p[best] { k } else { best })
}

fn over_budget(budget_ms: f64, space: &SearchSpace, cheapest: &Subnet, prices: &Prices) -> Error {
    let price = price_ms(space, cheapest, prices).map_or_else(|e| e.to_string(), |ms| format!("{ms:.3} ms"));
    Error::Limit {
        limit: format!("a budget of {budget_ms} ms"),
        found: format!("the smallest derived network {} costs {price}", cheapest.id(space)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        data::schema::{Feature, Kind, Schema},
        learn::fixtures::{schema, space},
        price::{fixtures::feature, scripted::ScriptedPrices},
        space::Operator,
    };

    const LAYERS: ScriptedPrices =
        ScriptedPrices { slope_ms: 0.01, layer_ms: 0.5, user_share: 1.0, fixed_ms: 1.0 };

    /// Five features of the store, of width 2, whose fetch times are 1 to 5 ms.
    fn features() -> Vec<Feature> {
        (1..=5).map(|i| Feature { fetch_ms: f64::from(i), ..feature(&format!("f{i}"), 2) }).collect()
    }

    fn outcome(theta: [f64; 5]) -> SearchOutcome {
        let probabilities = vec![vec![0.2, 0.5, 0.3], vec![0.4, 0.4, 0.2]];
        SearchOutcome { theta: theta.to_vec(), probabilities, epochs: vec![] }
    }

    fn choose(features: Vec<Feature>, theta: [f64; 5], settings: DeriveSettings) -> Result<Subnet> {
        let schema = Schema { gamma_ms: 0.1, ..schema(features) };
        let space = space(&schema, &[&[8, 4, 0], &[0, 4, 8]]);
        derive(&space, &outcome(theta), &settings, &Prices { schema: &schema, layers: &LAYERS })
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

    #[test]
    fn a_budget_takes_as_many_of_the_strongest_as_it_pays_for() {
        // Layers 4 and 1 on n features: 1 + 0.5 + 0.01·(2n·4) + 0.5 + 0.01·(4·1) ms.
        let network = |n: f64| 2.04 + 0.08 * n;
        // By falling θ the fetch times are 2, 5, 4, 3, 1: from the second feature on, the slowest takes 5 ms.
        let three = 5.0 + 3.0 * 0.1 + network(3.0);
        let of = |budget_ms| choose(features(), THETA, DeriveSettings::Budget { budget_ms });
        assert_eq!(of(three + 1e-9).unwrap().features, [1, 3, 4]);
        assert_eq!(of(three - 1e-9).unwrap().features, [1, 4]);
        let one = 2.0 + 0.1 + network(1.0);
        assert_eq!(of(one + 1e-9).unwrap().features, [1]);
        let refused = of(one - 1e-9).unwrap_err();
        assert!(matches!(refused, Error::Limit { .. }), "{refused}");
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
        assert_eq!(of(DeriveSettings::Budget { budget_ms: 4.0 }), [0]);
    }

    #[test]
    fn every_rule_takes_the_strongest_feature_of_the_item_even_when_all_users_are_stronger() {
        let mut features = features();
        for user in [1, 3, 4] {
            features[user].kind = Kind::User;
        }
        // By falling θ: 1, 4, 3 of the user, then 2 and 0 of the item.
        let of =
            |features: &[Feature], settings| choose(features.to_vec(), THETA, settings).unwrap().features;
        assert_eq!(of(&features, DeriveSettings::TopK { k: 1 }), [2]);
        assert_eq!(of(&features, DeriveSettings::TopK { k: 3 }), [1, 2, 4]);
        assert_eq!(of(&features, DeriveSettings::Threshold { theta: 0.7 }), [1, 2, 4]);
        // The item's alone costs 3 ms to fetch, and with the strongest of the user as much.
        assert_eq!(of(&features, DeriveSettings::Budget { budget_ms: 5.5 }), [1, 2]);
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
        let text =
            choose(features(), THETA, DeriveSettings::Threshold { theta: 0.9 }).unwrap_err().to_string();
        assert!(text.contains("[search] lambda"), "{text}");
    }

    #[test]
    fn the_price_of_a_subnet_is_its_slowest_fetch_plus_counts_plus_layers() {
        let schema = Schema { gamma_ms: 0.1, ..schema(features()) };
        let space = space(&schema, &[&[8, 4, 0], &[0, 4, 8]]);
        let prices = Prices { schema: &schema, layers: &LAYERS };
        let subnet = Subnet { features: vec![0, 2], operators: vec![Operator::Zero, Operator::Mlp(8)] };
        let wanted = 3.0 + 0.2 + 1.0 + (0.5 + 0.01 * 4.0 * 8.0) + (0.5 + 0.01 * 8.0);
        assert!((price_ms(&space, &subnet, &prices).unwrap() - wanted).abs() < 1e-12);
    }
}
