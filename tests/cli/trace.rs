//! `trace`: what it makes, shows and refuses.

use crate::world::{MODEL, TRAFFIC, World, failure, json, output, replayed};
use std::fs;

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
        assert!(message.contains("t.jsonl, line 61: not a request"), "{message}");
        assert!(message.contains("trace make"), "{message}");
    }
}
