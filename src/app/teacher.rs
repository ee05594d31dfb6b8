//! The user's own ranking model on the rows of files.

use crate::{
    base::{Result, fsio},
    data::{column, growing::Growing, table::TableFiles},
    learn::settings::{InputColumns, ScoreForm},
    measure::ranking_model::RankingModel,
};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Which model is to score what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TeacherRequest {
    /// The ONNX file.
    pub model: PathBuf,
    /// Which columns feed its inputs.
    pub inputs: Vec<InputColumns>,
    /// Which output the scores are; may be left out of a model with one.
    pub output: Option<String>,
    /// What the output is.
    pub score: ScoreForm,
    /// The rows: a file or a folder.
    pub rows: PathBuf,
    /// Where r(x) of every row goes, as f32 with the little end first. Without it the model is only loaded, and found to have the
    /// inputs and outputs that are named.
    pub out: Option<PathBuf>,
}

/// Scores all rows; how many they were. The data are read as they stand, since the model takes columns as they are and not as
/// this program encodes them.
pub fn score_files(request: &TeacherRequest) -> Result<usize> {
    let TeacherRequest { model, inputs, output, score, rows, out } = request;
    let mut model = RankingModel::load(model, inputs, output.as_deref(), *score)?;
    let Some(out) = out else { return Ok(0) };
    let columns: Vec<String> = model.columns().into_iter().map(str::to_owned).collect();
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let mut scores = Growing::default();
    TableFiles::find(rows)?.each_piece(&columns, |piece| scores.extend(&model.scores(piece)?))?;
    let scores = scores.finish()?;
    fsio::write_with(out, |file| column::write(file, &scores))?;
    Ok(scores.len())
}
