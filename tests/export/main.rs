//! Exported graphs against the network that they came from, in both engines.

mod bodies;
mod evaluating;
mod files;
mod layouts;
mod precision;
mod proofs;
#[path = "../support/mod.rs"]
mod support;
mod trees;

use autofas_bench::{
    base::{
        Error,
        names::{Embeddings, EngineName, Layout, Precision, Provider},
        stop::Stop,
    },
    data::schema::Side,
    export::{
        self, Form, Metadata,
        companions::{TestTensor, TestValues, TestVectors},
        probe::{self, PlainInput},
        signature::Rows,
    },
    learn::network::{Body, Network},
    measure::{
        assemble::{Assembler, Candidate},
        engine::{self, Engine, InputTensor, Inputs, SessionOptions, TensorData},
        evaluate,
        lookup::Lookups,
        prove::{self, FP32_TOLERANCE, ProofTerms},
        service::random_inputs,
    },
};
use proptest::prelude::*;
use std::path::PathBuf;
use support::{FeatureSpec, Value};

fn engines() -> Vec<Box<dyn Engine>> {
    [EngineName::Tract, EngineName::OnnxRuntime].map(|name| engine::engine(name).unwrap()).into()
}

fn options(candidates_hint: Option<usize>) -> SessionOptions {
    SessionOptions { candidates_hint, ..SessionOptions::PLAIN }
}

fn metadata() -> Metadata {
    Metadata {
        schema_hash: "5c".to_owned(),
        encoder_hash: "ec".to_owned(),
        subnet: "f3-64-1a2b3c4d".to_owned(),
        table_version: Some(2),
        metrics: [("auc".to_owned(), 0.75), ("logloss".to_owned(), 0.5)].into(),
        tool_version: "0.1.0".to_owned(),
    }
}

/// A file that lives as long as its folder.
fn export_to_file(network: &Network, form: impl Into<Form>) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    export::onnx(network, form, &metadata()).unwrap().write(&path).unwrap();
    (folder, path)
}

/// Every layout, with tables inside and outside.
fn forms(features: &[FeatureSpec]) -> Vec<Form> {
    let all = Layout::ALL.iter().flat_map(|&layout| {
        let embeddings = [Embeddings::Inside, Embeddings::Outside];
        embeddings.map(|embeddings| Form { embeddings, ..support::form(features, layout) })
    });
    all.collect()
}

/// Proves all forms in both engines.
fn assert_parity(features: &[FeatureSpec], hidden: &[usize], rows: usize, seed: u64) {
    let data = support::dataset(features, rows, seed);
    let network = support::network(features, hidden, seed);
    let rows: Vec<u32> = (0..rows as u32).collect();
    let engines = engines();
    let engines: Vec<_> = engines.iter().map(AsRef::as_ref).collect();
    for form in forms(features) {
        let (_folder, path) = export_to_file(&network, form.clone());
        let (report, _) =
            prove::prove(&network, &path, &data, &rows, &engines, &options(None), FP32_TOLERANCE)
                .unwrap_or_else(|e| panic!("{form:?}, {features:?}, {hidden:?}: {e}"));
        assert_eq!(report.engines.len(), 2);
    }
}

