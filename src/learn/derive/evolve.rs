//! A network within the limits by evolution, with the supernet as evaluator (Cai et al. 2020, "Once-for-all"; Real et al. 2019,
//! "Regularized evolution").
//!
//! It knows nothing of θ and α. The first generation is drawn at random within the limits; of every generation the best stay, and the
//! rest are children: of one of the best with some features and operators drawn anew, or of two of them, each feature and operator
//! from either. A child beyond the limits loses features at random until it keeps them. Fitness is the AUC with inherited weights.

use super::{Judge, Limits, cheapest};
use crate::{
    base::{
        Error, Result,
        progress::Progress,
        rng::{self, Generator},
    },
    learn::settings::EvolutionSettings,
    space::{Operator, Subnet},
};
use rand::RngExt;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Draws of a network that nobody has judged yet, before a generation goes on with fewer.
const TRIES: usize = 20;

/// What one generation came to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Generation {
    /// The highest AUC so far.
    pub auc: f64,
    /// Networks that have lived so far.
    pub networks: usize,
}

/// The fittest network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evolved {
    /// What it is.
    pub subnet: Subnet,
    /// AUC with the supernet's weights on the rows that networks are judged on.
    pub auc: f64,
    /// Its price in ms.
    pub price_ms: f64,
    /// The generations, the first one drawn at random.
    pub generations: Vec<Generation>,
}

/// AUCs of the networks that a judge has seen. What a network is worth depends on no budget, so evolutions under several can share
/// them.
pub struct Known<'j> {
    judge: &'j dyn Judge,
    aucs: HashMap<Subnet, f64>,
}

impl<'j> Known<'j> {
    /// Nothing yet.
    pub fn new(judge: &'j dyn Judge) -> Self {
        Self { judge, aucs: HashMap::new() }
    }

    fn auc(&mut self, subnet: &Subnet) -> Result<f64> {
        if let Some(&known) = self.aucs.get(subnet) {
            return Ok(known);
        }
        let auc = self.judge.placements(subnet)?.auc();
        self.aucs.insert(subnet.clone(), auc);
        Ok(auc)
    }
}

/// A network with what decides between two.
#[derive(Clone)]
struct Member {
    subnet: Subnet,
    auc: f64,
    price_ms: f64,
}

/// The fittest network that evolution finds within `limits`. The same seed, limits and judge give the same one, whatever `known`
/// holds.
///
/// Fails when no network keeps the limits.
pub fn evolve(
    limits: &Limits,
    known: &mut Known,
    settings: &EvolutionSettings,
    seed: u64,
    progress: &dyn Progress,
) -> Result<Evolved> {
    limits.check()?;
    progress.stage("evolve networks", (settings.generations * settings.population) as u64);
    let mut draw = Draw { limits, settings, rng: rng::generator(seed, "evolution") };
    let mut population: Vec<Member> = Vec::new();
    let (mut generations, mut networks) = (Vec::new(), 0);
    for generation in 0..=settings.generations {
        population.truncate(settings.parents.min(population.len()));
        let parents = population.len();
        while population.len() < settings.population {
            let Some(subnet) = draw.unlike(&population, parents)? else { break };
            let (auc, price_ms) = (known.auc(&subnet)?, limits.price_ms(&subnet)?);
            population.push(Member { subnet, auc, price_ms });
            networks += 1;
            let done = generation * settings.population + population.len();
            progress.advance(done as u64, &format!("AUC {auc:.4}"));
        }
        population.sort_by(|a, b| {
            let by_choice = || a.subnet.features.cmp(&b.subnet.features);
            let by_operators = || a.subnet.operators.cmp(&b.subnet.operators);
            let by_price = a.price_ms.total_cmp(&b.price_ms);
            b.auc.total_cmp(&a.auc).then(by_price).then_with(by_choice).then_with(by_operators)
        });
        let Some(fittest) = population.first() else { return Err(draw.nothing()) };
        generations.push(Generation { auc: fittest.auc, networks });
    }
    let Member { subnet, auc, price_ms } = population.swap_remove(0);
    Ok(Evolved { subnet, auc, price_ms, generations })
}

/// Where networks come from.
struct Draw<'d> {
    limits: &'d Limits<'d>,
    settings: &'d EvolutionSettings,
    rng: Generator,
}

