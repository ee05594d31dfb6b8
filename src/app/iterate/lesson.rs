//! What a derived network is trained on: the rows of the data, with candidates that were not shown where some are asked for, the
//! scores that teach, and the lists that batches hold whole.

use super::{Run, Teaching};
use crate::{
    app::config::Stage,
    base::{Error, Result},
    data::{
        column::Column,
        dataset::{Dataset, Split},
        lists::{Lists, keys},
        unseen,
    },
    learn::{
        settings::RetrainSettings,
        student::{Lesson, lists_of},
        train::Rows,
    },
};
use std::sync::Arc;

/// Everything that a derived network learns from.
pub(super) struct Course {
    /// The run's rows with further candidates behind them; nothing where none are asked for.
    more: Option<Dataset>,
    /// Which of them are trained and validated on.
    pub(super) split: Split,
    /// r(x) of all.
    soft: Column<f32>,
    lists: Option<Arc<Lists>>,
}

impl Run<'_> {
    /// Fails where lists are to be compared, or to get further candidates, and there are none, or nobody who could score those.
    pub(super) fn check_lists(&self) -> Result<()> {
        let (search, retrain) = (&self.settings.search, &self.settings.retrain);
        let losses = [search.distillation_loss, retrain.distillation_loss];
        if retrain.unseen > 0 || losses.iter().any(|loss| loss.of_lists().is_some()) {
            keys(&self.loaded.dataset)?;
        }
        if retrain.unseen > 0 && self.is_given() {
            return Err(Error::usage(
                "[retrain] unseen asks for scores of candidates that are not in the data, and r(x) is given for its rows alone",
                "set it to 0, or let this program train the teacher: without `onnx` in [teacher] and `teacher_score` in the schema",
            ));
        }
        Ok(())
    }

    /// What `[retrain]` says to learn from the rows of `split`: draws and scores the candidates, and finds the lists.
    pub(super) fn course(&self, teaching: &Teaching, split: &Split) -> Result<Course> {
        let settings = &self.settings.retrain;
        let mut course = match settings.unseen {
            0 => Course { more: None, split: split.clone(), soft: teaching.soft.clone(), lists: None },
            per_list => self.with_unseen(teaching, split, per_list)?,
        };
        course.lists = lists_of(settings, course.data(self), &course.split.train)?;
        Ok(course)
    }

    fn with_unseen(&self, teaching: &Teaching, split: &Split, per_list: usize) -> Result<Course> {
        let data = &self.loaded.dataset;
        let pairs = unseen::draw(data, &split.train, per_list, self.seed(Stage::Retrain))?;
        self.progress.stage("score candidates that were not shown", pairs.len() as u64);
        let more = unseen::with_candidates(data, &self.schema, &pairs);
        let added = data.rows() as u32..more.rows() as u32;
        let train: Column<u32> = split.train.iter().copied().chain(added.clone()).collect();
        let split = Split { train, valid: split.valid.clone() };
        let rows = Rows { data: &more, split: &split, ranks: self.ranks };
        let scores = teaching.scores(rows, &added.collect::<Vec<_>>())?;
        let soft = [&*teaching.soft, &scores].concat().into();
        self.progress
            .say(&format!("{} candidates that were not shown teach beside the rows of the log", pairs.len()));
        Ok(Course { more: Some(more), split, soft, lists: None })
    }
}

impl Course {
    /// The rows.
    pub(super) fn data<'a>(&'a self, run: &'a Run) -> &'a Dataset {
        self.more.as_ref().unwrap_or(&run.loaded.dataset)
    }

    /// What is learned from them.
    pub(super) fn lesson(&self, settings: &RetrainSettings) -> Lesson<'_> {
        Lesson::of(settings, &self.soft, self.lists.as_ref())
    }
}
