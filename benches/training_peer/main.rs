//! This program's side of `scripts/figures/training`: the same steps as the PyTorch programs in scripts/figures/peers, and the
//! same way to speak to them (protocol.py). Lives as long as its figure is measured.
//!
//! `training_peer WORKLOAD ARGUMENT...` prints `{"ready": …}`; then each line `NAME COUNT` runs COUNT steps and is answered by one
//! line of JSON. `memory reset` and `memory peak` are about the process's largest resident size.

mod encode;
mod search;
mod steps;

use autofas_bench::base::memory;
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead, Write, stdin, stdout},
    time::Instant,
};

// As in the program.
#[global_allocator]
static ALLOCATOR: memory::Allocator = memory::ALLOCATOR;

/// Something to be timed.
trait Workload {
    /// The name that commands call it by.
    fn name(&self) -> &'static str;
    /// Runs `count` steps; the answer holds their times under `ms`.
    fn run(&mut self, count: usize) -> Value;
    /// Answers further commands.
    fn other(&mut self, name: &str, _count: usize) -> Value {
        panic!("`{name}` is no command of {}", self.name())
    }
    /// What is worth knowing before the first step.
    fn ready(&self) -> Value {
        json!({})
    }
}

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

fn serve(mut workload: impl Workload) {
    let answer = |answer: Value| {
        let mut out = stdout().lock();
        writeln!(out, "{answer}").and_then(|()| out.flush()).expect("the driver listens");
    };
    let mut ready = workload.ready();
    ready["threads"] = json!(std::thread::available_parallelism().map_or(1, usize::from));
    answer(json!({ "ready": ready }));
    for line in stdin().lock().lines() {
        let line = line.expect("lines of text");
        let (name, argument) = line.split_once(' ').expect("NAME COUNT");
        answer(match (name, argument) {
            ("memory", argument) => {
                if argument == "reset" {
                    fs::write("/proc/self/clear_refs", "5").expect("Linux resets the peak");
                }
                json!({ "peak_memory_bytes": peak_memory_bytes() })
            }
            (name, count) => {
                let count = count.parse().expect("a count");
                if name == workload.name() { workload.run(count) } else { workload.other(name, count) }
            }
        });
    }
}

fn peak_memory_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux tells the peak");
    let line = status.lines().find(|line| line.starts_with("VmHWM")).expect("a peak");
    let kilobytes = line.split_whitespace().nth(1).expect("a number");
    kilobytes.parse::<u64>().expect("a number") * 1024
}

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
