//! From θ and p to one network: the strongest features, and in every Mixop the strongest operator.

use super::{price_term::Prices, search::SearchOutcome, settings::DeriveSettings};
use crate::{
    base::{Error, Result},
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
    let ranked = ranked_features(space, &outcome.theta);
    let subnet = |count: usize| {
        let mut features = ranked[..count].to_vec();
        features.sort_unstable();
        Subnet { features, operators: Clone::clone(&operators) }
    };
    let kept = space.features.iter().filter(|f| f.must_keep).count();
    let count = match *settings {
        DeriveSettings::Threshold { theta } => {
            let above = ranked.iter().filter(|&&i| outcome.theta[i] > theta && !space.features[i].must_keep);
            kept + above.count()
        }
        DeriveSettings::TopK { k } => k.clamp(kept, ranked.len().max(kept)),
        DeriveSettings::Budget { budget_ms } => {
            let mut fitting = None;
            for count in kept.max(1)..=ranked.len() {
                if price_ms(space, &subnet(count), prices)? <= budget_ms {
                    fitting = Some(count);
                }
            }
            fitting.ok_or_else(|| over_budget(budget_ms, space, &subnet(kept.max(1)), prices))?
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

/// Predicted latency of one network in ms: (4) at θ ∈ {0, 1} and (6) at one path.
pub fn price_ms(space: &SearchSpace, subnet: &Subnet, prices: &Prices) -> Result<f64> {
    let chosen = |i: usize| f64::from(u8::from(subnet.features.binary_search(&i).is_ok()));
    let theta: Vec<f64> = (0..space.features.len()).map(chosen).collect();
    let p: Vec<Vec<f64>> = space
        .mixops
        .iter()
        .zip(&subnet.operators)
        .map(|(operators, chosen)| operators.iter().map(|o| f64::from(u8::from(o == chosen))).collect())
        .collect();
    Ok(prices.expected(space, &theta, &p)?.total_ms())
}

/// Selectable features: those to keep first, then by falling θ.
fn ranked_features(space: &SearchSpace, theta: &[f64]) -> Vec<usize> {
    let mut ranked: Vec<usize> = (0..space.features.len()).filter(|&i| !space.features[i].never).collect();
    ranked.sort_by(|&a, &b| {
        let kept = |i: usize| space.features[i].must_keep;
        kept(b).cmp(&kept(a)).then(theta[b].total_cmp(&theta[a])).then(a.cmp(&b))
    });
    ranked
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
