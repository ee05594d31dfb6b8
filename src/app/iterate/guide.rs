//! The teachers, whose scores guide the search and teach what it derives, and who learns from which training rows.

use super::{
    Run,
    grown::{Grown, join},
    training::auc,
};
use crate::{
    app::config::Stage,
    base::{Error, Result, fsio, rank::auc_error, rng},
    data::{column::Column, dataset::Split, split::hold_out},
    learn::{
        embedding::input_features,
        exchange::share_params,
        metrics::Metrics,
        teacher::Teacher,
        train::{Rows, Trainable, fit, metrics_of, score_together},
    },
};
use bytemuck::Pod;

/// Rows whose scores are in memory at once.
const SCORED_TOGETHER: usize = 1 << 18;

/// r(x) of every row.
pub(super) const SOFT: &str = "teacher/soft.bin";

/// Share of the held-out rows that networks are judged on; the masks are judged on the others.
const JUDGING_SHARE: f64 = 0.5;

/// Rows that networks are judged on, at most: hundreds of networks are, and two that differ by less than these rows show differ by
/// less than another seed does.
const MOST_JUDGING: usize = 1 << 14;

/// Standard errors that an AUC above ½ needs to be more than chance.
const CHANCE_ERRORS: f64 = 2.0;

/// The trained teachers: the first one guides the masks, all of them give the soft targets, unless these were given: then one
/// teacher is trained, which learns from them.
pub(in crate::app) struct Guide {
    /// Whose embeddings the supernet reads and whose loss moves θ.
    pub(in crate::app) teacher: Teacher,
    /// The rest of the ensemble.
    others: Vec<Teacher>,
    /// The trees beside them, where there are some.
    grown: Option<Grown>,
    /// r(x) of every row: the mean over the ensemble and the trees, or what was given.
    pub(in crate::app) soft: Column<f32>,
    /// Of r(x) on the validation rows.
    pub(in crate::app) metrics: Metrics,
    /// Training rows that the teachers never saw, to judge masks on.
    pub(in crate::app) held_out: Option<Column<u32>>,
    /// What networks are judged on, where they are.
    pub(super) judging: Option<Judging>,
}

/// Training rows that neither the teachers nor the supernet nor the masks learn from, so that what a network of the supernet is worth
/// can be told on them.
pub(super) struct Judging {
    /// Those rows.
    pub(super) rows: Column<u32>,
    /// The rows that the supernet is trained on, and the run's validation rows.
    pub(super) split: Split,
}

impl Guide {
    /// Where networks are judged by a supernet.
    ///
    /// Fails where nothing asked for that.
    pub(super) fn judging(&self) -> Result<&Judging> {
        self.judging.as_ref().ok_or_else(|| {
            Error::usage(
                "no rows are held out to judge networks on",
                "state a budget, and [search] held_out above 0",
            )
        })
    }

    /// r(x) of rows that the guide has not scored: the mean over the teachers, and the trees where some teach.
    pub(super) fn scores(&self, rows: Rows, index: &[u32]) -> Result<Vec<f32>> {
        let networks = std::iter::once(&self.teacher).chain(&self.others);
        let mut scores = mean_scores(networks, rows, index)?;
        if let Some(grown) = &self.grown {
            join(&mut scores, 1 + self.others.len(), &grown.score(rows.data, index)?);
        }
        Ok(scores)
    }

    /// The validation rows' metrics of the trees that teach, alone.
    pub(super) fn trees_metrics(&self) -> Option<&Metrics> {
        self.grown.as_ref().map(|grown| &grown.metrics)
    }
}

/// Mean scores of some teachers.
fn mean_scores<'t>(
    teachers: impl Iterator<Item = &'t Teacher>,
    rows: Rows,
    index: &[u32],
) -> Result<Vec<f32>> {
    let teachers: Vec<&Teacher> = teachers.collect();
    let share = 1.0 / teachers.len() as f32;
    let mut soft = vec![0.0; index.len()];
    for teacher in teachers {
        let scores = score_together(teacher, rows, index)?;
        soft.iter_mut().zip(scores).for_each(|(sum, score)| *sum += share * score);
    }
    Ok(soft)
}

/// Share of so many held-out rows that networks are judged on.
fn judging_share(held_out: usize) -> f64 {
    JUDGING_SHARE.min(MOST_JUDGING as f64 / held_out as f64)
}

/// Who learns from which training rows.
struct Parts {
    teachers: Split,
    held_out: Option<Column<u32>>,
    judging: Option<Judging>,
}

