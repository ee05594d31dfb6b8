//! From the network that a search ends with to the best of its neighbours once they are trained.
//!
//! A supernet says what layers are worth with weights that many networks share and that few steps have trained. On short logs it is
//! wrong about depth in one direction: it finds every further layer useful, where the same network trained by itself is better without
//! it. So layers are judged by training (Li and Talwalkar 2019, "Random search and reproducibility for neural architecture search", found
//! what weights that are shared say of networks to be that unreliable):
//!
//! 1. **depth**: each layer that the space lets go is left out, and the best of these networks is taken, until none is better;
//! 2. **width**: each layer is made one step narrower or wider, in the same way.
//!
//! Under a budget the better network is that of the higher AUC, and what a layer leaves is spent on features: in the order of θ, either
//! behind those that the network has, or throughout; or it is left, where training finds that no further feature is worth having. The best
//! of the three is taken at the first layers; at the last ones both orders are tried again.
//! Without a budget their number stays, and the better network is that of the lower loss with the measured log loss: log loss + λ · ms
//! of the features + λ2 · ms of the network, for what is to be paid is then stated by λ and λ2 of (5) and (7) alone.

use super::{Extent, Limits, Price, of_ranking, walked};
use crate::{
    base::Result,
    learn::price_term::Prices,
    space::{Operator, SearchSpace, Subnet},
};
use serde::{Deserialize, Serialize};

/// A network that was trained to be judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finalist {
    /// Canonical id.
    pub subnet: String,
    /// How many features it has.
    pub features: usize,
    /// Widths of its hidden layers.
    pub layers: Vec<usize>,
    /// Features and what is paid for the network together, in ms.
    pub price_ms: f64,
    /// How well it did.
    #[serde(flatten)]
    pub quality: Quality,
}

impl Finalist {
    /// What became of the one that was trained at the place `at`, where `taken` is the id of the network that was.
    pub fn part(&self, at: usize, taken: &str) -> Option<&'static str> {
        match (self.subnet == taken, at) {
            (true, _) => Some("taken"),
            (false, 0) => Some("derived"),
            (false, _) => None,
        }
    }
}

/// What a network is worth once it is trained, on rows that it was not trained on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// Area under the ROC curve.
    pub auc: f64,
    /// Mean log loss.
    pub logloss: f64,
}

/// Where the networks come from that are set beside each other.
pub struct Field<'a> {
    /// What can be chosen.
    pub space: &'a SearchSpace,
    /// What it costs.
    pub prices: &'a Prices<'a>,
    /// Orders features: those that a budget is spent on, and without one as many as the first network has.
    pub theta: &'a [f64],
    /// What has to be kept, where there is a budget. Without one all networks have as many features as the first.
    pub limits: Option<&'a Limits<'a>>,
    /// λ: log loss per ms of the features, where there is none.
    pub lambda: f64,
    /// λ2: log loss per ms of the network, where there is none.
    pub lambda2: f64,
}

/// The best network that training finds around `first`, with all that were judged, in that order. `train` trains one.
pub fn finals(
    field: &Field,
    first: Subnet,
    train: &mut dyn FnMut(&Subnet) -> Result<Quality>,
) -> Result<(Subnet, Vec<Finalist>)> {
    if field.limits.is_none() && stands_alone(field, &first)? {
        return Ok((first, Vec::new()));
    }
    let mut work = Work { field, train, first: &first.clone(), judged: Vec::new(), best: None };
    work.challenge(Order::Stay, first)?;
    work.challenge_by_order()?;
    while work.step(shallower)? {}
    while work.step(a_step_in_width)? {}
    work.challenge_by_order()?;
    let Best { subnet, .. } = work.best.expect("the first network was judged");
    Ok((subnet, work.judged))
}

/// In which order the features stand that a budget is spent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// None: the network's features stay as they are.
    Stay,
    /// Those of the first network by θ, then the others by θ.
    First,
    /// All by θ.
    Theta,
}

struct Best {
    subnet: Subnet,
    order: Order,
    worth: f64,
}

struct Work<'w> {
    field: &'w Field<'w>,
    train: &'w mut dyn FnMut(&Subnet) -> Result<Quality>,
    first: &'w Subnet,
    judged: Vec<Finalist>,
    best: Option<Best>,
}

