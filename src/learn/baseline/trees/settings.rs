//! How trees are grown.

use crate::base::check::{self, Checked};
use serde::{Deserialize, Serialize};

/// What an id becomes for a tree, which splits numbers. Buckets are in order already and stay as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IdValues {
    /// The share of clicks among the training rows that have the id. In the order of these shares the best of all ways to
    /// divide the ids in two is a threshold (Fisher 1958; Breiman et al. 1984, theorem 4.5).
    Statistic,
    /// Its place among the feature's ids by falling count in the training rows, from 0.
    Rank,
}

/// How gradient boosted trees are grown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TreeSettings {
    /// Trees, at most.
    pub trees: usize,
    /// Leaves of a tree, at most.
    pub leaves: usize,
    /// Splits between the root and a leaf, at most.
    pub depth: usize,
    /// What each tree's leaves are multiplied by.
    pub learning_rate: f64,
    /// The least Σ w·p·(1 − p) of the training rows in a leaf.
    pub min_child_weight: f64,
    /// λ of the leaf −G / (H + λ).
    pub l2: f64,
    /// Share of the training rows that each tree is grown on.
    pub subsample: f64,
    /// Share of the features that each tree may split on.
    pub columns: f64,
    /// Thresholds tried per feature, at most.
    pub bins: u16,
    /// Trees without a better validation AUC before the growing stops.
    pub patience: usize,
    /// What ids become.
    pub ids: IdValues,
    /// Rows of the mean label that are added to every id's own when its share of clicks is taken.
    pub smoothing: f64,
    /// Parts of the training rows: the shares that a row is trained with come from the other parts.
    pub folds: usize,
}

impl Default for TreeSettings {
    fn default() -> Self {
        Self {
            trees: 1000,
            leaves: 31,
            depth: 6,
            learning_rate: 0.05,
            min_child_weight: 20.0,
            l2: 1.0,
            subsample: 1.0,
            columns: 1.0,
            bins: 255,
            patience: 50,
            ids: IdValues::Statistic,
            smoothing: 20.0,
            folds: 5,
        }
    }
}

impl TreeSettings {
    /// The first setting outside its range.
    pub fn check(&self) -> Checked {
        check::at_least("trees", self.trees, 1)?;
        check::at_least("leaves", self.leaves, 2)?;
        check::at_least("depth", self.depth, 1)?;
        check::positive("learning_rate", self.learning_rate)?;
        check::not_negative("min_child_weight", self.min_child_weight)?;
        check::not_negative("l2", self.l2)?;
        for (key, share) in [("subsample", self.subsample), ("columns", self.columns)] {
            check::share(key, share)?;
            check::positive(key, share)?;
        }
        check::at_least("bins", self.bins.into(), 2)?;
        check::at_least("patience", self.patience, 1)?;
        check::positive("smoothing", self.smoothing)?;
        check::at_least("folds", self.folds, 2)
    }
}
