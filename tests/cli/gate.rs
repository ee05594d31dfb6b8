//! `replay` against an older result, its repeats, and the schema of what it writes.

use crate::world::{World, failure, program, replayed};
use autofas_bench::measure::measurement::Measurement;
use schemars::JsonSchema;
use serde_json::{Value, json};
use std::{fs, path::Path};

const REPLAY: [&str; 13] = [
    "replay",
    "--model",
    "model/model.onnx",
    "--data",
    "log/log.parquet",
    "--qps",
    "400",
    "--requests",
    "500",
    "--candidates",
    "8",
    "--min-duration",
    "1",
];

/// A result of tract in `old.json`, marked as valid whatever the machine was doing, and changed by `change`.
fn baseline(world: &World, change: impl Fn(&mut Value)) {
    let (mut result, _) = replayed(world.path(), &[&REPLAY[..], &["--engine", "tract"]].concat());
    result["valid"] = true.into();
    change(&mut result);
    fs::write(world.file("old.json"), result.to_string()).unwrap();
}

/// Multiplies the mean and median of the service times of every pass.
fn scale(result: &mut Value, factor: f64) {
    for pass in result["passes"].as_array_mut().unwrap() {
        let service = &mut pass["service_us"];
        service["mean"] = json!(service["mean"].as_f64().unwrap() * factor);
        service["p50"] = json!((service["p50"].as_f64().unwrap() * factor).max(1.0) as u64);
    }
}

const AGAINST: [&str; 6] = ["--engine", "tract", "--baseline", "old.json", "--out", "new.json"];

#[test]
fn a_result_that_is_slower_than_its_baseline_is_written_and_exits_with_3() {
    let world = World::new();
    // A thousand times faster than any machine will be, so that no noise decides.
    baseline(&world, |result| scale(result, 1e-3));
    let said = failure(world.path(), 3, &[&REPLAY[..], &AGAINST].concat());
    let result = world.read_json("new.json");
    let comparison = &result["comparison"];
    assert_eq!((&comparison["verdict"], &comparison["baseline"]), (&"slower".into(), &"old.json".into()));
    assert!(
        said.contains("error: the speed of the baseline is not met: tract is slower than old.json"),
        "{said}"
    );
    assert_eq!(said.contains("and a result is INVALID: tract:"), result["valid"] == false);
    assert_eq!(result["gate"], "regressed");
    let changes = comparison["changes"].as_array().unwrap();
    let slower = changes.iter().filter(|change| change["verdict"] == "slower");
    assert!(slower.clone().any(|change| change["figure"] == "service mean"), "{changes:?}");
    assert!(slower.clone().all(|change| change["lower_pct"].as_f64().unwrap() > 5.0));
}

#[test]
fn a_regression_is_named_beside_the_reasons_of_an_invalid_result() {
    let world = World::new();
    baseline(&world, |result| scale(result, 1e-3));
    let said = failure(world.path(), 3, &[&REPLAY[..], &AGAINST, &["--min-requests", "9999"]].concat());
    let slower = said.find("error: the speed of the baseline is not met: tract is slower").expect(&said);
    let invalid = said.find("and a result is INVALID: tract: only 500 requests of the trace").expect(&said);
    assert!(slower < invalid, "{said}");
}

#[test]
fn a_figure_that_a_pass_has_too_few_requests_for_is_named() {
    let world = World::new();
    let short = [&REPLAY[..7], &["--requests", "200", "--candidates", "8", "--min-requests", "7"]].concat();
    let short = [&short[..], &["--min-duration", "1"]].concat();
    let (mut result, _) = replayed(world.path(), &[&short[..], &["--engine", "tract"]].concat());
    result["valid"] = true.into();
    scale(&mut result, 1e3);
    fs::write(world.file("old.json"), result.to_string()).unwrap();
    let args = [&short[..], &AGAINST].concat();
    let done = program(world.path()).args(args).output().unwrap();
    let text = String::from_utf8(done.stdout).unwrap();
    assert!(text.contains("left out: response p99; a pass has too few requests"), "{text}");
    assert_eq!(world.read_json("new.json")["comparison"]["left_out"], json!(["response p99"]));
}