impl Run<'_> {
    /// Trains the teachers, or reads those of an earlier start.
    pub(in crate::app) fn guide(&self) -> Result<Guide> {
        let settings = &self.settings.teacher;
        let data = &self.loaded.dataset;
        let every: Vec<usize> = (0..self.space.features.len()).collect();
        let Parts { teachers: split, held_out, judging } = self.parts()?;
        let given = self.given_scores()?;
        let members = if given.is_some() { 1 } else { settings.ensemble };
        let mut teachers = Vec::new();
        for member in 0..members {
            let seed = rng::derive(self.seed(Stage::Teacher), &format!("teacher {member}"));
            let features = input_features(&self.space.features, &every, data)?;
            let mut teacher = Teacher::new(features, data.partition_count, settings, seed)?;
            if let Some(given) = &given {
                teacher.learn_from(given.clone());
            }
            let weights = self.journal.path(&format!("teacher/{member}.safetensors"));
            let report =
                self.journal.remember_training(self.ranks, &format!("teacher/{member}.json"), |keeper| {
                    // Scores of another teacher than this one.
                    self.lead(|| fsio::remove(&self.journal.path(SOFT)))?;
                    self.progress.stage(&format!("teacher {} of {members}", member + 1), 0);
                    let rows = Rows { data, split: &split, ranks: self.ranks };
                    let curves = self.curves(&format!("teacher/{member}"));
                    let report = fit(&mut teacher, rows, &settings.train, seed, &*curves, keeper)?;
                    self.lead(|| teacher.params().save(&weights))?;
                    Ok(report)
                })?;
            self.lead(|| teacher.params().load(&weights))?;
            share_params(self.ranks, teacher.params())?;
            self.say_fit("teacher", &report);
            teachers.push(teacher);
        }
        let grown = self.grown(&split)?;
        if let Some(grown) = &grown {
            self.progress.say(&format!("trees that teach: validation AUC {}", auc(&grown.metrics)));
        }
        let soft = match given {
            Some(scores) => scores,
            None => self.soft_targets(&teachers, grown.as_ref())?,
        };
        let valid = &self.loaded.split.valid;
        let scores: Vec<f32> = valid.iter().map(|&row| soft[row as usize]).collect();
        let metrics = metrics_of(&scores, data, valid);
        let positives = valid.iter().filter(|&&row| data.labels[row as usize] > 0.5).count();
        let negatives = valid.len() - positives;
        judgement(&metrics, positives, negatives).iter().for_each(|line| self.progress.say(line));
        let teacher = teachers.remove(0);
        Ok(Guide { teacher, others: teachers, grown, soft, metrics, held_out, judging })
    }

    /// r(x) of every row: the mean over the teachers, and the trees where some teach.
    fn soft_targets(&self, teachers: &[Teacher], grown: Option<&Grown>) -> Result<Column<f32>> {
        let rows = self.loaded.dataset.rows();
        let path = self.journal.path(SOFT);
        if self.ranks.place().size == 1 && path.exists() {
            return Column::map(&path, rows, "remove it to score the rows again");
        }
        self.progress.stage("score all rows with the teachers", rows as u64);
        let pieces = (0..rows).step_by(SCORED_TOGETHER).map(|begin| {
            let index: Vec<u32> = (begin as u32..rows.min(begin + SCORED_TOGETHER) as u32).collect();
            let mut soft = mean_scores(teachers.iter(), self.rows(), &index)?;
            if let Some(grown) = grown {
                join(&mut soft, teachers.len(), &grown.scores[begin..]);
            }
            self.progress.advance((begin + index.len()) as u64, "");
            Ok(soft)
        });
        self.kept(SOFT, pieces)
    }

    /// How many rows the teachers and the supernet are trained on: [`Run::parts`] without writing any down.
    pub(super) fn trained_rows(&self) -> Result<[usize; 2]> {
        let (train, share) = (&self.loaded.split.train, self.settings.search.held_out);
        if share == 0.0 {
            return Ok([train.len(); 2]);
        }
        let held_out: Vec<u32> = hold_out(train, share, self.seed(Stage::Teacher))?.taken().collect();
        let judging = match self.settings.judges_networks() {
            true => {
                hold_out(&held_out, judging_share(held_out.len()), self.seed(Stage::Search))?.taken().count()
            }
            false => 0,
        };
        Ok([train.len() - held_out.len(), train.len() - judging])
    }

    /// What the teachers are trained and validated on, and the training rows that are held out from them. Where networks are judged
    /// by a supernet, some of these are held out from the supernet, too.
    fn parts(&self) -> Result<Parts> {
        let Split { train, valid } = &self.loaded.split;
        let share = self.settings.search.held_out;
        if share == 0.0 {
            return Ok(Parts { teachers: self.loaded.split.clone(), held_out: None, judging: None });
        }
        let parts = hold_out(train, share, self.seed(Stage::Teacher))?;
        let seen = self.kept("teacher/train.bin", in_pieces(parts.rest()))?;
        let held_out = self.kept("teacher/held_out.bin", in_pieces(parts.taken()))?;
        let teachers = Split { train: seen, valid: valid.clone() };
        if !self.settings.judges_networks() {
            return Ok(Parts { teachers, held_out: Some(held_out), judging: None });
        }
        let parts = hold_out(&held_out, judging_share(held_out.len()), self.seed(Stage::Search))?;
        let rows = self.kept("teacher/judging.bin", in_pieces(parts.taken()))?;
        let judges_masks = self.kept("teacher/masks.bin", in_pieces(parts.rest()))?;
        let others = train.iter().copied().filter(|row| rows.binary_search(row).is_err());
        let train = self.kept("teacher/supernet.bin", in_pieces(others))?;
        let judging = Judging { rows, split: Split { train, valid: valid.clone() } };
        Ok(Parts { teachers, held_out: Some(judges_masks), judging: Some(judging) })
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

/// What a person should know about r(x) on so many positive and negative validation rows: how well it ranks, how sure that is, and a
/// warning where it may well know nothing. A search runs all the same: the user may have reasons.
fn judgement(metrics: &Metrics, positives: usize, negatives: usize) -> Vec<String> {
    let found = format!("r(x): validation AUC {}", auc(metrics));
    let Some((auc, error)) = metrics.auc.and_then(|auc| Some((auc, auc_error(auc, positives, negatives)?)))
    else {
        return vec![found];
    };
    let mut lines = vec![format!("{found}, standard error {error:.4} on {positives} positive rows")];
    if auc - 0.5 < CHANCE_ERRORS * error {
        lines.push(
            "warning: that is not told apart from chance, and so is nothing that is searched and taught by it: train the teacher \
             longer (teacher.max_epochs) or in smaller batches (teacher.batch_size), or give more rows with clicks"
                .to_owned(),
        );
    }
    lines
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
        judgement(&metrics, positives, 10_000)
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
    }
}
