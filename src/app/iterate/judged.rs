//! What a network is worth once it is trained: cross-validation on the training rows. The validation rows choose nothing here, so what
//! is reported of them is no luck of a choice.

use super::{Guide, Run, Teaching, guide::in_pieces};
use crate::{
    app::config::Stage,
    base::{Error, Result, error::Place, rng},
    data::{column::Column, dataset::Split, split::hold_out},
    learn::{derive::Quality, train::FitReport},
    space::Subnet,
};

/// Trains networks as `[retrain]` says, each once per fold without the rows of that fold.
pub(super) struct Trials<'a> {
    run: &'a Run<'a>,
    pub(super) guide: &'a Guide,
    folds: Vec<Fold>,
}

/// What is trained on and what is judged on, and what is taught there, if that is not what the guide teaches.
struct Fold {
    split: Split,
    teaching: Option<Teaching>,
}

impl<'a> Trials<'a> {
    pub(super) fn new(run: &'a Run<'a>, guide: &'a Guide) -> Result<Self> {
        Ok(Self { run, guide, folds: run.folds(guide)? })
    }

    /// How well a network does on the rows that it was not trained on, which also tell when to stop: the mean over the folds. Every
    /// training is kept in the run, so that no network is trained twice.
    pub(super) fn quality(&self, subnet: &Subnet) -> Result<Quality> {
        let Self { run, guide, folds } = self;
        let id = subnet.id(&run.space);
        let (mut auc, mut logloss, share) = (0.0, 0.0, 1.0 / folds.len() as f64);
        for (at, Fold { split, teaching }) in folds.iter().enumerate() {
            let teaching = teaching.as_ref().unwrap_or(&guide.teaching);
            let file = format!("judged/{id}/{}.json", at + 1);
            let report: FitReport = run.journal.remember_training(run.ranks, &file, |keeper| {
                run.progress.stage(&format!("judge {id}, fold {} of {}", at + 1, folds.len()), 0);
                let curves = run.curves(&format!("judged/{id}/{}", at + 1));
                let (report, _) = run.taught(subnet, teaching, split, &*curves, keeper)?;
                Ok(report)
            })?;
            logloss += share * report.metrics.logloss;
            auc += share
                * report.metrics.auc.ok_or_else(|| {
                    Error::input(
                        run.journal.path(&file),
                        Place::field("metrics"),
                        "the rows that the network was judged on have one class, and there is no AUC of them",
                        "set [finals] folds = 2, or give more rows",
                    )
                })?;
        }
        run.progress.say(&format!("  {id}: AUC {auc:.4}, logloss {logloss:.4} over {} folds", folds.len()));
        Ok(Quality { auc, logloss })
    }
}

impl Run<'_> {
    /// The training rows, divided by seed.
    fn folds(&self, guide: &Guide) -> Result<Vec<Fold>> {
        let (settings, train) = (&self.settings.finals, &self.loaded.split.train);
        let seed = |name: &str| rng::derive(self.seed(Stage::Retrain), name);
        let rows = match train.len() > settings.max_rows {
            false => train.clone(),
            true => {
                let share = settings.max_rows as f64 / train.len() as f64;
                self.kept("judged/rows.bin", in_pieces(hold_out(train, share, seed("judged rows"))?.taken()))?
            }
        };
        let mut left = rows.clone();
        let mut folds: Vec<Column<u32>> = Vec::new();
        for (at, parts) in (2..=settings.folds).rev().enumerate() {
            let fold = hold_out(&left, 1.0 / parts as f64, seed(&format!("fold {at}")))?;
            folds.push(self.kept(&format!("judged/fold{}.bin", at + 1), in_pieces(fold.taken()))?);
            left = self.kept(&format!("judged/left{}.bin", at + 1), in_pieces(fold.rest()))?;
        }
        folds.push(left);
        let fold = |(at, valid): (usize, Column<u32>)| {
            let others = rows.iter().copied().filter(|row| valid.binary_search(row).is_err());
            let train = self.kept(&format!("judged/train{}.bin", at + 1), in_pieces(others))?;
            let split = Split { train, valid };
            let teaching = self.teaching_apart(guide, &split)?;
            Ok(Fold { split, teaching })
        };
        folds.into_iter().enumerate().map(fold).collect()
    }
}
