//! What a number format costs in ranking: the change of the AUC, and how many of each list's best stay among them.

use super::Reference;
use crate::{
    base::{
        Result,
        check::{self, Checked},
        rng,
    },
    data::{dataset::Dataset, schema::Side},
    export::format::Integers,
    learn::{
        metrics::{TopSums, auc},
        network::{Body, Network},
    },
};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// What a number format may cost, against the same network in fp32.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GateLimits {
    /// The largest |ΔAUC|.
    pub max_auc_change: f64,
    /// The least mean share of a list's `top_k` best in fp32 that are among the `top_k` best in the other format.
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

/// Lists that are compared at most. Of one list only the rows next to its K-th score can change places: a few say little of a
/// share near 1.
const LISTS: usize = 64;

/// Requests of the data that are long enough, at least, for the lists to be requests.
const FEWEST_REQUESTS: usize = 8;

/// Candidates of a list that is put together, at least.
const LIST_ROWS: usize = 1000;

/// Rows of all lists together, at most, unless the first has more.
const MOST_ROWS: usize = 1 << 16;

/// What the lists of a comparison are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ListKind {
    /// Whole requests of the data.
    Requests,
    /// One user each, with the items of a thousand rows or more: the data has no requests, or too short ones.
    Joined,
}

/// Lists of candidates of one user each, as serving ranks them. A list has at least twice as many rows as are compared: where
/// nearly all of a list are among its best, they stay so in any format.
#[derive(Debug, Clone)]
pub struct Lists<'a> {
    data: Cow<'a, Dataset>,
    rows: Vec<u32>,
    /// The list of each row.
    keys: Vec<u64>,
    kind: ListKind,
}

impl<'a> Lists<'a> {
    /// Lists from `rows` of `data` whose `top_k` best are to be compared: whole requests of the data where at least half of the
    /// rows, and 8 requests, are long enough, else users that are each joined with the items of many rows. None from too few rows.
    pub fn new(network: &Network, data: &'a Dataset, rows: &[u32], top_k: usize) -> Self {
        Self::requests(data, rows, top_k).unwrap_or_else(|| Self::joined(network, data, rows, top_k))
    }

    fn requests(data: &'a Dataset, rows: &[u32], top_k: usize) -> Option<Self> {
        let request = data.requests.as_ref()?;
        let of = |row: &u32| request[*row as usize];
        let mut sorted = rows.to_vec();
        sorted.sort_by_key(of);
        let mut long: Vec<&[u32]> =
            sorted.chunk_by(|a, b| of(a) == of(b)).filter(|list| list.len() >= 2 * top_k).collect();
        let held: usize = long.iter().map(|list| list.len()).sum();
        if 2 * held < rows.len() || long.len() < FEWEST_REQUESTS {
            return None;
        }
        rng::shuffle(&mut long, &mut rng::generator(0, "quantise/requests"));
        let mut taken: Vec<u32> = Vec::new();
        for list in long.into_iter().take(LISTS) {
            if !taken.is_empty() && taken.len() + list.len() > MOST_ROWS {
                break;
            }
            taken.extend_from_slice(list);
        }
        let keys = taken.iter().map(of).collect();
        Some(Self { data: Cow::Borrowed(data), rows: taken, keys, kind: ListKind::Requests })
    }

    fn joined(network: &Network, data: &Dataset, rows: &[u32], top_k: usize) -> Self {
        let length = rows.len().min(LIST_ROWS.max(2 * top_k));
        let count = if length < 2 * top_k { 0 } else { (MOST_ROWS / length).clamp(1, LISTS) };
        let mut generator = rng::generator(0, "quantise/lists");
        let mut pool = rows.to_vec();
        rng::shuffle(&mut pool, &mut generator);
        pool.truncate(MOST_ROWS.max(length));
        let mut pairs = Vec::with_capacity(count * length);
        for _ in 0..count {
            rng::shuffle(&mut pool, &mut generator);
            pairs.extend(pool[..length].iter().map(|&item| (pool[0], item)));
        }
        let joined = data.joined(&network.features_of(Side::User), &pairs);
        Self {
            rows: (0..pairs.len() as u32).collect(),
            keys: (0..pairs.len()).map(|at| (at / length) as u64).collect(),
            data: Cow::Owned(joined),
            kind: ListKind::Joined,
        }
    }

    /// What holds the rows.
    pub fn data(&self) -> &Dataset {
        &self.data
    }

    /// The rows of all lists.
    pub fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// What they are.
    pub fn kind(&self) -> ListKind {
        self.kind
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.keys.chunk_by(|a, b| a == b).count()
    }
}

/// What a format costs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ScoreLoss {
    /// AUC in this format minus AUC in fp32; absent with labels of one class.
    pub auc_change: Option<f64>,
    /// Mean share of each list's best that stay among them; absent where there are no lists of twice as many.
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

/// The fp32 scores of labelled rows and of lists, with all that other scores of theirs are judged by.
pub struct Judge<'a> {
    scores: Vec<f32>,
    labels: Vec<f32>,
    auc: Option<f64>,
    lists: Lists<'a>,
    listed: Vec<f32>,
    top_k: usize,
}

impl<'a> Judge<'a> {
    /// Of `network`, by the AUC on `labelled` rows of `data`, and by the `top_k` best of lists that are made from `pool`.
    ///
    /// Fails when the data lack a feature of the network.
    pub fn new(
        network: &Network,
        data: &'a Dataset,
        labelled: &[u32],
        pool: &[u32],
        top_k: usize,
    ) -> Result<Self> {
        let labels: Vec<f32> = labelled.iter().map(|&row| data.labels[row as usize]).collect();
        // Many rows at once: the same numbers as the network's own, sooner.
        let floats = Integers::floats(network.body.layers().len());
        let exact = match network.body {
            Body::Mlp(_) => Reference::in_integers(network, &floats),
            Body::TwoTower(_) | Body::Partitioned(_) | Body::Forest(_) => network.into(),
        };
        let lists = Lists::new(network, data, pool, top_k);
        let (scores, listed) = (exact.score(data, labelled)?, exact.score(lists.data(), lists.rows())?);
        Ok(Self { auc: auc(&scores, &labels), scores, labels, lists, listed, top_k })
    }

    /// The AUC in fp32.
    pub fn auc(&self) -> Option<f64> {
        self.auc
    }

    /// The fp32 scores of the labelled rows.
    pub fn scores(&self) -> &[f32] {
        &self.scores
    }

    /// The lists.
    pub fn lists(&self) -> &Lists<'a> {
        &self.lists
    }

    /// What it costs that the labelled rows score `scores`, and those of the lists `listed`.
    pub fn loss(&self, scores: &[f32], listed: &[f32]) -> ScoreLoss {
        let own = auc(scores, &self.labels);
        let auc_change = self.auc.map(|reference| own.map_or(f64::NAN, |own| own - reference));
        let mut sums = TopSums::default();
        sums.add(listed, &self.listed, &self.lists.keys, &[self.top_k]);
        ScoreLoss { auc_change, overlap: sums.means().overlap_at.get(&self.top_k).copied() }
    }

    /// What it costs to compute as `reference` does. `data` and `labelled` are those that this was made of.
    pub(super) fn loss_of(
        &self,
        reference: &Reference<'_>,
        data: &Dataset,
        labelled: &[u32],
    ) -> Result<ScoreLoss> {
        let listed = reference.score(self.lists.data(), self.lists.rows())?;
        Ok(self.loss(&reference.score(data, labelled)?, &listed))
    }
}
