//! Exported packages through Python's ONNX checker and Python's onnxruntime, by `scripts/check_onnx.py`.

mod support;

use autofas_bench::{
    base::names::Layout,
    export::{self, Metadata, companions::TestVectors},
    measure::prove,
};
use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

const FIX: &str = "run ./scripts/test, which sets Python up, or set AUTOFAS_BENCH_PYTHON to a Python with numpy, onnx and onnxruntime";

/// Runs the script on a package folder.
fn check(package: &Path) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python =
        std::env::var_os("AUTOFAS_BENCH_PYTHON").map_or_else(|| root.join(".venv/bin/python"), PathBuf::from);
    Command::new(&python)
        .arg(root.join("scripts/check_onnx.py"))
        .arg(package)
        .output()
        .unwrap_or_else(|e| panic!("cannot start {} ({e}); {FIX}", python.display()))
}

/// Writes the package of a network with every kind of feature; `change` may falsify its test vectors.
fn package(layout: Layout, change: fn(&mut TestVectors)) -> tempfile::TempDir {
    let features = support::every_kind();
    let data = support::dataset(&features, 200, 3);
    let network = support::network(&features, &[64, 32], 3);
    let model = export::onnx(&network, layout, &Metadata::default()).unwrap();
    let rows: Vec<u32> = (0..200).collect();
    let mut vectors = prove::test_vectors(&network, &model.signature, &data, &rows).unwrap();
    change(&mut vectors);
    let folder = tempfile::tempdir().unwrap();
    let any = serde_json::json!({});
    export::write_package(folder.path(), &model, &any, &any, &vectors).unwrap();
    folder
}

#[test]
fn the_checker_accepts_every_layout_and_onnxruntime_gives_the_same_scores() {
    for &layout in Layout::ALL {
        let folder = package(layout, |_| ());
        let output = check(folder.path());
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{layout}: {err}{out}");
        assert!(out.contains("\"candidates\": 200"), "{out}");
    }
}

#[test]
fn a_wrong_score_in_the_test_vectors_is_noticed() {
    let folder = package(Layout::UserOnce, |vectors| vectors.scores[7] += 1e-3);
    let output = check(folder.path());
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && err.contains("differ by"), "{err} ({FIX})");
}
