//! The binary: its allocator, and the command line.

use autofas_bench::{app::cli, base::memory};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: memory::Allocator = memory::ALLOCATOR;

fn main() -> ExitCode {
    memory::keep_freed();
    cli::program()
}