impl Work<'_> {
    /// Trains `subnet`, unless the same network was trained before, and takes it where it is better; whether it is.
    fn challenge(&mut self, order: Order, subnet: Subnet) -> Result<bool> {
        let Field { space, prices, limits, lambda, lambda2, .. } = *self.field;
        let id = subnet.id(space);
        if self.judged.iter().any(|known| known.subnet == id) {
            return Ok(false);
        }
        let quality = (self.train)(&subnet)?;
        let price = Price::of(space, &subnet, prices)?;
        self.judged.push(Finalist {
            subnet: id,
            features: subnet.features.len(),
            layers: subnet.layer_widths(),
            price_ms: price.total_ms(),
            quality,
        });
        let worth = match limits {
            Some(_) => quality.auc,
            None => -(quality.logloss + lambda * price.feature_ms + lambda2 * price.paid_ms),
        };
        let better = self.best.as_ref().is_none_or(|best| worth > best.worth);
        if better {
            self.best = Some(Best { subnet, order, worth });
        }
        Ok(better)
    }

    fn best(&self) -> &Best {
        self.best.as_ref().expect("the first network was judged")
    }

    /// Both orders of the features, with the layers of the best network.
    fn challenge_by_order(&mut self) -> Result<()> {
        let operators = self.best().subnet.operators.clone();
        for order in [Order::First, Order::Theta] {
            if let Some(subnet) = self.filled(order, &operators)? {
                // Nothing is left to spend, so what a layer leaves later is to be spent.
                let best = self.best.as_mut().expect("the first network was judged");
                if best.order == Order::Stay && subnet == best.subnet {
                    best.order = order;
                }
                self.challenge(order, subnet)?;
            }
        }
        Ok(())
    }

    /// Takes the best of the networks with the layers that `others` gives, where it is better than all before; whether it is.
    fn step(&mut self, others: fn(&SearchSpace, &[Operator]) -> Vec<Vec<Operator>>) -> Result<bool> {
        let Best { subnet, order, .. } = self.best();
        let (order, operators) = (*order, others(self.field.space, &subnet.operators));
        let mut stepped = false;
        for operators in operators {
            if let Some(subnet) = self.filled(order, &operators)? {
                stepped |= self.challenge(order, subnet)?;
            }
        }
        Ok(stepped)
    }

    /// The network with these operators on the features that `order` makes of them; none where the limits allow of none.
    fn filled(&self, order: Order, operators: &[Operator]) -> Result<Option<Subnet>> {
        let ordered = match order {
            Order::Stay => None,
            Order::First | Order::Theta => self.ordered(order, operators)?,
        };
        // What is bought in an order knows nothing of the memory cap: beyond it the features stay as they are.
        let stays = Subnet { operators: operators.to_vec(), ..self.best().subnet.clone() };
        for subnet in ordered.into_iter().chain([stays]) {
            if self.field.limits.map_or(Ok(true), |limits| limits.admits(&subnet))? {
                return Ok(Some(subnet));
            }
        }
        Ok(None)
    }

    /// The features that the budget pays for in an order; without one, as many as the first network has.
    fn ordered(&self, order: Order, operators: &[Operator]) -> Result<Option<Subnet>> {
        let Field { space, prices, theta, limits, .. } = *self.field;
        let ahead = |i: &usize| order == Order::First && self.first.features.binary_search(i).is_ok();
        // More than θ can be, so that none of the others comes between.
        let strength = |(i, theta): (usize, &f64)| if ahead(&i) { theta + 2.0 } else { *theta };
        let strengths: Vec<f64> = theta.iter().enumerate().map(strength).collect();
        match limits {
            Some(limits) => walked(space, &strengths, operators, limits.budget, prices),
            None => as_many(space, &strengths, self.first.features.len(), operators).map(Some),
        }
    }
}

/// So many of the strongest features.
fn as_many(space: &SearchSpace, strengths: &[f64], count: usize, operators: &[Operator]) -> Result<Subnet> {
    of_ranking(space, strengths, operators.to_vec(), Extent::Count(count))
}

/// Whether nothing but `first` would be trained without a budget.
fn stands_alone(field: &Field, first: &Subnet) -> Result<bool> {
    let neighbours = [shallower, a_step_in_width].map(|others| others(field.space, &first.operators));
    Ok(neighbours.iter().all(Vec::is_empty)
        && as_many(field.space, field.theta, first.features.len(), &first.operators)? == *first)
}

/// The same operators with one layer less, for every layer whose Mixop lets it go.
fn shallower(space: &SearchSpace, operators: &[Operator]) -> Vec<Vec<Operator>> {
    let layers = (0..operators.len()).filter(|&i| operators[i] != Operator::Zero);
    layers
        .filter(|&i| space.mixops[i].contains(&Operator::Zero))
        .map(|i| with_operator(operators, i, Operator::Zero))
        .collect()
}

/// The same operators with one layer of the next width below or above.
fn a_step_in_width(space: &SearchSpace, operators: &[Operator]) -> Vec<Vec<Operator>> {
    let mut found = Vec::new();
    for (i, mixop) in space.mixops.iter().enumerate() {
        let Some(width) = operators[i].width() else { continue };
        let widths = || mixop.iter().filter_map(|operator| operator.width());
        let narrower = widths().filter(|&other| other < width).max();
        let wider = widths().filter(|&other| other > width).min();
        let steps = narrower.into_iter().chain(wider);
        found.extend(steps.map(|other| with_operator(operators, i, Operator::Mlp(other))));
    }
    found
}

fn with_operator(operators: &[Operator], at: usize, operator: Operator) -> Vec<Operator> {
    let mut changed = operators.to_vec();
    changed[at] = operator;
    changed
}

#[cfg(test)]
mod tests;
