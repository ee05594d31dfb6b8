//! From what was measured at one candidate count to prices of features.

use super::{FetchBucket, GroupPrice, OwnPrice};
use crate::{
    base::{Error, Result},
    data::schema::Schema,
    price::feature::{FeaturePrices, FetchGroup, Fetching},
};

impl FetchBucket {
    /// Prices behind a network of `network_ms`.
    pub(super) fn prices(&self, schema: &Schema, network_ms: f64) -> Result<FeaturePrices> {
        let near = self.of_groups(&self.groups, schema)?;
        Ok(near.mix(&self.of_groups(&self.displaced.groups, schema)?, self.displaced.share(network_ms)))
    }

    fn of_groups(&self, groups: &[GroupPrice], schema: &Schema) -> Result<FeaturePrices> {
        let position = |feature: &OwnPrice| {
            let found = schema.features.iter().position(|known| known.name == feature.feature);
            found.map(|at| (at, feature.own_ms)).ok_or_else(|| {
                Error::usage(
                    format!("the prices name a feature `{}` that the schema does not have", feature.feature),
                    "measure them again with `autofas-bench store price`",
                )
            })
        };
        let group = |group: &GroupPrice| {
            Ok(FetchGroup {
                source: group.source,
                trip_ms: group.trip_ms,
                features: group.features.iter().map(position).collect::<Result<_>>()?,
            })
        };
        Ok(FeaturePrices {
            groups: groups.iter().map(group).collect::<Result<_>>()?,
            fetching: Fetching::InTurn,
            beta_ms: self.beta_ms,
            gamma_ms: self.gamma_ms,
        })
    }

    /// Whether all of it are latencies.
    pub(super) fn is_sound(&self) -> bool {
        let groups = || self.groups.iter().chain(&self.displaced.groups);
        let own = groups().flat_map(|group| group.features.iter().map(|feature| feature.own_ms));
        let others = [self.beta_ms, self.gamma_ms, self.displaced.within_ms];
        own.chain(groups().map(|group| group.trip_ms)).chain(others).all(|ms| ms.is_finite() && ms >= 0.0)
    }
}
