//! How far trainings with other seeds chose the same.

use crate::{
    app::compare::result::Trained,
    base::rank::{kendall_tau, spearman},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Means over all pairs of seeds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Agreement {
    /// Pairs of seeds.
    pub pairs: usize,
    /// Jaccard index of the chosen features: those that both chose over those that one of them chose.
    pub features_jaccard: f64,
    /// Of the pair that agrees least.
    pub least_features_jaccard: f64,
    /// Share of the pairs with the same layers.
    pub same_layers: f64,
    /// Spearman's ρ of the strengths of all features; absent where no features are ranked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strengths_spearman: Option<f64>,
    /// Kendall's τ-b of the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strengths_kendall: Option<f64>,
}

impl Agreement {
    /// Between two or more trainings.
    pub(super) fn of(trainings: &[&Trained]) -> Option<Self> {
        let pairs: Vec<(&Trained, &Trained)> =
            (0..trainings.len()).flat_map(|i| (0..i).map(move |j| (trainings[j], trainings[i]))).collect();
        let mean = |of: &dyn Fn(&Trained, &Trained) -> Option<f64>| {
            let values: Vec<f64> = pairs.iter().filter_map(|(a, b)| of(a, b)).collect();
            (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
        };
        let alike = |a: &Trained, b: &Trained| jaccard(&a.features, &b.features);
        let ranked = |by: fn(&[f64], &[f64]) -> Option<f64>| {
            mean(&|a, b| by(a.strengths.as_deref()?, b.strengths.as_deref()?))
        };
        Some(Self {
            pairs: pairs.len(),
            features_jaccard: mean(&|a, b| Some(alike(a, b)))?,
            least_features_jaccard: pairs.iter().map(|(a, b)| alike(a, b)).fold(1.0, f64::min),
            same_layers: mean(&|a, b| Some(f64::from(u8::from(a.layers == b.layers))))?,
            strengths_spearman: ranked(spearman),
            strengths_kendall: ranked(kendall_tau),
        })
    }
}

/// |A ∩ B| / |A ∪ B|; 1 of two empty sets.
fn jaccard(a: &[String], b: &[String]) -> f64 {
    let (a, b): (BTreeSet<_>, BTreeSet<_>) = (a.iter().collect(), b.iter().collect());
    let all = a.union(&b).count();
    if all == 0 { 1.0 } else { a.intersection(&b).count() as f64 / all as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::metrics::{Metrics, TopLists};

    fn trained(features: &[&str], layers: &[usize], strengths: Option<[f64; 4]>) -> Trained {
        Trained {
            features: features.iter().map(|&name| name.to_owned()).collect(),
            layers: layers.to_vec(),
            strengths: strengths.map(|s| s.to_vec()),
            metrics: Metrics::of(&[0.5], &[1.0], None),
            calibration: None,
            top_lists: TopLists::default(),
            parameters: 0,
            multiply_adds: 0,
            feature_ms: 0.0,
            predicted_ms: None,
            latency: None,
            onnx: String::new(),
            scores: String::new(),
            measuring_s: 0.0,
        }
    }

    #[test]
    fn the_agreement_of_three_seeds_is_the_mean_over_their_pairs() {
        let a = trained(&["a", "b", "c"], &[8], Some([0.9, 0.8, 0.7, 0.1]));
        let b = trained(&["a", "b", "d"], &[8], Some([0.9, 0.8, 0.1, 0.7]));
        let c = trained(&["a", "b", "c"], &[4], Some([0.9, 0.8, 0.7, 0.1]));
        let found = Agreement::of(&[&a, &b, &c]).unwrap();
        // 2 of 4, 3 of 3 and 2 of 4 features.
        assert!((found.features_jaccard - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!((found.pairs, found.least_features_jaccard, found.same_layers), (3, 0.5, 1.0 / 3.0));
        // 1 − 6·2/60 twice and 1; 4/6 twice and 1.
        assert!((found.strengths_spearman.unwrap() - 2.6 / 3.0).abs() < 1e-12);
        assert!((found.strengths_kendall.unwrap() - (8.0 / 6.0 + 1.0) / 3.0).abs() < 1e-12);
        assert_eq!(Agreement::of(&[&a]), None);
        let plain = trained(&["a"], &[8], None);
        assert_eq!(Agreement::of(&[&plain, &plain]).unwrap().strengths_kendall, None);
    }
}
