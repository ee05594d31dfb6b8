//! The teachers that a run would train, or a comparison for each of its seeds.

use super::{
    super::{
        Run,
        ensemble::{APART, FOLDER, apart_folder, first_scores_file, soft_file},
        given::GIVEN,
    },
    BYTES, Rates,
};
use crate::{
    app::plan::{Draft, Seconds, Step, Unit},
    base::{Result, fsio},
    data::dataset::Split,
};
use std::slice;

/// Runs whose teachers are trained alike, each in its own folder. There is one at least.
#[derive(Clone, Copy)]
pub(in crate::app) struct Guides<'g, 'r> {
    runs: &'g [Run<'r>],
    /// What the names of their steps end with.
    whose: &'static str,
}

impl<'g, 'r> Guides<'g, 'r> {
    /// The teachers of a run.
    pub(in crate::app) fn of(run: &'g Run<'r>) -> Self {
        Self { runs: slice::from_ref(run), whose: "" }
    }

    /// Those of the seeds of a comparison.
    pub(in crate::app) fn of_seeds(runs: &'g [Run<'r>]) -> Self {
        Self { runs, whose: ", for every seed" }
    }

    /// Those that guide its trials.
    pub(in crate::app) fn of_trials(run: &'g Run<'r>) -> Self {
        Self { runs: slice::from_ref(run), whose: ", for trials" }
    }

    /// The teachers themselves, and what they say of all rows.
    pub(in crate::app) fn add_teachers(self, draft: &mut Draft, rates: &Rates) -> Result<()> {
        let run = &self.runs[0];
        let (settings, rows) = (&run.settings.teacher, run.loaded.dataset.rows());
        let (train, valid) = (run.loaded.split.train.len(), run.loaded.split.valid.len());
        let [first_rows, _] = run.trained_rows()?;
        let members = run.members();
        for (step, range, rows) in
            [("train the teacher", 0..1, first_rows), ("train the teachers beside it", 1..members, train)]
        {
            if !range.is_empty() {
                draft.steps.push(
                    self.step(step, Unit::Training, range.len())
                        .epochs(settings.train.max_epochs)
                        .rows(rows)
                        .done(self.have(range.map(|member| format!("{FOLDER}/{member}.json"))))
                        .each(Some(rates.teacher.seconds(&settings.train, rows, valid))),
                );
            }
        }
        if run.has_trees() {
            let step = self.step("grow trees that teach", Unit::Training, 1).rows(train);
            draft.steps.push(step.done(self.have([format!("{FOLDER}/trees.json")])));
        }
        let scored = |step, file, networks: Option<usize>| {
            let each_s = networks.map(|networks| rates.teacher.scored_s * networks as f64);
            self.step(step, Unit::Row, rows)
                .done(self.have([file]) * rows)
                .each(each_s.map(|each_s| Seconds { least_s: each_s, most_s: Some(each_s) }))
        };
        if run.scores_the_first_alone() {
            draft.steps.push(scored(
                "score all rows with the first teacher",
                first_scores_file(FOLDER),
                Some(1),
            ));
        }
        match (settings.onnx.is_some(), run.is_given()) {
            (true, _) => {
                draft.steps.push(scored("score all rows with the given teacher", GIVEN.to_owned(), None));
            }
            (false, true) => {}
            (false, false) => {
                draft.steps.push(scored(
                    "score all rows with the teachers",
                    soft_file(FOLDER),
                    Some(members),
                ));
            }
        }
        Ok(())
    }

    /// Teachers without each of the folds that networks are judged on. `but` are rows that others learn from, without a part that is no fold.
    pub(in crate::app) fn add_teachers_of_folds(
        self,
        draft: &mut Draft,
        rates: &Rates,
        but: Option<&Split>,
    ) -> Result<()> {
        let run = &self.runs[0];
        let (settings, folds) = (&run.settings.teacher, run.settings.finals.folds);
        let [train, valid] = run.fold_rows();
        let have = |file: String| self.apart(but, &file);
        draft.steps.push(
            self.step(
                "train teachers without each part of the rows",
                Unit::Training,
                settings.ensemble * folds,
            )
            .epochs(settings.train.max_epochs)
            .rows(train)
            .done((0..settings.ensemble).map(|member| have(format!("{member}.json"))).sum::<Result<_>>()?)
            .each(Some(rates.teacher.seconds(&settings.train, train, valid))),
        );
        if run.has_trees() {
            let step =
                self.step("grow trees without each part of the rows", Unit::Training, folds).rows(train);
            draft.steps.push(step.done(have("trees.json".to_owned())?));
        }
        Ok(())
    }

    /// Teachers of the rows of `inner` alone, which are trained where there is more than one network to choose from.
    pub(in crate::app) fn add_teachers_of(self, draft: &mut Draft, rates: &Rates, inner: &Split) {
        let settings = &self.runs[0].settings.teacher;
        let (train, valid) = (inner.train.len(), inner.valid.len());
        let folder = apart_folder(inner);
        let most = self.runs.len() * settings.ensemble;
        let name = format!("train teachers of the rows that choices are trained on{}", self.whose);
        draft.steps.push(
            Step::between(name, Unit::Training, 0, Some(most))
                .epochs(settings.train.max_epochs)
                .rows(train)
                .done(self.have((0..settings.ensemble).map(|member| format!("{folder}/{member}.json"))))
                .each(Some(rates.teacher.seconds(&settings.train, train, valid))),
        );
    }

    /// What the teachers leave on the disk.
    pub(in crate::app) fn add_room(self, draft: &mut Draft, rates: &Rates) -> Result<()> {
        let (run, guides) = (&self.runs[0], self.runs.len() as u64);
        let rows = run.loaded.dataset.rows() as u64;
        let mut writes = |numbers: u64, what: &str| {
            if numbers > 0 {
                draft.writes(guides * numbers * BYTES, what);
            }
        };
        writes((run.members() * rates.teacher_numbers) as u64, "weights of the teachers");
        writes(run.rows_held_out()? as u64, "the rows that are held out, and those that are left");
        if run.experiment.teacher_path().is_some() || !run.is_given() {
            writes(rows, "r(x) of all rows");
        }
        if run.scores_the_first_alone() {
            writes(rows, "what the first teacher says of them");
        }
        if run.has_trees() {
            writes(rows, "what the trees say of them");
        }
        Ok(())
    }

    /// The same of the teachers of folds.
    pub(in crate::app) fn add_room_of_folds(self, draft: &mut Draft, rates: &Rates) {
        let (run, folds) = (&self.runs[0], self.runs[0].settings.finals.folds);
        let scored = if run.has_trees() { 2 } else { 1 };
        let numbers =
            run.settings.teacher.ensemble * rates.teacher_numbers + scored * run.loaded.dataset.rows();
        let bytes = (self.runs.len() * folds * numbers) as u64 * BYTES;
        draft.writes(bytes, "teachers without each part of the rows, and what they say of all");
    }

    /// So many of something for each of the runs.
    fn step(self, step: &str, unit: Unit, count: usize) -> Step {
        Step::times(format!("{step}{}", self.whose), unit, self.runs.len() * count)
    }

    /// Of some files of each run, how many are there.
    fn have(self, files: impl IntoIterator<Item = String> + Clone) -> usize {
        self.runs.iter().map(|run| run.have(files.clone())).sum()
    }

    /// How many of the folders of teachers of some rows only have this file, but for those of one choice of rows.
    fn apart(self, but: Option<&Split>, file: &str) -> Result<usize> {
        let but = but.map(apart_folder);
        let of_run = |run: &Run| {
            let but = but.as_ref().map(|folder| run.journal.path(folder));
            let folders = fsio::list(&run.journal.path(APART))?;
            let others = folders.iter().filter(|folder| Some(*folder) != but.as_ref());
            Ok(others.filter(|folder| folder.join(file).exists()).count())
        };
        self.runs.iter().map(of_run).sum()
    }
}

impl Run<'_> {
    /// Whether the first teacher's scores are others than r(x), and made by this program.
    fn scores_the_first_alone(&self) -> bool {
        !self.is_given() && (self.members() > 1 || self.has_trees())
    }

    /// Rows that a network is trained on and judged on in a fold.
    pub(super) fn fold_rows(&self) -> [usize; 2] {
        let finals = &self.settings.finals;
        let judged = self.loaded.split.train.len().min(finals.max_rows);
        let valid = judged / finals.folds;
        [judged - valid, valid]
    }

    /// What networks that are judged on folds leave on the disk for these, in so many runs.
    pub(in crate::app) fn add_room_of_rows_of_folds(&self, draft: &mut Draft, runs: usize) {
        let (folds, train) = (self.settings.finals.folds, self.loaded.split.train.len());
        let judged: usize = self.fold_rows().iter().sum();
        let drawn = if train > judged { judged } else { 0 };
        // A fold and what is left behind it are what the one before has left; and each but one reads a row in training.
        let divided: usize = (2..=folds).map(|parts| judged * parts / folds).sum();
        let others = (folds - 1) * judged;
        draft.writes((runs * (drawn + divided + others)) as u64 * BYTES, "the rows of folds");
    }
}
