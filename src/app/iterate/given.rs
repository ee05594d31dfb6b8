//! r(x) that comes from elsewhere: a column of the data, or a ranking model as ONNX.

use super::Run;
use crate::{
    app::teacher::TeacherRequest,
    base::{Error, Result, fsio, hash},
    data::{self, column::Column},
    learn::{exchange::by_leader, settings::TeacherSettings},
};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// r(x) of every row, by a ranking model.
pub(super) const GIVEN: &str = "teacher/given.bin";
/// Which one that was.
const GIVEN_BY: &str = "teacher/given.json";

/// The ranking model that gave r(x).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct GivenBy {
    /// Of its file; constants in files beside it are not in it.
    sha256: String,
}

impl Run<'_> {
    /// Whether r(x) is given.
    pub(in crate::app) fn is_given(&self) -> bool {
        self.settings.teacher.onnx.is_some() || self.loaded.dataset.teacher_scores.is_some()
    }

    /// r(x) of every row, where it is given. A ranking model scores all rows once, and a run that goes on keeps its scores.
    pub(super) fn given_scores(&self) -> Result<Option<Column<f32>>> {
        let data = &self.loaded.dataset;
        let (Some(path), Some(request)) = (self.experiment.teacher_path(), self.check_given_teacher()?)
        else {
            return Ok(data.teacher_scores.clone());
        };
        let given_by = GivenBy { sha256: hash::sha256_file(&path)? };
        let begun = by_leader(self.ranks, || self.journal.remember(GIVEN_BY, || Ok(given_by.clone())))?;
        if begun != given_by {
            return Err(Error::usage(
                format!("the run was begun with another teacher than {}", path.display()),
                "resume it with the same model, or start a new run with another --out",
            ));
        }
        let kept = self.journal.path(GIVEN);
        if self.ranks.place().size == 1 {
            if !kept.exists() {
                self.score_all(&request, &kept)?;
            }
            return Column::map(&kept, data.rows(), "remove it to score the rows again").map(Some);
        }
        // Each rank for itself: they need not share a disk.
        let folder = fsio::temporary_folder()?;
        let own = folder.path().join("given.bin");
        self.score_all(&request, &own)?;
        let scores = Column::<f32>::map(&own, data.rows(), "start again")?;
        Ok(Some(scores.to_vec().into()))
    }

    /// Fails where a ranking model is given that cannot score the rows; with what asks it, where there is one.
    pub(super) fn check_given_teacher(&self) -> Result<Option<TeacherRequest>> {
        let Some(path) = self.experiment.teacher_path() else { return Ok(None) };
        if self.loaded.dataset.teacher_scores.is_some() {
            return Err(Error::usage(
                "there are two teachers: the schema's teacher_score and onnx in [teacher]",
                "remove one of them",
            ));
        }
        let request = self.teacher_request(&path)?;
        self.meter.teacher(&request)?;
        Ok(Some(request))
    }

    /// To load the model, and find that its inputs have their columns.
    fn teacher_request(&self, path: &Path) -> Result<TeacherRequest> {
        let TeacherSettings { inputs, output, score, .. } = &self.settings.teacher;
        let (model, inputs, output) = (path.to_owned(), inputs.clone(), output.clone());
        Ok(TeacherRequest {
            model,
            inputs,
            output,
            score: *score,
            rows: self.experiment.named_data()?,
            out: None,
        })
    }

    /// Reads the data once more, since the model takes columns as they are and not as they were encoded.
    fn score_all(&self, request: &TeacherRequest, out: &Path) -> Result<()> {
        let TeacherRequest { rows, .. } = request;
        if data::encoded::is_encoded(rows) {
            return Err(Error::usage(
                format!("{} holds encoded rows, and the teacher reads columns as they were", rows.display()),
                "give the data that they were made from, or the teacher's scores as a column",
            ));
        }
        self.progress.stage("score all rows with the given teacher", self.loaded.dataset.rows() as u64);
        let scored = self.meter.teacher(&TeacherRequest { out: Some(out.to_owned()), ..request.clone() })?;
        self.progress.advance(scored as u64, "");
        Ok(())
    }
}
