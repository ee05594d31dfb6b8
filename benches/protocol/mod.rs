//! How the programs behind `scripts/figures` are spoken to, as scripts/figures/peers/protocol.py has it for Python: one line of
//! JSON, `{"ready": …}`, then an answer of one line to every line `NAME COUNT`.

use autofas_bench::measure::cost;
use serde_json::{Value, json};
use std::io::{BufRead, Write, stdin, stdout};

/// Something to be timed.
pub trait Workload {
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

/// Answers until the input ends. `memory reset` and `memory peak` are about the process's largest resident size.
pub fn serve(mut workload: impl Workload) {
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
                assert!(argument != "reset" || cost::reset_peak(), "Linux resets the peak");
                json!({ "peak_memory_bytes": cost::peak_bytes().expect("Linux tells the peak") })
            }
            (name, count) => {
                let count = count.parse().expect("a count");
                if name == workload.name() { workload.run(count) } else { workload.other(name, count) }
            }
        });
    }
}
