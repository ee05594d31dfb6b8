//! Networks that differ from one by a change or two.

use crate::{base::Result, learn::derive::Limits, space::Subnet};

/// Weakest features that are tried without.
const DROPPED_AT_ONCE: usize = 4;
/// Weakest features that are exchanged for as many of the strongest missing ones.
const PAIRED: usize = 3;

/// What features and operators can be exchanged for.
pub(super) struct Neighbours<'w> {
    pub(super) limits: &'w Limits<'w>,
    /// Ranks features that are not judged.
    pub(super) theta: &'w [f64],
}

impl Neighbours<'_> {
    /// One change away: one of the weakest features taken out, another operator, or one of `adds` more, made to fit.
    pub(super) fn near(&self, subnet: &Subnet, adds: &[usize]) -> Result<Vec<Subnet>> {
        let mut found = self.without_one(subnet, DROPPED_AT_ONCE);
        let mut note = |neighbour: Subnet| {
            if neighbour != *subnet && !found.contains(&neighbour) {
                found.push(neighbour);
            }
        };
        for changed in self.other_operators(subnet) {
            if let Some(fitting) = self.made_to_fit(changed, None)? {
                note(fitting);
            }
        }
        for &feature in adds {
            let more = subnet.with(feature);
            if !self.limits.admits(&more)? {
                self.narrowed(&more)?.into_iter().for_each(&mut note);
            }
            if let Some(fitting) = self.made_to_fit(more, Some(feature))? {
                note(fitting);
            }
        }
        Ok(found)
    }

    /// One feature exchanged for another, and every change of the features together with another operator.
    pub(super) fn wide(&self, subnet: &Subnet) -> Vec<Subnet> {
        let mut adds = self.missing(subnet);
        adds.truncate(PAIRED);
        let mut drops = self.by_theta(subnet);
        drops.retain(|&feature| !self.limits.space.features[feature].must_keep);
        drops.truncate(PAIRED);
        let dropped: Vec<Subnet> = drops.iter().map(|&feature| subnet.without(feature)).collect();
        let mut found = Vec::new();
        for from in dropped.iter().chain([subnet]) {
            found.extend(adds.iter().map(|&feature| from.with(feature)));
        }
        found.extend(dropped);
        found.retain(|changed| changed.features.iter().any(|&feature| self.limits.space.of_item(feature)));
        let paired: Vec<Subnet> = found.iter().flat_map(|changed| self.other_operators(changed)).collect();
        found.extend(paired);
        found
    }

    /// The network without as many of its weakest features as the limits ask for; `added` stays.
    fn made_to_fit(&self, mut subnet: Subnet, added: Option<usize>) -> Result<Option<Subnet>> {
        while !self.limits.admits(&subnet)? {
            let weakest = self
                .by_theta(&subnet)
                .into_iter()
                .find(|&feature| Some(feature) != added && self.limits.droppable(&subnet, feature));
            match weakest {
                Some(feature) => subnet = subnet.without(feature),
                None => return Ok(None),
            }
        }
        Ok(Some(subnet))
    }

    /// For every Mixop the dearest operator with which the network keeps the limits.
    fn narrowed(&self, subnet: &Subnet) -> Result<Vec<Subnet>> {
        let mut best: Vec<Option<(f64, Subnet)>> = vec![None; subnet.operators.len()];
        for narrower in self.other_operators(subnet) {
            if self.limits.admits(&narrower)? {
                let price_ms = self.limits.price_ms(&narrower)?;
                let changed = narrower.operators.iter().zip(&subnet.operators).position(|(a, b)| a != b);
                let of_mixop = &mut best[changed.expect("one operator is another")];
                if of_mixop.as_ref().is_none_or(|(most_ms, _)| price_ms > *most_ms) {
                    *of_mixop = Some((price_ms, narrower));
                }
            }
        }
        Ok(best.into_iter().flatten().map(|(_, narrower)| narrower).collect())
    }

    /// The network with another operator in one Mixop.
    pub(super) fn other_operators(&self, subnet: &Subnet) -> Vec<Subnet> {
        let mut found = Vec::new();
        for (i, operators) in self.limits.space.mixops.iter().enumerate() {
            for &operator in operators.iter().filter(|&&operator| operator != subnet.operators[i]) {
                let mut changed = subnet.clone();
                changed.operators[i] = operator;
                found.push(changed);
            }
        }
        found
    }

    /// The network without one of its `count` weakest features.
    pub(super) fn without_one(&self, subnet: &Subnet, count: usize) -> Vec<Subnet> {
        let mut weakest = self.by_theta(subnet);
        weakest.retain(|&feature| self.limits.droppable(subnet, feature));
        weakest.truncate(count);
        weakest.into_iter().map(|feature| subnet.without(feature)).collect()
    }

    /// Features of a network by rising θ; of equal ones the later in the schema first.
    pub(super) fn by_theta(&self, subnet: &Subnet) -> Vec<usize> {
        let mut features = subnet.features.clone();
        features.sort_by(|&a, &b| self.theta[a].total_cmp(&self.theta[b]).then(b.cmp(&a)));
        features
    }

    /// Selectable features that a network has not, by falling θ.
    pub(super) fn missing(&self, subnet: &Subnet) -> Vec<usize> {
        let features = &self.limits.space.features;
        let mut missing: Vec<usize> = (0..features.len())
            .filter(|i| !features[*i].never && subnet.features.binary_search(i).is_err())
            .collect();
        missing.sort_by(|&a, &b| self.theta[b].total_cmp(&self.theta[a]).then(a.cmp(&b)));
        missing
    }
}
