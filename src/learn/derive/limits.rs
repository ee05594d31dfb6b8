//! What a derived network has to keep: a latency budget and a memory cap; and the networks below which there is none.

use super::Price;
use crate::{
    base::{Error, Result},
    learn::{price_term::Prices, settings::Budget},
    price::{LayerPrices, cheapest::cheapest_operators, memory::Parameters},
    space::{SearchSpace, Subnet},
};

/// A budget with everything that it is held against.
pub struct Limits<'a> {
    /// What can be chosen.
    pub space: &'a SearchSpace,
    /// What it costs.
    pub prices: &'a Prices<'a>,
    /// What it may cost.
    pub budget: Budget,
    /// What it takes in memory.
    pub parameters: &'a Parameters,
}

impl Limits<'_> {
    /// Features and what is paid for the network together, in ms.
    pub fn price_ms(&self, subnet: &Subnet) -> Result<f64> {
        Ok(Price::of(self.space, subnet, self.prices)?.total_ms())
    }

    /// Size in memory, in MB.
    pub fn megabytes(&self, subnet: &Subnet) -> f64 {
        self.parameters.megabytes(self.space, subnet)
    }

    /// By which share the limits are exceeded, added up; 0 within them.
    pub fn excess(&self, subnet: &Subnet) -> Result<f64> {
        let over = |value: f64, limit: f64| (value / limit - 1.0).max(0.0);
        let price = over(self.price_ms(subnet)?, self.budget.limit_ms());
        Ok(price + self.budget.memory_mb.map_or(0.0, |cap| over(self.megabytes(subnet), cap)))
    }

    /// Whether a network keeps both.
    pub fn admits(&self, subnet: &Subnet) -> Result<bool> {
        Ok(self.excess(subnet)? == 0.0)
    }

    /// Whether a feature may be taken out: it must not be kept, and is not the last of the item's side.
    pub fn droppable(&self, subnet: &Subnet, feature: usize) -> bool {
        let others = || subnet.features.iter().copied().filter(|&i| i != feature);
        !self.space.features[feature].must_keep
            && (!self.space.of_item(feature) || others().any(|i| self.space.of_item(i)))
    }

    /// The smallest network: one of `least_choices` with the operators of fewest parameters.
    pub fn smallest(&self) -> Result<Subnet> {
        let of = |features: Vec<usize>| {
            let operators = self.parameters.smallest_operators(self.space, &features)?;
            Ok(Subnet::new(features, operators))
        };
        least(self.space, of, |subnet| Ok(self.megabytes(subnet)))
    }

    /// Fails where no network of the space keeps the budget, or none the memory cap, with the network that comes nearest.
    pub fn check(&self) -> Result<()> {
        let cheapest = cheapest(self.space, self.prices)?;
        if self.price_ms(&cheapest)? > self.budget.limit_ms() {
            return Err(over_budget(self.budget, self.space, &cheapest, self.prices)?);
        }
        let Some(cap) = self.budget.memory_mb else { return Ok(()) };
        let smallest = self.smallest()?;
        let megabytes = self.megabytes(&smallest);
        if megabytes > cap {
            return Err(Error::Limit {
                limit: format!("a memory cap of {cap} MB"),
                found: format!(
                    "the smallest network {} has {} parameters, {megabytes:.6} MB; raise memory_mb in [derive], widen \
                     [space] downwards, or lower the cardinality or width of its features in the schema",
                    smallest.id(self.space),
                    self.parameters.of(self.space, &smallest)
                ),
            });
        }
        Ok(())
    }
}

/// Sets of features with which a network is one and none of which can be left out: those that must be kept, and one of the item's
/// side where none of them is of it.
fn least_choices(space: &SearchSpace) -> Vec<Vec<usize>> {
    let mut kept = space.selectable();
    kept.retain(|&i| space.features[i].must_keep);
    if kept.iter().any(|&i| space.of_item(i)) {
        return vec![kept];
    }
    let others = space.selectable().into_iter().filter(|&i| space.of_item(i));
    others.map(|i| [kept.as_slice(), &[i]].concat()).collect()
}

/// Of the networks that `of` makes of [`least_choices`], that of the least `cost`.
fn least(
    space: &SearchSpace,
    of: impl Fn(Vec<usize>) -> Result<Subnet>,
    cost: impl Fn(&Subnet) -> Result<f64>,
) -> Result<Subnet> {
    space.check_item_side()?;
    let mut best: Option<(f64, Subnet)> = None;
    for features in least_choices(space) {
        let subnet = of(features)?;
        let cost = cost(&subnet)?;
        if best.as_ref().is_none_or(|(known, _)| cost < *known) {
            best = Some((cost, subnet));
        }
    }
    Ok(best.expect("a feature of the item's side may be selected").1)
}

/// The cheapest network over features and operators, where no feature makes a network cheaper: one of `least_choices` with its
/// shortest path through the Mixops.
pub fn cheapest(space: &SearchSpace, prices: &Prices) -> Result<Subnet> {
    let layers: &dyn LayerPrices = prices.layers;
    let of = |features: Vec<usize>| {
        let widths = Subnet::new(features.clone(), vec![]).input_widths(space);
        let first = |to: usize| Ok(layers.first_ms(widths, to)?.ms);
        let operators = cheapest_operators(&space.mixops, first, |from, to| layers.layer_ms(from, to))?;
        Ok(Subnet::new(features, operators))
    };
    least(space, of, |subnet| Ok(Price::of(space, subnet, prices)?.total_ms()))
}

/// The error of a budget below the cheapest network.
pub(super) fn over_budget(
    budget: Budget,
    space: &SearchSpace,
    cheapest: &Subnet,
    prices: &Prices,
) -> Result<Error> {
    let price = Price::of(space, cheapest, prices)?;
    let Price { feature_ms, service_ms, .. } = price;
    let what = prices.target.what();
    let expected = match prices.target.keeps_up(service_ms) {
        true => format!(
            "costs {:.3} ms: {feature_ms:.3} ms for its features and {:.3} ms of {what}",
            price.total_ms(),
            price.paid_ms
        ),
        false => {
            format!("takes {service_ms:.3} ms of service on average, more than the workers can keep up with")
        }
    };
    Ok(Error::Limit {
        limit: format!("a budget of {} ms for features and {what}", budget.limit_ms()),
        found: format!(
            "the cheapest network {} {expected}; raise it in [derive], or widen [space] downwards",
            cheapest.id(space)
        ),
    })
}
