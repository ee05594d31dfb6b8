//! What a derived network is trained on: the rows of the data, with candidates that were not shown where some are asked for, the
//! scores that teach, and the lists that batches hold whole.

use super::{Run, training::Guide};
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
        student::{Lesson, lists_of},
        train::Rows,
    },
};
use std::sync::Arc;

/// Everything that the derived networks of a run learn from.
pub(super) struct Course {
    /// The rows with further candidates behind them, and r(x) of all; nothing where none are asked for.
    more: Option<(Dataset, Split, Column<f32>)>,
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
        let given = self.settings.teacher.onnx.is_some() || self.loaded.dataset.teacher_scores.is_some();
        if retrain.unseen > 0 && given {
            return Err(Error::usage(
                "[retrain] unseen asks for scores of candidates that are not in the data, and r(x) is given for its rows alone",
                "set it to 0, or let this program train the teacher: without `onnx` in [teacher] and `teacher_score` in the schema",
            ));
        }
        Ok(())
    }

    /// Draws and scores the candidates, and finds the lists.
    pub(super) fn course(&self, guide: &Guide) -> Result<Course> {
        let settings = &self.settings.retrain;
        let more = match settings.unseen {
            0 => None,
            per_list => Some(self.with_unseen(guide, per_list)?),
        };
        let (data, split) = match &more {
            Some((data, split, _)) => (data, split),
            None => (&self.loaded.dataset, &self.loaded.split),
        };
        let lists = lists_of(settings, data, &split.train)?;
        Ok(Course { more, lists })
    }

    fn with_unseen(&self, guide: &Guide, per_list: usize) -> Result<(Dataset, Split, Column<f32>)> {
        let (data, split) = (&self.loaded.dataset, &self.loaded.split);
        let pairs = unseen::draw(data, &split.train, per_list, self.seed(Stage::Retrain))?;
        self.progress.stage("score candidates that were not shown", pairs.len() as u64);
        let more = unseen::with_candidates(data, &self.schema, &pairs);
        let added = data.rows() as u32..more.rows() as u32;
        let train: Column<u32> = split.train.iter().copied().chain(added.clone()).collect();
        let split = Split { train, valid: split.valid.clone() };
        let rows = Rows { data: &more, split: &split, ranks: self.ranks };
        let scores = guide.scores(rows, &added.collect::<Vec<_>>())?;
        let soft = [&*guide.soft, &scores].concat().into();
        self.progress
            .say(&format!("{} candidates that were not shown teach beside the rows of the log", pairs.len()));
        Ok((more, split, soft))
    }
}

impl Course {
    /// The rows to train on.
    pub(super) fn rows<'a>(&'a self, run: &'a Run) -> Rows<'a> {
        match &self.more {
            Some((data, split, _)) => Rows { data, split, ranks: run.ranks },
            None => run.rows(),
        }
    }

    /// What is learned from them.
    pub(super) fn lesson<'a>(&'a self, run: &'a Run, guide: &'a Guide) -> Lesson<'a> {
        let soft = self.more.as_ref().map_or(&*guide.soft, |(_, _, soft)| soft);
        Lesson::of(&run.settings.retrain, soft, self.lists.as_ref())
    }
}
