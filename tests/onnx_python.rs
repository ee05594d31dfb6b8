//! Exported packages through Python's ONNX checker and Python's onnxruntime, by `scripts/check_onnx.py`.

#[path = "support/python.rs"]
mod python;
mod support;

use autofas_bench::{
    base::names::Layout,
    export::{self, Metadata, companions::TestVectors},
    measure::prove,
};
use python::{FIX, check_onnx};

/// Writes the package of a network with every kind of feature; `change` may falsify its test vectors.
fn package(layout: Layout, change: fn(&mut TestVectors)) -> tempfile::TempDir {
    let features = support::every_kind();
    let data = support::dataset(&features, 200, 3);
    let network = support::network(&features, &[64, 32], 3);
    let model = export::onnx(&network, support::form(&features, layout), &Metadata::default()).unwrap();
    let rows: Vec<u32> = (0..200).collect();
    let mut vectors = prove::test_vectors(&network, &model, &data, &rows).unwrap();
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
        let output = check_onnx(folder.path());
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{layout}: {err}{out}");
        assert!(out.contains("\"candidates\": 200"), "{out}");
    }
}

#[test]
fn a_wrong_score_in_the_test_vectors_is_noticed() {
    let folder = package(Layout::UserOnce, |vectors| vectors.scores[7] += 1e-3);
    let output = check_onnx(folder.path());
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && err.contains("differ by"), "{err} ({FIX})");
}
