//! From θ and p to one network: the strongest features, and in every Mixop the strongest operator.
//!
//! Whatever the rule, one feature of the item's side is among them, the strongest: without any, all candidates of a
//! request would score alike.

use super::{price_term::Prices, search::SearchOutcome, settings::DeriveSettings};
use crate::{
    base::{Error, Result},
    data::schema::Side,
    price::{feature::fetch_ms, path::subnet_ms},
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
    let Ranked { features: ranked, kept, least } = ranked_features(space, &outcome.theta);
    let subnet = |chosen: &[usize]| {
        let mut features = chosen.to_vec();
        features.sort_unstable();
        Subnet { features, operators: Clone::clone(&operators) }
    };
    let chosen = match *settings {
        DeriveSettings::Threshold { theta } => {
            let strong = |&i: &usize| outcome.theta[i] > theta || space.features[i].must_keep;
            match ranked.iter().any(strong) {
                false => Vec::new(),
                true => {
                    let rest = ranked[least..].iter().copied().filter(strong);
                    ranked[..least].iter().copied().chain(rest).collect()
                }
            }
        }
        DeriveSettings::TopK { k } => ranked[..k.clamp(least, ranked.len())].to_vec(),
        DeriveSettings::Budget { budget_ms } => {
            let price = |chosen: &[usize]| price_ms(space, &subnet(chosen), prices);
            let of_item = |i: usize| space.features[i].kind.side() == Side::Item;
            match within(budget_ms, &ranked, kept, of_item, price)? {
                Affordable::Features(chosen) => chosen,
                Affordable::Nothing { cheapest } => {
                    return Err(over_budget(budget_ms, space, &subnet(&cheapest), prices));
                }
            }
        }
    };
    if chosen.is_empty() {
        return Err(Error::usage(
            "no feature is left: every θ is below the threshold",
            "lower [search] lambda, lower [derive] theta, or derive by top_k",
        ));
    }
    Ok(subnet(&chosen))
}

/// What a budget pays for.
enum Affordable {
    Features(Vec<usize>),
    /// Not even the cheapest choice.
    Nothing {
        cheapest: Vec<usize>,
    },
}

/// Takes the first `kept` features of `ranked` in any case, and the strongest feature of the item's side that the budget pays for
/// where none of them is one; then walks down `ranked` and takes what the budget still pays for. A dear feature is passed over, for
/// weaker ones behind it may fit.
fn within(
    budget_ms: f64,
    ranked: &[usize],
    kept: usize,
    of_item: impl Fn(usize) -> bool,
    price_ms: impl Fn(&[usize]) -> Result<f64>,
) -> Result<Affordable> {
    let (kept, others) = ranked.split_at(kept);
    let mut chosen = kept.to_vec();
    if chosen.iter().any(|&i| of_item(i)) {
        if price_ms(&chosen)? > budget_ms {
            return Ok(Affordable::Nothing { cheapest: chosen });
        }
    } else {
        let mut cheapest = (f64::INFINITY, Vec::new());
        for &feature in others.iter().filter(|&&i| of_item(i)) {
            let with = [kept, &[feature]].concat();
            let ms = price_ms(&with)?;
            if ms < cheapest.0 {
                cheapest = (ms, with);
            }
            if ms <= budget_ms {
                chosen.push(feature);
                break;
            }
        }
        if chosen.len() == kept.len() {
            return Ok(Affordable::Nothing { cheapest: cheapest.1 });
        }
    }
    for &feature in others {
        if !chosen.contains(&feature) {
            chosen.push(feature);
            if price_ms(&chosen)? > budget_ms {
                chosen.pop();
            }
        }
    }
    Ok(Affordable::Features(chosen))
}

/// Predicted latency of one network in ms: (4) at θ ∈ {0, 1} and the path through its layers.
pub fn price_ms(space: &SearchSpace, subnet: &Subnet, prices: &Prices) -> Result<f64> {
    let chosen = |i: usize| f64::from(u8::from(subnet.features.binary_search(&i).is_ok()));
    let theta: Vec<f64> = (0..space.features.len()).map(chosen).collect();
    let Prices { schema, layers } = *prices;
    let features = fetch_ms(space, &theta, schema.beta_ms, schema.gamma_ms);
    Ok(features.ms + subnet_ms(space, subnet, layers)?)
}

