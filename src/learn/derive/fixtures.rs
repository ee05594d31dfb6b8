//! A space so small that every network of it can be tried, with a worth in closed form.

use super::{Judge, Limits};
use crate::{
    base::{Result, rng},
    data::schema::{Feature, Kind, Schema},
    learn::{fixtures::schema, metrics::Placements, price_term::Prices, settings::Budget},
    price::{
        fixtures::{every_choice, feature, space_of},
        linear::LinearPrices,
        memory::Parameters,
        target::MeanService,
    },
    space::{SearchSpace, Subnet},
};
use rand::RngExt;

pub(super) const LAYERS: LinearPrices =
    LinearPrices { column_ms: 0.02, slope_ms: 0.002, layer_ms: 0.05, user_share: 1.0, fixed_ms: 0.1 };

/// AUC = ½ + Σ worth of the features − loss·(1 − width/16) of the widest layer, less where one of two allies is missing. Half of the
/// features are worth nothing.
pub(super) struct Toy {
    pub(super) schema: Schema,
    pub(super) space: SearchSpace,
    pub(super) parameters: Parameters,
    worth: Vec<f64>,
    /// θ that say what features are worth, with errors.
    pub(super) theta: Vec<f64>,
    /// Of no hidden layer at all.
    loss: f64,
}

impl Toy {
    pub(super) fn new(seed: u64) -> Self {
        let mut draw = rng::generator(seed, "toy");
        let count = 7;
        let features: Vec<Feature> = (0..count)
            .map(|i| Feature {
                fetch_ms: 0.1 + draw.random::<f64>(),
                kind: if i % 2 == 0 { Kind::Item } else { Kind::User },
                ..feature(&format!("f{i}"), 2 + i % 3)
            })
            .collect();
        let schema = Schema { gamma_ms: 0.05, ..schema(features) };
        let space = space_of(schema.features.clone(), &[&[16, 8, 4, 0], &[0, 8, 4]]);
        let worth: Vec<f64> =
            (0..count).map(|i| if i < 4 { 0.02 + 0.06 * draw.random::<f64>() } else { 0.0 }).collect();
        let theta = worth.iter().map(|w| (0.2 + 8.0 * w + 0.2 * draw.random::<f64>()).min(0.99)).collect();
        let parameters = Parameters::new((0..count).map(|i| 10 * (i + 1)).collect());
        Self { schema, space, parameters, worth, theta, loss: 0.1 }
    }

    pub(super) fn prices(&self) -> Prices<'_> {
        Prices::declared(&self.schema, &LAYERS, &MeanService)
    }

    pub(super) fn limits<'l>(&'l self, prices: &'l Prices, budget: Budget) -> Limits<'l> {
        Limits { space: &self.space, prices, budget, parameters: &self.parameters }
    }

    pub(super) fn auc(&self, subnet: &Subnet) -> f64 {
        let has = |i: usize| subnet.features.contains(&i);
        let single: f64 = subnet.features.iter().map(|&i| self.worth[i]).sum();
        let allies = if has(0) && has(1) { 0.03 } else { 0.0 };
        let widest = subnet.layer_widths().into_iter().max().unwrap_or(0) as f64;
        0.5 + single + allies - self.loss * (1.0 - widest / 16.0)
    }

    /// Every network of the space that reads something of the item.
    pub(super) fn every_network(&self) -> Vec<Subnet> {
        let sets = (1..1usize << self.worth.len())
            .map(|bits| (0..self.worth.len()).filter(|i| bits >> i & 1 == 1).collect::<Vec<usize>>());
        let sets = sets.filter(|set| set.iter().any(|i| i % 2 == 0));
        let choices = every_choice(&self.space);
        sets.flat_map(|features| {
            choices
                .iter()
                .map(move |operators| Subnet { features: features.clone(), operators: operators.clone() })
        })
        .collect()
    }

    /// The best AUC within the limits.
    pub(super) fn best(&self, limits: &Limits) -> f64 {
        let within = self.every_network().into_iter().filter(|subnet| limits.admits(subnet).unwrap());
        within.map(|subnet| self.auc(&subnet)).fold(f64::NEG_INFINITY, f64::max)
    }

    /// Prices of all networks, ascending.
    pub(super) fn all_ms(&self, limits: &Limits) -> Vec<f64> {
        let mut all: Vec<f64> = self.every_network().iter().map(|s| limits.price_ms(s).unwrap()).collect();
        all.sort_by(f64::total_cmp);
        all
    }
}

impl Judge for Toy {
    fn placements(&self, subnet: &Subnet) -> Result<Placements> {
        Ok(Placements::exactly(self.auc(subnet)))
    }
}
