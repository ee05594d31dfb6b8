//! What each feature of a network is worth beside what it costs.

use super::Importance;
use crate::{
    base::{Error, Result},
    learn::{derive::Price, price_term::Prices},
    space::{SearchSpace, Subnet},
};
use serde::{Deserialize, Serialize};

/// A feature's worth and price.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Priced {
    /// What it is worth.
    #[serde(flatten)]
    pub importance: Importance,
    /// What the network would take less without it, features and layers together, in ms. None where the rest would be no
    /// network, for want of a feature of the item's side, and where a layer has no price.
    pub saved_ms: Option<f64>,
}

/// Puts its price beside the importance of every feature of `subnet`, the one of most worth first; equal ones stay in their order.
///
/// Fails when an importance is of a feature that the network does not read.
pub fn priced(
    importances: Vec<Importance>,
    space: &SearchSpace,
    subnet: &Subnet,
    prices: &Prices,
) -> Result<Vec<Priced>> {
    let price_ms = |subnet: &Subnet| -> Result<Option<f64>> {
        Ok(Price::known(space, subnet, prices)?.map(|price| price.total_ms()))
    };
    let whole_ms = price_ms(subnet)?;
    let one = |importance: Importance| {
        let named = |&i: &usize| space.features[i].name == importance.feature;
        let left_out = subnet.features.iter().copied().find(|i| named(i)).ok_or_else(|| {
            Error::usage(
                format!("the network {} does not read `{}`", subnet.id(space), importance.feature),
                "price the features of the network whose importance was found",
            )
        })?;
        let rest = subnet.without(left_out);
        let has_item = rest.features.iter().any(|&i| space.of_item(i));
        let rest_ms = if has_item { price_ms(&rest)? } else { None };
        let saved_ms = whole_ms.zip(rest_ms).map(|(whole, rest)| whole - rest);
        Ok(Priced { importance, saved_ms })
    };
    let mut all = importances.into_iter().map(one).collect::<Result<Vec<_>>>()?;
    all.sort_by(|a, b| b.importance.value.total_cmp(&a.importance.value));
    Ok(all)
}
