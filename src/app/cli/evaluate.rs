//! `evaluate`: quality of an exported model, scored by an engine.

use super::{
    engine_options::EngineOptionArgs,
    files::DataArgs,
    output::{self, Format},
};
use crate::{
    app::{apart, evaluate::EvaluateRequest},
    base::{
        Error, fsio,
        names::{EngineName, Provider},
        stop::Stop,
    },
    learn::metrics::{Metrics, ScoredCuts, ScoringOrder, TopLists},
    measure::{
        child::Launcher,
        engine::SessionOptions,
        evaluate::{CandidatesScored, Evaluation, Lists},
    },
};
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  autofas-bench evaluate --model out/model.onnx --data new_day.parquet
  autofas-bench evaluate --model out/model.onnx --data new_day.parquet \\
      --at 10,50,200 --per-group users.csv
  autofas-bench evaluate --model out/model.onnx --data D.parquet \\
      --config E.toml   # its validation rows only
  autofas-bench evaluate --model out/model.onnx --data D.parquet \\
      --scored 100,300,1000 --out E.json   # for `forecast --recall`")]
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
    #[arg(long, hide_possible_values = true, value_name = "NAME", default_value_t = EngineName::OnnxRuntime)]
    engine: EngineName,
    /// Where ONNX Runtime computes: cpu, cuda or tensorrt
    #[arg(long, hide_possible_values = true, value_name = "NAME", default_value_t = Provider::Cpu)]
    provider: Provider,
    /// Threads inside one request
    #[arg(long, value_name = "N", default_value_t = 1)]
    threads: usize,
    #[command(flatten)]
    engine_options: EngineOptionArgs,
    /// Where Recall@K and overlap cut a request's list; they need a request and a teacher_score column in the schema
    #[arg(long, value_name = "K,K", value_delimiter = ',', default_values_t = [10, 50])]
    at: Vec<usize>,
    /// How much of the teacher's top K of all candidates is left where only so many of a request's candidates are scored, the
    /// first of them in the data's order; requests with fewer than the largest number are left out
    #[arg(long, value_name = "N,N", value_delimiter = ',')]
    scored: Vec<usize>,
    /// Score as many at random instead of the first ones, drawn for every request with this seed
    #[arg(long, value_name = "N", requires = "scored")]
    scored_seed: Option<u64>,
    /// Write rows, positives, mean score, AUC and logloss of every group as CSV; it needs a group column in the schema
    #[arg(long, value_name = "OUT.csv")]
    per_group: Option<PathBuf>,
    /// Write the result as JSON
    #[arg(long, value_name = "E.json")]
    out: Option<PathBuf>,
}

impl EvaluateArgs {
    pub fn run(self, format: Format) -> anyhow::Result<()> {
        if self.threads == 0 {
            return Err(Error::usage("nobody would score the rows", "give at least 1 thread").into());
        }
        if self.at.contains(&0) {
            return Err(Error::usage("the top 0 of a list holds nothing", "give --at numbers from 1").into());
        }
        if self.scored.contains(&0) {
            return Err(Error::usage("nothing would be scored", "give --scored numbers from 1").into());
        }
        self.per_group.iter().chain(&self.out).try_for_each(|path| fsio::check_file(path))?;
        let order = self.scored_seed.map_or(ScoringOrder::Data, |seed| ScoringOrder::Random { seed });
        let scored = (!self.scored.is_empty()).then(|| ScoredCuts::new(self.scored, order));
        let settings = self.engine_options.settings(&[self.engine])?;
        let files = self.data.files(Some(&self.model))?;
        let options = SessionOptions {
            provider: self.provider,
            threads: self.threads,
            settings,
            ..SessionOptions::PLAIN
        };
        let Self { model, config, engine, at, per_group, out, .. } = self;
        let lists = Lists { at, scored };
        let request = EvaluateRequest { model, files, config, engine, options, lists, per_group };
        let evaluation = apart::evaluate(request, &Launcher::this_program(&Stop::never())?)?;
        if let Some(out) = out {
            fsio::write_json(&out, &evaluation)?;
        }
        output::print(format, &evaluation, describe)
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
    let label = if evaluation.label.is_empty() { "(trained)" } else { &evaluation.label };
    let trained = std::iter::once(row(label, metrics));
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
    let lists = output::table(&["of a request", "recall", "overlap"], &lists.collect::<Vec<_>>());
    let scored = evaluation.candidates_scored.as_ref().map(scored_text);
    [Some(metrics), Some(lists), scored].into_iter().flatten().collect::<Vec<_>>().join("\n\n")
}

fn scored_text(scored: &CandidatesScored) -> String {
    let chosen = match scored.order {
        ScoringOrder::Data => "the first in the data's order".to_owned(),
        ScoringOrder::Random { seed } => format!("drawn at random, seed {seed}"),
    };
    let rows = scored.recalls.iter().flat_map(|curve| {
        curve.points.iter().map(|point| {
            let error = point.standard_error.map_or("-".to_owned(), |error| format!("{error:.4}"));
            let recall = format!("{:.4}", point.recall);
            vec![point.scored.to_string(), curve.k.to_string(), recall, error, curve.requests.to_string()]
        })
    });
    let header = ["scored", "K", "recall", "standard error", "requests"];
    let table = output::table(&header, &rows.collect::<Vec<_>>());
    format!("the teacher's top K of all candidates among the top K of those scored, {chosen}\n{table}")
}