fn feature() -> impl Strategy<Value = FeatureSpec> {
    let value = prop_oneof![
        (1..20u32).prop_map(|cardinality| Value::Id { cardinality }),
        (1..20u32, 1..5usize).prop_map(|(cardinality, length)| Value::Sequence { cardinality, length }),
        Just(Value::Number),
    ];
    let side = prop_oneof![Just(Side::User), Just(Side::Item)];
    (side, prop_oneof![Just(1usize), Just(4), Just(8)], value).prop_map(|(side, width, value)| FeatureSpec {
        side,
        width,
        value,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_mix_of_features_scores_the_same_in_reference_layouts_and_engines(
        features in prop::collection::vec(feature(), 1..12),
        hidden in prop::collection::vec(1..40usize, 0..3),
        seed in any::<u64>(),
    ) {
        assert_parity(&features, &hidden, 40, seed);
    }
}

#[test]
fn every_kind_of_feature_agrees_on_two_thousand_rows() {
    assert_parity(&support::every_kind(), &[64, 32], 2000, 1);
}

#[test]
fn a_network_of_one_side_still_gives_one_score_per_candidate() {
    for side in [Side::User, Side::Item] {
        let features: Vec<_> =
            support::every_kind().into_iter().map(|feature| FeatureSpec { side, ..feature }).collect();
        assert_parity(&features, &[16], 50, 2);
        assert_parity(&features, &[], 50, 3);
    }
}

#[test]
fn the_user_side_has_one_row_only_when_items_count_the_candidates() {
    let features = support::every_kind();
    let rows = |features: &[FeatureSpec]| {
        let network = support::network(features, &[8], 0);
        let model = export::onnx(&network, Layout::UserOnce, &metadata()).unwrap();
        let names_and_rows: Vec<_> = model.signature.tensors.into_iter().map(|t| (t.name, t.rows)).collect();
        names_and_rows
    };
    let named = |names: &[(&str, Rows)]| -> Vec<(String, Rows)> {
        names.iter().map(|&(name, rows)| (name.to_owned(), rows)).collect()
    };
    let both = [
        ("user_ids", Rows::One),
        ("user_num", Rows::One),
        ("item_ids", Rows::Candidates),
        ("item_num", Rows::Candidates),
    ];
    assert_eq!(rows(&features), named(&both));
    let users: Vec<_> = features.into_iter().filter(|f| f.side == Side::User).collect();
    assert_eq!(rows(&users), named(&[("user_ids", Rows::Candidates), ("user_num", Rows::Candidates)]));
}

#[test]
fn a_session_serves_any_candidate_count_beside_the_one_it_was_made_for() {
    let features = support::every_kind();
    let data = support::dataset(&features, 1500, 5);
    let network = support::network(&features, &[64], 5);
    let user = 3;
    for form in forms(&features) {
        let (_folder, path) = export_to_file(&network, form.clone());
        let (signature, _) = export::read_signature(&path).unwrap();
        // All user-side values from one row: the reference scores rows whose user side is equal to that row's.
        for engine in engines() {
            let rows = || Ok((0..1500).collect());
            let lookups = Lookups::of(&*engine, &path, &signature, &options(None), &data, rows).unwrap();
            let assembler = Assembler::by_row(&signature, &data, &lookups).unwrap();
            let mut session = engine.load(&path, &options(Some(1000))).unwrap();
            let mut scores = Vec::new();
            let mut first = Vec::new();
            for count in [1000, 1, 7, 1000, 1500] {
                let candidates: Vec<_> = (0..count).map(Candidate::of_row).collect();
                let mut inputs = assembler.inputs();
                assembler.fill(&data, user, &candidates, &mut inputs);
                session.run(&inputs, &mut scores).unwrap();
                assert_eq!(scores.len(), count as usize);
                if first.is_empty() {
                    first.clone_from(&scores);
                    let expected = network.score(&data, &[user]).unwrap()[0];
                    let rounding = form.layout.rows().map_or(1e-5, prove::rounding_tolerance) as f32;
                    let off = (scores[user as usize] - expected).abs();
                    assert!(off < rounding, "{off} {form:?} {}", engine.name());
                }
                scores.iter().zip(&first).for_each(|(a, b)| assert!((a - b).abs() < 1e-6));
            }
        }
    }
}

#[test]
fn the_same_network_gives_the_same_bytes() {
    let features = support::every_kind();
    for form in forms(&features) {
        let bytes = || {
            let network = support::network(&features, &[16], 7);
            let model = export::onnx(&network, form.clone(), &metadata()).unwrap();
            (model.bytes(), model.item_model().map(|item| item.bytes()))
        };
        assert_eq!(bytes(), bytes());
    }
}

#[test]
fn signature_and_metadata_read_back_from_the_file() {
    let network = support::network(&support::every_kind(), &[16], 8);
    let (_folder, path) = export_to_file(&network, Layout::UserOnce);
    let (signature, read) = export::read_signature(&path).unwrap();
    assert_eq!(signature, export::onnx(&network, Layout::UserOnce, &metadata()).unwrap().signature);
    assert_eq!(read, metadata());
}

#[test]
fn a_model_from_elsewhere_is_refused_with_the_fix() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.onnx");
    // A valid but empty message: a model without metadata.
    std::fs::write(&path, b"").unwrap();
    let text = export::read_signature(&path).unwrap_err().to_string();
    assert!(text.contains("other.onnx") && text.contains("autofas-bench export"), "{text}");
    std::fs::write(&path, b"not a model").unwrap();
    assert!(export::read_signature(&path).unwrap_err().to_string().contains("not an ONNX model"));
}

#[test]
fn a_network_whose_shapes_disagree_is_refused() {
    let good = support::network(&support::every_kind(), &[16], 9);
    let mut torn = good.clone();
    torn.body.layers_mut()[0].weight.pop();
    let mut wide = good.clone();
    let Body::Mlp(layers) = &mut wide.body else { panic!("a plain network") };
    layers.pop();
    for network in [torn, wide, Network { inputs: Vec::new(), body: good.body.clone() }] {
        assert!(matches!(export::onnx(&network, Layout::Concat, &metadata()), Err(Error::Usage { .. })));
    }
}

#[test]
fn probes_run_and_give_a_column_per_output() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("probe.onnx");
    for engine in engines() {
        for to in [1, 16] {
            let input =
                PlainInput { user_features: 2, item_features: 3, width_per_feature: 8, cardinality: 10 };
            for &layout in Layout::ALL {
                let model = probe::first_layer(input.inputs(), to, layout, Precision::Fp32).unwrap();
                model.write(&path).unwrap();
                let inputs = random_inputs(&model.signature, 5, 1);
                let mut values = Vec::new();
                engine.load(&path, &options(None)).unwrap().run(&inputs, &mut values).unwrap();
                assert_eq!(values.len(), 5 * to);
                assert!(values.iter().any(|&v| v != 0.0));
            }
            let model = probe::layer(24, to, Precision::Fp32).unwrap();
            model.write(&path).unwrap();
            let x =
                InputTensor { name: "x".to_owned(), shape: [5, 24], data: TensorData::F32(vec![1.0; 120]) };
            let inputs = Inputs { candidates: 5, tensors: vec![x] };
            let mut values = Vec::new();
            engine.load(&path, &options(Some(5))).unwrap().run(&inputs, &mut values).unwrap();
            assert_eq!(values.len(), 5 * to);
        }
    }
}