/// Selectable features in the order in which they are taken.
struct Ranked {
    features: Vec<usize>,
    /// How many of them must be kept.
    kept: usize,
    /// With how many of them a network is one: those, and one feature of the item's side.
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
            Ranked { features, kept, least: kept + 1 }
        }
        None => Ranked { features, kept, least: kept },
    }
}

fn strongest(p: &[f64]) -> usize {
    (1..p.len()).fold(0, |best, k| if p[k] > p[best] { k } else { best })
}

fn over_budget(budget_ms: f64, space: &SearchSpace, cheapest: &Subnet, prices: &Prices) -> Error {
    let price = price_ms(space, cheapest, prices).map_or_else(|e| e.to_string(), |ms| format!("{ms:.3} ms"));
    Error::Limit {
        limit: format!("a budget of {budget_ms} ms"),
        found: format!("the cheapest derived network {} costs {price}", cheapest.id(space)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        data::schema::{Feature, Kind, Schema},
        learn::fixtures::schema,
        price::{
            fixtures::{feature, space_of},
            linear::LinearPrices,
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
        SearchOutcome { theta: theta.to_vec(), probabilities, epochs: vec![] }
    }

    fn choose(features: Vec<Feature>, theta: [f64; 5], settings: DeriveSettings) -> Result<Subnet> {
        let schema = Schema { gamma_ms: 0.1, ..schema(features) };
        let space = space_of(schema.features.clone(), &[&[8, 4, 0], &[0, 4, 8]]);
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

    /// What `count` features cost whose slowest fetch takes `slowest_ms`: their count, and layers 4 and 1 on them,
    /// 1 + 0.5 + 0.01·(2·count·4) + 0.5 + 0.01·(4·1) ms.
    fn cost(slowest_ms: f64, count: f64) -> f64 {
        slowest_ms + 0.1 * count + 2.04 + 0.08 * count
    }

    #[test]
    fn a_budget_takes_by_falling_theta_what_it_pays_for_and_passes_over_what_is_too_dear() {
        let of =
            |budget_ms| choose(features(), THETA, DeriveSettings::Budget { budget_ms }).unwrap().features;
        // By falling θ the fetch times are 2, 5, 4, 3, 1. A fourth feature costs more than the third, whichever it is.
        assert_eq!(of(cost(5.0, 3.0) + 1e-9), [1, 3, 4]);
        assert_eq!(of(cost(5.0, 3.0) - 1e-9), [1, 4]);
        // The second takes 5 ms; without it the others fit.
        assert_eq!(of(cost(5.0, 2.0) - 1e-9), [0, 1, 2, 3]);
        // Nothing but the weakest fits, which takes 1 ms.
        assert_eq!(of(cost(2.0, 1.0) - 1e-9), [0]);
        assert_eq!(of(cost(1.0, 1.0) + 1e-9), [0]);
    }

    #[test]
    fn a_budget_that_pays_for_nothing_is_refused_with_the_price_of_the_cheapest_network() {
        let refused = |features, budget_ms| {
            let refused = choose(features, THETA, DeriveSettings::Budget { budget_ms }).unwrap_err();
            assert!(matches!(refused, Error::Limit { .. }), "{refused}");
            refused.to_string()
        };
        let text = refused(features(), cost(1.0, 1.0) - 1e-9);
        assert!(text.contains(&format!("costs {:.3} ms", cost(1.0, 1.0))), "{text}");
        let mut kept = features();
        kept[3].must_keep = true;
        let text = refused(kept, cost(4.0, 1.0) - 1e-9);
        assert!(text.contains(&format!("costs {:.3} ms", cost(4.0, 1.0))), "{text}");
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
        let space = space_of(schema.features.clone(), &[&[8, 4, 0], &[0, 4, 8]]);
        let prices = Prices { schema: &schema, layers: &LAYERS };
        let subnet = Subnet { features: vec![0, 2], operators: vec![Operator::Zero, Operator::Mlp(8)] };
        let wanted = 3.0 + 0.2 + 1.0 + (0.5 + 0.01 * 4.0 * 8.0) + (0.5 + 0.01 * 8.0);
        assert!((price_ms(&space, &subnet, &prices).unwrap() - wanted).abs() < 1e-12);
    }
}
