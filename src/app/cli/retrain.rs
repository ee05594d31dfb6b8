//! `retrain`: a network of a run on newer data.

use super::output::{self, Format};
use crate::{
    app::{
        config::Override,
        plan::Plan,
        retrain::{RetrainRequest, Retrained, Start, plan_retrain, retrain},
    },
    base::progress::Progress,
};
use clap::{Args, ValueHint};
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  autofas-bench retrain --run runs/first --data new_days.parquet \\
      --out serving/next
  autofas-bench retrain --run runs/first --data new_days.parquet --warm-start \\
      --set retrain.max_epochs=2 --out serving/next
  autofas-bench export --run serving/next/run --precision int8 \\
      --package triton --out repository

The encoders stay as they are: values that the run never saw are unknown to the new version too.")]
pub struct RetrainArgs {
    /// Run directory, or the run/ of what `retrain` wrote before
    #[arg(long, value_name = "RUN")]
    run: PathBuf,
    /// Canonical id, a folder of RUN/networks [default: the run's winner, or its only network]
    #[arg(long, value_name = "ID", visible_aliases = ["candidate", "network"])]
    subnet: Option<String>,
    /// Newer rows: CSV or Parquet file, or a folder of either
    #[arg(long, value_name = "NEW.parquet")]
    data: PathBuf,
    /// Begin with the weights of the old version
    #[arg(long)]
    warm_start: bool,
    /// A setting that differs from the run's; may be repeated
    #[arg(long, value_name = "KEY.PATH=VALUE", value_hint = ValueHint::Other)]
    set: Vec<String>,
    /// Folder of the new package
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Read and check everything, say what would be done and for how long, and write nothing
    #[arg(long)]
    dry_run: bool,
}

impl RetrainArgs {
    pub fn run(self, format: Format, progress: &dyn Progress) -> anyhow::Result<()> {
        let overrides = self.set.iter().map(|set| Override::assignment(set)).collect::<Result<_, _>>()?;
        let start = if self.warm_start { Start::Warm } else { Start::Cold };
        let Self { run, subnet, data, out, dry_run, .. } = self;
        let request = RetrainRequest { run, subnet, data, start, overrides, out };
        if dry_run {
            return output::print(format, &plan_retrain(&request, progress)?, Plan::to_string);
        }
        output::print(format, &retrain(&request, progress)?, describe)
    }
}

fn describe(retrained: &Retrained) -> String {
    let metric = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.4}"));
    let versions = [("old", &retrained.old), ("new", &retrained.new)].map(|(name, metrics)| {
        vec![name.to_owned(), metric(metrics.auc), metric(metrics.gauc), format!("{:.4}", metrics.logloss)]
    });
    let mut drift: Vec<_> = retrained.drift.iter().collect();
    drift.sort_by(|a, b| b.divergence_bits.total_cmp(&a.divergence_bits));
    let percent = |shares: [f64; 2]| format!("{:.1} → {:.1}", 100.0 * shares[0], 100.0 * shares[1]);
    let rows: Vec<_> = drift
        .into_iter()
        .map(|drift| {
            vec![
                drift.feature.clone(),
                format!("{:.4}", drift.divergence_bits),
                format!("{:.4}", drift.by_chance_bits),
                percent(drift.missing_share),
                drift.unknown_share.map_or("-".to_owned(), percent),
            ]
        })
        .collect();
    let header = ["feature", "divergence", "by chance", "% missing", "% unknown"];
    format!(
        "{} on {} new rows: {}\n\non {} new rows for validation\n{}\n\n{}",
        retrained.subnet,
        retrained.train_rows,
        retrained.onnx.display(),
        retrained.valid_rows,
        output::table(&["version", "auc", "gauc", "logloss"], &versions),
        output::table(&header, &rows)
    )
}
