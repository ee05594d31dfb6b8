//! The binary: parse, run, print the error chain, exit code.

use autofas_bench::app::cli;
use clap::Parser;
use std::process::ExitCode;

// Training allocates and frees the same few hundred tensors in every step, and the system's allocator gives such blocks
// back to the kernel each time; mimalloc keeps them. The library leaves the choice to its user.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // clap itself answers --help (0) and wrong usage (2).
    match cli::run(cli::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            cli::exit_code(&error)
        }
    }
}
