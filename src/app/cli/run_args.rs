//! What the verbs that work in a run directory are told, and how they are run.

use super::{
    output::{self, Format},
    ranks, signals,
};
use crate::{
    app::{
        config::{Experiment, Override},
        iterate::{ChildMeter, Existing, RunRequest},
        plan::Plan,
    },
    base::{Error, Result, fsio, progress::Progress},
    measure::child::Launcher,
};
use clap::{Args, ValueHint};
use std::path::{Path, PathBuf};

/// Work in a run directory on one of the ranks: [`iterate`](crate::app::iterate::iterate) or a part of it.
type Work<T> = fn(RunRequest) -> Result<T>;

#[derive(Debug, Args)]
pub struct RunArgs {
    /// The experiment file
    #[arg(long, value_name = "E.toml")]
    config: PathBuf,
    /// CSV or Parquet file, or a folder of either: `data.path` of the experiment
    #[arg(long, value_name = "D.parquet")]
    data: Option<PathBuf>,
    /// Run directory
    #[arg(long, value_name = "RUN", required_unless_present = "print_config")]
    out: Option<PathBuf>,
    /// A latency table of `table probe` that the first round pays with, instead of probes: `target.table`
    #[arg(long, value_name = "TABLE.json")]
    table: Option<PathBuf>,
    /// Any other setting; may be repeated
    #[arg(long, value_name = "KEY.PATH=VALUE", value_hint = ValueHint::Other)]
    set: Vec<String>,
    /// Continue the run in --out where it stopped
    #[arg(long)]
    resume: bool,
    /// Print every setting with its origin, and stop
    #[arg(long)]
    print_config: bool,
    /// Read and check everything, say what would be done, for how long and with how much room, and write nothing
    #[arg(long, conflicts_with = "print_config")]
    dry_run: bool,
}

impl RunArgs {
    /// Does `work` with the experiment that the arguments and `more` give, and hands what rank 0 gets from it, with the
    /// run directory, to `finish`. A dry run prints what `planned` says instead.
    pub fn run<T>(
        self,
        format: Format,
        progress: &dyn Progress,
        more: impl IntoIterator<Item = Override>,
        (work, planned): (Work<T>, Work<Plan>),
        finish: impl FnOnce(&T, &Path) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let experiment = Experiment::load(&self.config, &self.overrides(more)?)?;
        if self.print_config {
            return output::print(format, &experiment.resolved.tree, |_| experiment.resolved.to_string());
        }
        let Some(out) = &self.out else {
            return Err(Error::usage("no run directory is named", "give --out RUN").into());
        };
        fsio::check_folder(out)?;
        let existing = if self.resume { Existing::Resume } else { Existing::Refuse };
        let stop = if self.dry_run { signals::stop_and_end()? } else { signals::stop_on_signals()? };
        let meter = ChildMeter::new(Launcher::this_program(&stop)?, &experiment.settings);
        let request = RunRequest { existing, ..RunRequest::new(&experiment, out, &meter) };
        ranks::together(progress, |ranks, progress| {
            // Rank 0 saves and ends all: if each stopped when its signal came, they would stop at different steps.
            let stop = ranks.leads().then_some(&stop);
            let request = RunRequest { ranks, progress, stop, ..request };
            if self.dry_run {
                return output::print(format, &planned(request)?, Plan::to_string);
            }
            let found = work(request)?;
            if ranks.leads() { finish(&found, out) } else { Ok(()) }
        })
    }

    fn overrides(&self, more: impl IntoIterator<Item = Override>) -> Result<Vec<Override>> {
        let set = self.set.iter().map(|set| Override::assignment(set));
        let mut overrides = set.collect::<Result<Vec<_>>>()?;
        let path = |key, path: &PathBuf| Override::text(key, path.to_string_lossy());
        overrides.extend(self.data.iter().map(|data| path("data.path", data)));
        overrides.extend(self.table.iter().map(|table| path("target.table", table)));
        overrides.extend(more);
        Ok(overrides)
    }
}
