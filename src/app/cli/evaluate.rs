//! `evaluate`: quality of an exported model, scored by an engine.

use super::{
    engine_options::EngineOptionArgs,
    files::DataArgs,
    output::{self, Format},
};
use crate::{
    app::config::{Experiment, Override, Stage},
    base::{
        Error, Result,
        names::{EngineName, Provider},
    },
    data::{self, column::Column, dataset::Dataset, encode::Encoders, schema::Schema},
    learn::metrics::{Metrics, TopLists},
    measure::{
        engine::{SessionOptions, engine},
        evaluate::{Evaluation, evaluate},
        traced::DataFiles,
    },
};
use clap::Args;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  autofas-bench evaluate --model out/model.onnx --data new_day.parquet
  autofas-bench evaluate --model out/model.onnx --data new_day.parquet --at 10,50,200
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
        let encoders = Encoders::load(&files.encoders)?;
        let (dataset, rows) = match &self.config {
            Some(config) => validation_rows(config, &files, &encoders)?,
            None => {
                let dataset = data::load_with(&Schema::load(&files.schema)?, &files.rows, &encoders)?;
                let rows = (0..dataset.rows() as u32).collect();
                (dataset, rows)
            }
        };
        let options = SessionOptions {
            provider: self.provider,
            threads: self.threads,
            settings,
            ..SessionOptions::PLAIN
        };
        let engine = engine(self.engine)?;
        let hash = encoders.hash();
        let evaluation = evaluate(&*engine, &self.model, &options, &dataset, &hash, &rows, &self.at)?;
        output::print(format, &evaluation, describe)
    }
}

fn validation_rows(config: &Path, files: &DataFiles, encoders: &Encoders) -> Result<(Dataset, Column<u32>)> {
    let path = files.rows.to_string_lossy();
    let settings = Experiment::load(config, &[Override::text("data.path", path)])?.settings;
    let schema = Schema::load(&files.schema)?;
    let seed = settings.seeds.of(Stage::Split);
    let (dataset, split) = data::load_divided(&schema, &files.rows, encoders, &settings.split, seed)?;
    Ok((dataset, split.valid))
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
