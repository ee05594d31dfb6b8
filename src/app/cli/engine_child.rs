//! The hidden verb of a measuring process: one engine, one job.

use crate::measure::job;
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  autofas-bench engine-child --job job.json --out result.json")]
pub struct EngineChildArgs {
    /// What to measure, as JSON
    #[arg(long, value_name = "J.json")]
    job: PathBuf,
    /// Where the result goes
    #[arg(long, value_name = "R.json")]
    out: PathBuf,
}

impl EngineChildArgs {
    pub fn run(self) -> anyhow::Result<()> {
        Ok(job::run_job(&self.job, &self.out)?)
    }
}
