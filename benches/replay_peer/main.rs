//! Both sides of `scripts/figures/replay`: the replay, and what it is held against, by turns in one process.
//!
//! `replay_peer WORKLOAD ARGUMENT...` answers lines `NAME COUNT` (see `protocol`).

mod delays;
mod lag;
#[path = "../protocol/mod.rs"]
mod protocol;
mod scene;
mod service;
mod spinning;
mod throughput;

use autofas_bench::base::memory;
use protocol::serve;

// As in the program.
#[global_allocator]
static ALLOCATOR: memory::Allocator = memory::ALLOCATOR;

fn main() {
    memory::keep_freed();
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match *arguments {
        [] => println!("run by scripts/figures/replay, which speaks to it"),
        ["service", engine] => serve(service::Service::new(engine.parse().expect("an engine"))),
        ["throughput"] => serve(throughput::Throughput::new()),
        ["lag"] => serve(lag::Lag::new()),
        ["delays"] => serve(delays::Delays::new()),
        _ => panic!("no workload of these arguments: {arguments:?}"),
    }
}
