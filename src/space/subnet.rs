//! One choice from the search space, and its canonical id.

use super::{Input, InputWidths, Operator, SearchSpace};
use crate::base::hash;
use serde::{Deserialize, Serialize};

/// One network of the space: a set of features and one operator per Mixop.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Subnet {
    /// Indices into [`SearchSpace::features`], ascending.
    pub features: Vec<usize>,
    /// One per Mixop.
    pub operators: Vec<Operator>,
}

impl Subnet {
    /// Of features in any order.
    pub fn new(mut features: Vec<usize>, operators: Vec<Operator>) -> Self {
        features.sort_unstable();
        Self { features, operators }
    }

    /// The network with one more feature.
    pub fn with(&self, feature: usize) -> Self {
        Self::new([self.features.as_slice(), &[feature]].concat(), self.operators.clone())
    }

    /// The network without a feature.
    pub fn without(&self, feature: usize) -> Self {
        let features = self.features.iter().copied().filter(|&i| i != feature).collect();
        Self { features, operators: self.operators.clone() }
    }

    /// The widths of the layers that are left once zero operators are removed.
    pub fn layer_widths(&self) -> Vec<usize> {
        self.operators.iter().filter_map(|operator| operator.width()).collect()
    }

    /// Input widths of this choice.
    pub fn input_widths(&self, space: &SearchSpace) -> InputWidths {
        space.input_widths(|i| f64::from(u8::from(self.features.binary_search(&i).is_ok())))
    }

    /// The input of this choice as prices see it.
    pub fn input(&self, space: &SearchSpace) -> Input {
        space.input(|i| f64::from(u8::from(self.features.binary_search(&i).is_ok())))
    }

    /// Names of the chosen features.
    pub fn feature_names<'a>(&self, space: &'a SearchSpace) -> Vec<&'a str> {
        self.features.iter().map(|&i| space.features[i].name.as_str()).collect()
    }

    /// Canonical id: feature count, layer widths and a hash of the feature names, such as `f20-512-128-1a2b3c4d`.
    ///
    /// Two choices that give the same network (zero operators at other places) have the same id.
    pub fn id(&self, space: &SearchSpace) -> String {
        let names = self.feature_names(space).join("\n");
        let widths: String = self.layer_widths().iter().map(|w| format!("-{w}")).collect();
        format!("f{}{widths}-{}", self.features.len(), &hash::sha256(names.as_bytes())[..8])
    }

    /// The layer widths that a canonical id names; None for what is none. Only [`Subnet::id`] of the whole choice tells whether the
    /// rest of it is right, too.
    pub fn widths_of(id: &str) -> Option<Vec<usize>> {
        let (widths, _) = id.strip_prefix('f')?.rsplit_once('-')?;
        widths.split('-').skip(1).map(|width| width.parse().ok()).collect()
    }
}
