//! r(x) that comes from elsewhere: a column of the data, or a ranking model as ONNX.

use super::{Run, training::in_pieces};
use crate::{
    base::{Error, Result, fsio, hash},
    data::{self, column::Column, growing::Growing, table::TableFiles},
    learn::exchange::by_leader,
    measure::ranking_model::RankingModel,
};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// r(x) of every row, by a ranking model.
const GIVEN: &str = "teacher/given.bin";
/// Which one that was.
const GIVEN_BY: &str = "teacher/given.json";

/// The ranking model that gave r(x).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct GivenBy {
    /// Of its file; constants in files beside it are not in it.
    sha256: String,
}

impl Run<'_> {
    /// r(x) of every row, where it is given. A ranking model scores all rows once, and a run that goes on keeps its scores.
    pub(super) fn given_scores(&self) -> Result<Option<Column<f32>>> {
        let data = &self.loaded.dataset;
        let Some(path) = self.experiment.teacher_path() else {
            return Ok(data.teacher_scores.clone());
        };
        if data.teacher_scores.is_some() {
            return Err(Error::usage(
                "there are two teachers: the schema's teacher_score and onnx in [teacher]",
                "remove one of them",
            ));
        }
        let mut model = self.ranking_model(&path)?;
        let given_by = GivenBy { sha256: hash::sha256(&fsio::read(&path)?) };
        let begun = by_leader(self.ranks, || self.journal.remember(GIVEN_BY, || Ok(given_by.clone())))?;
        if begun != given_by {
            return Err(Error::usage(
                format!("the run was begun with another teacher than {}", path.display()),
                "resume it with the same model, or start a new run with another --out",
            ));
        }
        let kept = self.journal.path(GIVEN);
        if self.ranks.place().size == 1 && kept.exists() {
            return Column::map(&kept, data.rows(), "remove it to score the rows again").map(Some);
        }
        let scores = self.score_all(&mut model)?;
        self.kept(GIVEN, in_pieces(scores.iter().copied())).map(Some)
    }

    fn ranking_model(&self, path: &Path) -> Result<RankingModel> {
        let settings = &self.settings.teacher;
        RankingModel::load(path, &settings.inputs, settings.output.as_deref(), settings.score)
    }

    /// Reads the data once more, since the model takes columns as they are and not as they were encoded.
    fn score_all(&self, model: &mut RankingModel) -> Result<Column<f32>> {
        let source = self.experiment.named_data()?;
        if data::encoded::is_encoded(&source) {
            return Err(Error::usage(
                format!(
                    "{} holds encoded rows, and the teacher reads columns as they were",
                    source.display()
                ),
                "give the data that they were made from, or the teacher's scores as a column",
            ));
        }
        self.progress.stage("score all rows with the given teacher", self.loaded.dataset.rows() as u64);
        let columns: Vec<String> = model.columns().into_iter().map(str::to_owned).collect();
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        let mut scores = Growing::default();
        TableFiles::find(&source)?.each_piece(&columns, |piece| {
            scores.extend(&model.scores(piece)?)?;
            self.progress.advance(scores.len() as u64, "");
            Ok(())
        })?;
        scores.finish()
    }
}
