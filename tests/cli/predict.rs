//! `table predict`: what a run predicted, and more than that, without a measurement.

use crate::{
    run::synth,
    world::{World, failure, json, output, paid_ms, replayed},
};
use autofas_bench::app::predict::TablePrediction;
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
};

#[test]
fn the_help_shows_every_option() {
    insta::assert_snapshot!(output(Path::new("."), &["table", "predict", "--help"]));
}

const UPDATE: &str = "AUTOFAS_UPDATE_SCHEMAS=1 cargo test --release --test cli the_schema_in_docs";

fn schema_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schemas/table-predict.schema.json")
}

#[test]
fn the_schema_in_docs_of_predictions_is_that_of_the_types() {
    let schema = serde_json::to_string_pretty(&schemars::schema_for!(TablePrediction)).unwrap() + "\n";
    if std::env::var_os("AUTOFAS_UPDATE_SCHEMAS").is_some() {
        fs::write(schema_path(), &schema).unwrap();
    }
    let kept = fs::read_to_string(schema_path()).unwrap_or_default();
    assert!(kept == schema, "docs/schemas/table-predict.schema.json is out of date: {UPDATE}");
}

/// A store with prices, and a run of one round that pays them, on one engine.
fn run(here: &Path) -> Value {
    synth(here);
    output(here, &["data", "encode", "--config", "e.toml", "--out", "encoded"]);
    let encoded = ["--schema", "log/schema.toml", "--encoders", "encoded/encoders.json", "--data", "encoded"];
    output(here, &[&["store", "load", "--out", "store"], &encoded[..]].concat());
    let little = ["--candidates", "20,50", "--workers", "1", "--passes", "2", "--block", "2"];
    let price = ["store", "price", "--store", "embedded:store", "--out", "fetch.json"];
    output(here, &[&price[..], &little, &encoded].concat());
    let settings = [
        "target.engines=[\"tract\"]",
        "target.engine=tract",
        "target.fetch_prices=fetch.json",
        "rounds.count=1",
        "rounds.diverse=0",
        "rounds.held_out=0",
    ];
    let settings: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
    json(here, &[&["iterate", "--config", "e.toml", "--out", "run"], &settings[..]].concat())
}

