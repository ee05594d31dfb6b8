//! From θ and p to one network: the strongest features, and in every Mixop the strongest operator.
//!
//! [`derive()`] reads that off θ and α alone. With the supernet as judge [`repair()`] goes on from there under a budget, and
//! [`exchange_features()`] without one; [`evolve()`] looks for a network without θ and α. What keeps a budget keeps the [`Limits`]. [`finals()`]
//! sets what comes out beside its neighbours once they are trained.
//!
//! Whatever the rule, one feature of the item's side is among them, the strongest: without any, all candidates of a
//! request would score alike.

mod evolve;
mod finals;
mod limits;
mod repair;

pub use evolve::{Evolved, Generation, Known, evolve};
pub use finals::{Field, Finalist, Quality, finals};
pub use limits::{Limits, cheapest};
pub use repair::{Change, Repair, Spending, exchange_features, repair};

use super::{
    metrics::Placements,
    price_term::Prices,
    search::SearchOutcome,
    settings::{Budget, DeriveSettings},
};
use crate::{
    base::{Error, Result},
    price::path::subnet_ms,
    space::{Operator, SearchSpace, Subnet},
};
use limits::over_budget;

/// Tells what a network of the space is worth.
pub trait Judge {
    /// Placements of the rows that networks are judged on, the same rows for all.
    fn placements(&self, subnet: &Subnet) -> Result<Placements>;
}

/// How far down a ranking features are taken.
pub enum Extent<'a> {
    /// Those whose strength is above this.
    Above(f64),
    /// As many as this.
    Count(usize),
    /// All that still fits.
    Within(Budget, &'a Prices<'a>),
}

/// The network that the search's outcome stands for. `must_keep` and `never` of the schema are honoured.
///
/// Equal strengths go to the feature that stands first in the schema and to the operator listed first. Where a budget does not even
/// pay for the fewest features on the strongest operators, the operators are those of the [`cheapest`] network.
pub fn derive(
    space: &SearchSpace,
    outcome: &SearchOutcome,
    settings: &DeriveSettings,
    prices: &Prices,
) -> Result<Subnet> {
    let strongest: Vec<Operator> =
        space.mixops.iter().zip(&outcome.probabilities).map(|(operators, p)| operators[largest(p)]).collect();
    let extent = match *settings {
        DeriveSettings::Threshold { theta } => Extent::Above(theta),
        DeriveSettings::TopK { k } => Extent::Count(k),
        DeriveSettings::Budget(budget) => {
            space.check_item_side()?;
            if let Some(subnet) = walked(space, &outcome.theta, &strongest, budget, prices)? {
                return Ok(subnet);
            }
            let cheapest = cheapest(space, prices)?;
            return match walked(space, &outcome.theta, &cheapest.operators, budget, prices)? {
                Some(subnet) => Ok(subnet),
                None => Err(over_budget(budget, space, &cheapest, prices)?),
            };
        }
    };
    of_ranking(space, &outcome.theta, strongest, extent)
}

/// The network of these operators on the features that `strengths` (one per feature of the space) puts first. `must_keep` and
/// `never` of the schema are honoured; equal strengths go to the feature that stands first in the schema.
///
/// Fails when no feature of the item's side may be selected, when none is above the threshold, and when the budget pays for none.
pub fn of_ranking(
    space: &SearchSpace,
    strengths: &[f64],
    operators: Vec<Operator>,
    extent: Extent,
) -> Result<Subnet> {
    space.check_item_side()?;
    let Ranked { features: ranked, least, .. } = ranked_features(space, strengths);
    let chosen = match extent {
        Extent::Above(threshold) => {
            let strong = |&i: &usize| strengths[i] > threshold || space.features[i].must_keep;
            match ranked.iter().any(strong) {
                false => Vec::new(),
                true => {
                    let rest = ranked[least..].iter().copied().filter(strong);
                    ranked[..least].iter().copied().chain(rest).collect()
                }
            }
        }
        Extent::Count(k) => ranked[..k.clamp(least, ranked.len())].to_vec(),
        Extent::Within(budget, prices) => {
            if let Some(subnet) = walked(space, strengths, &operators, budget, prices)? {
                return Ok(subnet);
            }
            // The layers are no choice: the cheapest network has them.
            let mut fixed = space.clone();
            fixed.mixops = operators.iter().map(|&operator| vec![operator]).collect();
            return Err(over_budget(budget, space, &cheapest(&fixed, prices)?, prices)?);
        }
    };
    if chosen.is_empty() {
        return Err(Error::usage(
            "no feature is left: every θ is below the threshold",
            "lower [search] lambda, lower [derive] theta, or derive by top_k",
        ));
    }
    Ok(Subnet::new(chosen, operators))
}

