//! `trace`, `replay` and `evaluate` on an exported model.

use crate::world::{World, failure, json, output};
use autofas_bench::learn::metrics::auc;
use std::fs;

const MODEL: [&str; 4] = ["--model", "model/model.onnx", "--data", "log/log.parquet"];
const TRAFFIC: [&str; 6] = ["--qps", "500", "--requests", "60", "--candidates", "8"];

#[test]
fn several_engines_give_a_list_and_a_histogram_file_each() {
    let world = World::new();
    let files = ["--engine", "tract", "--engine", "null", "--out", "r.json", "--hlog", "r.hlog"];
    let results = json(world.path(), &[&["replay"], &MODEL[..], &TRAFFIC, &files].concat());
    assert_eq!(results, world.read_json("r.json"));
    for (result, engine) in results.as_array().unwrap().iter().zip(["tract", "null"]) {
        assert_eq!(result["engine"], engine);
        assert_eq!(result["requests"], 60);
        assert_eq!(result["load"]["max_candidates"], 8);
        assert!(world.file(&format!("r.{engine}.hlog")).is_file());
    }
    let service = |i: usize| results[i]["service_us"]["mean"].as_f64().unwrap();
    assert!(service(0) > service(1), "a network takes longer than nothing: {} {}", service(0), service(1));
}

#[test]
fn one_engine_gives_one_object_with_the_agreed_fields() {
    let world = World::new();
    let result = json(world.path(), &[&["replay"], &MODEL[..], &TRAFFIC, &["--engine", "tract"]].concat());
    for key in
        ["engine", "provider", "valid", "reasons", "requests", "response_us", "service_us", "dispatch_lag_us"]
    {
        assert!(result.get(key).is_some(), "{key}");
    }
    assert!(result["response_us"].get("p50").is_some());
    assert!(result["response_us"].get("p99").is_none(), "60 requests do not earn it");
}

#[test]
fn a_trace_repeats_by_seed_and_replays_as_it_is() {
    let world = World::new();
    let make = |out: &str, seed: &str| {
        let args = [&["trace", "make"], &MODEL[..], &TRAFFIC, &["--seed", seed, "--out", out]].concat();
        let summary = json(world.path(), &args);
        assert_eq!(
            (summary["requests"].as_u64(), summary["mean_candidates"].as_f64()),
            (Some(60), Some(8.0))
        );
        fs::read(world.file(out)).unwrap()
    };
    assert_eq!(make("a.jsonl", "3"), make("b.jsonl", "3"));
    assert_ne!(make("c.jsonl", "4"), make("a.jsonl", "3"));
    assert_eq!(json(world.path(), &["trace", "show", "a.jsonl"])["requests"], 60);
    let replay = [&["replay"], &MODEL[..], &["--trace", "a.jsonl", "--engine", "null", "--closed"]].concat();
    let result = json(world.path(), &replay);
    assert_eq!((&result["loop"], &result["requests"]), (&"closed".into(), &60.into()));
}

#[test]
fn recorded_arrivals_keep_their_candidate_counts_and_are_stretched_to_the_rate() {
    let world = World::new();
    fs::write(world.file("a.csv"), "T,N\n10.0,3\n10.5,5\n14.0,7\n").unwrap();
    let recorded = [
        "--arrivals",
        "a.csv",
        "--time-column",
        "T",
        "--candidates-column",
        "N",
        "--qps",
        "1",
        "--out",
        "t.parquet",
    ];
    output(world.path(), &[&["trace", "make"], &MODEL[..], &recorded].concat());
    let shown = output(world.path(), &["trace", "show", "t.parquet"]);
    let shown = shown.lines().filter(|line| !line.starts_with("data ")).collect::<Vec<_>>().join("\n");
    insta::assert_snapshot!(shown);
}

#[test]
fn a_replay_without_arrivals_or_against_other_data_is_refused() {
    let world = World::new();
    let message = failure(world.path(), 2, &[&["replay"], &MODEL[..], &["--engine", "null"]].concat());
    assert!(message.contains("--arrivals") && message.contains("--qps"), "{message}");
    let both = [&["replay"], &MODEL[..], &["--qps", "5", "--speed", "2"]].concat();
    failure(world.path(), 2, &both);
    let alone = ["replay", "--model", "log/log.parquet", "--data", "log/log.parquet", "--qps", "5"];
    assert!(failure(world.path(), 2, &alone).contains("--schema"));

    let make = [&["trace", "make"], &MODEL[..], &TRAFFIC, &["--out", "t.jsonl"]].concat();
    output(world.path(), &make);
    let text = fs::read_to_string(world.file("t.jsonl")).unwrap();
    let hash = json(world.path(), &["trace", "show", "t.jsonl"])["data_hash"].as_str().unwrap().to_owned();
    fs::write(world.file("t.jsonl"), text.replace(&hash, "0123")).unwrap();
    let other = [&["replay"], &MODEL[..], &["--trace", "t.jsonl", "--engine", "null"]].concat();
    let message = failure(world.path(), 1, &other);
    assert!(message.contains("t.jsonl") && message.contains("trace make"), "{message}");
}

#[test]
fn evaluate_gives_the_reference_networks_auc_on_either_engine() {
    let world = World::new();
    let rows: Vec<u32> = (0..world.data.rows() as u32).collect();
    let expected = auc(&world.network.score(&world.data, &rows).unwrap(), &world.data.labels).unwrap();
    for engine in ["tract", "onnxruntime"] {
        let found = json(world.path(), &[&["evaluate"], &MODEL[..], &["--engine", engine]].concat());
        assert_eq!((&found["rows"], &found["engine"]), (&600.into(), &engine.into()));
        assert!((found["auc"].as_f64().unwrap() - expected).abs() < 1e-3, "{found} {expected}");
    }
}

#[test]
fn evaluate_with_an_experiment_takes_its_validation_rows() {
    let world = World::new();
    let text = "[data]\nschema = \"log/schema.toml\"\n[split]\nby = \"shuffle\"\nvalid_fraction = 0.25";
    fs::write(world.file("e.toml"), text).unwrap();
    let args = [&["evaluate"], &MODEL[..], &["--engine", "tract", "--config", "e.toml"]].concat();
    assert_eq!(json(world.path(), &args)["rows"], 150);
}
