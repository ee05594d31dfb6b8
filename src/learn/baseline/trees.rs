//! Gradient boosted trees: the comparison system of tabular data, grown by the crate forust. This file alone knows it.
//!
//! Newton boosting of the log loss as in XGBoost (Chen & Guestrin 2016): with gradients g = w(p − y) and hessians
//! h = w·p(1 − p), a leaf adds −η·G / (H + λ), and a split gains G_L²/(H_L + λ) + G_R²/(H_R + λ) − G²/(H + λ), missing
//! values going where that is larger. Thresholds are quantiles of the training rows. The trees up to the best AUC on the
//! validation rows are kept.
//!
//! What comes out is a [`Network`] whose body is a [`Forest`]: it has a reference forward pass, a file and an ONNX export as
//! all networks have, and the gain of each feature.
//!
//! # Values
//!
//! Trees split numbers. What becomes of ids and sequences is learned from the training rows: see the table in `values`.

mod settings;
#[cfg(test)]
mod tests;
mod values;

pub use settings::{IdValues, TreeSettings};

use crate::{
    base::{Error, Result, rank::is_positive, rng},
    data::{
        dataset::{Dataset, Split},
        schema::Feature,
    },
    learn::{
        metrics::Metrics,
        network::{Body, Branch, Forest, Network, Node},
        train::metrics_of,
    },
};
use forust_ml::{
    GradientBooster, Matrix, gradientbooster::GrowPolicy, metric::Metric, sampler::SampleMethod, tree::Tree,
};
use serde::{Deserialize, Serialize};
use values::Values;

/// How growing went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TreesReport {
    /// Trees that were kept.
    pub kept: usize,
    /// Trees that were grown before growing stopped.
    pub grown: usize,
    /// On the validation rows.
    pub metrics: Metrics,
    /// By how much splits on each feature lowered the training loss, in the order of the chosen: the importance that LightGBM calls gain.
    pub gain: Vec<(String, f64)>,
}

/// Grows trees on the chosen features (indices into `features`, ascending). The same seed gives the same trees, on any
/// number of threads.
///
/// Fails on settings outside their range, when the data lack a feature, and where the training or the validation rows have
/// one label only.
pub fn train(
    features: &[Feature],
    chosen: &[usize],
    data: &Dataset,
    split: &Split,
    settings: &TreeSettings,
    seed: u64,
) -> Result<(Network, TreesReport)> {
    let (network, report, _) = grow(features, chosen, data, split, settings, seed)?;
    Ok((network, report))
}

/// Grows trees as [`train`] does, and scores every row of the data for those who learn from them. A row that was trained on is given
/// statistics of the other folds here, too: with its own label inside they would tell it, and whoever learns from the score would learn
/// the label. All other rows score as the network scores them.
pub fn teach(
    features: &[Feature],
    chosen: &[usize],
    data: &Dataset,
    split: &Split,
    settings: &TreeSettings,
    seed: u64,
) -> Result<(Network, TreesReport, Vec<f32>)> {
    let (network, report, values) = grow(features, chosen, data, split, settings, seed)?;
    let every: Vec<u32> = (0..data.rows() as u32).collect();
    let mut scores = network.score(data, &every)?;
    for (inputs, rows) in values.folds(settings.folds, &split.train) {
        let seen = Network { inputs, body: network.body.clone() };
        for (&row, score) in rows.iter().zip(seen.score(data, &rows)?) {
            scores[row as usize] = score;
        }
    }
    Ok((network, report, scores))
}

