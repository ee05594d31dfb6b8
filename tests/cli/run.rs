//! A whole run, and the verbs that take one.

use crate::world::{failure, json, output};
use serde_json::Value;
use std::{fs, path::Path};

/// Small enough for seconds; measured by both engines in child processes.
const EXPERIMENT: &str = r#"
[data]
schema = "log/schema.toml"
path = "log/log.parquet"
[space]
mixops = [[16, 8, "zero"], [16, 8, "zero"]]
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
diverse = 2
held_out = 2
"#;

fn synth(folder: &Path) {
    output(folder, &["data", "synth", "--requests", "200", "--candidates", "10", "--out", "log"]);
    fs::write(folder.join("e.toml"), EXPERIMENT).unwrap();
}

fn texts(values: &Value) -> Vec<&str> {
    values.as_array().unwrap().iter().map(|value| value.as_str().unwrap()).collect()
}

#[test]
fn two_rounds_end_with_a_winner_that_every_verb_can_use() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    synth(here);
    let iterate = ["iterate", "--config", "e.toml", "--out", "run", "--rounds", "2"];
    let summary = json(here, &iterate);
    let rounds = summary["rounds"].as_array().unwrap();
    let versions: Vec<_> = rounds.iter().map(|round| round["table_version"].as_u64().unwrap()).collect();
    assert_eq!(versions, [1, 2], "each round pays with the table that the one before it corrected");
    assert_eq!(texts(&summary["winner"]["features"]).len(), 9);
    for engine in ["tract", "onnxruntime"] {
        assert!(rounds[1]["engines"][engine]["measured_ms"].as_f64().unwrap() > 0.0, "{engine}");
        assert!(summary["winner"]["replay_us"][engine]["mean"].as_f64().unwrap() > 0.0, "{engine}");
    }
    assert_eq!(json(here, &["table", "show", "run/tables/v3.json"])["version"], 3);

    let curves = |training: &str| {
        let folder = here.join("run/tensorboard").join(training);
        let file =
            fs::read_dir(&folder).unwrap_or_else(|e| panic!("{training}: {e}")).next().unwrap().unwrap();
        String::from_utf8_lossy(&fs::read(file.path()).unwrap()).into_owned()
    };
    for tag in
        ["loss1", "theta/", "alpha/mixop2/8", "latency/total_ms", "learning_rate/theta", "validation/auc"]
    {
        assert!(curves("search/round2").contains(tag), "{tag}");
    }
    let student = format!("networks/{}", summary["winner"]["subnet"].as_str().unwrap());
    for training in ["teacher/0", "search/warm-up", &student] {
        assert!(curves(training).contains("loss"), "{training}");
    }

    assert!(failure(here, 2, &iterate).contains("--resume"));
    assert_eq!(json(here, &[&iterate[..], &["--resume"]].concat()), summary);

    let winner = summary["winner"]["subnet"].as_str().unwrap();
    let exported = json(here, &["export", "--run", "run", "--layout", "concat", "--out", "concat"]);
    assert_eq!((exported["subnet"].as_str(), exported["layout"].as_str()), (Some(winner), Some("concat")));
    assert_eq!(exported["parity"]["rows"], 2000);
    assert!(
        failure(here, 2, &["export", "--run", "run", "--candidate", "f9", "--out", "x"])
            .contains(&winner[..3])
    );
    let auc = |model: &str| {
        let model = format!("{model}/model.onnx");
        json(here, &["evaluate", "--model", &model, "--data", "log/log.parquet", "--config", "e.toml"])
    };
    let (own, other) = (auc(&format!("run/networks/{winner}")), auc("concat"));
    let auc = |evaluation: &Value| evaluation["auc"].as_f64().unwrap();
    assert!((auc(&own) - summary["winner"]["auc"].as_f64().unwrap()).abs() < 1e-4, "{own}");
    assert!((auc(&own) - auc(&other)).abs() < 1e-4, "{own} {other}");
}

#[test]
fn a_probed_table_holds_every_layer_of_the_space_and_joins_with_another() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    synth(here);
    for (candidates, out) in [("20", "a.json"), ("30", "b.json")] {
        let probe = ["table", "probe", "--config", "e.toml", "--engine", "tract", "--candidates", candidates];
        let table = json(here, &[&probe[..], &["--out", out]].concat());
        let entries = table["buckets"][0]["entries"].as_array().unwrap();
        for (from, to) in [(16, 8), (8, 16), (16, 1), (8, 1), (16, 16), (8, 8)] {
            let layer = serde_json::json!({ "layer": { "from": from, "to": to } });
            assert!(entries.iter().any(|entry| entry["operation"] == layer), "{from} {to}");
        }
    }
    let joined = json(here, &["table", "merge", "a.json", "b.json", "--out", "ab.json"]);
    let candidates: Vec<_> = joined["buckets"].as_array().unwrap().iter().map(|b| &b["candidates"]).collect();
    assert_eq!(candidates, [20, 30]);
}
