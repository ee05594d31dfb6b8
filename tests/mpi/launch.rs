//! Jobs of several ranks.

use std::{
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

/// `mpirun` for `ranks` processes of one thread each.
pub fn mpirun(ranks: usize) -> Command {
    let mut command = Command::new("mpirun");
    // Root is refused by default, and a machine may have fewer cores than a test has ranks.
    command.args(["--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-n", &ranks.to_string()]);
    command.env("RAYON_NUM_THREADS", "1").stdin(Stdio::null());
    command
}

/// This program's ignored test `name` on several ranks.
pub fn ranks_of(name: &str, ranks: usize) -> Command {
    let mut command = mpirun(ranks);
    command.arg(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", name, "--nocapture", "--test-threads", "1"]);
    command
}

pub fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

pub fn succeed(mut command: Command) -> Output {
    let output = command.output().expect("mpirun is installed: see scripts/setup-mpi");
    assert!(output.status.success(), "{}", text(&output));
    output
}

/// How the job ends: its exit code and its output, and that it failed soon.
pub fn ends(mut command: Command) -> (Option<i32>, String) {
    let begin = Instant::now();
    let output = command.output().unwrap();
    assert!(!output.status.success());
    assert!(begin.elapsed() < Duration::from_secs(60), "the other rank went on");
    (output.status.code(), text(&output))
}
