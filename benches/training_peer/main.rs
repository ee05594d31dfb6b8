//! This program's side of `scripts/figures/training`: the same steps as the PyTorch programs in scripts/figures/peers, and the
//! same way to speak to them (protocol.py). Lives as long as its figure is measured.
//!
//! `training_peer WORKLOAD ARGUMENT...` runs COUNT steps for every line `NAME COUNT`.

mod encode;
#[path = "../protocol/mod.rs"]
mod protocol;
mod search;
mod steps;

use autofas_bench::base::memory;
use protocol::serve;
use serde_json::{Value, json};
use std::time::Instant;

// As in the program.
#[global_allocator]
static ALLOCATOR: memory::Allocator = memory::ALLOCATOR;

fn main() {
    memory::keep_freed();
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let Some((name, rest)) = arguments.split_first() else {
        println!("run by scripts/figures/training, which speaks to it");
        return;
    };
    match (name.as_str(), rest) {
        ("gemm", []) => serve(steps::Gemm::new()),
        ("supernet", []) => serve(steps::SupernetStep::new()),
        ("mlp", []) => serve(steps::MlpStep::new()),
        ("embedding", [rows, ids]) => serve(steps::EmbeddingStep::new(rows.parse().expect("a number"), ids)),
        ("search", [experiment, data, folder]) => serve(search::SearchSteps::new(experiment, data, folder)),
        ("encode", [experiment, data, folder]) => serve(encode::EncodeSteps::new(experiment, data, folder)),
        _ => panic!("no workload {name} with {} arguments", rest.len()),
    }
}

/// Time since then.
fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

/// `{"ms": […]}`, each step timed by itself.
fn timed(count: usize, mut step: impl FnMut()) -> Value {
    let time = |_| {
        let begin = Instant::now();
        step();
        milliseconds(begin)
    };
    json!({ "ms": (0..count).map(time).collect::<Vec<_>>() })
}
