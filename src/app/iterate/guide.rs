//! The teachers, whose scores guide the search and teach what it derives, and who learns from which training rows.
//!
//! Rows are held out from the first teacher, on which the masks and, where that is asked, networks of the supernet are judged. So it alone guides
//! the search: its loss moves θ, and its scores teach the supernet. What is derived is taught by the whole ensemble, whose others see all
//! training rows.

use super::{
    Journal, Run,
    ensemble::{Ensemble, FOLDER, Teaching, first_scores_file},
    training::auc,
};
use crate::{
    app::config::{Experiment, Stage},
    base::{
        Error, Result,
        rank::{auc_error, is_positive},
    },
    data::{
        column::Column,
        dataset::Split,
        split::{HoldOut, hold_out},
    },
    learn::{metrics::Metrics, teacher::Teacher, train::metrics_of},
};
use bytemuck::Pod;

/// Share of the held-out rows that networks are judged on; the masks are judged on the others.
const JUDGING_SHARE: f64 = 0.5;

/// Rows that networks are judged on, at most: hundreds of networks are, and two that differ by less than these rows show differ by
/// less than another seed does.
const MOST_JUDGING: usize = 1 << 14;

/// Standard errors that an AUC above ½ needs to be more than chance.
const CHANCE_ERRORS: f64 = 2.0;

/// The trained teachers. Where r(x) is given there is one, which learns from it.
pub(in crate::app) struct Guide {
    /// All of them, and r(x).
    pub(in crate::app) teaching: Teaching,
    /// What the first teacher says of every row, or what was given: the supernet's soft targets.
    pub(super) first_scores: Column<f32>,
    /// Of r(x) on the validation rows.
    pub(in crate::app) metrics: Metrics,
    /// How far these may be believed.
    pub(super) judgement: Judgement,
    /// Training rows that the first teacher never saw, to judge masks on.
    pub(in crate::app) held_out: Option<Column<u32>>,
    /// What networks are judged on, where they are.
    pub(super) judging: Option<Judging>,
    /// Where it is kept, with what teachers of other rows are (a comparison has one guide for many trainings).
    pub(super) journal: Journal,
    /// What it was trained by.
    pub(super) experiment: Experiment,
}

/// Training rows that neither the first teacher nor the supernet nor the masks learn from, so that what a network of the supernet is
/// worth can be told on them.
pub(super) struct Judging {
    /// Those rows.
    pub(super) rows: Column<u32>,
    /// The rows that the supernet is trained on, and the run's validation rows.
    pub(super) split: Split,
}

impl Guide {
    /// Whose embeddings the supernet reads and whose loss moves θ.
    pub(in crate::app) fn teacher(&self) -> &Teacher {
        &self.teaching.ensemble.networks[0]
    }

    /// Where networks are judged by a supernet.
    ///
    /// Fails where nothing asked for that.
    pub(super) fn judging(&self) -> Result<&Judging> {
        self.judging.as_ref().ok_or_else(|| {
            Error::usage(
                "no rows are held out to judge networks on",
                "state a budget or set [finals] features = true, and [search] held_out above 0",
            )
        })
    }
}

/// Who learns from which training rows.
struct Parts {
    first_teacher: Split,
    held_out: Option<Column<u32>>,
    judging: Option<Judging>,
}

