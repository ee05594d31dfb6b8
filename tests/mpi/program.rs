//! The command line under `mpirun`.

use crate::launch::{mpirun, succeed, text};
use serde_json::Value;
use std::{fs, process::Command};

/// Seconds of work; measured by one engine.
const EXPERIMENT: &str = r#"
[data]
schema = "log/schema.toml"
path = "log/log.parquet"
[space]
mixops = [[16, 8, "zero"]]
[teacher]
shared = [16]
partition = [8]
max_epochs = 1
batch_size = 512
[search]
epochs = 1
batch_size = 512
[derive]
rule = "top_k"
k = 9
[retrain]
max_epochs = 1
[baseline]
widths = [32, 16]
max_epochs = 1
[target]
engine = "tract"
engines = ["tract"]
candidates = 50
[traffic]
requests = 60
candidates = 50
qps = 300
[probe]
passes = 2
block_ms = 1
repeats = 0
[rounds]
count = 1
diverse = 2
held_out = 2
"#;

const PROGRAM: &str = env!("CARGO_BIN_EXE_autofas-bench");

#[test]
fn two_ranks_search_and_iterate_and_one_process_goes_on_with_their_run() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let synth = ["data", "synth", "--requests", "200", "--candidates", "10", "--out", "log"];
    let mut command = Command::new(PROGRAM);
    command.args(synth).current_dir(here);
    succeed(command);
    fs::write(here.join("e.toml"), EXPERIMENT).unwrap();
    let options = ["--json", "--config", "e.toml", "--out", "run"];
    let iterate = [&["iterate"][..], &options].concat();
    let of_two = |args: &[&str]| -> Value {
        let mut command = mpirun(2);
        command.arg(PROGRAM).args(args).current_dir(here);
        // Rank 0 alone prints: otherwise there would be two documents.
        serde_json::from_slice(&succeed(command).stdout).unwrap()
    };
    let searched = of_two(&[&["search"][..], &options].concat());
    let summary = of_two(&[&iterate[..], &["--resume"]].concat());
    assert_eq!(summary["rounds"].as_array().unwrap().len(), 1);
    assert_eq!(summary["rounds"][0]["subnet"], searched["subnet"]);
    assert_eq!(summary["teacher"], searched["teacher"]);

    // What was measured is kept; the trainings are done again by one process.
    for file in ["summary.json", "teacher/0.json", "rounds/1/search.json"] {
        fs::remove_file(here.join("run").join(file)).unwrap();
    }
    let mut command = Command::new(PROGRAM);
    command.args(&iterate).arg("--resume").current_dir(here);
    let resumed: Value = serde_json::from_slice(&succeed(command).stdout).unwrap();
    let auc = |summary: &Value| summary["teacher"]["auc"].as_f64().unwrap();
    assert!((auc(&summary) - auc(&resumed)).abs() < 1e-3, "{} {}", auc(&summary), auc(&resumed));

    let mut command = mpirun(2);
    command.arg(PROGRAM).args(&iterate).current_dir(here);
    let refused = command.output().unwrap();
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused));
    assert_eq!(text(&refused).matches("already holds a run").count(), 1, "{}", text(&refused));
}
