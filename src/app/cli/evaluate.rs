//! `evaluate`: quality of an exported model, scored by an engine.

use super::{
    engine_options::EngineOptionArgs,
    files::DataArgs,
    output::{self, Format},
};
use crate::{
    app::evaluate::{EvaluateRequest, evaluate_files},
    base::{
        Error,
        names::{EngineName, Provider},
    },
    learn::metrics::{Metrics, TopLists},
    measure::{engine::SessionOptions, evaluate::Evaluation},
};
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  autofas-bench evaluate --model out/model.onnx --data new_day.parquet
  autofas-bench evaluate --model out/model.onnx --data new_day.parquet --at 10,50,200 --per-group users.csv
  autofas-bench evaluate --model out/model.onnx --data D.parquet --config E.toml   # its validation rows only")]
pub struct EvaluateArgs {
    /// The exported model
    #[arg(long, value_name = "M.onnx")]
    model: PathBuf,
    #[command(flatten)]
    data: DataArgs,
    /// Take only the rows that this experiment validates on
    #[arg(long, value_name = "E.toml")]
    config: Option<PathBuf>,
    /// tract or onnxruntime
    #[arg(long, value_name = "NAME", default_value_t = EngineName::OnnxRuntime)]
    engine: EngineName,
    /// Where ONNX Runtime computes: cpu, cuda or tensorrt
    #[arg(long, value_name = "NAME", default_value_t = Provider::Cpu)]
    provider: Provider,
    /// Threads inside one request
    #[arg(long, value_name = "N", default_value_t = 1)]
    threads: usize,
    #[command(flatten)]
    engine_options: EngineOptionArgs,
    /// Where Recall@K and overlap cut a request's list; they need a request and a teacher_score column in the schema
    #[arg(long, value_name = "K,K", value_delimiter = ',', default_values_t = [10, 50])]
    at: Vec<usize>,
    /// Write rows, positives, mean score, AUC and logloss of every group as CSV; it needs a group column in the schema
    #[arg(long, value_name = "OUT.csv")]
    per_group: Option<PathBuf>,
}

impl EvaluateArgs {
    pub fn run(self, format: Format) -> anyhow::Result<()> {
        if self.threads == 0 {
            return Err(Error::usage("nobody would score the rows", "give at least 1 thread").into());
        }
        if self.at.contains(&0) {
            return Err(Error::usage("the top 0 of a list holds nothing", "give --at numbers from 1").into());
        }
        let settings = self.engine_options.settings(&[self.engine])?;
        let files = self.data.files(Some(&self.model))?;
        let options = SessionOptions {
            provider: self.provider,
            threads: self.threads,
            settings,
            ..SessionOptions::PLAIN
        };
        let Self { model, config, engine, at, per_group, .. } = self;
        let request = EvaluateRequest { model, files, config, engine, options, at, per_group };
        output::print(format, &evaluate_files(&request)?, describe)
    }
}

fn describe(evaluation: &Evaluation) -> String {
    let metric = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.4}"));
    let row = |label: &str, metrics: &Metrics| {
        vec![
            evaluation.engine.to_string(),
            evaluation.engine_version.clone(),
            evaluation.rows.to_string(),
            label.to_owned(),
            metric(metrics.auc),
            metric(metrics.gauc),
            format!("{:.4}", metrics.logloss),
        ]
    };
    let metrics = &evaluation.metrics;
    let trained = std::iter::once(row("(trained)", metrics));
    let rows: Vec<_> =
        trained.chain(metrics.other_labels.iter().map(|(label, metrics)| row(label, metrics))).collect();
    let metrics = output::table(&["engine", "version", "rows", "label", "auc", "gauc", "logloss"], &rows);
    let TopLists { recall_at, overlap_at } = &evaluation.top_lists;
    if overlap_at.is_empty() {
        return metrics;
    }
    let lists = overlap_at.iter().map(|(k, overlap)| {
        vec![format!("top {k}"), metric(recall_at.get(k).copied()), metric(Some(*overlap))]
    });
    metrics + "\n\n" + &output::table(&["of a request", "recall", "overlap"], &lists.collect::<Vec<_>>())
}
