//! `iterate`: the main job.

use super::{
    output::{self, Format},
    run_args::RunArgs,
};
use crate::{
    app::{
        config::Override,
        iterate::{Summary, iterate},
        page::{self, Written},
    },
    base::progress::Progress,
};
use clap::Args;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  autofas-bench iterate --config E.toml --data D.parquet --out runs/first --rounds 3
  autofas-bench iterate --config E.toml --data D.parquet --out runs/first --rounds 3 --resume
  autofas-bench iterate --config E.toml --print-config --set teacher.ensemble=2")]
pub struct IterateArgs {
    #[command(flatten)]
    run: RunArgs,
    /// Rounds at most: `rounds.count` of the experiment
    #[arg(long, value_name = "N")]
    rounds: Option<u32>,
}

impl IterateArgs {
    pub fn run(self, format: Format, progress: &dyn Progress) -> anyhow::Result<()> {
        let rounds = self.rounds.map(|rounds| Override::count("rounds.count", rounds));
        self.run.run(format, progress, rounds, iterate, |summary: &Summary, out| {
            let report = page::write(out, None);
            let place = report.as_ref().map_or(String::new(), Written::to_text);
            output::print(format, summary, |summary| summary.to_text(out) + &place)?;
            report?;
            Ok(summary.check_budget()?)
        })
    }
}