fn grow(
    features: &[Feature],
    chosen: &[usize],
    data: &Dataset,
    split: &Split,
    settings: &TreeSettings,
    seed: u64,
) -> Result<(Network, TreesReport, Values)> {
    settings.check()?;
    let features: Vec<&Feature> = chosen.iter().map(|&index| &features[index]).collect();
    if features.is_empty() {
        return Err(Error::usage("no feature is chosen to grow trees on", "choose one at least"));
    }
    both_labels(data, &split.train, "training")?;
    both_labels(data, &split.valid, "validation")?;
    let values = Values::learn(&features, data, &split.train, settings, seed)?;
    let matrix = values.training_matrix(data, &split.train);
    let valid = values.matrix(data, &split.valid);
    let columns = features.len();
    let (rows, valid_rows) = (split.train.len(), split.valid.len());
    let [labels, weights] = labels_and_weights(data, &split.train);
    let [valid_labels, valid_weights] = labels_and_weights(data, &split.valid);
    let mut booster = booster(settings, seed);
    booster
        .fit(
            &Matrix::new(&matrix, rows, columns),
            &labels,
            &weights,
            Some(vec![(Matrix::new(&valid, valid_rows, columns), &valid_labels, &valid_weights)]),
        )
        .map_err(|e| Error::learn("grow trees", e))?;
    let grown = booster.trees.len();
    let kept = booster.prediction_iteration.unwrap_or(grown);
    let forest = plain(columns, booster.base_score, &booster.trees[..kept]);
    let gain = values.inputs.iter().map(|input| input.feature.clone()).zip(forest.gains.clone()).collect();
    let network = Network { inputs: values.inputs.clone(), body: Body::Forest(forest) };
    let metrics = metrics_of(&network.score(data, &split.valid)?, data, &split.valid);
    Ok((network, TreesReport { kept, grown, metrics, gain }, values))
}

fn both_labels(data: &Dataset, rows: &[u32], what: &str) -> Result<()> {
    let clicked = rows.iter().filter(|&&row| is_positive(data.labels[row as usize])).count();
    if clicked > 0 && clicked < rows.len() {
        return Ok(());
    }
    Err(Error::usage(
        format!("{clicked} of the {} {what} rows are clicks, so trees cannot be grown", rows.len()),
        "let the split leave rows of both labels for training and for validation",
    ))
}

fn labels_and_weights(data: &Dataset, rows: &[u32]) -> [Vec<f64>; 2] {
    [&data.labels, &data.weights]
        .map(|column| rows.iter().map(|&row| f64::from(column[row as usize])).collect())
}

fn booster(settings: &TreeSettings, seed: u64) -> GradientBooster {
    let sampled = settings.subsample < 1.0;
    let mut booster = GradientBooster::default()
        .set_iterations(settings.trees)
        .set_learning_rate(settings.learning_rate as f32)
        .set_max_leaves(settings.leaves)
        .set_max_depth(settings.depth)
        .set_min_leaf_weight(settings.min_child_weight as f32)
        .set_l2(settings.l2 as f32)
        .set_nbins(settings.bins)
        .set_initialize_base_score(true)
        .set_sample_method(if sampled { SampleMethod::Random } else { SampleMethod::None })
        .set_subsample(settings.subsample as f32)
        .set_colsample_bytree(settings.columns)
        .set_seed(rng::derive(seed, "trees"))
        .set_evaluation_metric(Some(Metric::AUC))
        .set_early_stopping_rounds(Some(settings.patience))
        .set_tiled_histograms(true);
    booster.grow_policy = GrowPolicy::LossGuide;
    booster
}

/// The grown trees as plain data.
fn plain(inputs: usize, base_score: f64, grown: &[Tree]) -> Forest {
    let (mut nodes, mut roots, mut gains) = (Vec::new(), Vec::new(), vec![0.0; inputs]);
    for tree in grown {
        roots.push(nodes.len() as u32);
        push(tree, 0, &mut nodes, &mut gains);
    }
    Forest { base_score: base_score as f32, roots, nodes, gains }
}

/// Adds the branch at node `at` of a grown tree.
fn push(tree: &Tree, at: usize, nodes: &mut Vec<Node>, gains: &mut [f64]) {
    let node = &tree.nodes[at];
    if node.is_leaf {
        nodes.push(Node::Leaf { value: node.weight_value });
        return;
    }
    gains[node.split_feature] += f64::from(node.split_gain);
    let own = nodes.len();
    let missing = if node.missing_node == node.left_child { Branch::Below } else { Branch::Other };
    let (input, threshold) = (node.split_feature as u32, threshold(node.split_value));
    nodes.push(Node::Split { input, threshold, missing, other: 0 });
    push(tree, node.left_child, nodes, gains);
    let begin = nodes.len() as u32;
    if let Node::Split { other, .. } = &mut nodes[own] {
        *other = begin;
    }
    push(tree, node.right_child, nodes, gains);
}

/// The single-precision threshold that divides single-precision values as `split` does: the smallest that is not below it.
/// The grower's largest, behind which no value is, becomes the largest finite one.
fn threshold(split: f64) -> f32 {
    let nearest = split as f32;
    let above = if f64::from(nearest) < split { nearest.next_up() } else { nearest };
    above.min(f32::MAX)
}
