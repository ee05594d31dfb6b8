//! Expected latency of fetching the features: equations (3) and (4), with their gradient.
//!
//! ```text
//! E[latency_i] = θ_i · L_i
//! E[latency]   = max( max_{i∈F1} E[latency_i] + β·Σ_{F1} θ ,  max_{j∈F2} E[latency_j] + γ·Σ_{F2} θ )
//! ```
//!
//! F1 comes with the matching stage and F2 from the store, side by side, so the slower group counts. The counts |F1|
//! and |F2| are the expected ones, Σθ. A group without features costs 0; so does one whose θ are all 0, as the limit of the
//! formula.

use crate::{
    data::schema::{Feature, Source},
    space::SearchSpace,
};

/// Value and gradient of equation (4).
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureLatency {
    /// Milliseconds.
    pub ms: f64,
    /// ∂ms/∂θ per feature. Where maxima tie, it is the subgradient that follows the first feature in schema order
    /// and the matching group.
    pub d_theta: Vec<f64>,
}

/// Equation (4) at the selection probabilities `theta`, one per feature; L_i is the schema's declared fetch time.
///
/// # Panics
/// When `theta` has not one value per feature.
pub fn feature_ms(features: &[Feature], theta: &[f64], beta_ms: f64, gamma_ms: f64) -> FeatureLatency {
    assert_eq!(features.len(), theta.len(), "one θ per feature");
    let matching = group(features, theta, Source::Matching, beta_ms);
    let store = group(features, theta, Source::Store, gamma_ms);
    match (matching, store) {
        (Some(matching), Some(store)) if store.ms > matching.ms => store,
        (Some(matching), _) => matching,
        (None, Some(store)) => store,
        (None, None) => FeatureLatency { ms: 0.0, d_theta: vec![0.0; features.len()] },
    }
}

/// Equation (4) for the features of a space that a request fetches: what a row of the item table stands for costs nothing.
pub fn fetch_ms(space: &SearchSpace, theta: &[f64], beta_ms: f64, gamma_ms: f64) -> FeatureLatency {
    let fetched: Vec<usize> = (0..theta.len()).filter(|&i| space.side_in_request(i).is_some()).collect();
    let features: Vec<Feature> = fetched.iter().map(|&i| space.features[i].clone()).collect();
    let shares: Vec<f64> = fetched.iter().map(|&i| theta[i]).collect();
    let found = feature_ms(&features, &shares, beta_ms, gamma_ms);
    let mut d_theta = vec![0.0; theta.len()];
    fetched.iter().zip(&found.d_theta).for_each(|(&i, d)| d_theta[i] = *d);
    FeatureLatency { ms: found.ms, d_theta }
}

