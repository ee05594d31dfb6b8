//! The program's side of `scripts/figures/export`: layouts and number formats of one network by turns in one engine, and the
//! export of a large network.
//!
//! `export_peer serve ENGINE EXPERIMENT DATA NETWORK FOLDER` answers `candidates COUNT` and `runs COUNT`; `export_peer write
//! FOLDER` and `export_peer noise EXPERIMENT DATA` print one JSON line.

mod large;
mod noise;
#[path = "../protocol/mod.rs"]
mod protocol;
mod variants;

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
        [] => println!("run by scripts/figures/export, which speaks to it"),
        ["serve", engine, experiment, data, network, folder] => {
            let engine = engine.parse().expect("tract or onnxruntime");
            let paths = [experiment, data, network, folder].map(Path::new);
            protocol::serve(variants::Variants::new(engine, paths));
        }
        ["noise", experiment, data] => noise::print([experiment, data].map(Path::new)),
        ["write", folder] => large::write(Path::new(folder)),
        _ => panic!("no task of these arguments: {arguments:?}"),
    }
}