#[test]
fn a_result_that_is_faster_than_its_baseline_passes() {
    let world = World::new();
    baseline(&world, |result| scale(result, 1e3));
    let (result, _) = replayed(world.path(), &[&REPLAY[..], &AGAINST].concat());
    // Slower it is not; whether the machine was quiet is not this test's.
    match result["valid"].as_bool().unwrap() {
        true => assert!(result["gate"] == "passed" || result["gate"] == "undecided", "{}", result["gate"]),
        false => assert_eq!(result["gate"], "invalid"),
    }
    let changes = result["comparison"]["changes"].as_array().unwrap();
    assert!(changes.iter().filter(|c| c["figure"].as_str().unwrap().starts_with("service")).count() == 2);
    for change in changes.iter().filter(|c| c["figure"].as_str().unwrap().starts_with("service")) {
        assert!(change["verdict"] == "not_slower" && change["upper_pct"].as_f64().unwrap() < 0.0, "{change}");
    }
}

#[test]
fn a_baseline_of_something_else_is_refused_before_anything_is_measured() {
    let world = World::new();
    baseline(&world, |_| {});
    for (options, named) in [
        (&["--seed", "2"][..], "another trace"),
        (&["--warmup", "3"], "another warm-up"),
        (&["--max-queue", "9"], "another limit of the queue"),
    ] {
        let said = failure(world.path(), 1, &[&REPLAY[..], &AGAINST, options].concat());
        assert!(said.contains(named) && said.contains("old.json"), "{said}");
        assert!(!said.contains("pass 1 of"), "{said}");
    }
    let other = [&REPLAY[..], &["--engine", "null", "--baseline", "old.json"]].concat();
    assert!(failure(world.path(), 1, &other).contains("no result of null"));
    let few = [&REPLAY[..], &AGAINST, &["--repeats", "2"]].concat();
    assert!(failure(world.path(), 2, &few).contains("at least 3"));
    assert!(!world.file("new.json").exists());
}

#[test]
fn passes_are_repeated_and_their_spread_and_bounds_are_in_result_and_text() {
    let world = World::new();
    let (result, said) =
        replayed(world.path(), &[&REPLAY[..], &["--engine", "tract", "--repeats", "2"]].concat());
    assert!(said.contains("pass 2 of 2"), "{said}");
    assert_eq!((&result["requests"], &result["plan"]["repeats"]), (&1000.into(), &2.into()));
    let passes = result["passes"].as_array().unwrap();
    assert!(passes.len() == 2 && passes.iter().all(|pass| pass["requests"] == 500));
    let p99 = result["response_us"]["p99"].as_u64().unwrap();
    let bounds: Vec<u64> = serde_json::from_value(result["response_us"]["bounds"]["p99"].clone()).unwrap();
    assert!(bounds[0] <= p99 && p99 <= bounds[1], "{bounds:?} {p99}");
    assert!(result["spread"]["service_p50_pct"].is_number());
    assert_eq!(result["interrupted"], false);
    assert_eq!(result["environment"]["crates"]["tract-onnx"], result["engine_version"]);
    assert_eq!(result["provenance"]["model_sha256"].as_str().unwrap().len(), 64);

    let args = [&REPLAY[..], &["--engine", "null", "--repeats", "1"]].concat();
    let text = String::from_utf8(program(world.path()).args(args).output().unwrap().stdout).unwrap();
    assert!(text.contains("at most") && text.contains("1 pass, which has no spread"), "{text}");
    assert!(
        text.lines().any(|line| line.starts_with("null: VALID") || line.starts_with("null: INVALID")),
        "{text}"
    );
}

#[test]
fn a_result_of_too_few_requests_or_seconds_is_invalid_with_the_reasons() {
    let world = World::new();
    let options = ["--engine", "null", "--min-requests", "5000", "--min-duration", "60"];
    let said = failure(world.path(), 4, &[&REPLAY[..11], &options].concat());
    assert!(said.contains("not 5000") && said.contains("not 60 s"), "{said}");
}

#[test]
fn all_at_once_and_a_full_queue_are_said() {
    let world = World::new();
    let (result, _) = replayed(
        world.path(),
        &[&REPLAY[..5], &["--requests", "100", "--candidates", "8", "--engine", "tract", "--offline"]]
            .concat(),
    );
    assert_eq!((&result["loop"], &result["requests"]), (&"offline".into(), &300.into()));
    assert!(result["load"].get("offered_qps").is_none());
    // A millisecond of work at 400 per second with no place to wait.
    let full = ["--engine", "null", "--max-queue", "0", "--plant-busy-us", "5000", "--out", "full.json"];
    let said = failure(world.path(), 4, &[&REPLAY[..], &full].concat());
    let result = world.read_json("full.json");
    assert!(result["rejected"].as_u64().unwrap() > 0 && said.contains("found the queue full"), "{said}");
    assert_eq!(result["planted"]["busy_us"], 5000.0);
}

