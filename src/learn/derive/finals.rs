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
//! Under a budget what a layer leaves is spent on features: in the order of θ, either behind those that the network has, or throughout.
//! The better of the two orders is taken, at the first layers and again at the last.

use super::{Limits, Price, walked};
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
    /// Mean over the folds.
    pub auc: f64,
}

/// Where the networks come from that are set beside each other.
pub struct Field<'a> {
    /// What can be chosen.
    pub space: &'a SearchSpace,
    /// What it costs.
    pub prices: &'a Prices<'a>,
    /// Orders features that a budget is spent on.
    pub theta: &'a [f64],
    /// What has to be kept, where there is a budget. Without one all networks have the features of the first.
    pub limits: Option<&'a Limits<'a>>,
}

/// The best network that training finds around `first`, with all that were judged, in that order. `auc` trains one.
pub fn finals(
    field: &Field,
    first: Subnet,
    auc: &mut dyn FnMut(&Subnet) -> Result<f64>,
) -> Result<(Subnet, Vec<Finalist>)> {
    let mut work = Work { field, auc, first: &first.clone(), judged: Vec::new(), best: None };
    work.challenge(Order::First, first)?;
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
    /// Those of the first network by θ, then the others by θ.
    First,
    /// All by θ.
    Theta,
}

struct Best {
    subnet: Subnet,
    order: Order,
    auc: f64,
}

struct Work<'w> {
    field: &'w Field<'w>,
    auc: &'w mut dyn FnMut(&Subnet) -> Result<f64>,
    first: &'w Subnet,
    judged: Vec<Finalist>,
    best: Option<Best>,
}

impl Work<'_> {
    /// Trains `subnet`, unless the same network was trained before, and takes it where it is better; whether it is.
    fn challenge(&mut self, order: Order, subnet: Subnet) -> Result<bool> {
        let Field { space, prices, .. } = *self.field;
        let id = subnet.id(space);
        if self.judged.iter().any(|known| known.subnet == id) {
            return Ok(false);
        }
        let auc = (self.auc)(&subnet)?;
        self.judged.push(Finalist {
            subnet: id,
            features: subnet.features.len(),
            layers: subnet.layer_widths(),
            price_ms: Price::of(space, &subnet, prices)?.total_ms(),
            auc,
        });
        let better = self.best.as_ref().is_none_or(|best| auc > best.auc);
        if better {
            self.best = Some(Best { subnet, order, auc });
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

    /// The network with these operators, on the features that the budget then pays for; none where it pays for too few.
    fn filled(&self, order: Order, operators: &[Operator]) -> Result<Option<Subnet>> {
        let Field { space, prices, theta, limits } = *self.field;
        let Some(limits) = limits else {
            return Ok(Some(Subnet { operators: operators.to_vec(), ..self.first.clone() }));
        };
        let ahead = |i: &usize| order == Order::First && self.first.features.binary_search(i).is_ok();
        let strengths: Vec<f64> =
            theta.iter().enumerate().map(|(i, theta)| theta + f64::from(u8::from(ahead(&i)))).collect();
        // The memory cap is no matter of the walk.
        match walked(space, &strengths, operators, limits.budget, prices)? {
            Some(subnet) if limits.admits(&subnet)? => Ok(Some(subnet)),
            _ => Ok(None),
        }
    }
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
