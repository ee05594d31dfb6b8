//! The hidden verb of a child process: one engine, one job.

use super::signals;
use crate::{
    app::apart::Apart,
    base::{fsio, stop::Stop},
    measure::{
        child,
        job::{self, Job},
    },
};
use clap::Args;
use serde::Deserialize;
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

/// What a child may be asked for.
#[derive(Deserialize)]
#[serde(untagged)]
enum Asked {
    Measured(Box<Job>),
    Apart(Box<Apart>),
}

impl EngineChildArgs {
    pub fn run(self) -> anyhow::Result<()> {
        let mut asked: Asked = fsio::read_json(&self.job)?;
        if let (Asked::Measured(job), Ok(secret)) = (&mut asked, std::env::var(child::SECRET)) {
            job.tell(&secret)?;
        }
        // A replay writes what it has; what else is asked for is worth nothing unfinished, and ends at once.
        let stop = match &asked {
            Asked::Measured(job) if matches!(**job, Job::Replay(_)) => signals::stop_only()?,
            _ => Stop::never(),
        };
        if self.tied {
            let stop = stop.clone();
            // It waits in the kernel and takes no time from what is measured.
            std::thread::spawn(move || listen(&stop));
        }
        match asked {
            Asked::Measured(job) => job::run_job(&job, &self.out, &stop)?,
            Asked::Apart(apart) => apart.run(&self.out)?,
        }
        Ok(())
    }
}

/// A byte from the parent is the number of a signal that it has got; the end of its pipe is its own end.
fn listen(stop: &Stop) {
    let mut signal = [0];
    while matches!(std::io::stdin().read(&mut signal), Ok(1)) {
        stop.request(signal[0].into());
    }
    std::process::exit(1);
}
