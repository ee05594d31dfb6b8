//! Trees as ONNX against their reference, in both engines.

use crate::{engines, metadata, options, support};
use autofas_bench::{
    base::{
        names::{Embeddings, EngineName, Layout},
        rng,
    },
    data::{
        dataset::{Dataset, Slot},
        load_table,
        schema::Side,
        split::SplitSettings,
        synth::{self, SynthSettings},
    },
    export::{self, Form, onnx_of_trees, signature::Rows},
    learn::{
        baseline::trees::{self, Branch, Forest, Node, TreeSettings, Trees},
        network::{Embedding, NetworkInput},
    },
    measure::{
        assemble::{Assembler, Candidate},
        engine::Engine,
        lookup::Lookups,
        prove::FP32_TOLERANCE,
    },
};
use rand::RngExt;
use std::path::Path;
use support::{FeatureSpec, Value};

/// What all inputs may be in a random forest: multiples of 1/8, so that many are equal to a threshold.
fn eighths(count: usize, draw: &mut rng::Generator) -> Vec<f32> {
    (0..count).map(|_| draw.random_range(-8..=8i32) as f32 / 8.0).collect()
}

/// A random forest over the features of [`support::dataset`].
fn forest(features: &[FeatureSpec], trees: usize, seed: u64) -> Trees {
    let draw = &mut rng::generator(seed, "test/forest");
    let input = |(index, feature): (usize, &FeatureSpec)| NetworkInput {
        feature: format!("f{index}"),
        side: feature.side,
        width: 1,
        embedding: match feature.value {
            Value::Id { cardinality } => Embedding::Table { rows: eighths(cardinality as usize, draw) },
            Value::Sequence { cardinality, length } => {
                Embedding::Pooled { rows: eighths(cardinality as usize, draw), length }
            }
            Value::Number => Embedding::Number { scale: vec![1.0], missing: vec![f32::NAN] },
        },
    };
    let inputs: Vec<_> = features.iter().enumerate().map(input).collect();
    let (mut nodes, mut roots) = (Vec::new(), Vec::new());
    for tree in 0..trees {
        roots.push(nodes.len() as u32);
        // The second is a leaf by itself.
        grow(&mut nodes, if tree == 1 { 0 } else { 5 }, inputs.len() as u32, draw);
    }
    let gains = vec![0.0; inputs.len()];
    Trees { inputs, forest: Forest { base_score: -0.3, roots, nodes, gains } }
}

fn grow(nodes: &mut Vec<Node>, depth: usize, inputs: u32, draw: &mut rng::Generator) {
    if depth == 0 || (depth < 4 && draw.random_range(0..4) == 0) {
        nodes.push(Node::Leaf { value: draw.random::<f32>() - 0.5 });
        return;
    }
    let own = nodes.len();
    let input = draw.random_range(0..inputs);
    let threshold = eighths(1, draw)[0];
    let missing = if draw.random::<bool>() { Branch::Below } else { Branch::Other };
    nodes.push(Node::Split { input, threshold, missing, other: 0 });
    grow(nodes, depth - 1, inputs, draw);
    let other = nodes.len() as u32;
    nodes[own] = Node::Split { input, threshold, missing, other };
    grow(nodes, depth - 1, inputs, draw);
}

/// The scores that an engine gives for these rows, each with its own user.
fn scores(engine: &dyn Engine, path: &Path, data: &Dataset, rows: &[u32]) -> Vec<f32> {
    let (signature, _) = export::read_signature(path).unwrap();
    let assembler = Assembler::by_row_with(&signature, data, &Lookups::default()).unwrap();
    let mut session = engine.load(path, &options(None)).unwrap();
    let mut inputs = assembler.inputs();
    let each_alone = signature.tensors.iter().any(|tensor| tensor.rows == Rows::One);
    let mut scores = Vec::new();
    for batch in rows.chunks(if each_alone { 1 } else { rows.len() }) {
        let candidates: Vec<_> = batch.iter().map(|&row| Candidate::of_row(row)).collect();
        assembler.fill(data, batch[0], &candidates, &mut inputs);
        let mut own = Vec::new();
        session.run(&inputs, &mut own).unwrap();
        scores.extend(own);
    }
    scores
}

fn assert_near(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (row, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!(f64::from((a - b).abs()) <= FP32_TOLERANCE, "{what}: row {row} scores {a} against {b}");
    }
}