impl Draw<'_> {
    fn nothing(&self) -> Error {
        Error::Limit {
            limit: format!("a budget of {} ms", self.limits.budget.limit_ms()),
            found: "evolution drew no network within it and the memory cap; raise one of both in [derive]"
                .to_owned(),
        }
    }

    /// A network that is not in the population, whose first `parents` may have children.
    fn unlike(&mut self, population: &[Member], parents: usize) -> Result<Option<Subnet>> {
        for _ in 0..TRIES {
            let drawn = match parents {
                0 => self.at_random()?,
                _ => self.child(&population[..parents])?,
            };
            if let Some(subnet) = drawn
                && population.iter().all(|member| member.subnet != subnet)
            {
                return Ok(Some(subnet));
            }
        }
        // Where hardly any operators keep the limits, chance may not find one that does.
        let last = cheapest(self.limits.space, self.limits.prices)?;
        let fits = population.is_empty() && self.limits.admits(&last)?;
        Ok(fits.then_some(last))
    }

    /// Operators at random, and features each with one random probability.
    fn at_random(&mut self) -> Result<Option<Subnet>> {
        let space = self.limits.space;
        let share = self.rng.random::<f64>();
        let features = (0..space.features.len()).filter(|_| self.rng.random::<f64>() < share).collect();
        let operators = (0..space.mixops.len()).map(|i| self.operator(i)).collect();
        self.within(Subnet { features, operators })
    }

    fn operator(&mut self, mixop: usize) -> Operator {
        let operators = &self.limits.space.mixops[mixop];
        operators[self.rng.random_range(0..operators.len())]
    }

    fn child(&mut self, parents: &[Member]) -> Result<Option<Subnet>> {
        let pick = |rng: &mut Generator| parents[rng.random_range(0..parents.len())].subnet.clone();
        let first = pick(&mut self.rng);
        let child = if self.rng.random::<f64>() < 0.5 {
            self.mutant(first)
        } else {
            let second = pick(&mut self.rng);
            self.crossed(&first, &second)
        };
        self.within(child)
    }

    /// Every feature comes or goes with the same small probability, and every operator is drawn anew with the stated one.
    fn mutant(&mut self, parent: Subnet) -> Subnet {
        let space = self.limits.space;
        let mutation = self.settings.mutation;
        // About two features a child, in a large space as in a small one.
        let flip = (2.0 / space.features.len() as f64).min(0.5);
        let features = (0..space.features.len())
            .filter(|i| parent.features.binary_search(i).is_ok() != (self.rng.random::<f64>() < flip))
            .collect();
        let mut operators = parent.operators;
        for (i, operator) in operators.iter_mut().enumerate() {
            if self.rng.random::<f64>() < mutation {
                *operator = self.operator(i);
            }
        }
        Subnet { features, operators }
    }

    fn crossed(&mut self, first: &Subnet, second: &Subnet) -> Subnet {
        let mut from = || if self.rng.random::<f64>() < 0.5 { first } else { second };
        let features = (0..self.limits.space.features.len())
            .filter(|i| from().features.binary_search(i).is_ok())
            .collect();
        let operators = (0..first.operators.len()).map(|i| from().operators[i]).collect();
        Subnet { features, operators }
    }

    /// The network with what must be there and without what must not, less random features until it keeps the limits.
    fn within(&mut self, mut subnet: Subnet) -> Result<Option<Subnet>> {
        let space = self.limits.space;
        let features = &space.features;
        subnet.features.retain(|&i| !features[i].never);
        subnet.features.extend((0..features.len()).filter(|&i| features[i].must_keep && !features[i].never));
        if !subnet.features.iter().any(|&i| space.of_item(i)) {
            let mut items = space.selectable();
            items.retain(|&i| space.of_item(i));
            subnet.features.push(items[self.rng.random_range(0..items.len())]);
        }
        subnet.features.sort_unstable();
        subnet.features.dedup();
        while !self.limits.admits(&subnet)? {
            let free: Vec<usize> =
                subnet.features.iter().copied().filter(|&i| self.limits.droppable(&subnet, i)).collect();
            if free.is_empty() {
                return Ok(None);
            }
            let gone = free[self.rng.random_range(0..free.len())];
            subnet.features.retain(|&i| i != gone);
        }
        Ok(Some(subnet))
    }
}

#[cfg(test)]
mod tests;
