//! Curves of a training as TensorBoard's own reader finds them, by `scripts/read_events.py`.

use autofas_bench::{
    app::curves::Curves,
    base::progress::{Pace, Progress, Silent},
};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

const FIX: &str = "run ./scripts/test, which sets Python up, or set AUTOFAS_BENCH_PYTHON to a Python with tensorboard's reader";

fn read(folder: &Path) -> Value {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python =
        std::env::var_os("AUTOFAS_BENCH_PYTHON").map_or_else(|| root.join(".venv/bin/python"), PathBuf::from);
    let output = Command::new(&python)
        .arg(root.join("scripts/read_events.py"))
        .arg(folder)
        .output()
        .unwrap_or_else(|e| panic!("cannot start {} ({e}); {FIX}", python.display()));
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{err} ({FIX})");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {err}"))
}

#[test]
fn tensorboard_reads_every_point() {
    let folder = tempfile::tempdir().unwrap();
    let curves = Curves::new(&Silent, folder.path());
    for (step, value) in [(1, 0.5), (2, 0.0), (3, -1.25e-3)] {
        curves.record(Pace::EveryStep, "loss", step, value);
    }
    curves.record(Pace::Seldom, "theta/Größe in mm", 1 << 40, 0.75);
    drop(curves);
    let found = read(folder.path());
    assert_eq!(found["curves"]["loss"], json!([[1, 0.5], [2, 0.0], [3, f64::from(-1.25e-3f32)]]));
    assert_eq!(found["curves"]["theta/Größe in mm"], json!([[1u64 << 40, 0.75]]));
    assert_eq!(found["curves"].as_object().unwrap().len(), 2);
}

#[test]
fn long_curves_are_thinned_and_seldom_ones_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let curves = Curves::new(&Silent, folder.path());
    for step in 1..=205 {
        curves.record(Pace::EveryStep, "loss", step, step as f64);
        curves.record(Pace::Seldom, "alpha", step, 1.0);
    }
    drop(curves);
    let found = read(folder.path());
    let steps = |tag: &str| -> Vec<u64> {
        found["curves"][tag].as_array().unwrap().iter().map(|point| point[0].as_u64().unwrap()).collect()
    };
    let wanted: Vec<u64> = (1..=100).chain((110..=200).step_by(10)).collect();
    assert_eq!(steps("loss"), wanted);
    assert_eq!(steps("alpha").len(), 205);
}
