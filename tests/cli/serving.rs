//! `trace`, `replay` and `evaluate` on an exported model.

use crate::world::{World, failure, json, output, program, replayed};
use autofas_bench::learn::metrics::{TopLists, auc};
use std::fs;

const MODEL: [&str; 4] = ["--model", "model/model.onnx", "--data", "log/log.parquet"];
const TRAFFIC: [&str; 6] = ["--qps", "500", "--requests", "60", "--candidates", "8"];

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
        assert!(
            page.contains(&format!("<td>{engine}<td>")) && page.contains(&format!(">\n{engine}, ")),
            "{page}"
        );
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
    let (result, _) = replayed(world.path(), &replay);
    assert_eq!((&result["loop"], &result["requests"]), (&"closed".into(), &180.into()));
}

#[test]
fn recorded_arrivals_begin_again_with_their_candidate_counts_and_are_stretched_to_the_rate() {
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
        "--requests",
        "12",
        "--out",
        "t.parquet",
    ];
    output(world.path(), &[&["trace", "make"], &MODEL[..], &recorded].concat());
    let shown = output(world.path(), &["trace", "show", "t.parquet"]);
    let shown = shown
        .lines()
        .filter(|line| !line.starts_with("encoders ") && !line.starts_with("rows "))
        .collect::<Vec<_>>()
        .join("\n");
    insta::assert_snapshot!(shown);
}

#[test]
fn a_trace_is_made_with_any_arrivals_and_candidate_counts() {
    let world = World::new();
    fs::write(world.file("a.csv"), "T\n0\n1\n5\n").unwrap();
    fs::write(world.file("q.csv"), "quantile,count\n0,2\n1,20\n").unwrap();
    let made = |options: &str, out: &str| {
        let options: Vec<_> = options.split(' ').collect();
        json(world.path(), &[&["trace", "make"], &MODEL[..], &options, &["--out", out]].concat())
    };
    let bursty = "--qps 500 --process bursty --on-ms 20 --off-ms 60 --requests 4000 \
                  --candidates-log-normal median=8,sigma=0.5,min=4,max=16";
    let summary = made(bursty, "t.parquet");
    assert_eq!(summary, made(bursty, "t.jsonl"), "the format makes no difference");
    // √(1 + 2 · 500 · 0.06² / 0.08).
    let variation = summary["gap_variation"].as_f64().unwrap();
    assert!((variation - 6.78).abs() < 1.0, "{variation}");
    assert!(summary["peak_over_mean"].as_f64().unwrap() > 1.5, "{summary}");
    assert_eq!(summary["rate"]["qps"].as_array().unwrap().len(), 20);
    let spread = &summary["candidates"];
    assert_eq!((&spread["p50"], &spread["max"]), (&8.into(), &16.into()));
    assert_eq!(summary["seed"], 1);
    assert!(summary["arrivals"].as_str().unwrap().contains("2000 per second for 20 ms"), "{summary}");
    assert!(summary["notes"][0].as_str().unwrap().contains("log-normal: median 8"), "{summary}");

    let constant =
        made("--qps 100 --process constant --candidates-quantiles q.csv --requests 500", "c.jsonl");
    assert_eq!((&constant["gap_us"]["p10"], &constant["gap_us"]["max"]), (&10_000.into(), &10_000.into()));
    assert!((constant["mean_candidates"].as_f64().unwrap() - 11.0).abs() < 1.0, "{constant}");
    assert!(constant["notes"][0].as_str().unwrap().contains("q.csv"), "{constant}");

    let faster = made("--arrivals a.csv --time-column T --speed 2 --requests 4 --candidates 3", "f.jsonl");
    // 0, 1, 5 and again 2.5 s after the last, halved.
    assert_eq!((&faster["duration_ms"], &faster["max_candidates"]), (&3750.0.into(), &3.into()));
}

