//! `trace make` and `trace show`.

use super::{
    files::DataArgs,
    output::{self, Format},
    recipe::RecipeArgs,
};
use crate::measure::replay::{summary::TraceSummary, trace::Pacing, trace_file};
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum TraceVerb {
    /// Make a trace from a data set and recorded or random arrivals
    Make(Box<MakeArgs>),
    /// Describe a trace
    Show(ShowArgs),
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  autofas-bench trace make --model out/model.onnx --data D.parquet --qps 50 --out t.parquet"
)]
pub struct MakeArgs {
    #[command(flatten)]
    data: DataArgs,
    /// Exported model whose schema and encoders the trace is for
    #[arg(long, value_name = "M.onnx")]
    model: Option<PathBuf>,
    #[command(flatten)]
    recipe: RecipeArgs,
    /// Mean requests per second; recorded arrivals are stretched to it
    #[arg(long, value_name = "Q")]
    qps: Option<f64>,
    /// Where the trace goes: .parquet or .jsonl
    #[arg(long, value_name = "T.parquet")]
    out: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  autofas-bench trace show t.parquet")]
pub struct ShowArgs {
    /// The trace: .parquet or .jsonl
    trace: PathBuf,
}

impl TraceVerb {
    pub fn run(self, format: Format) -> anyhow::Result<()> {
        let trace = match self {
            Self::Make(args) => {
                let mut trace = args.recipe.make(&args.data.files(args.model.as_deref())?, args.qps)?;
                if let (Some(qps), Some(_)) = (args.qps, &args.recipe.arrivals) {
                    trace = trace.paced(Pacing::Rate { qps })?;
                }
                trace_file::write(&args.out, &trace)?;
                trace
            }
            Self::Show(args) => trace_file::read(&args.trace)?,
        };
        output::print(format, &TraceSummary::of(&trace), describe)
    }
}

fn describe(summary: &TraceSummary) -> String {
    let mut lines = vec![
        format!("requests    {} of {} users", summary.requests, summary.users),
        format!("arrivals    {}", summary.arrivals),
        format!(
            "duration    {:.1} s, {:.1} requests per second",
            summary.duration_ms / 1e3,
            summary.mean_qps
        ),
        format!("candidates  {:.0} on average, {} at most", summary.mean_candidates, summary.max_candidates),
        format!("encoders    {}", summary.encoder_hash),
        format!("rows        {}", summary.rows_hash.as_deref().unwrap_or("unknown")),
    ];
    if let Some(variation) = summary.gap_variation {
        lines
            .insert(3, format!("burstiness  {variation:.2} (variation of the gaps; 1 is a Poisson process)"));
    }
    lines.extend(summary.notes.iter().map(|note| format!("note        {note}")));
    lines.join("\n")
}
