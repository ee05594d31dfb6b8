//! Gradient boosted trees as ONNX: the same inputs as a network's, and one TreeEnsembleClassifier behind them.
//!
//! What ids are to trees is looked up in tables inside the graph. Nothing of a tree can be computed from the user alone, as a
//! first layer's part can, so with the layout `user-once` the user's values come once and are repeated for every candidate
//! before the trees; there are no rows of items to keep, and no number format but single precision.
//!
//! The leaves of the first tree hold the base score as well. All leaves vote for the first of two classes and are turned into
//! a probability by the logistic function; ONNX Runtime and tract both take that for the probability of the second class, as
//! the converters of LightGBM and XGBoost have it.

use super::{
    embed::{AXIS_0, Part},
    form::Form,
    format::Format,
    graph::{Edge, Graph},
    signature::{Rows, Signature},
};
use crate::{
    base::{
        Error, Result,
        names::{Embeddings, Layout},
    },
    data::schema::Side,
    learn::network::{Branch, Forest, NetworkInput, Node},
};
use tract_onnx::pb::{AttributeProto, attribute_proto::AttributeType};

/// The scores [candidates] of a forest, and the inputs of the graph.
///
/// Fails in half precision, in which values would come to the other side of thresholds, and on embeddings outside the graph.
pub(super) fn scores<'a>(
    graph: &mut Graph<'a>,
    inputs: &'a [NetworkInput],
    forest: &Forest,
    format: &Format,
    form: &Form,
) -> Result<(Edge, Signature)> {
    if *format != Format::Fp32 {
        let problem = format!("trees compare in single precision, not in {}", format.precision());
        return Err(Error::usage(problem, "export them in fp32"));
    }
    if form.embeddings == Embeddings::Outside {
        return Err(Error::usage("trees have no embeddings", "export them with --embeddings inside"));
    }
    let parts = Parts::new(inputs, form.layout);
    let values = parts.emit(graph);
    let attributes = attributes(forest, &parts.columns(inputs.len()));
    let [_, both] = graph.ml_node("TreeEnsembleClassifier", ["label", "probabilities"], &values, attributes);
    let second = graph.integers("second_class", &[], &[1]);
    let scores = graph.node_with("Gather", "scores", &[&both, &second], ("axis", 1));
    Ok((scores, parts.signature(form.layout)))
}

/// The inputs, divided by how often their values come.
struct Parts<'a> {
    /// Once per request, beside `each`.
    once: Option<Part<'a>>,
    /// Once per candidate.
    each: Option<Part<'a>>,
}

impl<'a> Parts<'a> {
    fn new(inputs: &'a [NetworkInput], layout: Layout) -> Self {
        let of = |side| inputs.iter().enumerate().filter(move |(_, input)| input.side == side);
        let part = |prefix, rows, inputs: Vec<_>| Part::new(prefix, rows, Embeddings::Inside, inputs);
        let users: Vec<_> = of(Side::User).collect();
        let items: Vec<_> = of(Side::Item).collect();
        match (layout, items.is_empty()) {
            (Layout::Concat, _) => {
                Self { once: None, each: part("", Rows::Candidates, [users, items].concat()) }
            }
            // Without anything of the candidates nothing counts them.
            (_, true) => Self { once: None, each: part("user_", Rows::Candidates, users) },
            (_, false) => {
                Self { once: part("user_", Rows::One, users), each: part("item_", Rows::Candidates, items) }
            }
        }
    }

    fn all(&self) -> impl Iterator<Item = &Part<'a>> {
        self.once.iter().chain(&self.each)
    }

    fn signature(&self, layout: Layout) -> Signature {
        Signature { layout, tensors: self.all().flat_map(Part::tensors).collect() }
    }

    /// The column of each of so many inputs.
    fn columns(&self, inputs: usize) -> Vec<i64> {
        let mut columns = vec![0; inputs];
        let order = self.all().flat_map(Part::order);
        order.enumerate().for_each(|(column, position)| columns[position] = column as i64);
        columns
    }

    /// The values that trees compare: [candidates, inputs].
    fn emit(&self, graph: &mut Graph<'a>) -> Edge {
        let once = self.once.as_ref().map(|part| part.emit_values(graph));
        let each = self.each.as_ref().map(|part| part.emit_values(graph));
        match (once, each) {
            (Some(once), Some(each)) => {
                let repeated = repeat(graph, &once, &each);
                graph.node_with("Concat", "values", &[&repeated, &each], ("axis", 1))
            }
            (one, other) => one.or(other).expect("there are inputs"),
        }
    }
}

