//! AutoFAS against every other system: does the difference outlast other seeds, and other users?
//!
//! Two questions, two tests. The paired t-test over seeds asks whether trainings with other seeds would show it too, on these
//! rows. The bootstrap over users asks whether other users would, with these trainings: a draw of users gives a difference per
//! seed, and their mean is what is drawn.

use super::stored::Stored;
use crate::{
    app::{
        compare::{
            measured::{GROUPS, LABELS},
            result::{Trained, Training},
        },
        config::SystemName,
    },
    base::{Error, Result, error::Place, fsio, student::PairedT},
    learn::metrics::{Bootstrap, Draws, Ranked},
};
use bytemuck::AnyBitPattern;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::Path};

/// AutoFAS against another system at one budget. A system without one stands at every budget.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Against {
    /// AutoFAS's budget.
    pub budget_ms: f64,
    /// The other system.
    pub system: SystemName,
    /// Seeds that both have.
    pub seeds: usize,
    /// Mean AUC of AutoFAS minus that of the other, over these seeds.
    pub auc_difference: f64,
    /// Over seeds; absent with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over_seeds: Option<PairedT>,
    /// Over users; absent where no draw has both classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over_users: Option<Bootstrap>,
}

/// All pairs that share a seed.
pub(super) fn all(folder: &Path, stored: &Stored) -> Result<Vec<Against>> {
    let whole = |training: &&Training| training.system == SystemName::Autofas;
    let budgets: Vec<f64> = {
        let mut budgets: Vec<f64> =
            stored.trainings.iter().filter(whole).filter_map(|training| training.budget_ms).collect();
        budgets.dedup();
        budgets
    };
    let mut others: Vec<SystemName> = stored.trainings.iter().map(|training| training.system).collect();
    others.dedup();
    others.retain(|&system| system != SystemName::Autofas);
    if budgets.is_empty() || others.is_empty() {
        return Ok(Vec::new());
    }
    let mut drawn = Drawn::new(folder, stored)?;
    let mut found = Vec::new();
    for budget_ms in budgets {
        for &system in &others {
            found.extend(of_pair(stored, &mut drawn, budget_ms, system)?);
        }
    }
    Ok(found)
}

fn of_pair(
    stored: &Stored,
    drawn: &mut Drawn,
    budget_ms: f64,
    system: SystemName,
) -> Result<Option<Against>> {
    let of = |wanted: SystemName| -> BTreeMap<u32, (&Trained, f64)> {
        let fits = |training: &&Training| {
            training.system == wanted && training.budget_ms.is_none_or(|own| own == budget_ms)
        };
        let seeds = stored.trainings.iter().filter(fits).filter_map(|training| {
            let trained = training.found()?;
            Some((training.seed, (trained, trained.metrics.auc?)))
        });
        seeds.collect()
    };
    let (own, other) = (of(SystemName::Autofas), of(system));
    let both: Vec<_> = own.iter().filter_map(|(seed, own)| Some((own, other.get(seed)?))).collect();
    if both.is_empty() {
        return Ok(None);
    }
    let differences: Vec<f64> = both.iter().map(|(own, other)| own.1 - other.1).collect();
    let mut sums: Vec<Option<f64>> = vec![Some(0.0); drawn.count];
    for ((own, _), (other, _)) in &both {
        let (own, other) = (drawn.aucs(&own.scores)?.to_vec(), drawn.aucs(&other.scores)?);
        for ((sum, own), other) in sums.iter_mut().zip(own).zip(other) {
            *sum = sum.zip(own).zip(*other).map(|((sum, own), other)| sum + own - other);
        }
    }
    let means = sums.into_iter().flatten().map(|sum| sum / both.len() as f64);
    Ok(Some(Against {
        budget_ms,
        system,
        seeds: both.len(),
        auc_difference: differences.iter().sum::<f64>() / differences.len() as f64,
        over_seeds: PairedT::of(&differences),
        over_users: Bootstrap::of(means),
    }))
}

/// AUCs of stored scores in the same draws of users, each computed once.
struct Drawn<'a> {
    folder: &'a Path,
    labels: Vec<f32>,
    groups: Vec<u32>,
    draws: Draws,
    count: usize,
    known: BTreeMap<String, Vec<Option<f64>>>,
}

impl<'a> Drawn<'a> {
    fn new(folder: &'a Path, stored: &Stored) -> Result<Self> {
        let (labels, groups) = (numbers(folder, LABELS)?, numbers::<u32>(folder, GROUPS)?);
        let users = groups.iter().max().map_or(0, |&last| last as usize + 1);
        let (count, seed) = (stored.setup.resamples, stored.setup.seed);
        let draws = Draws::new(users, count, seed);
        Ok(Self { folder, labels, groups, draws, count, known: BTreeMap::new() })
    }

    fn aucs(&mut self, file: &str) -> Result<&[Option<f64>]> {
        if !self.known.contains_key(file) {
            let scores = numbers::<f32>(self.folder, file)?;
            if scores.len() != self.labels.len() || self.groups.len() != self.labels.len() {
                return Err(Error::input(
                    self.folder.join(file),
                    Place::whole(),
                    format!("{} scores for {} validation rows", scores.len(), self.labels.len()),
                    "remove the training's file in results/ and run `compare --resume`",
                ));
            }
            let ranked = Ranked::new(&scores, &self.labels, &self.groups);
            let aucs = ranked.map_or_else(|| vec![None; self.count], |ranked| ranked.aucs(&self.draws));
            self.known.insert(file.to_owned(), aucs);
        }
        Ok(&self.known[file])
    }
}

/// A file of little-endian numbers.
fn numbers<T: AnyBitPattern>(folder: &Path, file: &str) -> Result<Vec<T>> {
    let path = folder.join(file);
    let bytes = fsio::read(&path)?;
    if bytes.len() % size_of::<T>() != 0 {
        let fix = "remove the training's file in results/ and run `compare --resume`";
        return Err(Error::input(path, Place::whole(), "ends within a number", fix));
    }
    Ok(bytes.chunks_exact(size_of::<T>()).map(bytemuck::pod_read_unaligned).collect())
}
