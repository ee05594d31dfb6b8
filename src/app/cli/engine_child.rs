//! The hidden verb of a measuring process: one engine, one job.

use crate::measure::job;
use clap::Args;
use std::{io::Read, path::PathBuf};

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  autofas-bench engine-child --job job.json --out result.json")]
pub struct EngineChildArgs {
    /// What to measure, as JSON
    #[arg(long, value_name = "J.json")]
    job: PathBuf,
    /// Where the result goes
    #[arg(long, value_name = "R.json")]
    out: PathBuf,
    /// End when the standard input is closed: the parent holds its other end
    #[arg(long)]
    tied: bool,
}

impl EngineChildArgs {
    pub fn run(self) -> anyhow::Result<()> {
        if self.tied {
            // It waits in the kernel and takes no time from what is measured.
            std::thread::spawn(|| {
                let _ = std::io::stdin().read(&mut [0]);
                std::process::exit(1);
            });
        }
        Ok(job::run_job(&self.job, &self.out)?)
    }
}
