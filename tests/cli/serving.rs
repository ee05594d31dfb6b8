//! `replay` on an exported model.

use crate::world::{MODEL, TRAFFIC, World, failure, json, output, program, replayed};
use std::fs;

#[test]
fn several_engines_give_a_list_and_a_histogram_file_each() {
    let world = World::new();
    let files = ["--engine", "tract", "--engine", "null", "--out", "r.json", "--hlog", "r.hlog"];
    let (results, _) = replayed(world.path(), &[&["replay"], &MODEL[..], &TRAFFIC, &files].concat());
    assert_eq!(results, world.read_json("r.json"));
    for (result, engine) in results.as_array().unwrap().iter().zip(["tract", "null"]) {
        assert_eq!(result["engine"], engine);
        assert_eq!(result["requests"], 180, "in three passes");
        assert_eq!(result["load"]["max_candidates"], 8);
        assert!(world.file(&format!("r.{engine}.hlog")).is_file());
    }
    let service = |i: usize| results[i]["service_us"]["mean"].as_f64().unwrap();
    assert!(service(0) > service(1), "a network takes longer than nothing: {} {}", service(0), service(1));
}

#[test]
fn a_replay_writes_percentiles_and_a_picture_of_every_engine() {
    let world = World::new();
    let files = ["--engine", "tract", "--engine", "null", "--csv", "r.csv", "--plot", "r.html"];
    replayed(world.path(), &[&["replay"], &MODEL[..], &TRAFFIC, &files].concat());
    let (csv, page) =
        (fs::read_to_string(world.file("r.csv")).unwrap(), fs::read_to_string(world.file("r.html")).unwrap());
    for engine in ["tract", "null"] {
        for kind in ["response", "queueing", "service", "lag", "assembly"] {
            let of = |line: &&str| {
                line.contains(&format!("\"{engine}\"")) && line.ends_with(&format!("\"{kind}\""))
            };
            let last = csv.lines().rfind(of).unwrap_or_else(|| panic!("{engine} {kind}: {csv}"));
            assert!(last.contains(",1.000000000000,") && last.contains(",Infinity,"), "{last}");
        }
        // So few requests are never valid.
        let row = format!("<td>{engine} <span class=\"bad\">NOT VALID</span></td>");
        assert!(page.contains(&row) && page.contains(&format!(">\n{engine}, ")), "{page}");
    }
    let args = [&["replay"], &MODEL[..], &TRAFFIC, &["--plot", "r.png"]].concat();
    let said = failure(world.path(), 1, &args);
    assert!(said.contains("r.png") && said.contains(".svg or .html"), "{said}");
}

#[test]
fn one_engine_gives_one_object_with_the_agreed_fields() {
    let world = World::new();
    let (result, _) =
        replayed(world.path(), &[&["replay"], &MODEL[..], &TRAFFIC, &["--engine", "tract"]].concat());
    for key in
        ["engine", "provider", "valid", "reasons", "requests", "response_us", "service_us", "dispatch_lag_us"]
    {
        assert!(result.get(key).is_some(), "{key}");
    }
    assert!(result["response_us"].get("p50").is_some());
    assert!(result["response_us"].get("p99").is_none(), "60 requests do not earn it");
}