impl Run<'_> {
    /// Trains the teachers, or reads those of an earlier start.
    pub(in crate::app) fn guide(&self) -> Result<Guide> {
        let (data, all) = (&self.loaded.dataset, &self.loaded.split);
        let Parts { first_teacher, held_out, judging } = self.parts()?;
        let given = self.given_scores()?;
        let first = self.teacher(FOLDER, 0, &first_teacher, given.as_ref())?;
        let (first_scores, teaching) = match given {
            Some(soft) => {
                let ensemble = Ensemble { networks: vec![first], grown: None };
                (soft.clone(), Teaching { ensemble, soft })
            }
            None => {
                let others = (1..self.members()).map(|member| self.teacher(FOLDER, member, all, None));
                let networks = std::iter::once(Ok(first)).chain(others).collect::<Result<Vec<_>>>()?;
                let teaching = self.mean_teaching(FOLDER, networks, all)?;
                let Ensemble { networks, grown } = &teaching.ensemble;
                let first_scores = match (&networks[..], grown) {
                    ([_], None) => teaching.soft.clone(),
                    (networks, _) => self.scores_of_all(&first_scores_file(FOLDER), &networks[..1], None)?,
                };
                (first_scores, teaching)
            }
        };
        let valid = &all.valid;
        let scores: Vec<f32> = valid.iter().map(|&row| teaching.soft[row as usize]).collect();
        let metrics = metrics_of(&scores, data, valid);
        let positives = valid.iter().filter(|&&row| is_positive(data.labels[row as usize])).count();
        let judgement = Judgement::of(&metrics, positives, valid.len() - positives);
        judgement.lines(&metrics, positives).iter().for_each(|line| self.progress.say(line));
        let (journal, experiment) = (self.journal.clone(), self.experiment.clone());
        Ok(Guide { teaching, first_scores, metrics, judgement, held_out, judging, journal, experiment })
    }

    /// How many rows the first teacher and the supernet are trained on: [`Run::parts`] without writing any down.
    pub(super) fn trained_rows(&self) -> Result<[usize; 2]> {
        let all = self.loaded.split.train.len();
        let (held_out, judging) = self.rows_apart()?;
        Ok([all - held_out.len(), all - judging.map_or(0, |rows| rows.len())])
    }

    /// How many rows are written down because some are held out: see [`Run::parts`].
    pub(super) fn rows_held_out(&self) -> Result<usize> {
        let all = self.loaded.split.train.len();
        let [first_teacher, supernet] = self.trained_rows()?;
        Ok(match (first_teacher == all, self.settings.judges_networks()) {
            (true, _) => 0,
            (false, false) => all,
            (false, true) => all + (all - first_teacher) + supernet,
        })
    }

    /// The training rows without those that are held out from the first teacher, and these; none where none are.
    fn without_held_out(&self) -> Result<Option<HoldOut<'_>>> {
        match self.settings.search.held_out {
            0.0 => Ok(None),
            share => hold_out(&self.loaded.split.train, share, self.seed(Stage::Teacher)).map(Some),
        }
    }

    /// Of the held-out rows those that the masks are judged on, and those that networks are; none where these are not judged.
    fn without_judging<'r>(&self, held_out: &'r [u32]) -> Result<Option<HoldOut<'r>>> {
        if !self.settings.judges_networks() {
            return Ok(None);
        }
        let share = JUDGING_SHARE.min(MOST_JUDGING as f64 / held_out.len() as f64);
        hold_out(held_out, share, self.seed(Stage::Search)).map(Some)
    }

    /// The training rows that networks are judged on with the weights of a supernet; none where they are not.
    pub(super) fn judging_rows(&self) -> Result<Option<Vec<u32>>> {
        Ok(self.rows_apart()?.1)
    }

    /// The rows that are held out from the first teacher, and those of them that networks are judged on, where they are.
    fn rows_apart(&self) -> Result<(Vec<u32>, Option<Vec<u32>>)> {
        let Some(parts) = self.without_held_out()? else { return Ok((Vec::new(), None)) };
        let held_out: Vec<u32> = parts.taken().collect();
        let judging = self.without_judging(&held_out)?.map(|parts| parts.taken().collect());
        Ok((held_out, judging))
    }

    /// What the first teacher is trained and validated on, and the training rows that are held out from it. Where networks are judged
    /// by a supernet, some of these are held out from the supernet, too.
    fn parts(&self) -> Result<Parts> {
        let Split { train, valid } = &self.loaded.split;
        let Some(parts) = self.without_held_out()? else {
            return Ok(Parts { first_teacher: self.loaded.split.clone(), held_out: None, judging: None });
        };
        let seen = self.kept("teacher/train.bin", in_pieces(parts.rest()))?;
        let held_out = self.kept("teacher/held_out.bin", in_pieces(parts.taken()))?;
        let first_teacher = Split { train: seen, valid: valid.clone() };
        let Some(parts) = self.without_judging(&held_out)? else {
            return Ok(Parts { first_teacher, held_out: Some(held_out), judging: None });
        };
        let rows = self.kept("teacher/judging.bin", in_pieces(parts.taken()))?;
        let judges_masks = self.kept("teacher/masks.bin", in_pieces(parts.rest()))?;
        let others = train.iter().copied().filter(|row| rows.binary_search(row).is_err());
        let train = self.kept("teacher/supernet.bin", in_pieces(others))?;
        let judging = Judging { rows, split: Split { train, valid: valid.clone() } };
        Ok(Parts { first_teacher, held_out: Some(judges_masks), judging: Some(judging) })
    }

    /// Numbers of which there are as many as rows: a process that trains by itself keeps them in a file, so that they need no
    /// memory.
    pub(super) fn kept<T: Pod>(
        &self,
        file: &str,
        pieces: impl Iterator<Item = Result<Vec<T>>>,
    ) -> Result<Column<T>> {
        if self.ranks.place().size == 1 {
            return Column::keep(&self.journal.path(file), pieces);
        }
        Ok(pieces.collect::<Result<Vec<_>>>()?.concat().into())
    }
}

