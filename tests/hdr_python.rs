//! Interval logs and percentile CSVs as HdrHistogram's own Python library finds them, by `scripts/read_hlog.py`.

use autofas_bench::{
    app::report::{Distribution, percentiles},
    base::rng,
    measure::{
        hlog::{self, Interval},
        latency::Latencies,
    },
};
use rand::RngExt;
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, UNIX_EPOCH},
};

const FIX: &str =
    "run ./scripts/test, which sets Python up, or set AUTOFAS_BENCH_PYTHON to a Python with hdrhistogram";
const PERCENTILES: [&str; 6] = ["0", "50", "90", "99", "99.9", "100"];

fn read(log: &Path) -> Value {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python =
        std::env::var_os("AUTOFAS_BENCH_PYTHON").map_or_else(|| root.join(".venv/bin/python"), PathBuf::from);
    let output = Command::new(&python)
        .arg(root.join("scripts/read_hlog.py"))
        .arg(log)
        .args(PERCENTILES)
        .output()
        .unwrap_or_else(|e| panic!("cannot start {} ({e}); {FIX}", python.display()));
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{err} ({FIX})");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {err}"))
}

/// Three intervals of a second with many, no, and few values, among them long ones, and the whole.
fn recorded() -> (Vec<Latencies>, Latencies) {
    let mut rng = rng::generator(3, "test/hdr");
    let mut whole = Latencies::default();
    let mut interval = |count: u32| {
        let mut latencies = Latencies::default();
        for _ in 0..count {
            // From 1 µs to 8 minutes.
            let us = 10f64.powf(rng.random::<f64>() * 8.7);
            latencies.record(Duration::from_micros(us as u64));
        }
        whole.merge(&latencies);
        latencies
    };
    (vec![interval(20_000), interval(0), interval(3)], whole)
}

#[test]
fn the_library_finds_every_interval_and_their_sum_is_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.hlog");
    let (intervals, whole) = recorded();
    let mut lines = vec![];
    for (i, latencies) in (0..).zip(&intervals) {
        let (start, end) = (Duration::from_secs(i), Duration::from_millis(1000 * i + 999));
        lines.push(Interval { start, end, tag: "response", histogram: latencies.histogram() });
    }
    let end = Duration::from_millis(2999);
    lines.push(Interval { start: Duration::ZERO, end, tag: "whole", histogram: whole.histogram() });
    hlog::write(&path, "test", UNIX_EPOCH + Duration::from_millis(1_700_000_000_250), &lines).unwrap();

    let found = read(&path);
    assert_eq!(found["start_s"], 1_700_000_000.25);
    let near =
        |value: &Value, wanted: f64| assert!((value.as_f64().unwrap() - wanted).abs() < 1e-3, "{value}");
    let wanted = [
        ("response", 0.0, 0.999, 20_000, &intervals[0]),
        ("whole", 0.0, 2.999, 20_003, &whole),
        ("response", 1.0, 1.999, 0, &intervals[1]),
        ("response", 2.0, 2.999, 3, &intervals[2]),
    ];
    for (line, (tag, start, end, count, latencies)) in found["lines"].as_array().unwrap().iter().zip(wanted) {
        assert_eq!((&line[0], &line[3]), (&tag.into(), &count.into()));
        near(&line[1], start);
        near(&line[2], end);
        near(&line[4], latencies.histogram().mean());
    }
    assert_eq!(found["lines"].as_array().unwrap().len(), wanted.len());
    assert_eq!(found["tags"]["response"], found["tags"]["whole"]);
    assert_eq!(found["tags"]["whole"]["count"], 20_003);
    for percentile in PERCENTILES {
        let ours = whole.histogram().value_at_percentile(percentile.parse().unwrap());
        assert_eq!(found["tags"]["whole"]["percentiles"][percentile], ours, "at {percentile} %");
    }
}

#[test]
fn every_row_of_the_percentile_csv_agrees_with_the_library() {
    let folder = tempfile::tempdir().unwrap();
    let (log, csv) = (folder.path().join("r.hlog"), folder.path().join("r.csv"));
    let (_, whole) = recorded();
    let histogram = whole.histogram();
    let (start, end) = (Duration::ZERO, Duration::from_secs(3));
    hlog::write(&log, "test", UNIX_EPOCH, &[Interval { start, end, tag: "response", histogram }]).unwrap();
    let distribution = Distribution {
        engine: "tract",
        offered_qps: Some(50.0),
        kind: "response",
        histogram,
        distinct: whole.distinct(),
        valid: true,
    };
    percentiles::write(&csv, &[distribution]).unwrap();

    let text = std::fs::read_to_string(&csv).unwrap();
    let found = &read(&log)["tags"]["response"];
    let counts: Vec<(f64, f64)> = serde_json::from_value(found["counts"].clone()).unwrap();
    let mut lines = text.lines();
    assert!(lines.next().unwrap().starts_with(found["csv_header"].as_str().unwrap()));
    let total = histogram.len() as f64;
    let mut rows = 0;
    for line in lines {
        let row: Vec<f64> = line.split(',').take(4).map(|cell| cell.parse().unwrap()).collect();
        let at = counts.iter().position(|&(value, _)| value == row[0]).unwrap_or_else(|| panic!("{line}"));
        assert_eq!(counts[at].1, row[2], "{line}");
        // The least value that so many do not exceed.
        let below = if at == 0 { 0.0 } else { counts[at - 1].1 };
        assert!(below / total <= row[1] && row[1] <= row[2] / total, "{line}");
        assert!((1.0 / (1.0 - row[1]) - row[3]).abs() < 0.01 || row[3].is_infinite(), "{line}");
        rows += 1;
    }
    assert!(rows > 50, "{rows}");
}
