//! `trace make` and `trace show`.

use super::{
    files::DataArgs,
    output::{self, Format},
    recipe::RecipeArgs,
};
use crate::{
    base::fsio,
    measure::replay::{
        summary::{Quantiles, TraceSummary},
        trace::Pacing,
        trace_file,
    },
};
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum TraceVerb {
    /// Make a trace from a data set and recorded or drawn arrivals
    Make(Box<MakeArgs>),
    /// Describe a trace
    Show(ShowArgs),
}

#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "Examples:
  autofas-bench trace make --model out/model.onnx --data D.parquet --qps 50 \\
      --out t.parquet
  autofas-bench trace make --model out/model.onnx --data D.parquet \\
      --arrivals a.csv --time-column T --candidates-column N --speed 2 \\
      --requests 100000 --out t.parquet
  autofas-bench trace make --model out/model.onnx --data D.parquet --qps 50 \\
      --process bursty --on-ms 100 --off-ms 400 \\
      --candidates-log-normal median=800,sigma=0.6,min=50,max=3000 \\
      --out t.jsonl

Bursts come at the rate Q · (on + off) / on, so that Q stays the mean. A trace of any length takes the same memory; what \
                  must be there at once is kept in the folder for temporary files (TMPDIR)."
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
    /// Recorded arrivals come this many times faster
    #[arg(long, value_name = "X", requires = "arrivals", conflicts_with = "qps")]
    speed: Option<f64>,
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
        let path = match self {
            Self::Make(args) => {
                args.make()?;
                args.out
            }
            Self::Show(args) => args.trace,
        };
        output::print(format, &TraceSummary::read(&path)?, describe)
    }
}

impl MakeArgs {
    fn make(&self) -> anyhow::Result<()> {
        trace_file::check_name(&self.out)?;
        fsio::check_file(&self.out)?;
        let mut trace = self.recipe.make(&self.data.files(self.model.as_deref())?, self.qps)?;
        if self.recipe.arrivals.is_some() {
            let stretched = self.qps.map(|qps| Pacing::Rate { qps });
            let faster = self.speed.map(|factor| Pacing::Speed { factor });
            if let Some(pacing) = stretched.or(faster) {
                trace = trace.paced(pacing)?;
            }
        }
        Ok(trace.write(&self.out)?)
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
    ];
    if let Some(rate) = &summary.rate {
        lines.push(format!(
            "rate        {} {} per second in slices of {:.3} s",
            bars(&rate.qps),
            range(&rate.qps),
            rate.slice_ms / 1e3
        ));
    }
    if let (Some(peak), Some(over)) = (summary.peak_qps, summary.peak_over_mean) {
        lines.push(format!("peak        {peak} requests in the busiest second, {over:.1} times the mean"));
    }
    if let Some(variation) = summary.gap_variation {
        lines.push(format!("burstiness  {variation:.2} (variation of the gaps; 1 is a Poisson process)"));
    }
    if let Some(gaps) = summary.gap_us {
        lines.push(format!("gaps        {} ms", spread(gaps, |us| three_digits(us as f64 / 1e3))));
    }
    lines.push(format!(
        "candidates  {:.0} on average, {} at most",
        summary.mean_candidates, summary.max_candidates
    ));
    lines.push(format!("            {}", spread(summary.candidates, |count| count.to_string())));
    lines.push(format!("seed        {}", summary.seed));
    lines.push(format!("encoders    {}", summary.encoder_hash));
    lines.push(format!("rows        {}", summary.rows_hash.as_deref().unwrap_or("unknown")));
    lines.extend(summary.notes.iter().map(|note| format!("note        {note}")));
    lines.join("\n")
}

fn spread(spread: Quantiles, show: impl Fn(u64) -> String) -> String {
    let Quantiles { p10, p50, p90, p99, max } = spread;
    let [p10, p50, p90, p99, max] = [p10, p50, p90, p99, max].map(show);
    format!("p10 {p10}, p50 {p50}, p90 {p90}, p99 {p99}, max {max}")
}

fn three_digits(value: f64) -> String {
    let before_the_point = value.max(1e-3).log10().floor() as i32 + 1;
    format!("{value:.*}", (3 - before_the_point).clamp(0, 3) as usize)
}

/// One bar for each value, from nothing to the largest of them.
fn bars(values: &[f64]) -> String {
    const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let largest = values.iter().copied().fold(0.0, f64::max);
    let bar = |value: f64| BARS[(value / largest * 8.0).ceil().clamp(0.0, 8.0) as usize];
    format!("[{}]", values.iter().map(|&value| bar(value)).collect::<String>())
}

fn range(values: &[f64]) -> String {
    let (least, most) = values.iter().fold((f64::INFINITY, 0.0f64), |(a, b), &v| (a.min(v), b.max(v)));
    format!("{least:.1} to {most:.1}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_and_never_less_than_their_whole_part() {
        let shown = [0.0, 0.0521, 1.2349, 250.111, 1000.447].map(three_digits);
        assert_eq!(shown, ["0.000", "0.052", "1.23", "250", "1000"]);
    }

    #[test]
    fn bars_reach_from_nothing_to_the_largest_value() {
        assert_eq!(bars(&[0.0, 0.1, 4.0, 8.0]), "[ ▁▄█]");
        assert_eq!(range(&[0.0, 8.0, 2.5]), "0.0 to 8.0");
    }
}
