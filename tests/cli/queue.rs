//! `replay --simulate`, `replay --slo` and `forecast`, on an engine that spins for 2 ms.

use crate::world::{MODEL, World, failure, json, output, program};
use serde_json::Value;

const REPLAY: [&str; 15] = [
    "replay",
    "--model",
    "model/model.onnx",
    "--data",
    "log/log.parquet",
    "--candidates",
    "8",
    "--engine",
    "null",
    "--plant-busy-us",
    "2000",
    "--min-duration",
    "0",
    "--repeats",
    "1",
];

/// Succeeds, or exits with 4 where the machine is too busy for a result that may be believed, and with 3 where a search finds none.
fn replayed(world: &World, args: &[&str]) -> Value {
    let done = program(world.path()).args(REPLAY).args(args).arg("--json").output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(matches!(done.status.code(), Some(0 | 3 | 4)), "{said}");
    serde_json::from_slice(&done.stdout).unwrap_or_else(|_| panic!("{said}"))
}

#[test]
fn a_replay_forecasts_other_rates_and_its_result_does_so_later() {
    let world = World::new();
    let result = replayed(&world, &["--qps", "100", "--requests", "200", "--simulate", "--out", "r.json"]);
    let points = result["forecast"]["points"].as_array().unwrap();
    assert_eq!(
        (points.len(), points[10]["offered_qps"].as_f64()),
        (11, result["load"]["offered_qps"].as_f64())
    );
    let capacity = result["forecast"]["capacity_qps"].as_f64().unwrap();
    assert!(capacity < 500.0, "2 ms of work and more: {capacity}");
    let p50 = |point: &Value| point["response_us"]["p50"].as_u64().unwrap();
    assert!(p50(&points[0]) >= 2000 && p50(&points[8]) > p50(&points[0]));

    let ask = ["forecast", "r.json", "--requests", "20000", "--qps", "50", "--workers", "2"];
    let later = json(world.path(), &[&ask[..], &["--slo", "p50=60s", "--capacity-qps", "1500"]].concat());
    assert_eq!((&later["engine"], &later["workers"]), (&"null".into(), &2.into()));
    assert_eq!(later["points"][10]["offered_qps"], 50.0);
    // The engine was made to spin.
    assert!(later["reasons"].to_string().contains("on purpose"), "{}", later["reasons"]);
    assert!(later["capacity"]["simulated_cores"].as_u64().unwrap() >= 4, "{later}");
    assert_eq!(later["capacity"]["affordable"], serde_json::json!({"known": "at-least", "candidates": 8}));

    let beyond = ["forecast", "r.json", "--requests", "1000", "--qps", "5000"];
    let point = &json(world.path(), &beyond)["points"][10];
    assert!(point["load_pct"].as_f64() > Some(100.0) && point.get("response_us").is_none(), "{point}");
    let text = output(world.path(), &beyond);
    assert!(text.contains("no bound") && text.contains("\nwith care: 2000 µs"), "{text}");
}

#[test]
fn a_result_that_may_not_be_believed_says_so_in_its_forecast() {
    let world = World::new();
    let result = replayed(
        &world,
        &["--qps", "200", "--requests", "120", "--min-requests", "100000", "--out", "r.json"],
    );
    assert_eq!(result["valid"], false);
    let said = json(world.path(), &["forecast", "r.json", "--requests", "1000"])["reasons"].to_string();
    assert!(said.contains("the result is INVALID: only 120 requests"), "{said}");
}