#[test]
fn an_exported_model_is_evaluated_as_its_network_would_be() {
    let features = support::every_kind();
    let mut data = support::dataset(&features, 400, 11);
    let network = support::network(&features, &[32], 11);
    let rows: Vec<u32> = (100..400).collect();
    let reference = network.score(&data, &rows).unwrap();
    // Labels that the network predicts perfectly, but for one row that it ranks last.
    let mut sorted = reference.clone();
    sorted.sort_by(f32::total_cmp);
    let threshold = sorted[150];
    for (&row, &score) in rows.iter().zip(&reference) {
        data.labels.to_mut()[row as usize] = f32::from(score >= threshold);
    }
    let lowest = reference.iter().position(|&s| s == sorted[0]).unwrap();
    data.labels.to_mut()[rows[lowest] as usize] = 1.0;
    let expected_auc = (150.0 * 149.0) / (151.0 * 149.0);
    let lists = evaluate::Lists::default();
    for form in forms(&features) {
        let (_folder, path) = export_to_file(&network, form);
        for engine in engines() {
            let found =
                evaluate::evaluate(engine.as_ref(), &path, &options(None), &data, "ec", &rows, &lists)
                    .unwrap();
            assert_eq!((found.rows, found.engine), (300, engine.name()));
            assert!((found.metrics.auc.unwrap() - expected_auc).abs() < 1e-3, "{found:?}");
            let other =
                evaluate::evaluate(engine.as_ref(), &path, &options(None), &data, "other", &rows, &lists);
            assert!(other.unwrap_err().to_string().contains("other encoders"));
        }
    }
}

#[test]
fn a_package_says_how_to_feed_the_model() {
    let network = support::network(&support::every_kind(), &[16], 12);
    let model = export::onnx(&network, Layout::UserOnce, &metadata()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ids = TestTensor { name: "user_ids".to_owned(), shape: [1, 1], values: TestValues::Ids(vec![3]) };
    let vectors = TestVectors { inputs: vec![ids], scores: vec![0.5], tolerance: 1e-3 };
    let (schema, encoders) = support::no_companions();
    export::write_package(folder.path(), &model, &schema, &encoders, &vectors).unwrap();
    let readme = std::fs::read_to_string(folder.path().join("README.md")).unwrap();
    for tensor in &model.signature.tensors {
        assert!(readme.contains(&format!("`{}`", tensor.name)), "{readme}");
    }
    let json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("test_vectors.json")).unwrap()).unwrap();
    assert_eq!(json["schema_version"], 1);
    assert_eq!(json["inputs"][0]["values"][0], 3);
    assert_eq!(export::read_signature(&folder.path().join("model.onnx")).unwrap().0, model.signature);
}
