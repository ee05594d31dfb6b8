//! From a derived network to one that spends its budget well: features and operators are exchanged one change at a time, each judged
//! by what it adds to the AUC per millisecond.
//!
//! θ and α say on average over masks and paths what a feature or a layer is worth; beside a budget what counts is the next one. So
//! the supernet judges each neighbour S′ of the present network S with the weights that it has for it, on rows that nobody was
//! trained on, and with the [`Gain`](crate::learn::metrics::Gain) of the AUC, its standard error σ, and Δt in ms
//!
//! 1. **reduce**: while S exceeds a limit, the change that loses least AUC per share of the excess that it removes;
//! 2. **prune**: each feature of θ ≤ ½, the weakest first, goes unless it raises the AUC by more than [`SURE`]·σ: the budget paid for
//!    it because it was there to be paid for;
//! 3. **improve**: among the neighbours within the limits whose gain is above [`SURE`]·σ, that of the largest ΔAUC / Δt, until there
//!    is none. Neighbours are: a feature added; an operator changed; the same with the weakest features taken out, or another operator
//!    narrowed, until they fit; and a weak feature taken out. Where none of them is worth it, a wider circle is asked (Mladenović and
//!    Hansen 1997, "Variable neighborhood search"): one feature exchanged for another, and a change of the features together with
//!    another operator.
//!
//! What is bought first decides what still fits, so the third step also runs from the [`cheapest`](super::cheapest) network, and its
//! end is taken where that surely has the higher AUC.
//!
//! So the result keeps the limits, and what it leaves of the budget is left because nothing that fits raises the AUC by more than
//! chance. Of a hundred useless features the best always seems to raise it a little, which is why a gain has to be above chance.
//!
//! Without a budget there is nothing to spend, and only features are exchanged: [`exchange_features()`].

mod exchange;
mod judged;
mod neighbours;

pub use exchange::exchange_features;

use super::{Judge, Limits};
use crate::{
    base::{Error, Result, progress::Progress},
    space::{Operator, Subnet},
};
use judged::Judged;
use neighbours::Neighbours;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Standard errors that a gain has to be above.
const SURE: f64 = 2.0;
/// A share of the budget from which on it counts as spent.
const FULL: f64 = 0.95;
/// Changes that cost nearly nothing are compared as if they cost this share of the budget.
const LEAST_SHARE: f64 = 0.01;
/// Features that are tried at once, the strongest first; the others are tried when none of these is worth it.
const ADDED_AT_ONCE: usize = 8;
/// Changes of one repair, at most; each raises the AUC, so there are far fewer.
const MOST_CHANGES: usize = 64;
/// Networks after which no wider circle is asked.
const MOST_JUDGED: usize = 1000;

/// One change that was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Names of the features that came in.
    pub added: Vec<String>,
    /// Names of those that went.
    pub dropped: Vec<String>,
    /// All operators, where one of them changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operators: Option<Vec<Operator>>,
    /// By how much the AUC rose; below 0 where a limit asked for the change, or a feature went that added nothing sure.
    pub gain: f64,
    /// Standard error of that.
    pub error: f64,
    /// Price of the network after it, in ms.
    pub price_ms: f64,
}

/// What the judgement of a supernet made of a derived network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Repair {
    /// What became of the budget, where there is one.
    #[serde(flatten)]
    pub spending: Option<Spending>,
    /// AUC with the supernet's weights on the rows that networks are judged on.
    pub auc: f64,
    /// What was changed, in order.
    pub changes: Vec<Change>,
    /// Networks that were judged.
    pub evaluations: usize,
}

/// How a network spends its budget.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spending {
    /// What features and network may come to together, in ms.
    pub budget_ms: f64,
    /// What they come to.
    pub price_ms: f64,
    /// Whether at least 95 % of the budget is spent. Where not, nothing that still fits raises the AUC by more than chance.
    pub full: bool,
    /// Tables and layers in single precision, in MB.
    pub memory_mb: f64,
}

impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { spending, changes, evaluations, .. } = self;
        let (count, plural) = (changes.len(), if changes.len() == 1 { "" } else { "s" });
        let Some(Spending { budget_ms, price_ms, full, .. }) = spending else {
            return write!(f, "changed by {count} exchange{plural} of features among {evaluations} networks");
        };
        write!(f, "repaired by {count} change{plural} among {evaluations} networks")?;
        let share = 100.0 * price_ms / budget_ms;
        write!(f, ": {price_ms:.3} ms, {share:.1} % of the budget of {budget_ms} ms")?;
        match full {
            true => Ok(()),
            false => f.write_str("; nothing that still fits raises the AUC by more than chance"),
        }
    }
}

/// Repairs `derived` within `limits` by what `judge` says; `theta` ranks features that are not judged. Deterministic.
///
/// Fails when no network keeps the limits.
pub fn repair(
    limits: &Limits,
    judge: &dyn Judge,
    theta: &[f64],
    derived: Subnet,
    progress: &dyn Progress,
) -> Result<(Subnet, Repair)> {
    limits.check()?;
    progress.stage("repair the derived network", 0);
    let around = Neighbours { limits, theta };
    let mut work = Work { limits, around, judged: Judged::new(limits.space, limits.prices, judge, progress) };
    let subnet = work.reduced(derived.clone())?;
    let subnet = work.pruned(subnet)?;
    let subnet = work.improved(subnet)?;
    let subnet = work.or_from_the_cheapest(derived, subnet)?;
    let (budget_ms, price_ms) = (limits.budget.limit_ms(), limits.price_ms(&subnet)?);
    let spending = Spending {
        budget_ms,
        price_ms,
        full: price_ms >= FULL * budget_ms,
        memory_mb: limits.megabytes(&subnet),
    };
    let repair = work.judged.repair(&subnet, Some(spending))?;
    Ok((subnet, repair))
}

