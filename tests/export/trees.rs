use crate::{engines, export_to_file, metadata, options, support};
use autofas_bench::{
    base::names::{Embeddings, EngineName, Layout},
    data::{
        dataset::{Dataset, Slot},
        load_table,
        schema::Side,
        split::SplitSettings,
        synth::{self, SynthSettings},
    },
    export::{self, Form, Format, signature::Rows},
    learn::{
        baseline::trees::{self, TreeSettings},
        network::{Body, Network, Node},
    },
    measure::prove::{self, FP32_TOLERANCE, ProofTerms},
};
use support::{FeatureSpec, Value};

/// Proves the trees in both layouts and engines, on rows and on requests of one user with many items.
fn assert_parity(trees: &Network, data: &Dataset, rows: u32) {
    let rows: Vec<u32> = (0..rows).collect();
    let expected = trees.score(data, &rows).unwrap();
    assert!(expected.iter().any(|score| (score - expected[0]).abs() > 1e-3), "all scores are alike");
    let engines = engines();
    let engines: Vec<_> = engines.iter().map(AsRef::as_ref).collect();
    for layout in [Layout::Concat, Layout::UserOnce] {
        let (_folder, path) = export_to_file(trees, layout);
        let terms = ProofTerms { edges: true, ..FP32_TOLERANCE.into() };
        let proved = prove::prove(trees, &path, data, &rows, &engines, &options(Some(100)), terms);
        let (report, scores) = proved.unwrap_or_else(|e| panic!("{layout}: {e}"));
        let compared = |engine: EngineName| {
            let own = report.engines.iter().find(|own| own.engine == engine).unwrap();
            (own.rows, scores.iter().find(|own| own.engine == engine).unwrap().scores.len())
        };
        assert_eq!(compared(EngineName::OnnxRuntime), (None, rows.len()));
        let few = rows.len().min(32);
        assert_eq!(compared(EngineName::Tract), (Some(few), few));
    }
}

#[test]
fn both_engines_score_as_the_reference_with_every_kind_of_value() {
    let features = support::every_kind();
    for seed in 0..3 {
        let mut data = support::dataset(&features, 300, seed);
        // Numbers that are often equal to a threshold.
        data.numbers.to_mut().iter_mut().for_each(|x| *x = (*x).round() / 8.0);
        assert_parity(&support::forest(&features, 20, seed), &data, 300);
    }
}

#[test]
fn one_feature_alone_of_every_kind_and_either_side_is_enough() {
    for side in [Side::User, Side::Item] {
        for value in
            [Value::Number, Value::Id { cardinality: 9 }, Value::Sequence { cardinality: 9, length: 2 }]
        {
            let features = [FeatureSpec { side, width: 1, value }];
            assert_parity(&support::forest(&features, 9, 3), &support::dataset(&features, 40, 1), 40);
        }
    }
}

#[test]
fn trees_read_the_tensors_of_every_model_and_the_users_come_once() {
    let features = support::every_kind();
    let (_folder, path) = export_to_file(&support::forest(&features, 3, 7), Layout::UserOnce);
    let (signature, meta) = export::read_signature(&path).unwrap();
    let names: Vec<_> = signature.tensors.iter().map(|tensor| (tensor.name.as_str(), tensor.rows)).collect();
    let (one, each) = (Rows::One, Rows::Candidates);
    assert_eq!(names, [("user_ids", one), ("user_num", one), ("item_ids", each), ("item_num", each)]);
    let (_folder, path) = export_to_file(&support::network(&features, &[8], 7), Layout::UserOnce);
    let (of_network, _) = export::read_signature(&path).unwrap();
    let columns = |signature: &export::signature::Signature| -> Vec<usize> {
        signature.tensors.iter().map(|tensor| tensor.columns()).collect()
    };
    assert_eq!((columns(&signature), meta), (columns(&of_network), metadata()));
}

#[test]
fn a_forest_with_another_leaf_fails_the_proof_in_either_engine() {
    let features = support::every_kind();
    let data = support::dataset(&features, 40, 2);
    let trees = support::forest(&features, 2, 2);
    let mut other = trees.clone();
    let Body::Forest(changed) = &mut other.body else { panic!("trees") };
    // The last tree is a leaf that every row comes to.
    let last = changed.nodes.last_mut().unwrap();
    let Node::Leaf { value } = last else { panic!("a leaf") };
    *value += 0.01;
    let (_folder, path) = export_to_file(&trees, Layout::UserOnce);
    for engine in engines() {
        let rows: Vec<u32> = (0..40).collect();
        let proved = prove::prove(&other, &path, &data, &rows, &[&*engine], &options(None), FP32_TOLERANCE);
        let refused = proved.unwrap_err().to_string();
        assert!(refused.contains("parity of") && refused.contains(&engine.name().to_string()), "{refused}");
    }
}

#[test]
fn trees_that_were_grown_on_a_log_score_alike_in_both_engines() {
    let settings = SynthSettings { requests: 150, users: 60, items: 80, ..SynthSettings::default() };
    let log = synth::generate(&settings).unwrap();
    let loaded =
        load_table(&log.schema, &log.table, &SplitSettings::Shuffle { valid_fraction: 0.3 }, 1).unwrap();
    let data = &loaded.dataset;
    let sequences = data.features.iter().filter(|f| matches!(f.slot, Slot::Ids { length: 2.., .. })).count();
    assert!(sequences > 0 && data.numbers.iter().any(|x| x.is_nan()), "the log holds every kind of value");
    let every: Vec<usize> = (0..log.schema.features.len()).collect();
    let settings = TreeSettings { trees: 40, ..TreeSettings::default() };
    let (trees, report) =
        trees::train(&log.schema.features, &every, data, &loaded.split, &settings, 1).unwrap();
    assert!(report.metrics.auc.unwrap() > 0.55, "{report:?}");
    assert_parity(&trees, data, data.rows().min(2000) as u32);
}

#[test]
fn what_trees_have_no_form_for_is_refused_with_what_to_do() {
    let features = support::every_kind();
    let trees = support::forest(&features, 2, 1);
    let refused = |form: Form| export::onnx(&trees, form, &metadata()).unwrap_err().to_string();
    let cached = refused(Layout::ItemCached.into());
    assert!(cached.contains("this is gradient boosted trees") && cached.contains("user-once"), "{cached}");
    assert!(refused(Form { embeddings: Embeddings::Outside, ..Layout::Concat.into() }).contains("inside"));
    let halves = export::onnx_in(&Format::Fp16, &trees, Layout::Concat, &metadata()).unwrap_err();
    assert!(halves.to_string().contains("export them in fp32"), "{halves}");
    let mut broken = trees.clone();
    let Body::Forest(forest) = &mut broken.body else { panic!("trees") };
    forest.nodes.pop();
    let refused = export::onnx(&broken, Layout::Concat, &metadata()).unwrap_err().to_string();
    assert!(refused.contains("trees do not begin") || refused.contains("is not whole"), "{refused}");
    let mut wide = trees.clone();
    wide.inputs[1].width = 2;
    assert!(export::onnx(&wide, Layout::Concat, &metadata()).is_err());
}
