//! Packages of every form, layout and number format: the checker accepts them, and the runtimes give the same scores.

use crate::{
    package, package_in, package_of,
    python::{FIX, check_onnx},
    support::{
        self,
        bodies::{partitioned, two_tower},
    },
};
use autofas_bench::{
    base::names::{Embeddings, Layout, Precision},
    data::schema::Side,
    export::{self, Form, Metadata},
    measure::prove,
};

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
fn the_checker_accepts_towers_and_heads_and_both_runtimes_give_the_same_scores() {
    let features = support::every_kind();
    let networks = [
        two_tower(&features, &[16]),
        partitioned(&features, Side::User, &[16], &[8]),
        partitioned(&features, Side::Item, &[16], &[8]),
    ];
    for network in networks {
        for layout in [Layout::Concat, Layout::UserOnce] {
            let folder = package_of(&network, Precision::Fp32, layout.into(), |_| ());
            let output = check_onnx(folder.path());
            let (out, err) =
                (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert!(output.status.success(), "{layout}, {}: {err}{out}", network.body.name());
            assert!(out.contains("\"openvino\""), "{out}");
        }
    }
}

#[test]
fn the_checker_accepts_every_number_format_and_both_runtimes_keep_its_tolerance() {
    for precision in [Precision::Fp16, Precision::Int8] {
        for layout in [Layout::Concat, Layout::UserOnce, Layout::ItemCached, Layout::ItemCachedI8] {
            let folder = package_in(precision, support::form(&support::every_kind(), layout), |_| ());
            let output = check_onnx(folder.path());
            let err = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{layout}, {precision}: {err}");
        }
    }
    let folder = package_in(Precision::Int8, Layout::UserOnce.into(), |vectors| vectors.scores[7] += 2e-2);
    assert!(!check_onnx(folder.path()).status.success());
}

#[test]
fn the_checker_accepts_trees_and_onnx_runtime_gives_the_same_scores() {
    let features = support::every_kind();
    let data = support::dataset(&features, 200, 3);
    let network = support::forest(&features, 20, 3);
    let rows: Vec<u32> = (0..200).collect();
    for layout in [Layout::Concat, Layout::UserOnce] {
        let model = export::onnx(&network, layout, &Metadata::default()).unwrap();
        let vectors = prove::test_vectors(&network, &model, &data, &rows).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (schema, encoders) = support::no_companions();
        export::write_package(folder.path(), &model, &schema, &encoders, &vectors).unwrap();
        let output = check_onnx(folder.path());
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{layout}: {err}{out}");
        assert!(out.contains("\"onnxruntime\"") && !out.contains("\"openvino\""), "{out}");
    }
}

#[test]
fn a_wrong_score_in_the_test_vectors_is_noticed() {
    let folder = package(Layout::UserOnce.into(), |vectors| vectors.scores[7] += 1e-3);
    let output = check_onnx(folder.path());
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && err.contains("differ by"), "{err} ({FIX})");
}
