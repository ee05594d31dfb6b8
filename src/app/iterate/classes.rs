//! Rows of one class tell no network from another: there is no AUC of them. A run that would judge on such rows shows it before it
//! begins, and not after its trainings.

use super::Run;
use crate::base::{Error, Result, error::Place};

impl Run<'_> {
    /// Fails where all validation rows have one class, or the training rows have too few rows of one for every fold of `[finals]`.
    ///
    /// Folds are drawn, so one of them may still end up with a single class where a class is rare; that shows when they are judged.
    pub(super) fn check_classes(&self) -> Result<()> {
        let (split, folds) = (&self.loaded.split, self.settings.finals.folds);
        let [without, with] = self.classes(&split.valid, 1);
        if without == 0 || with == 0 {
            let problem = format!("all {} validation rows are of one class", split.valid.len());
            let fix = "choose other bounds or a larger share as [split], so that rows with and without a click are among them";
            return self.refused(problem, fix);
        }
        self.check_judging_rows()?;
        // Of several budgets' networks cross-validation always decides.
        if !self.settings.finals.layers && !self.settings.pareto.asked() {
            return Ok(());
        }
        let rare = self.classes(&split.train, folds).into_iter().min().unwrap_or(0);
        if rare < folds {
            let problem = format!(
                "{rare} of the training rows are of the rarer class, so of the {folds} folds that networks are judged on fold \
                 {} has none of it",
                rare + 1
            );
            let fix = match rare {
                2.. => &format!("set [finals] folds = {rare}, or give more rows"),
                _ => "give more rows, or set [finals] layers = false",
            };
            return self.refused(problem, fix);
        }
        Ok(())
    }

    /// The same of the rows that a supernet's networks are judged on.
    fn check_judging_rows(&self) -> Result<()> {
        let Some(rows) = self.judging_rows()? else { return Ok(()) };
        let [without, with] = self.classes(&rows, 1);
        if without == 0 || with == 0 {
            let problem = format!(
                "all {} training rows that the supernet judges networks on are of one class",
                rows.len()
            );
            let fix = "raise [search] held_out, or give more rows; without a budget [finals] features = false judges none";
            return self.refused(problem, fix);
        }
        Ok(())
    }

    /// How many of `rows` have the label 0 and how many 1, both counted up to `enough`.
    fn classes(&self, rows: &[u32], enough: usize) -> [usize; 2] {
        let mut counts = [0; 2];
        for &row in rows {
            let count = &mut counts[usize::from(self.loaded.dataset.labels[row as usize] > 0.5)];
            *count = enough.min(*count + 1);
            if counts == [enough; 2] {
                break;
            }
        }
        counts
    }

    fn refused(&self, problem: String, fix: &str) -> Result<()> {
        Err(Error::input(self.experiment.named_data()?, Place::field(&self.schema.label), problem, fix))
    }
}
