//! The command line: one file per verb. clap's types end here; verbs hand plain values to the rooms below and print
//! what comes back. The only part of the crate that writes to the standard output.

mod output;
mod progress;

use crate::base::Error;
use clap::{Parser, Subcommand};
use output::Format;
use std::process::ExitCode;

/// Joint feature and architecture search for pre-ranking, with measured latency in the loop.
#[derive(Debug, Parser)]
#[command(name = "autofas-bench", version, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
    /// Print the result as JSON on the standard output
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Verb {}

/// Runs the verb.
pub fn run(cli: Cli) -> anyhow::Result<()> {
    let format = if cli.json { Format::Json } else { Format::Text };
    match cli.verb {}
}

/// 2 for wrong usage, 3 for a stated limit that is not met, 1 for the rest.
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    ExitCode::from(match error.downcast_ref::<Error>() {
        Some(Error::Usage { .. }) => 2,
        Some(Error::Limit { .. }) => 3,
        _ => 1,
    })
}
