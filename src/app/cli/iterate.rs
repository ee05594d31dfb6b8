//! `iterate`: the main job.

use super::{
    output::{self, Format},
    run_args::RunArgs,
};
use crate::{
    app::{
        config::Override,
        iterate::{Summary, iterate, plan_iterate},
        page,
    },
    base::progress::Progress,
};
use clap::Args;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  autofas-bench iterate --config E.toml --data D.parquet --out runs/first \\
      --rounds 3
  autofas-bench iterate --config E.toml --data D.parquet --out runs/first \\
      --dry-run   # how long?
  autofas-bench iterate --config E.toml --data D.parquet --out runs/first \\
      --rounds 3 --resume
  autofas-bench iterate --config E.toml --print-config \\
      --set teacher.ensemble=2")]
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
        self.run.run(format, progress, rounds, (iterate, plan_iterate), |summary: &Summary, out| {
            // What was found stands, whatever becomes of its page.
            let place = match page::write(out, None) {
                Ok(written) => written.to_text(),
                Err(error) => {
                    progress.say(&format!("warning: there is no page of this run: {error}"));
                    String::new()
                }
            };
            output::print(format, summary, |summary| summary.to_text(out) + &place)?;
            Ok(summary.check_budget()?)
        })
    }
}