#[test]
fn traffic_that_contradicts_itself_is_wrong_usage() {
    let world = World::new();
    for (options, expected) in [
        (
            "--qps 5 --candidates 3 --candidates-log-normal median=8,sigma=1,min=1,max=9",
            "cannot be used with",
        ),
        ("--qps 5 --candidates-log-normal median=8", "sigma"),
        ("--qps 5 --on-ms 4", "--process bursty"),
        ("--speed 2", "--arrivals"),
        ("--qps 5 --process sometimes", "bursty"),
        ("--qps 5 --candidates 0", "at least one candidate"),
        ("--qps 5 --process bursty --on-ms 0", "of a burst"),
    ] {
        let options: Vec<_> = options.split(' ').collect();
        let make = [&["trace", "make"], &MODEL[..], &options, &["--out", "t.jsonl"]].concat();
        let message = failure(world.path(), 2, &make);
        assert!(message.contains(expected) && !world.file("t.jsonl").exists(), "{message}");
    }
    // A trace says all of it, and bursts that are stretched are not those that were described.
    for (options, expected) in [
        ("--trace t.jsonl --arrivals a.csv", "cannot be used with"),
        ("--trace t.jsonl --requests 5", "cannot be used with"),
        ("--trace t.jsonl --candidates 5", "cannot be used with"),
        ("--trace t.jsonl --process bursty", "cannot be used with"),
        ("--slo p99=20ms --process bursty", "trace make --process bursty"),
        ("--closed --process bursty", "trace make --process bursty"),
    ] {
        let options: Vec<_> = options.split(' ').collect();
        let replay = [&["replay"], &MODEL[..], &["--engine", "null"], &options].concat();
        let message = failure(world.path(), 2, &replay);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn a_trace_that_is_cut_short_is_named_by_show_and_replay() {
    let world = World::new();
    output(world.path(), &[&["trace", "make"], &MODEL[..], &TRAFFIC, &["--out", "t.jsonl"]].concat());
    let text = fs::read_to_string(world.file("t.jsonl")).unwrap();
    fs::write(world.file("t.jsonl"), &text[..text.len() - 30]).unwrap();
    let replay = [&["replay"], &MODEL[..], &["--trace", "t.jsonl", "--engine", "null"]].concat();
    for args in [&["trace", "show", "t.jsonl"][..], &replay] {
        let message = failure(world.path(), 1, args);
        assert!(message.contains("t.jsonl, row 61: not a request"), "{message}");
        assert!(message.contains("trace make"), "{message}");
    }
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
fn evaluate_compares_the_top_of_every_request_with_the_teachers() {
    let world = World::new();
    let without = json(world.path(), &[&["evaluate"], &MODEL[..], &["--engine", "tract"]].concat());
    assert!(without.get("recall_at").is_none() && without.get("overlap_at").is_none(), "{without}");

    // Purchases stand in for a teacher's scores. Of ten candidates 4 and 7 are cut, 10 are not.
    let schema = fs::read_to_string(world.file("log/schema.toml")).unwrap();
    let schema = schema.replace("other_labels = [\"purchase\"]", "teacher_score = \"purchase\"");
    fs::write(world.file("taught.toml"), schema).unwrap();
    let options = ["--engine", "tract", "--schema", "taught.toml", "--at", "4,7,10"];
    let found = json(world.path(), &[&["evaluate"], &MODEL[..], &options].concat());
    let rows: Vec<u32> = (0..world.data.rows() as u32).collect();
    let scores = world.network.score(&world.data, &rows).unwrap();
    let (_, teacher) = &world.data.other_labels[0];
    let requests = world.data.requests.as_ref().unwrap();
    let wanted = TopLists::of(&scores, &teacher[..], &requests[..], &[4, 7]);
    for (name, wanted) in [("recall_at", &wanted.recall_at), ("overlap_at", &wanted.overlap_at)] {
        let found = found[name].as_object().unwrap();
        assert!(found.keys().eq(["4", "7"]), "{found:?}");
        for (k, wanted) in wanted {
            let found = found[&k.to_string()].as_f64().unwrap();
            assert!(
                *wanted > 0.0 && *wanted < 1.0 && (found - wanted).abs() < 1e-6,
                "{name} {k}: {found} {wanted}"
            );
        }
    }
    let text = output(world.path(), &[&["evaluate"], &MODEL[..], &options].concat());
    assert!(text.contains("top 4") && text.contains("overlap"), "{text}");
    let refused = failure(world.path(), 2, &[&["evaluate"], &MODEL[..], &["--at", "0"]].concat());
    assert!(refused.contains("--at"), "{refused}");
}

#[test]
fn evaluate_with_an_experiment_takes_its_validation_rows() {
    let world = World::new();
    let text = "[data]\nschema = \"log/schema.toml\"\n[split]\nby = \"shuffle\"\nvalid_fraction = 0.25";
    fs::write(world.file("e.toml"), text).unwrap();
    let args = [&["evaluate"], &MODEL[..], &["--engine", "tract", "--config", "e.toml"]].concat();
    assert_eq!(json(world.path(), &args)["rows"], 150);
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

#[test]
fn evaluate_refuses_an_engine_that_scores_nothing() {
    let world = World::new();
    let message = failure(world.path(), 2, &[&["evaluate"], &MODEL[..], &["--engine", "null"]].concat());
    assert!(message.contains("--engine tract"), "{message}");
}

#[test]
fn evaluate_takes_the_options_of_its_engine_and_refuses_those_of_another() {
    let world = World::new();
    let tract = [&["evaluate"], &MODEL[..], &["--engine", "tract"]].concat();
    let with = |option| [&tract[..], &["--engine-option", option]].concat();
    assert_eq!(json(world.path(), &with("plan=symbolic"))["auc"], json(world.path(), &tract)["auc"]);
    let refused = failure(world.path(), 2, &with("spinning=on"));
    assert!(refused.contains("option of onnxruntime"), "{refused}");
}

#[test]
fn evaluate_refuses_other_encoders_and_no_threads() {
    let world = World::new();
    let run =
        |options: &[&str], code| failure(world.path(), code, &[&["evaluate"], &MODEL[..], options].concat());
    assert!(run(&["--engine", "tract", "--threads", "0"], 2).contains("at least 1 thread"));
    let mut encoders = world.read_json("model/encoders.json");
    // Two values of a vocabulary change places: as many ids, other meanings.
    fn swap(json: &mut serde_json::Value) -> bool {
        match json {
            serde_json::Value::Array(items) if items.len() > 1 && items[0].is_string() => {
                items.swap(0, 1);
                true
            }
            serde_json::Value::Array(items) => items.iter_mut().any(swap),
            serde_json::Value::Object(fields) => fields.values_mut().any(swap),
            _ => false,
        }
    }
    assert!(swap(&mut encoders), "the log has a vocabulary");
    fs::write(world.file("other.json"), encoders.to_string()).unwrap();
    let message = run(&["--engine", "tract", "--encoders", "other.json"], 1);
    assert!(message.contains("model.onnx") && message.contains("other encoders"), "{message}");
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
