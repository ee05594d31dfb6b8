//! What a number format costs in ranking: the change of the AUC, and how many of each list's best stay among them.

use crate::{
    base::{
        check::{self, Checked},
        rng,
    },
    data::dataset::Dataset,
    learn::metrics::{TopSums, auc},
};
use serde::{Deserialize, Serialize};

/// What int8 may cost, against the same network in fp32.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GateLimits {
    /// The largest |ΔAUC|.
    pub max_auc_change: f64,
    /// The least mean share of a list's `top_k` best in fp32 that are among the `top_k` best in int8.
    pub min_overlap: f64,
    /// How many of each list are compared.
    pub top_k: usize,
}

impl Default for GateLimits {
    fn default() -> Self {
        Self { max_auc_change: 0.0005, min_overlap: 0.995, top_k: 100 }
    }
}

impl GateLimits {
    /// The ranges of the settings.
    pub fn check(&self) -> Checked {
        check::not_negative("max_auc_change", self.max_auc_change)?;
        check::share("min_overlap", self.min_overlap)?;
        check::at_least("top_k", self.top_k, 1)
    }

    /// Limits with three quarters of the loss: what is chosen on some rows has to hold on others.
    pub(super) fn with_a_margin(self) -> Self {
        const SHARE: f64 = 0.75;
        let min_overlap = 1.0 - SHARE * (1.0 - self.min_overlap);
        Self { max_auc_change: SHARE * self.max_auc_change, min_overlap, ..self }
    }
}

/// Rows of a list, at least, where the data's own requests are shorter than what is compared.
const LIST_ROWS: usize = 1000;

/// How often such rows are put into lists anew. Of one list only the rows next to its K-th score can change places: ten lists say
/// little of a share near 1.
const ARRANGEMENTS: usize = 16;

/// What the lists of a comparison are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ListKind {
    /// The data's requests.
    Requests,
    /// A thousand rows or somewhat more, drawn at random: the data has no requests, or too short ones. Every row is in 16 lists.
    Blocks,
}

/// What a format costs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ScoreLoss {
    /// AUC in this format minus AUC in fp32; absent with labels of one class.
    pub auc_change: Option<f64>,
    /// Mean share of each list's best that stay among them; absent where every list is shorter than that.
    pub overlap: Option<f64>,
}

impl ScoreLoss {
    /// Whether it keeps the limits. What is absent breaks none; scores that are not finite break all.
    pub fn within(&self, limits: &GateLimits) -> bool {
        self.auc_change.is_none_or(|change| change.abs() <= limits.max_auc_change)
            && self.overlap.is_none_or(|overlap| overlap >= limits.min_overlap)
    }
}

impl std::fmt::Display for ScoreLoss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.auc_change {
            Some(change) => write!(f, "ΔAUC {change:+.5}")?,
            None => write!(f, "ΔAUC undefined")?,
        }
        match self.overlap {
            Some(overlap) => write!(f, ", overlap {overlap:.4}"),
            None => write!(f, ", overlap undefined"),
        }
    }
}

/// The fp32 scores of some rows, with all that other scores of theirs are judged by.
pub struct Judge {
    reference: Vec<f32>,
    labels: Vec<f32>,
    /// The list of each row, in every arrangement.
    lists: Vec<Vec<u64>>,
    kind: ListKind,
    auc: Option<f64>,
    top_k: usize,
}

impl Judge {
    /// `reference` holds the fp32 score of each of `rows`.
    pub fn new(reference: Vec<f32>, data: &Dataset, rows: &[u32], top_k: usize) -> Self {
        let labels: Vec<f32> = rows.iter().map(|&row| data.labels[row as usize]).collect();
        let requests = data.requests.as_ref().map(|all| rows.iter().map(|&r| all[r as usize]).collect());
        let (kind, lists) = match requests.filter(|requests: &Vec<u64>| mostly_longer(requests, top_k)) {
            Some(requests) => (ListKind::Requests, vec![requests]),
            None => (ListKind::Blocks, blocks(rows.len())),
        };
        let auc = auc(&reference, &labels);
        Self { reference, labels, lists, kind, auc, top_k }
    }

    /// The AUC in fp32.
    pub fn auc(&self) -> Option<f64> {
        self.auc
    }

    /// What the lists are.
    pub fn kind(&self) -> ListKind {
        self.kind
    }

    /// What these scores of the same rows cost.
    pub fn loss(&self, scores: &[f32]) -> ScoreLoss {
        let own = auc(scores, &self.labels);
        let auc_change = self.auc.map(|reference| own.map_or(f64::NAN, |own| own - reference));
        let mut sums = TopSums::default();
        self.lists.iter().for_each(|lists| sums.add(scores, &self.reference, lists, &[self.top_k]));
        ScoreLoss { auc_change, overlap: sums.means().overlap_at.get(&self.top_k).copied() }
    }
}

/// Lists of equal length for so many rows, in every arrangement.
fn blocks(rows: usize) -> Vec<Vec<u64>> {
    let count = (rows / LIST_ROWS).max(1);
    let mut generator = rng::generator(0, "quantise/lists");
    let arrangement = |_| {
        let mut lists: Vec<u64> = (0..rows).map(|at| (at * count / rows) as u64).collect();
        rng::shuffle(&mut lists, &mut generator);
        lists
    };
    // All arrangements of one list are the same.
    (0..if count == 1 { 1 } else { ARRANGEMENTS }).map(arrangement).collect()
}

/// Whether at least half of the rows stand in lists of more than `k`.
fn mostly_longer(lists: &[u64], k: usize) -> bool {
    let mut sorted = lists.to_vec();
    sorted.sort_unstable();
    let long: usize = sorted.chunk_by(|a, b| a == b).map(<[u64]>::len).filter(|&rows| rows > k).sum();
    2 * long >= lists.len()
}
