//! The program's side of `scripts/figures/export`: layouts of one network by turns in one engine, and the export of a large
//! network. One JSON line per result.
//!
//! `export_peer time ENGINE ROUNDS` or `export_peer write FOLDER`

mod large;
mod layouts;

use autofas_bench::base::memory;
use std::path::Path;

// As in the program.
#[global_allocator]
static ALLOCATOR: memory::Allocator = memory::ALLOCATOR;

fn main() {
    memory::keep_freed();
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match *arguments {
        [] => println!("run by scripts/figures/export, which reads its lines"),
        ["time", engine, rounds] => {
            layouts::time(engine.parse().expect("an engine"), rounds.parse().expect("a number"));
        }
        ["write", folder] => large::write(Path::new(folder)),
        _ => panic!("no task of these arguments: {arguments:?}"),
    }
}
