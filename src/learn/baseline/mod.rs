//! Comparison systems: other ways to come to a network for pre-ranking.
//!
//! | file | what it is |
//! | --- | --- |
//! | [`cold`](mod@cold) | COLD: squeeze-and-excitation weights rank the features |
//! | [`fscd`](mod@fscd) | FSCD: gates with a prior by complexity rank them |
//! | [`two_tower`] | a tower for the user and one for the item, whose vectors are multiplied |
//! | [`trees`] | gradient boosted trees |
//! | [`ranked`](mod@ranked) | a network of hand-chosen widths on the features that a ranking puts first |
//! | [`worth`] | the same on the features of the most strength per millisecond |
//!
//! Rankings by a network that is trained already stand in [`importance`](super::importance).

pub mod cold;
pub mod fscd;
pub mod ranked;
pub mod trees;
pub mod two_tower;
pub mod worth;

pub use cold::cold;
pub use fscd::fscd;
pub use ranked::ranked;
pub use worth::by_worth;

use super::{
    importance::Strengths,
    student::Lesson,
    train::{FitReport, Rows},
};
use crate::space::SearchSpace;
use serde::{Deserialize, Serialize};

/// What a ranking is learned from.
#[derive(Debug, Clone, Copy)]
pub struct Setup<'a> {
    /// The features that are ranked.
    pub space: &'a SearchSpace,
    /// The rows that are trained and validated on.
    pub rows: Rows<'a>,
    /// What is learned beside the labels.
    pub lesson: Lesson<'a>,
    /// Of everything that is drawn.
    pub seed: u64,
}

/// A ranking that was learned, and how the training went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Learned {
    /// Of the epoch that was kept.
    pub strengths: Strengths,
    /// The network that ranks, whose weights are left behind: the chosen features are trained anew.
    pub fit: FitReport,
}