#[test]
fn what_a_run_predicted_is_predicted_again_and_with_a_replay_percentiles_are_too() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let summary = run(here);
    let round = &summary["rounds"][0];
    let of_run = ["table", "predict", "--table", "run/tables/v1.json", "--run", "run"];
    let ask = [&of_run[..], &["--candidates", "50", "--fetch-prices", "fetch.json"]].concat();
    let found = json(here, &ask);
    let schema: Value = serde_json::from_slice(&fs::read(schema_path()).unwrap()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    assert!(validator.is_valid(&found), "{found}");
    assert_eq!((&found["network"], &found["features"]), (&round["subnet"], &round["features"]));
    assert_eq!((&found["layers"], &found["workers"]), (&round["layers"], &1.into()));
    let prediction = &found["predictions"][0];
    assert_eq!((&prediction["context"]["engine"], &prediction["shape"]), (&"tract".into(), &"unseen".into()));
    assert_eq!(prediction["service_ms"], round["engines"]["tract"]["predicted_ms"]);
    let prices: Value = serde_json::from_slice(&fs::read(here.join("fetch.json")).unwrap()).unwrap();
    let (bucket, number) = (&prices["buckets"][1], |value: &Value| value.as_f64().unwrap());
    let chosen: Vec<&str> =
        found["features"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    let [near, far] = [bucket, &bucket["displaced"]].map(|of| paid_ms(&of["groups"], &chosen));
    // The search did not know its network yet.
    assert!((number(&round["feature_ms"]) / far - 1.0).abs() < 1e-9, "{far} ms, and {round}");
    let share = 1.0 - (-number(&prediction["service_ms"]) / number(&bucket["displaced"]["within_ms"])).exp();
    let expected = near + share * (far - near);
    assert!(
        (number(&prediction["fetch_ms"]) / expected - 1.0).abs() < 1e-9,
        "{expected} ms, and {prediction}"
    );
    let sum = prediction["service_ms"].as_f64().unwrap() + prediction["fetch_ms"].as_f64().unwrap();
    assert!((prediction["response_ms"].as_f64().unwrap() / sum - 1.0).abs() < 1e-12, "{prediction}");

    // What the run itself expects over its trace, of the table that its rounds ended with.
    let over = ["--table", "run/tables/v2.json", "--run", "run", "--trace", "run/replay/trace.parquet"];
    let over = json(here, &[&["table", "predict"], &over[..]].concat());
    let replay = &summary["winner"]["replays"]["tract"];
    assert_eq!(over["predictions"][0]["service_ms"], replay["expected_service_ms"]);
    assert!(over["predictions"][0].get("candidates").is_none(), "{over}");

    // Of the model alone, and of the plain DNN as how work scatters.
    let model = format!("run/{}", round["onnx"].as_str().unwrap());
    let plain = format!("run/{}", summary["baseline"]["onnx"].as_str().unwrap());
    let traffic = ["--qps", "100", "--requests", "200", "--candidates", "50", "--engine", "tract"];
    let replay =
        ["replay", "--model", &plain, "--data", "log/log.parquet", "--min-duration", "0", "--repeats", "1"];
    replayed(here, &[&replay[..], &traffic, &["--out", "r.json"]].concat());
    let alone =
        ["--model", &model, "--engine", "tract", "--table", "run/tables/v1.json", "--candidates", "50"];
    let ask = [&["table", "predict"], &alone[..]].concat();
    let loaded = [&ask[..], &["--reference", "r.json", "--qps", "200"]].concat();
    let found = json(here, &loaded);
    assert!(validator.is_valid(&found), "{found}");
    let alone = &found["predictions"][0];
    assert_eq!(
        (&alone["service_ms"], &alone["response_ms"]),
        (&prediction["service_ms"], &prediction["service_ms"])
    );
    let load = &alone["load"];
    let capacity = 1e3 / alone["response_ms"].as_f64().unwrap();
    assert!((load["capacity_qps"].as_f64().unwrap() / capacity - 1.0).abs() < 1e-4, "{load}");
    assert_eq!((load["offered_qps"].as_f64(), load["arrivals"].as_str()), (Some(200.0), Some("Poisson")));
    let response = |percentile: &str| load["response_us"][percentile].as_u64().unwrap();
    assert!(response("p99") >= response("p50"), "{load}");
    let text = output(here, &loaded);
    for expected in ["service ms", "p99 ms", "200 per second to 1 workers", "no cost", plain.as_str()] {
        assert!(text.contains(expected), "{expected}: {text}");
    }

    let mut elsewhere: Value = serde_json::from_slice(&fs::read(here.join("fetch.json")).unwrap()).unwrap();
    elsewhere["host"] = "elsewhere".into();
    fs::write(here.join("elsewhere.json"), elsewhere.to_string()).unwrap();
    let priced = ["--candidates", "50", "--fetch-prices", "elsewhere.json"];
    let refused = failure(here, 1, &[&of_run[..], &priced].concat());
    assert!(refused.contains("elsewhere.json, `host`") && refused.contains("store price"), "{refused}");

    let gone = failure(here, 1, &[&of_run[..], &["--candidates", "999"]].concat());
    assert!(gone.contains("table probe") && gone.contains("--candidates 999"), "{gone}");
    let other = failure(here, 1, &[&ask[..], &["--engine", "onnxruntime"]].concat());
    assert!(other.contains("--engine onnxruntime"), "{other}");
    let unknown = failure(here, 2, &[&of_run[..], &["--candidates", "50", "--candidate", "f1"]].concat());
    assert!(unknown.contains("no network `f1`"), "{unknown}");
    for wrong in [&["--candidates", "50", "--qps", "5"][..], &[], &["--candidates", "0"]] {
        failure(here, 2, &[&of_run[..], wrong].concat());
    }
}

#[test]
fn a_model_whose_metadata_do_not_tell_its_layers_is_refused() {
    let world = World::new();
    fs::write(
        world.file("t.json"),
        r#"{"schema_version": 3, "version": 1, "parents": [], "created_from": "nothing", "buckets": []}"#,
    )
    .unwrap();
    let ask = ["table", "predict", "--table", "t.json", "--model", "model/model.onnx", "--candidates", "5"];
    let refused = failure(world.path(), 1, &ask);
    assert!(refused.contains("`by-hand`") && refused.contains("autofas-bench export"), "{refused}");
}
