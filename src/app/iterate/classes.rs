//! Rows of one class tell no network from another: there is no AUC of them. A run that would judge on such rows shows it before it
//! begins, and not after its trainings.

use super::Run;
use crate::base::{Error, Result, error::Place, rank::is_positive};

impl Run<'_> {
    /// Fails where the validation rows or those that a supernet's networks are judged on all have one class, or the training rows have
    /// too few rows of one for every fold of `[finals]`.
    ///
    /// Folds are drawn, so one of them may still end up with a single class where a class is rare; that shows when they are judged.
    pub(super) fn check_classes(&self) -> Result<()> {
        let valid = &self.loaded.split.valid;
        let fix = "choose other bounds or a larger share as [split], so that rows with and without a click are among them";
        self.check_both(valid, "validation rows", fix)?;
        // Of several budgets' networks cross-validation always decides.
        if self.settings.finals.layers || self.settings.pareto.asked() {
            self.check_folds()?;
        }
        match self.judging_rows()? {
            Some(rows) => self.check_both(
                &rows,
                "training rows that the supernet judges networks on",
                "raise [search] held_out, or give more rows; without a budget [finals] features = false judges none",
            ),
            None => Ok(()),
        }
    }

    fn check_folds(&self) -> Result<()> {
        let folds = self.settings.finals.folds;
        let rare = self.classes(&self.loaded.split.train, folds).into_iter().min().unwrap_or(0);
        if rare >= folds {
            return Ok(());
        }
        let problem = format!(
            "{rare} of the training rows are of the rarer class, so of the {folds} folds that networks are judged on fold {} \
             has none of it",
            rare + 1
        );
        let fix = match rare {
            2.. => &format!("set [finals] folds = {rare}, or give more rows"),
            _ => "give more rows, or set [finals] layers = false",
        };
        self.refused(problem, fix)
    }

    fn check_both(&self, rows: &[u32], what: &str, fix: &str) -> Result<()> {
        let [without, with] = self.classes(rows, 1);
        match without > 0 && with > 0 {
            true => Ok(()),
            false => self.refused(format!("all {} {what} are of one class", rows.len()), fix),
        }
    }

    /// How many of `rows` have the label 0 and how many 1, both counted up to `enough`.
    fn classes(&self, rows: &[u32], enough: usize) -> [usize; 2] {
        let mut counts = [0; 2];
        for &row in rows {
            let count = &mut counts[usize::from(is_positive(self.loaded.dataset.labels[row as usize]))];
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