#[test]
fn engine_options_are_recorded_with_what_was_decided_and_others_are_refused() {
    let world = World::new();
    let options = |text: &'static [&'static str]| text.iter().flat_map(|option| ["--engine-option", option]);
    let run = |engines: &'static [&'static str], text| {
        let engines = engines.iter().flat_map(|engine| ["--engine", engine]);
        let more: Vec<&'static str> = engines.chain(options(text)).collect();
        [&["replay"], &MODEL[..], &TRAFFIC, &more].concat()
    };
    const CHOSEN: [&str; 5] =
        ["spinning=on", "arena=off", "io_binding=on", "graph_optimization=basic", "plan=bucketed"];
    let (results, _) = replayed(world.path(), &run(&["onnxruntime", "tract"], &CHOSEN));
    let settings = &results[0]["engine_settings"]["onnxruntime"];
    for option in &CHOSEN[..4] {
        let (key, value) = option.split_once('=').unwrap();
        assert_eq!(settings[key], value, "{settings}");
    }
    assert_eq!(settings["memory_pattern"], "on");
    let requests = &results[0]["requests"];
    for part in ["copy_in", "compute", "copy_out"] {
        assert_eq!(&results[0]["service_parts_us"][part]["count"], requests, "{part}");
    }
    assert_eq!(results[1]["engine_settings"], serde_json::json!({"tract": {"plan": "bucketed"}}));
    assert_eq!(results[1]["plan_choice"]["buckets"], serde_json::json!([8]));
    assert!(results[1].get("service_parts_us").is_none());
    for result in results.as_array().unwrap() {
        assert_eq!(result["denormals"], "kept");
    }

    let unknown = failure(world.path(), 2, &run(&["onnxruntime"], &["spining=on"]));
    assert!(unknown.contains("did you mean `spinning`?"), "{unknown}");
    let idle = failure(world.path(), 2, &run(&["tract"], &["arena=off"]));
    assert!(idle.contains("option of onnxruntime, which is not measured"), "{idle}");
}

#[test]
fn counts_that_differ_are_replayed_on_the_plan_that_was_found_faster() {
    let world = World::new();
    let counts = (0..60).map(|i| format!("{}.5,{}\n", i, 3 + i % 30)).collect::<String>();
    fs::write(world.file("a.csv"), format!("T,N\n{counts}")).unwrap();
    let recorded = ["--arrivals", "a.csv", "--time-column", "T", "--candidates-column", "N", "--closed"];
    let run = |plan: &str| {
        let engine = ["--engine", "tract", "--engine-option", plan];
        replayed(world.path(), &[&["replay"], &MODEL[..], &recorded, &engine].concat()).0
    };
    let auto = run("plan=auto");
    let plan = &auto["plan_choice"];
    let faster = plan["symbolic_us"].as_f64().unwrap() < plan["bucketed_us"].as_f64().unwrap();
    assert_eq!(plan["taken"], if faster { "symbolic" } else { "bucketed" });
    assert_eq!((&plan["asked"], &auto["engine_settings"]["tract"]["plan"]), (&"auto".into(), &"auto".into()));
    let bucketed = run("plan=bucketed");
    assert_eq!(bucketed["plan_choice"]["buckets"], serde_json::json!([16, 20, 24, 28, 32]));
    assert!(bucketed["plan_choice"]["padding"]["added_candidates_pct"].as_f64().unwrap() > 0.0, "{bucketed}");
    // Every plan was compared with the package before it was timed.
    assert!(bucketed["outputs"]["candidates"].as_u64().unwrap() >= 16);
    assert!(run("plan=symbolic").get("plan_choice").is_none());
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
    let hash = json(world.path(), &["trace", "show", "t.jsonl"])["encoder_hash"].as_str().unwrap().to_owned();
    fs::write(world.file("t.jsonl"), text.replace(&hash, "0123")).unwrap();
    let other = [&["replay"], &MODEL[..], &["--trace", "t.jsonl", "--engine", "null"]].concat();
    let message = failure(world.path(), 1, &other);
    assert!(message.contains("t.jsonl") && message.contains("trace make"), "{message}");
}

#[test]
fn an_engine_that_cannot_do_what_is_asked_is_wrong_usage_before_any_other_is_measured() {
    let world = World::new();
    for (options, expected) in [
        (&["--engine", "onnxruntime", "--engine", "tract", "--threads", "2"][..], "one thread"),
        (&["--engine", "tract", "--engine", "null", "--provider", "cuda"], "tract does not run on cuda"),
        (&["--engine", "null", "--threads", "2"], "the null engine"),
    ] {
        let args = [&["replay"], &MODEL[..], &TRAFFIC, options, &["--out", "r.json"]].concat();
        let message = failure(world.path(), 2, &args);
        assert!(message.contains(expected), "{message}");
        assert!(!world.file("r.json").exists());
    }
}