#[test]
fn a_library_that_is_not_there_no_workers_and_limits_that_are_none_are_clear_errors() {
    let world = World::new();
    let mut without = program(world.path());
    without
        .env("ORT_DYLIB_PATH", world.file("gone.so"))
        .args([&REPLAY[..], &["--engine", "onnxruntime"]].concat());
    let said = String::from_utf8(without.output().unwrap().stderr).unwrap();
    assert!(said.contains("gone.so") && said.contains("ORT_DYLIB_PATH"), "{said}");
    for (options, expected) in [
        (&["--workers", "0"][..], "at least 1 worker"),
        (&["--repeats", "0"], "at least 1"),
        (&["--min-duration=-1"], "--min-duration"),
        (&["--baseline", "r.json", "--max-regression", "nan"], "--max-regression"),
        (&["--max-regression", "3"], "--baseline"),
        (&["--closed", "--max-queue", "3"], "--max-queue"),
    ] {
        let args = [&REPLAY[..5], &["--requests", "10", "--engine", "null"], options].concat();
        let said = failure(world.path(), 2, &args);
        assert!(said.contains(expected), "{options:?}: {said}");
    }
    let gone = [&REPLAY[..], &["--baseline", "gone.json"]].concat();
    assert!(failure(world.path(), 1, &gone).contains("gone.json"));
}

#[test]
fn a_model_whose_inputs_do_not_fit_the_trace_is_a_clear_error() {
    let world = World::new();
    // Another log has other values, so other encoders.
    let mut encoders = world.read_json("model/encoders.json");
    fn shorten(json: &mut Value) -> bool {
        match json {
            Value::Array(items) if items.len() > 2 && items[0].is_string() => items.pop().is_some(),
            Value::Array(items) => items.iter_mut().any(shorten),
            Value::Object(fields) => fields.values_mut().any(shorten),
            _ => false,
        }
    }
    assert!(shorten(&mut encoders), "there is a vocabulary");
    fs::write(world.file("other.json"), encoders.to_string()).unwrap();
    let args = [&REPLAY[..], &["--engine", "tract", "--encoders", "other.json"]].concat();
    let said = failure(world.path(), 1, &args);
    assert!(said.contains("model.onnx") && said.contains("other encoders"), "{said}");
}

/// What `replay --out` and `replay --json` give.
#[derive(JsonSchema)]
#[schemars(untagged, title = "Results of autofas-bench replay")]
#[allow(dead_code, reason = "only its schema is asked for")]
enum Results {
    /// Of one engine.
    One(Box<Measurement>),
    /// Of several.
    Several(Vec<Measurement>),
}

const UPDATE: &str = "AUTOFAS_UPDATE_SCHEMAS=1 cargo test --release --test cli the_schema_in_docs";

fn schema_path() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schemas/replay.schema.json")
}

#[test]
fn the_schema_in_docs_is_that_of_the_types() {
    let schema = serde_json::to_string_pretty(&schemars::schema_for!(Results)).unwrap() + "\n";
    if std::env::var_os("AUTOFAS_UPDATE_SCHEMAS").is_some() {
        fs::create_dir_all(schema_path().parent().unwrap()).unwrap();
        fs::write(schema_path(), &schema).unwrap();
    }
    let kept = fs::read_to_string(schema_path()).unwrap_or_default();
    assert!(kept == schema, "docs/schemas/replay.schema.json is out of date: {UPDATE}");
}

#[test]
fn what_replay_writes_validates_against_the_schema_and_less_does_not() {
    let schema: Value = serde_json::from_str(&fs::read_to_string(schema_path()).unwrap()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let world = World::new();
    baseline(&world, |_| {});
    let (mut result, _) = replayed(world.path(), &[&REPLAY[..], &AGAINST].concat());
    let found: Vec<String> = validator.iter_errors(&result).map(|error| error.to_string()).collect();
    assert_eq!(found, Vec::<String>::new());
    assert!(validator.is_valid(&json!([result, result])));
    result["response_us"]["count"] = "many".into();
    assert!(!validator.is_valid(&result));
    assert!(!validator.is_valid(&json!([{"engine": "tract"}])));
}