/// max θ_i·L_i + `per_feature`·Σθ over the features of one source; None without any.
fn group(features: &[Feature], theta: &[f64], source: Source, per_feature_ms: f64) -> Option<FeatureLatency> {
    let mut d_theta = vec![0.0; features.len()];
    let (mut count, mut slowest) = (0.0, None);
    for (i, feature) in features.iter().enumerate().filter(|(_, feature)| feature.source == source) {
        count += theta[i];
        d_theta[i] = per_feature_ms;
        let fetch = theta[i] * feature.fetch_ms;
        if slowest.is_none_or(|(_, ms)| fetch > ms) {
            slowest = Some((i, fetch));
        }
    }
    let (i, fetch) = slowest?;
    d_theta[i] += features[i].fetch_ms;
    Some(FeatureLatency { ms: fetch + per_feature_ms * count, d_theta })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::names::Layout,
        data::schema::{Kind, Refresh},
        price::fixtures::feature,
    };

    fn features() -> Vec<Feature> {
        [(Source::Matching, 1.0), (Source::Matching, 4.0), (Source::Store, 2.0), (Source::Store, 6.0)]
            .into_iter()
            .map(|(source, fetch_ms)| Feature { source, fetch_ms, ..feature("f", 8) })
            .collect()
    }

    #[test]
    fn the_slower_group_counts_with_its_slowest_feature_and_its_expected_size() {
        // F1: max(0.5, 2) + 0.1·1 = 2.1; F2: max(2, 1.5) + 0.2·1.25 = 2.25.
        let found = feature_ms(&features(), &[0.5, 0.5, 1.0, 0.25], 0.1, 0.2);
        assert!((found.ms - 2.25).abs() < 1e-12);
        assert_eq!(found.d_theta, [0.0, 0.0, 2.0 + 0.2, 0.2]);
        // A higher β turns it: 2 + 0.5·1 = 2.5.
        let found = feature_ms(&features(), &[0.5, 0.5, 1.0, 0.25], 0.5, 0.2);
        assert!((found.ms - 2.5).abs() < 1e-12);
        assert_eq!(found.d_theta, [0.5, 4.0 + 0.5, 0.0, 0.0]);
    }

    #[test]
    fn what_items_have_rows_for_is_not_fetched() {
        let mut features = features();
        features.iter_mut().for_each(|feature| feature.kind = Kind::Interactive);
        // The slowest of F1 and the one that decides F2.
        for i in [1, 2] {
            (features[i].kind, features[i].refresh) = (Kind::Item, Refresh::Daily);
        }
        let space = SearchSpace::new(features, vec![]).unwrap();
        let theta = [0.5, 0.5, 1.0, 0.25];
        let plain = fetch_ms(&space, &theta, 0.1, 0.2);
        assert!((plain.ms - 2.25).abs() < 1e-12, "{plain:?}");
        // F1: 0.5 + 0.1·0.5 = 0.55; F2: 1.5 + 0.2·0.25 = 1.55.
        let found = fetch_ms(&space.served_in(Layout::ItemCached), &theta, 0.1, 0.2);
        assert!((found.ms - 1.55).abs() < 1e-12, "{found:?}");
        assert_eq!(found.d_theta, [0.0, 0.0, 0.0, 6.2]);
    }

    #[test]
    fn an_empty_group_costs_nothing() {
        let all = features();
        let matching = feature_ms(&all[..2], &[1.0, 1.0], 0.1, 100.0);
        assert!((matching.ms - 4.2).abs() < 1e-12);
        assert_eq!(feature_ms(&[], &[], 1.0, 1.0).ms, 0.0);
        // A group that expects no feature does not pay either.
        let store_off = feature_ms(&all, &[1.0, 1.0, 0.0, 0.0], 0.1, 100.0);
        assert!((store_off.ms - 4.2).abs() < 1e-12);
    }

    #[test]
    fn a_tie_follows_the_first_feature_of_the_matching_group() {
        let twins: Vec<Feature> = [Source::Store, Source::Matching, Source::Matching]
            .into_iter()
            .map(|source| Feature { source, fetch_ms: 2.0, ..feature("f", 8) })
            .collect();
        let found = feature_ms(&twins, &[0.5, 0.5, 0.5], 0.0, 0.0);
        assert_eq!(found.d_theta, [0.0, 2.0, 0.0]);
    }

    #[test]
    fn the_gradient_agrees_with_central_differences() {
        let features = features();
        for theta in [[0.5, 0.5, 1.0, 0.25], [0.9, 0.8, 0.1, 0.2], [0.3, 0.01, 0.6, 0.4]] {
            let found = feature_ms(&features, &theta, 0.1, 0.2);
            for i in 0..theta.len() {
                let at = |step: f64| {
                    let mut moved = theta;
                    moved[i] += step;
                    feature_ms(&features, &moved, 0.1, 0.2).ms
                };
                let slope = (at(1e-6) - at(-1e-6)) / 2e-6;
                assert!((slope - found.d_theta[i]).abs() < 1e-6, "θ {theta:?}, feature {i}");
            }
        }
    }
}
