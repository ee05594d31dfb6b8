//! `skew`: what a serving system logged, against offline encoding and scores.

use super::{
    files::DataArgs,
    output::{self, Format},
};
use crate::{
    app::{apart, skew::SkewRequest},
    base::{names::EngineName, stop::Stop},
    measure::{
        child::Launcher,
        skew::{Difference, LogColumns, Skew},
    },
};
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "Examples:
  autofas-bench skew --model out/model.onnx --data served.parquet
  autofas-bench skew --model out/model.onnx --data served.parquet --score p \\
      --inputs online_

Exit code 3 when anything differs."
)]
pub struct SkewArgs {
    /// The model that served
    #[arg(long, value_name = "M.onnx")]
    model: PathBuf,
    #[command(flatten)]
    data: DataArgs,
    /// Column of the score that was served
    #[arg(long, value_name = "COLUMN", default_value = "score")]
    score: String,
    /// Encoded values were logged too, in columns of this prefix and the feature's name
    #[arg(long, value_name = "PREFIX")]
    inputs: Option<String>,
    /// tract or onnxruntime, for the scores
    #[arg(long, hide_possible_values = true, value_name = "NAME", default_value_t = EngineName::OnnxRuntime)]
    engine: EngineName,
    /// Largest difference of a score that counts as none
    #[arg(long, value_name = "X", default_value_t = 1e-5)]
    tolerance: f64,
}

impl SkewArgs {
    pub fn run(self, format: Format) -> anyhow::Result<()> {
        let files = self.data.files(Some(&self.model))?;
        let Self { model, score, inputs, engine, tolerance, .. } = self;
        let columns = LogColumns { score, inputs };
        let request = SkewRequest { model, files, columns, engine, tolerance };
        let skew = apart::skew(request, &Launcher::this_program(&Stop::never())?)?;
        output::print(format, &skew, describe)?;
        Ok(skew.check()?)
    }
}

fn describe(skew: &Skew) -> String {
    let first = |differences: &[Difference]| {
        let named = differences.iter().map(|d| format!("row {}: {} / {}", d.row, d.logged, d.offline));
        named.collect::<Vec<_>>().join("; ")
    };
    let row = |name: &str, differing: usize, differences| {
        vec![name.to_owned(), differing.to_string(), first(differences)]
    };
    let scores = row("(score)", skew.differing_scores, &skew.first_scores);
    let features = skew.features.iter().map(|f| row(&f.feature, f.differing, &f.first));
    let rows: Vec<_> = std::iter::once(scores).chain(features).collect();
    let table = output::table(&["value", "differing rows", "first: logged / offline"], &rows);
    format!("{} rows, scores at most {:.1e} apart\n{table}", skew.rows, skew.max_abs_difference)
}