/// What a person should know about r(x): how sure its validation AUC is, and a warning where it may well know nothing. A search runs all
/// the same: the user may have reasons.
pub(super) struct Judgement {
    /// Standard error of the AUC; none where there is no AUC.
    pub(super) auc_standard_error: Option<f64>,
    /// What is wrong, with what mends it.
    pub(super) warnings: Vec<String>,
}

impl Judgement {
    /// Of r(x) on so many positive and negative validation rows.
    fn of(metrics: &Metrics, positives: usize, negatives: usize) -> Self {
        let auc_standard_error = metrics.auc.and_then(|auc| auc_error(auc, positives, negatives));
        let by_chance =
            metrics.auc.zip(auc_standard_error).is_some_and(|(auc, error)| auc - 0.5 < CHANCE_ERRORS * error);
        let warning = || {
            "its AUC is not told apart from chance, and so is nothing that is searched and taught by it: train the teacher longer \
             (teacher.max_epochs) or in smaller batches (teacher.batch_size), or give more rows with clicks"
                .to_owned()
        };
        Self { auc_standard_error, warnings: by_chance.then(warning).into_iter().collect() }
    }

    fn lines(&self, metrics: &Metrics, positives: usize) -> Vec<String> {
        let mut found = format!("r(x): validation AUC {}", auc(metrics));
        if let Some(error) = self.auc_standard_error {
            found += &format!(", standard error {error:.4} on {positives} positive rows");
        }
        let warnings = self.warnings.iter().map(|warning| format!("warning: {warning}"));
        std::iter::once(found).chain(warnings).collect()
    }
}

/// Numbers some thousands at a time.
pub(super) fn in_pieces<T>(mut numbers: impl Iterator<Item = T>) -> impl Iterator<Item = Result<Vec<T>>> {
    std::iter::from_fn(move || {
        let piece: Vec<T> = numbers.by_ref().take(1 << 16).collect();
        (!piece.is_empty()).then_some(Ok(piece))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(auc: Option<f64>, positives: usize) -> Vec<String> {
        let metrics = Metrics { auc, gauc: None, logloss: 0.1, other_labels: Default::default() };
        Judgement::of(&metrics, positives, 10_000).lines(&metrics, positives)
    }

    #[test]
    fn a_teacher_within_two_errors_of_chance_is_warned_of() {
        // 100 positives beside 10,000 negatives leave 0.03.
        let [found, warning] = &lines(Some(0.55), 100)[..] else { panic!("two lines") };
        assert_eq!(found, "r(x): validation AUC 0.5500, standard error 0.0298 on 100 positive rows");
        assert!(warning.starts_with("warning: ") && warning.contains("teacher.batch_size"), "{warning}");
        assert_eq!(lines(Some(0.45), 100).len(), 2);
        assert_eq!(lines(Some(0.57), 100).len(), 1);
        assert_eq!(lines(Some(0.52), 10_000).len(), 1);
        assert_eq!(lines(None, 0), ["r(x): validation AUC undefined"]);
        assert_eq!(lines(Some(0.5), 0), ["r(x): validation AUC 0.5000"]);
    }
}
