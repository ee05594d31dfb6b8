//! The binary: parse, run, print the error chain, exit code.

use autofas_bench::{app::cli, base::memory};
use clap::Parser;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: memory::Allocator = memory::ALLOCATOR;

fn main() -> ExitCode {
    memory::keep_freed();
    // clap itself answers --help (0) and wrong usage (2).
    match cli::run(cli::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            cli::style::say(&format!("error: {error:#}"));
            cli::exit_code(&error)
        }
    }
}