/// The one row of `once` as often as `each` has rows.
fn repeat(graph: &mut Graph<'_>, once: &Edge, each: &Edge) -> Edge {
    let shape = graph.node("Shape", "item_shape", &[each]);
    let from = graph.integers("first_axis", &[1], &[0]);
    let to = graph.integers("second_axis", &[1], &[1]);
    let candidates = graph.node("Slice", "candidate_count", &[&shape, &from, &to]);
    let one = graph.integers("one_column", &[1], &[1]);
    let shape = graph.node_with("Concat", "repeated_shape", &[&candidates, &one], AXIS_0);
    graph.node("Expand", "user_repeated", &[once, &shape])
}

/// The attributes of TreeEnsembleClassifier, where input i stands in column `columns[i]`.
fn attributes(forest: &Forest, columns: &[i64]) -> Vec<AttributeProto> {
    let mut nodes = Nodes::default();
    let mut leaves = Leaves::default();
    for (tree, (root, own)) in forest.trees().enumerate() {
        let base = if tree == 0 { forest.base_score } else { 0.0 };
        for (at, node) in own.iter().enumerate() {
            nodes.trees.push(tree as i64);
            nodes.ids.push(at as i64);
            match *node {
                Node::Split { input, threshold, missing, other } => {
                    nodes.modes.push("BRANCH_LT");
                    nodes.features.push(columns[input as usize]);
                    nodes.values.push(threshold);
                    nodes.below.push(at as i64 + 1);
                    nodes.other.push(other as i64 - root as i64);
                    nodes.missing_below.push((missing == Branch::Below).into());
                }
                Node::Leaf { value } => {
                    nodes.modes.push("LEAF");
                    nodes.features.push(0);
                    nodes.values.push(0.0);
                    nodes.below.push(0);
                    nodes.other.push(0);
                    nodes.missing_below.push(0);
                    leaves.trees.push(tree as i64);
                    leaves.nodes.push(at as i64);
                    leaves.values.push(base + value);
                }
            }
        }
    }
    let votes = vec![0; leaves.values.len()];
    vec![
        ints("nodes_treeids", nodes.trees),
        ints("nodes_nodeids", nodes.ids),
        texts("nodes_modes", &nodes.modes),
        ints("nodes_featureids", nodes.features),
        floats("nodes_values", nodes.values),
        ints("nodes_truenodeids", nodes.below),
        ints("nodes_falsenodeids", nodes.other),
        ints("nodes_missing_value_tracks_true", nodes.missing_below),
        ints("class_treeids", leaves.trees),
        ints("class_nodeids", leaves.nodes),
        ints("class_ids", votes),
        floats("class_weights", leaves.values),
        ints("classlabels_int64s", vec![0, 1]),
        AttributeProto {
            name: "post_transform".to_owned(),
            r#type: AttributeType::String as i32,
            s: b"LOGISTIC".to_vec(),
            ..AttributeProto::default()
        },
    ]
}

/// A number of every node.
#[derive(Default)]
struct Nodes {
    trees: Vec<i64>,
    ids: Vec<i64>,
    modes: Vec<&'static str>,
    features: Vec<i64>,
    values: Vec<f32>,
    below: Vec<i64>,
    other: Vec<i64>,
    missing_below: Vec<i64>,
}

/// A number of every leaf.
#[derive(Default)]
struct Leaves {
    trees: Vec<i64>,
    nodes: Vec<i64>,
    values: Vec<f32>,
}

fn ints(name: &str, ints: Vec<i64>) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        r#type: AttributeType::Ints as i32,
        ints,
        ..AttributeProto::default()
    }
}

fn floats(name: &str, floats: Vec<f32>) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        r#type: AttributeType::Floats as i32,
        floats,
        ..AttributeProto::default()
    }
}

fn texts(name: &str, texts: &[&str]) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        r#type: AttributeType::Strings as i32,
        strings: texts.iter().map(|text| text.as_bytes().to_vec()).collect(),
        ..AttributeProto::default()
    }
}