#[test]
fn the_results_of_the_engines_before_a_failing_one_are_kept() {
    let world = World::new();
    // The null engine does not read what the others cannot load.
    let model = fs::read(world.file("model/model.onnx")).unwrap();
    let at = model.windows(4).position(|bytes| bytes == b"Gemm" || bytes == b"MatM").unwrap();
    let mut broken = model.clone();
    broken[at..at + 4].copy_from_slice(b"Gone");
    fs::write(world.file("model/model.onnx"), broken).unwrap();
    let engines = ["--engine", "null", "--engine", "tract", "--out", "r.json"];
    failure(world.path(), 1, &[&["replay"], &MODEL[..], &TRAFFIC, &engines].concat());
    let kept = world.read_json("r.json");
    assert_eq!((kept.as_array().unwrap().len(), &kept[0]["engine"]), (1, &"null".into()));
}

#[test]
fn a_replay_says_for_how_many_candidates_its_sessions_were_made() {
    let world = World::new();
    let (result, _) =
        replayed(world.path(), &[&["replay"], &MODEL[..], &TRAFFIC, &["--engine", "tract"]].concat());
    assert_eq!(result["candidates_hint"], 8);
    assert_eq!(result["provenance"]["rows_hash"], world.data.rows_hash());
}

#[test]
fn a_replay_of_a_model_that_scores_otherwise_than_its_package_says_exits_with_3() {
    let world = World::new();
    let mut vectors = world.read_json("model/test_vectors.json");
    let replay = [&["replay"], &MODEL[..], &TRAFFIC, &["--engine", "tract", "--out", "r.json"]].concat();
    let (result, _) = replayed(world.path(), &replay);
    assert_eq!(result["outputs"]["candidates"], 8);
    fs::remove_file(world.file("r.json")).unwrap();
    vectors["scores"][1] = (vectors["scores"][1].as_f64().unwrap() + 1e-3).into();
    fs::write(world.file("model/test_vectors.json"), vectors.to_string()).unwrap();
    let message = failure(world.path(), 3, &replay);
    assert!(message.contains("candidate 1") && message.contains("test_vectors.json"), "{message}");
    assert!(!world.file("r.json").exists(), "nothing was timed");
}

#[test]
fn a_replay_that_may_not_be_believed_is_written_and_exits_with_4() {
    let world = World::new();
    fs::remove_file(world.file("model/test_vectors.json")).unwrap();
    let replay = [&["replay"], &MODEL[..], &TRAFFIC, &["--engine", "tract", "--out", "r.json"]].concat();
    let message = failure(world.path(), 4, &replay);
    assert!(message.contains("outputs not compared"), "{message}");
    let kept = world.read_json("r.json");
    assert_eq!((&kept["valid"], &kept["requests"]), (&false.into(), &180.into()));
}

/// Children are the program that was started, whatever has been put in its place meanwhile.
#[cfg(target_os = "linux")]
#[test]
fn a_program_that_was_replaced_while_it_runs_still_measures_as_itself() {
    use std::process::{Command, Stdio};
    let world = World::new();
    let copy = world.file("program");
    fs::copy(program(world.path()).get_program(), &copy).unwrap();
    let status = Command::new("mkfifo").arg(world.file("arrivals.csv")).status().unwrap();
    assert!(status.success());
    let options = [
        "--engine",
        "null",
        "--arrivals",
        "arrivals.csv",
        "--time-column",
        "T",
        "--candidates",
        "8",
        "--requests",
        "20",
        "--json",
    ];
    let child = Command::new(&copy)
        .args([&["replay"], &MODEL[..], &options].concat())
        .current_dir(world.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // The program waits for the arrivals, and finds another one in its place when they come.
    fs::remove_file(&copy).unwrap();
    fs::write(&copy, "#!/bin/sh\nexit 7\n").unwrap();
    let times: String = (0..20).map(|i| format!("{}\n", i as f64 / 1e3)).collect();
    fs::write(world.file("arrivals.csv"), format!("T\n{times}")).unwrap();
    let output = child.wait_with_output().unwrap();
    // 4 where the machine was too busy for a valid replay.
    assert!(matches!(output.status.code(), Some(0 | 4)), "{:?}", output.status);
    let result: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result["requests"], 60, "in three passes");
}
