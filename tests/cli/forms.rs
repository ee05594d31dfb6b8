//! Whole runs in other layouts and number formats.

use crate::{
    run::{EXPERIMENT, every_json_file_names_its_version, synth},
    world::{failure, json, output},
};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// A run of one round in `run`, whose target has `target` as well and whose losses may be `limits`: its summary, and the folder of
/// its winner.
fn run_in(here: &Path, target: &str, limits: &str) -> (Value, PathBuf) {
    synth(here);
    let experiment = EXPERIMENT.replace("[target]\n", &format!("[target]\n{target}\n"));
    fs::write(
        here.join("e.toml"),
        format!("{experiment}[finals]\nlayers = false\n[quantise.limits]\n{limits}"),
    )
    .unwrap();
    let summary = json(here, &["iterate", "--config", "e.toml", "--out", "run", "--rounds", "1"]);
    let package = here.join("run/networks").join(summary["winner"]["subnet"].as_str().unwrap());
    (summary, package)
}

fn read(package: &Path, name: &str) -> Value {
    serde_json::from_slice(&fs::read(package.join(name)).unwrap()).unwrap()
}

#[test]
fn a_run_in_integers_is_priced_proved_and_exported_in_them() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let limits = "max_auc_change = 0.2\nmin_overlap = 0.2\ntop_k = 50\n";
    let (_, package) = run_in(here, "precision = \"int8\"", limits);
    let parity = read(&package, "parity.json");
    assert_eq!(parity["gate"]["engines"].as_array().unwrap().len(), 2, "{parity}");
    let tolerance = parity["tolerance"].as_f64().unwrap();
    assert!((1e-5..=5e-3).contains(&tolerance), "{tolerance}");
    assert_eq!(read(&package, "quantisation.json")["layers"][0]["layer"], "layer1");
    assert_eq!(
        json(here, &["table", "show", "run/tables/v1.json"])["buckets"][0]["context"]["precision"],
        "int8"
    );
    every_json_file_names_its_version(&here.join("run"));

    let model = package.join("model.onnx");
    let make = [
        "trace",
        "make",
        "--model",
        model.to_str().unwrap(),
        "--data",
        "log/log.parquet",
        "--requests",
        "20",
    ];
    output(here, &[&make[..], &["--candidates", "30", "--qps", "100", "--out", "t.parquet"]].concat());
    let export = ["export", "--run", "run", "--precision", "int8"];
    let exported = json(
        here,
        &[&export[..], &["--trace", "t.parquet", "--calibration-rows", "500", "--out", "traced"]].concat(),
    );
    assert_eq!(
        (exported["precision"].as_str(), &exported["quantisation"]["rows"]),
        (Some("int8"), &500.into())
    );

    // A single row has no AUC to lose, and its ranges suit no other row.
    let strict = ["--calibration-rows", "1", "--max-auc-change", "0", "--min-overlap", "0", "--top-k", "190"];
    let text = failure(here, 3, &[&export[..], &strict, &["--out", "strict"]].concat());
    assert!(text.contains("ΔAUC") && text.contains("layer1 int8: logit error min-max"), "{text}");
    assert!(!here.join("strict/model.onnx").exists());
    let misplaced = failure(here, 2, &["export", "--run", "run", "--trace", "t.parquet", "--out", "floats"]);
    assert!(misplaced.contains("--precision int8"), "{misplaced}");
    let halves = json(here, &["export", "--run", "run", "--precision", "fp16", "--out", "halves"]);
    assert_eq!(halves["parity"]["tolerance"], 1e-5);
    assert_eq!(halves["parity"]["gate"]["engines"].as_array().unwrap().len(), 2, "{halves}");
    let misplaced = failure(here, 2, &["export", "--run", "run", "--top-k", "9", "--out", "floats"]);
    assert!(misplaced.contains("nothing of this export is rounded"), "{misplaced}");
}

#[test]
fn a_run_with_an_item_table_is_priced_proved_and_replayed_in_that_layout() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let limits = "max_auc_change = 0.05\nmin_overlap = 0.8\n";
    let (summary, package) = run_in(here, "layout = \"item-cached-f16\"", limits);
    for engine in ["tract", "onnxruntime"] {
        let measured = &summary["rounds"][0]["engines"][engine]["measured_ms"];
        assert!(measured.as_f64().unwrap() > 0.0, "{engine}");
        assert!(
            summary["winner"]["replays"][engine]["response_us"]["mean"].as_f64().unwrap() > 0.0,
            "{engine}"
        );
    }
    for table in ["v1", "v2"] {
        let shown = json(here, &["table", "show", &format!("run/tables/{table}.json")]);
        for bucket in shown["buckets"].as_array().unwrap() {
            assert_eq!(bucket["context"]["layout"], "item-cached-f16");
        }
    }
    assert!(package.join("item.onnx").is_file());
    assert_eq!(read(&package, "signature.json")["layout"], "item-cached-f16");
    let parity = read(&package, "parity.json");
    for engine in parity["engines"].as_array().unwrap() {
        assert_eq!(engine["item_table"]["rows"], "f16", "{engine}");
    }
    assert_eq!(parity["gate"]["engines"].as_array().unwrap().len(), 2, "{parity}");
}
