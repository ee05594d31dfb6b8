//! Networks that were judged, and the changes that were made because of it.

use super::{Change, Judge, Repair, Spending};
use crate::{
    base::{Result, progress::Progress},
    learn::{
        derive::Price,
        metrics::{Gain, Placements},
        price_term::Prices,
    },
    space::{SearchSpace, Subnet},
};
use std::{collections::HashMap, rc::Rc};

pub(super) struct Judged<'w> {
    space: &'w SearchSpace,
    prices: &'w Prices<'w>,
    judge: &'w dyn Judge,
    progress: &'w dyn Progress,
    known: HashMap<Subnet, Rc<Placements>>,
    pub(super) changes: Vec<Change>,
}

impl<'w> Judged<'w> {
    pub(super) fn new(
        space: &'w SearchSpace,
        prices: &'w Prices<'w>,
        judge: &'w dyn Judge,
        progress: &'w dyn Progress,
    ) -> Self {
        Self { space, prices, judge, progress, known: HashMap::new(), changes: Vec::new() }
    }

    /// How many networks were judged.
    pub(super) fn count(&self) -> usize {
        self.known.len()
    }

    pub(super) fn of(&mut self, subnet: &Subnet) -> Result<Rc<Placements>> {
        if let Some(known) = self.known.get(subnet) {
            return Ok(known.clone());
        }
        let placements = Rc::new(self.judge.placements(subnet)?);
        self.known.insert(subnet.clone(), placements.clone());
        self.progress.advance(self.known.len() as u64, &format!("AUC {:.4}", placements.auc()));
        Ok(placements)
    }

    /// By how much the AUC of `subnet` is above that of `other`.
    pub(super) fn gain(&mut self, subnet: &Subnet, other: &Subnet) -> Result<Gain> {
        let other = self.of(other)?;
        Ok(self.of(subnet)?.gain_over(&other))
    }

    /// Notes the change and makes it.
    pub(super) fn change(&mut self, from: &Subnet, to: Subnet) -> Result<Subnet> {
        let gain = self.gain(&to, from)?;
        let names = |of: &Subnet, but: &Subnet| {
            let only = of.features.iter().filter(|feature| !but.features.contains(feature));
            only.map(|&i| self.space.features[i].name.clone()).collect()
        };
        self.changes.push(Change {
            added: names(&to, from),
            dropped: names(from, &to),
            operators: (to.operators != from.operators).then(|| to.operators.clone()),
            gain: gain.auc,
            error: gain.error,
            price_ms: Price::of(self.space, &to, self.prices)?.total_ms(),
        });
        Ok(to)
    }

    /// What all of it came to, where it ended with `subnet`.
    pub(super) fn repair(mut self, subnet: &Subnet, spending: Option<Spending>) -> Result<Repair> {
        let auc = self.of(subnet)?.auc();
        Ok(Repair { spending, auc, evaluations: self.count(), changes: self.changes })
    }
}