/// The network of these operators on the features that the budget pays for by falling strength; none where it pays for none.
fn walked(
    space: &SearchSpace,
    strengths: &[f64],
    operators: &[Operator],
    budget: Budget,
    prices: &Prices,
) -> Result<Option<Subnet>> {
    let Ranked { features: ranked, kept, .. } = ranked_features(space, strengths);
    let on = |chosen: &[usize]| Subnet::new(chosen.to_vec(), operators.to_vec());
    let price = |chosen: &[usize]| Ok(Price::of(space, &on(chosen), prices)?.total_ms());
    let chosen = within(budget.limit_ms(), &ranked, kept, |i| space.of_item(i), price)?;
    Ok(chosen.map(|chosen| on(&chosen)))
}

/// Takes the first `kept` features of `ranked` in any case, and the strongest feature of the item's side that the budget pays for
/// where none of them is one; then walks down `ranked` and takes what the budget still pays for. A dear feature is passed over, for
/// weaker ones behind it may fit. None where it does not pay for the first of these.
fn within(
    budget_ms: f64,
    ranked: &[usize],
    kept: usize,
    of_item: impl Fn(usize) -> bool,
    price_ms: impl Fn(&[usize]) -> Result<f64>,
) -> Result<Option<Vec<usize>>> {
    let (kept, others) = ranked.split_at(kept);
    let mut chosen = kept.to_vec();
    if chosen.iter().any(|&i| of_item(i)) {
        if price_ms(&chosen)? > budget_ms {
            return Ok(None);
        }
    } else {
        for &feature in others.iter().filter(|&&i| of_item(i)) {
            if price_ms(&[kept, &[feature]].concat())? <= budget_ms {
                chosen.push(feature);
                break;
            }
        }
        if chosen.len() == kept.len() {
            return Ok(None);
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
    Ok(Some(chosen))
}

/// Predicted latency of one network.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Price {
    /// (4) at θ ∈ {0, 1}, ms.
    pub feature_ms: f64,
    /// Mean service time: the path through its layers, ms.
    pub service_ms: f64,
    /// What the target makes of it, ms.
    pub paid_ms: f64,
}

impl Price {
    /// Of one network of the space.
    pub fn of(space: &SearchSpace, subnet: &Subnet, prices: &Prices) -> Result<Self> {
        let Prices { features, layers, target, .. } = prices;
        let layers = *layers;
        let service_ms = subnet_ms(space, subnet, layers)?;
        Ok(Self {
            feature_ms: features.selected_ms(&subnet.features, space.features.len()),
            service_ms,
            paid_ms: target.of_mean(service_ms).ms,
        })
    }

    /// The same; None where one of its layers has no price.
    pub fn known(space: &SearchSpace, subnet: &Subnet, prices: &Prices) -> Result<Option<Self>> {
        match Self::of(space, subnet, prices) {
            Err(Error::MissingPrice { .. }) => Ok(None),
            price => price.map(Some),
        }
    }

    /// What a budget is held against: the network starts when the features are there.
    pub fn total_ms(&self) -> f64 {
        self.feature_ms + self.paid_ms
    }
}

/// Selectable features in the order in which they are taken.
struct Ranked {
    features: Vec<usize>,
    /// How many of them must be kept.
    kept: usize,
    /// With how many of them a network is one: those, and one feature of the item's side.
    least: usize,
}

/// Those to keep first, then the strongest of the item's side if none of these is of it, then the rest by falling strength.
fn ranked_features(space: &SearchSpace, strengths: &[f64]) -> Ranked {
    let mut features = space.selectable();
    features.sort_by(|&a, &b| {
        let kept = |i: usize| space.features[i].must_keep;
        kept(b).cmp(&kept(a)).then(strengths[b].total_cmp(&strengths[a])).then(a.cmp(&b))
    });
    let kept = features.iter().filter(|&&i| space.features[i].must_keep).count();
    let first_item = features.iter().position(|&i| space.of_item(i));
    match first_item.filter(|&at| at >= kept) {
        Some(at) => {
            features[kept..=at].rotate_right(1);
            Ranked { features, kept, least: kept + 1 }
        }
        None => Ranked { features, kept, least: kept },
    }
}

fn largest(p: &[f64]) -> usize {
    (1..p.len()).fold(0, |best, k| if p[k] > p[best] { k } else { best })
}

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod tests;