/// Writes the trees in both layouts and compares the engines with the reference: tract on the first `few` rows.
fn assert_parity(trees: &Trees, data: &Dataset, rows: usize, few: usize) {
    let rows: Vec<u32> = (0..rows as u32).collect();
    let expected = trees.score(data, &rows).unwrap();
    assert!(expected.iter().any(|score| (score - expected[0]).abs() > 1e-3), "all scores are alike");
    for layout in [Layout::Concat, Layout::UserOnce] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.onnx");
        onnx_of_trees(trees, layout, &metadata()).unwrap().write(&path).unwrap();
        for engine in engines() {
            let count = if engine.name() == EngineName::Tract { few } else { rows.len() };
            let found = scores(&*engine, &path, data, &rows[..count]);
            assert_near(&found, &expected[..count], &format!("{layout} in {}", engine.name()));
        }
    }
}

#[test]
fn both_engines_score_as_the_reference_with_every_kind_of_value() {
    let features = support::every_kind();
    for seed in 0..3 {
        let mut data = support::dataset(&features, 300, seed);
        // Numbers that are often equal to a threshold.
        data.numbers.to_mut().iter_mut().for_each(|x| *x = (*x).round() / 8.0);
        assert_parity(&forest(&features, 20, seed), &data, 300, 60);
    }
}

#[test]
fn one_feature_alone_of_every_kind_and_either_side_is_enough() {
    for side in [Side::User, Side::Item] {
        for value in
            [Value::Number, Value::Id { cardinality: 9 }, Value::Sequence { cardinality: 9, length: 2 }]
        {
            let features = [FeatureSpec { side, width: 1, value }];
            assert_parity(&forest(&features, 9, 3), &support::dataset(&features, 40, 1), 40, 40);
        }
    }
}

#[test]
fn a_request_of_one_user_repeats_the_users_values() {
    let features = support::every_kind();
    let data = support::dataset(&features, 50, 7);
    let trees = forest(&features, 12, 7);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    onnx_of_trees(&trees, Layout::UserOnce, &metadata()).unwrap().write(&path).unwrap();
    let (signature, meta) = export::read_signature(&path).unwrap();
    let names: Vec<_> = signature.tensors.iter().map(|tensor| (tensor.name.as_str(), tensor.rows)).collect();
    let (one, each) = (Rows::One, Rows::Candidates);
    assert_eq!(names, [("user_ids", one), ("user_num", one), ("item_ids", each), ("item_num", each)]);
    assert_eq!(meta, metadata());
    // The user of row 9 with the items of all rows.
    let users: Vec<String> =
        trees.inputs.iter().filter(|i| i.side == Side::User).map(|i| i.feature.clone()).collect();
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    let joined = data.joined(&users, &(0..50).map(|item| (9, item)).collect::<Vec<_>>());
    let expected = trees.score(&joined, &(0..50).collect::<Vec<_>>()).unwrap();
    let assembler = Assembler::by_row_with(&signature, &joined, &Lookups::default()).unwrap();
    for count in [1, 50] {
        let candidates: Vec<_> = (0..count).map(Candidate::of_row).collect();
        let mut inputs = assembler.inputs();
        assembler.fill(&joined, 0, &candidates, &mut inputs);
        for engine in engines() {
            let mut found = Vec::new();
            engine.load(&path, &options(None)).unwrap().run(&inputs, &mut found).unwrap();
            assert_near(&found, &expected[..count as usize], &format!("{count} in {}", engine.name()));
        }
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
    assert_parity(&trees, data, data.rows().min(2000), 50);
}

#[test]
fn what_trees_have_no_form_for_is_refused_with_what_to_do() {
    let features = support::every_kind();
    let trees = forest(&features, 2, 1);
    let refused = |form: Form| onnx_of_trees(&trees, form, &metadata()).unwrap_err().to_string();
    assert!(refused(Layout::ItemCached.into()).contains("user-once or concat"));
    let outside = Form { embeddings: Embeddings::Outside, ..Layout::Concat.into() };
    assert!(refused(outside).contains("--embeddings inside"));
    let mut broken = trees.clone();
    broken.forest.nodes.pop();
    let refused = onnx_of_trees(&broken, Layout::Concat, &metadata()).unwrap_err().to_string();
    assert!(refused.contains("is not whole"), "{refused}");
}