#[test]
fn a_search_keeps_its_curve_in_the_result_and_in_the_file() {
    let world = World::new();
    let options = ["--requests", "460", "--slo", "p50=30ms", "--slo-precision", "40", "--out", "r.json"];
    let result = replayed(&world, &[&options[..], &["--capacity-qps", "900"]].concat());
    assert_eq!(world.read_json("r.json"), result);
    let curve = &result["slo"];
    assert_eq!(curve["objectives"], serde_json::json!([{"percentile": "p50", "limit_us": 30_000.0}]));
    assert!(!curve["points"].as_array().unwrap().is_empty());
    assert_ne!(curve["progress"], "partial");
    assert_eq!(result["capacity"]["offered_qps"], 900.0);

    let ask = ["forecast", "r.json", "--requests", "1000", "--slo", "p50=30ms", "--capacity-qps", "900"];
    let later = |more: &[&str]| json(world.path(), &[&ask[..], more].concat());
    let left_out = |later: &Value| later["reasons"].to_string().contains("the measured curve is left out");
    let same = later(&[]);
    assert_eq!(same["capacity"].get("measured_cores"), result["capacity"].get("measured_cores"));
    assert!(!left_out(&same), "{same}");
    let files = ["--model", "model/model.onnx", "--data", "log/log.parquet"];
    let other = ["--candidates", "8", "--requests", "100", "--qps", "5", "--out", "other.parquet"];
    output(world.path(), &[&["trace", "make"], &files[..], &other].concat());
    for more in [["--trace", "other.parquet"], ["--workers", "2"]] {
        let later = later(&more);
        assert!(left_out(&later) && later["capacity"].get("measured_cores").is_none(), "{later}");
    }
    let more = later(&["--slo", "p90=60ms"]);
    assert!(more["reasons"].to_string().contains("other objectives (p50=30ms)"), "{more}");
    assert!(more["capacity"].get("measured_cores").is_none(), "{more}");
}

#[test]
fn a_rate_that_nothing_holds_and_options_that_do_not_fit_are_said() {
    let world = World::new();
    // A tenth of the work, so that even the lowest rate is replayed in a moment.
    let quick = REPLAY.map(|arg| if arg == "2000" { "200" } else { arg });
    let impossible = [&quick[..], &["--requests", "100", "--slo", "p50=100us"]].concat();
    let said = failure(world.path(), 3, &impossible);
    assert!(said.contains("the objective p50=0.1ms is not met: even at"), "{said}");
    let unreadable = failure(world.path(), 2, &[&REPLAY[..], &["--slo", "p95=1ms"]].concat());
    assert!(unreadable.contains("p99=20ms"), "{unreadable}");
    failure(world.path(), 2, &[&REPLAY[..], &["--slo", "p50=1ms", "--qps", "5"]].concat());
    let missing = failure(world.path(), 1, &["forecast", "nowhere.json"]);
    assert!(missing.contains("nowhere.json"), "{missing}");
}

#[test]
fn what_the_affordable_candidates_keep_is_that_of_the_evaluation_of_the_same_model() {
    let world = World::new();
    replayed(&world, &["--qps", "100", "--requests", "200", "--out", "r.json"]);
    world.teach();
    let evaluate = |cuts: &str, out: &str| {
        let options = ["--engine", "tract", "--schema", "taught.toml", "--at", "3", "--scored", cuts];
        let found = json(world.path(), &[&["evaluate"], &MODEL[..], &options, &["--out", out]].concat());
        found["candidates_scored"]["recalls"][0]["points"].clone()
    };
    let points = evaluate("4,8,10", "e.json");
    evaluate("4,6", "narrow.json");
    let ask = ["forecast", "r.json", "--requests", "1000", "--slo", "p50=60s", "--capacity-qps", "50"];
    let with = |file: &'static str| [&ask[..], &["--recall", file]].concat();
    let found = json(world.path(), &with("e.json"));
    assert_eq!(found["model"], "model/model.onnx");
    // Every request of the replay had 8 candidates, and they hold.
    let recall = &found["capacity"]["recall"][0];
    assert_eq!((&recall["k"], &recall["recall"]), (&3.into(), &points[1]["recall"]));
    assert!(recall["recall"].as_f64() > Some(0.0));
    let narrow = &json(world.path(), &with("narrow.json"))["capacity"]["recall"][0];
    assert!(narrow.get("recall").is_none(), "{narrow}");
    assert!(narrow["not_known"].as_str().unwrap().contains("8 candidates lie outside of the 4 to 6"));
    let text = output(world.path(), &with("e.json"));
    assert!(text.contains("8 or more") && text.contains("standard error"), "{text}");
    assert!(output(world.path(), &with("narrow.json")).contains("not known of model/model.onnx at K = 3"));
    // Several results are a list.
    let twice = [&["forecast", "r.json"], &with("e.json")[1..]].concat();
    assert_eq!(json(world.path(), &twice).as_array().unwrap().len(), 2);

    let mut other = world.read_json("e.json");
    other["model_sha256"] = "ab".into();
    std::fs::write(world.file("other.json"), other.to_string()).unwrap();
    let said = failure(world.path(), 1, &with("other.json"));
    assert!(said.contains("other.json") && said.contains("was not replayed"), "{said}");
    failure(world.path(), 2, &["forecast", "r.json", "--recall", "e.json"]);
}
