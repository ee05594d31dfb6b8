//! Exported packages through Python's ONNX checker, onnxruntime, OpenVINO and ONNX's runner of backend tests, by
//! `scripts/check_onnx.py`.

#[path = "support/python.rs"]
mod python;
mod support;

use autofas_bench::{
    base::names::{Embeddings, Layout},
    export::{self, Form, Metadata, companions::TestVectors},
    measure::prove,
};
use python::{FIX, check_onnx};

/// Writes the package of a network with every kind of feature; `change` may falsify its test vectors.
fn package(form: Form, change: fn(&mut TestVectors)) -> tempfile::TempDir {
    let features = support::every_kind();
    let data = support::dataset(&features, 200, 3);
    let network = support::network(&features, &[64, 32], 3);
    let model = export::onnx(&network, form, &Metadata::default()).unwrap();
    let rows: Vec<u32> = (0..200).collect();
    let mut vectors = prove::test_vectors(&network, &model, &data, &rows).unwrap();
    change(&mut vectors);
    let folder = tempfile::tempdir().unwrap();
    let any = serde_json::json!({});
    export::write_package(folder.path(), &model, &any, &any, &vectors).unwrap();
    folder
}

#[test]
fn the_checker_accepts_every_form_and_both_runtimes_give_the_same_scores() {
    let of = |layout| support::form(&support::every_kind(), layout);
    let outside = |layout| Form { embeddings: Embeddings::Outside, ..of(layout) };
    let two_files = Form { external_data_over: 5000, ..of(Layout::UserOnce) };
    let further = [outside(Layout::Concat), outside(Layout::ItemCachedI8), two_files];
    for form in Layout::ALL.iter().map(|&layout| of(layout)).chain(further) {
        let told = format!("{form:?}");
        let folder = package(form, |_| ());
        let output = check_onnx(folder.path());
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{told}: {err}{out}");
        assert!(out.contains("\"candidates\": 200") && out.contains("\"openvino\""), "{out}");
    }
}

#[test]
fn a_wrong_score_in_the_test_vectors_is_noticed() {
    let folder = package(Layout::UserOnce.into(), |vectors| vectors.scores[7] += 1e-3);
    let output = check_onnx(folder.path());
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && err.contains("differ by"), "{err} ({FIX})");
}