struct Work<'w> {
    limits: &'w Limits<'w>,
    around: Neighbours<'w>,
    judged: Judged<'w>,
}

impl Work<'_> {
    /// The first step.
    fn reduced(&mut self, mut subnet: Subnet) -> Result<Subnet> {
        loop {
            let excess = self.limits.excess(&subnet)?;
            if excess == 0.0 {
                return Ok(subnet);
            }
            let now = self.judged.of(&subnet)?.auc();
            let mut best: Option<(f64, Subnet)> = None;
            let smaller =
                [self.around.without_one(&subnet, usize::MAX), self.around.other_operators(&subnet)];
            for smaller in smaller.into_iter().flatten() {
                let removed = excess - self.limits.excess(&smaller)?;
                if removed > 0.0 {
                    let lost = (now - self.judged.of(&smaller)?.auc()) / removed;
                    if best.as_ref().is_none_or(|(least, _)| lost < *least) {
                        best = Some((lost, smaller));
                    }
                }
            }
            let next = match best {
                Some((_, smaller)) => smaller,
                None => self.fallback()?.ok_or_else(|| self.no_fallback())?,
            };
            subnet = self.judged.change(&subnet, next)?;
        }
    }

    /// The cheapest network or the smallest, whichever keeps the limits.
    fn fallback(&self) -> Result<Option<Subnet>> {
        let Limits { space, prices, .. } = self.limits;
        for subnet in [super::cheapest(space, prices)?, self.limits.smallest()?] {
            if self.limits.admits(&subnet)? {
                return Ok(Some(subnet));
            }
        }
        Ok(None)
    }

    fn no_fallback(&self) -> Error {
        let budget = self.limits.budget;
        Error::Limit {
            limit: format!(
                "a budget of {} ms together with a memory cap of {} MB",
                budget.limit_ms(),
                budget.memory_mb.unwrap_or(f64::INFINITY)
            ),
            found: "the cheapest network is too large and the smallest is too dear; raise one of both in [derive], or widen \
                    [space] downwards"
                .to_owned(),
        }
    }

    /// The second step.
    fn pruned(&mut self, mut subnet: Subnet) -> Result<Subnet> {
        for feature in self.around.by_theta(&subnet) {
            if self.around.theta[feature] <= 0.5 && self.limits.droppable(&subnet, feature) {
                let without = subnet.without(feature);
                // Less of an input may cost more where a table says so.
                let fits = self.limits.admits(&without)?;
                if fits && !self.judged.gain(&subnet, &without)?.is_above(SURE) {
                    subnet = self.judged.change(&subnet, without)?;
                }
            }
        }
        Ok(subnet)
    }

    /// The third step.
    fn improved(&mut self, mut subnet: Subnet) -> Result<Subnet> {
        for _ in 0..MOST_CHANGES {
            let missing = self.around.missing(&subnet);
            let (first, others) = missing.split_at(missing.len().min(ADDED_AT_ONCE));
            let near = self.around.near(&subnet, first)?;
            let mut best = self.best(&subnet, near)?;
            if best.is_none() {
                best = self.best(&subnet, others.iter().map(|&feature| subnet.with(feature)).collect())?;
            }
            if best.is_none() && self.judged.count() < MOST_JUDGED {
                best = self.best(&subnet, self.around.wide(&subnet))?;
            }
            match best {
                Some(better) => subnet = self.judged.change(&subnet, better)?,
                None => break,
            }
        }
        Ok(subnet)
    }

    /// Where the third step leads from the cheapest network, if that surely is better than `found`.
    fn or_from_the_cheapest(&mut self, derived: Subnet, found: Subnet) -> Result<Subnet> {
        let Some(cheapest) = self.fallback()? else { return Ok(found) };
        let kept = std::mem::take(&mut self.judged.changes);
        let first = match cheapest == derived {
            true => cheapest,
            false => self.judged.change(&derived, cheapest)?,
        };
        let other = self.improved(first)?;
        if self.judged.gain(&other, &found)?.is_above(SURE) {
            return Ok(other);
        }
        self.judged.changes = kept;
        Ok(found)
    }

    /// The neighbour within the limits that raises the AUC most per ms, if one surely does.
    fn best(&mut self, subnet: &Subnet, neighbours: Vec<Subnet>) -> Result<Option<Subnet>> {
        let price_ms = self.limits.price_ms(subnet)?;
        let least_ms = LEAST_SHARE * self.limits.budget.limit_ms();
        let mut best: Option<(f64, Subnet)> = None;
        for neighbour in neighbours {
            if !self.limits.admits(&neighbour)? {
                continue;
            }
            let gain = self.judged.gain(&neighbour, subnet)?;
            if gain.is_above(SURE) {
                let dearer_ms = (self.limits.price_ms(&neighbour)? - price_ms).max(least_ms);
                let worth = gain.auc / dearer_ms;
                if best.as_ref().is_none_or(|(most, _)| worth > *most) {
                    best = Some((worth, neighbour));
                }
            }
        }
        Ok(best.map(|(_, neighbour)| neighbour))
    }
}

#[cfg(test)]
mod tests;
