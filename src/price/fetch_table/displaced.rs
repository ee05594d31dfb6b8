//! Prices of fetching behind a network, which takes the caches from the store.
//!
//! A fetch finds in the caches what the one before has left there and the network between both has not pushed out. Of a cache whose
//! lines give way by chance, a share of e^(−n) is left after n times its lines came in, and a network brings in lines as long as
//! it runs. So of the way from prices right after another fetch to prices with caches that something else has taken, a network of
//! s ms goes the share
//!
//! ```text
//! d(s) = 1 − e^(−s/τ)
//! ```
//!
//! where τ comes from runs of networks of several sizes between two fetches, by least squares.

use super::{FetchFit, FetchObservation, GroupPrice};
use crate::price::feature::{FeaturePrices, FetchGroup};
use serde::{Deserialize, Serialize};

/// What fetching costs where the caches are taken, and how soon a network takes them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Displaced {
    /// The rows of the bucket, in the same order, with caches that something else has taken.
    pub groups: Vec<GroupPrice>,
    /// How well these agree with what was measured.
    pub fit: FetchFit,
    /// τ: a network that runs so long, in ms, takes 1 − 1/e of the caches. 0 where no network was seen to take less than all.
    pub within_ms: f64,
    /// What τ was fitted to.
    pub networks: Vec<Displacement>,
    /// What the prices were fitted to.
    pub observations: Vec<FetchObservation>,
}

/// What one network does to fetches behind it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Displacement {
    /// What a run of it takes, ms.
    pub network_ms: f64,
    /// How far a fetch of all features is from one right after another, towards one with caches that something else has taken: 0
    /// to 1, but for noise.
    pub share: f64,
}

impl Displaced {
    /// How far behind a network of `network_ms` prices are from those right after another fetch, 0 to 1.
    pub(super) fn share(&self, network_ms: f64) -> f64 {
        share(network_ms, self.within_ms)
    }
}

fn share(network_ms: f64, within_ms: f64) -> f64 {
    if network_ms <= 0.0 { 0.0 } else { 1.0 - (-network_ms / within_ms).exp() }
}

/// τ by least squares over all networks, to a hundredth of itself; 0 without any.
pub(super) fn within_ms(networks: &[Displacement]) -> f64 {
    let squares = |within_ms: f64| -> f64 {
        networks.iter().map(|found| (found.share - share(found.network_ms, within_ms)).powi(2)).sum()
    };
    // From a thousandth of the shortest to a thousand times the longest.
    let ms = || networks.iter().map(|found| found.network_ms).filter(|&ms| ms > 0.0);
    let (Some(least), Some(most)) = (ms().reduce(f64::min), ms().reduce(f64::max)) else { return 0.0 };
    let tried = |step: u32| 1e-3 * least * 1.01f64.powi(step as i32);
    let steps = ((1e6 * most / least).ln() / 1.01f64.ln()).ceil() as u32;
    (0..=steps).map(tried).min_by(|&a, &b| squares(a).total_cmp(&squares(b))).unwrap_or(0.0)
}

impl FeaturePrices {
    /// These prices and those of the same groups, mixed: `share` of the others.
    pub(super) fn mix(self, other: &Self, share: f64) -> Self {
        let between = |a: f64, b: f64| a + share * (b - a);
        let group = |(mine, theirs): (FetchGroup, &FetchGroup)| FetchGroup {
            trip_ms: between(mine.trip_ms, theirs.trip_ms),
            features: (mine.features.iter().zip(&theirs.features))
                .map(|(&(feature, a), &(_, b))| (feature, between(a, b)))
                .collect(),
            ..mine
        };
        Self {
            groups: self.groups.into_iter().zip(&other.groups).map(group).collect(),
            beta_ms: between(self.beta_ms, other.beta_ms),
            gamma_ms: between(self.gamma_ms, other.gamma_ms),
            ..self
        }
    }
}
