//! What can be chosen: operators, the search space, and one choice from it (a [`Subnet`]) with its canonical id.

use crate::{
    base::{Error, Result, hash},
    data::schema::{Feature, Side},
};
use serde::{Deserialize, Serialize};

/// An operator of a Mixop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operator {
    /// One dense layer with this many outputs and a ReLU.
    Mlp(usize),
    /// Output = input: picking it removes the layer.
    Zero,
}

impl Operator {
    /// Outputs of its layer; None for the zero operator, which has as many as inputs.
    pub fn width(self) -> Option<usize> {
        match self {
            Self::Mlp(width) => Some(width),
            Self::Zero => None,
        }
    }
}

impl std::fmt::Display for Operator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Operator::Mlp(width) => write!(f, "{width}"),
            Operator::Zero => f.write_str("zero"),
        }
    }
}

/// Width of the network's input, by side. Real-valued, because the search prices expected widths.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct InputWidths {
    /// Columns that come once per request.
    pub user: f64,
    /// Columns that come once per candidate.
    pub item: f64,
}

impl InputWidths {
    /// Both sides together.
    pub fn total(&self) -> f64 {
        self.user + self.item
    }
}

/// All features that may be selected and all operators of every Mixop.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchSpace {
    /// Features in schema order.
    pub features: Vec<Feature>,
    /// Operators of each Mixop; widths within one are distinct.
    pub mixops: Vec<Vec<Operator>>,
}

impl SearchSpace {
    /// Checks that every Mixop has operators, with distinct positive widths and at most one zero operator.
    pub fn new(features: Vec<Feature>, mixops: Vec<Vec<Operator>>) -> Result<Self> {
        let fix = "list distinct positive widths, with at most one \"zero\", in [space] of the experiment";
        if features.is_empty() {
            return Err(Error::usage(
                "the search space has no features",
                "declare at least one in the schema",
            ));
        }
        for (i, operators) in mixops.iter().enumerate() {
            let mut seen = std::collections::BTreeSet::new();
            let sound =
                operators.iter().all(|&operator| operator != Operator::Mlp(0) && seen.insert(operator));
            if operators.is_empty() || !sound {
                return Err(Error::usage(
                    format!("Mixop {} has no or repeated or empty operators", i + 1),
                    fix,
                ));
            }
        }
        Ok(Self { features, mixops })
    }

    /// Fails when no feature of the item's side may be selected: all candidates of a request would score alike.
    pub fn check_item_side(&self) -> Result<()> {
        if self.features.iter().any(|feature| feature.kind.side() == Side::Item && !feature.never) {
            return Ok(());
        }
        Err(Error::usage(
            "no feature of the candidates may be selected, so all candidates of a request would score alike",
            "declare at least one feature of kind item or interactive in the schema, without `never`",
        ))
    }

    /// Input widths when each feature counts with weight `share` (1 or 0 for a choice, θ for an expectation).
    pub fn input_widths(&self, share: impl Fn(usize) -> f64) -> InputWidths {
        let mut widths = InputWidths { user: 0.0, item: 0.0 };
        for (i, feature) in self.features.iter().enumerate() {
            let part = share(i) * feature.width as f64;
            match feature.kind.side() {
                Side::User => widths.user += part,
                Side::Item => widths.item += part,
            }
        }
        widths
    }
}

/// What stands between two Mixops: whose output an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// The network's own input, never merged with an entry of equal width.
    Input,
    /// The output of MLP operators of this width.
    Width(usize),
}

impl Key {
    /// The width behind the key.
    pub fn width(self, input_width: usize) -> usize {
        match self {
            Key::Input => input_width,
            Key::Width(width) => width,
        }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Key::Input => f.write_str("input"),
            Key::Width(width) => write!(f, "{width}"),
        }
    }
}

/// One network of the space: a set of features and one operator per Mixop.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Subnet {
    /// Indices into [`SearchSpace::features`], ascending.
    pub features: Vec<usize>,
    /// One per Mixop.
    pub operators: Vec<Operator>,
}

impl Subnet {
    /// The widths of the layers that are left once zero operators are removed.
    pub fn layer_widths(&self) -> Vec<usize> {
        self.operators.iter().filter_map(|operator| operator.width()).collect()
    }

    /// Input widths of this choice.
    pub fn input_widths(&self, space: &SearchSpace) -> InputWidths {
        space.input_widths(|i| f64::from(u8::from(self.features.binary_search(&i).is_ok())))
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
}
