//! `iterate`: the main job.

use super::{
    output::{self, Format},
    ranks, signals,
};
use crate::{
    app::{
        config::{Experiment, Override},
        iterate::{ChildMeter, Existing, iterate},
    },
    base::{Error, Result, progress::Progress, stop::Stop},
    measure::child::Launcher,
};
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  autofas-bench iterate --config E.toml --data D.parquet --out runs/first --rounds 3
  autofas-bench iterate --config E.toml --data D.parquet --out runs/first --rounds 3 --resume
  autofas-bench iterate --config E.toml --print-config --set teacher.ensemble=2")]
pub struct IterateArgs {
    /// The experiment file
    #[arg(long, value_name = "E.toml")]
    config: PathBuf,
    /// CSV or Parquet file, or a folder of either: `data.path` of the experiment
    #[arg(long, value_name = "D.parquet")]
    data: Option<PathBuf>,
    /// Run directory
    #[arg(long, value_name = "RUN", required_unless_present = "print_config")]
    out: Option<PathBuf>,
    /// Number of rounds: `rounds.count` of the experiment
    #[arg(long, value_name = "N")]
    rounds: Option<u32>,
    /// A latency table of `table probe` that the first round pays with, instead of probes: `target.table`
    #[arg(long, value_name = "TABLE.json")]
    table: Option<PathBuf>,
    /// Any other setting
    #[arg(long, value_name = "KEY.PATH=VALUE")]
    set: Vec<String>,
    /// Continue the run in --out where it stopped
    #[arg(long)]
    resume: bool,
    /// Print every setting with its origin, and stop
    #[arg(long)]
    print_config: bool,
}

impl IterateArgs {
    pub fn run(self, format: Format, progress: &dyn Progress) -> anyhow::Result<()> {
        let experiment = Experiment::load(&self.config, &self.overrides()?)?;
        if self.print_config {
            return output::print(format, &experiment.resolved.tree, |_| experiment.resolved.to_string());
        }
        let Some(out) = &self.out else {
            return Err(Error::usage("no run directory is named", "give --out RUN").into());
        };
        let existing = if self.resume { Existing::Resume } else { Existing::Refuse };
        let stop = signals::stop_on_signals()?;
        let meter = ChildMeter::new(Launcher::this_program(&stop)?, &experiment.settings);
        ranks::together(progress, |ranks, progress| {
            // Rank 0 saves and ends all: if each stopped when its signal came, they would stop at different steps.
            let stop = if ranks.leads() { stop.clone() } else { Stop::never() };
            let summary = iterate(&experiment, out, existing, &meter, ranks, progress, &stop)?;
            if ranks.leads() {
                output::print(format, &summary, |summary| summary.to_text(out))?;
                Ok(summary.check_budget()?)
            } else {
                Ok(())
            }
        })
    }

    fn overrides(&self) -> Result<Vec<Override>> {
        let mut overrides = Vec::new();
        for set in &self.set {
            let (path, value) = set.split_once('=').ok_or_else(|| {
                Error::usage(format!("--set {set} has no value"), "write it as --set key.path=value")
            })?;
            overrides.push(Override::parse(path.trim(), value.trim()));
        }
        let path = |key, path: &PathBuf| Override::text(key, path.to_string_lossy());
        overrides.extend(self.data.iter().map(|data| path("data.path", data)));
        overrides.extend(self.table.iter().map(|table| path("target.table", table)));
        overrides.extend(self.rounds.map(|rounds| Override::count("rounds.count", rounds)));
        Ok(overrides)
    }
}
