//! Expected latency of fetching the features: equations (3) and (4), with their gradient.
//!
//! ```text
//! E[latency_i] = θ_i · L_i
//! E[latency]   = max( max_{i∈F1} E[latency_i] + β·Σ_{F1} θ ,  max_{j∈F2} E[latency_j] + γ·Σ_{F2} θ )
//! ```
//!
//! F1 comes with the matching stage and F2 from the store, side by side, so the slower source counts. The counts |F1|
//! and |F2| are the expected ones, Σθ. A source without features costs 0; so does one whose θ are all 0, as the limit of the
//! formula.
//!
//! A store keeps rows, not single values: the first feature of a row pays the trip, every one pays its own bytes. So the unit of
//! (3) is a [`FetchGroup`], whose expected latency is
//!
//! ```text
//! E[latency_g] = trip_g · (1 − Π_{i∈g} (1 − θ_i)) + Σ_{i∈g} θ_i · own_i
//! ```
//!
//! the exact expectation over independently drawn features. A group of one feature is (3) with L_i = trip + own. In (4) all rows
//! are asked for at once, and the slowest counts; a worker that decodes and fetches one after the other pays for all of them:
//! [`Fetching`].

use crate::{
    data::schema::{Feature, Schema, Source},
    space::SearchSpace,
};

/// Value and gradient of equation (4).
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureLatency {
    /// Milliseconds.
    pub ms: f64,
    /// ∂ms/∂θ per feature. Where maxima tie, it is the subgradient that follows the first group
    /// and the matching stage.
    pub d_theta: Vec<f64>,
}

/// How the rows of a request are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetching {
    /// At once, as in (4): of each source the slowest group counts, and of the sources the slower.
    Together,
    /// One after the other: all groups of both sources add up, with β and γ.
    InTurn,
}

/// Features that come in one row.
#[derive(Debug, Clone, PartialEq)]
pub struct FetchGroup {
    /// Where the row comes from.
    pub source: Source,
    /// Paid once when any of the features is selected, ms.
    pub trip_ms: f64,
    /// Position of each feature in the schema, and what it adds, ms.
    pub features: Vec<(usize, f64)>,
}

/// What fetching costs.
#[derive(Debug, Clone, PartialEq)]
pub struct FeaturePrices {
    /// Every feature that is fetched is in one of them.
    pub groups: Vec<FetchGroup>,
    /// How groups and sources go together.
    pub fetching: Fetching,
    /// β of equation (4), ms per selected feature of F1.
    pub beta_ms: f64,
    /// γ of equation (4), ms per selected feature of F2.
    pub gamma_ms: f64,
}

impl FeaturePrices {
    /// The prices that a schema declares: every feature is fetched by itself, L_i is its `fetch_ms`.
    pub fn declared(schema: &Schema) -> Self {
        let group = |(position, feature): (usize, &Feature)| FetchGroup {
            source: feature.source,
            trip_ms: 0.0,
            features: vec![(position, feature.fetch_ms)],
        };
        let groups = schema.features.iter().enumerate().map(group).collect();
        let Schema { beta_ms, gamma_ms, .. } = *schema;
        Self { groups, fetching: Fetching::Together, beta_ms, gamma_ms }
    }

    /// The same in requests of the layout that `space` is served in: what a row of the item table stands for is not fetched.
    pub fn fetched_in(mut self, space: &SearchSpace) -> Self {
        for group in &mut self.groups {
            group.features.retain(|&(feature, _)| space.side_in_request(feature).is_some());
        }
        self.groups.retain(|group| !group.features.is_empty());
        self
    }

    /// Equation (4) at the selection probabilities `theta`, one per feature of the schema.
    pub fn expected(&self, theta: &[f64]) -> FeatureLatency {
        let [matching, store] = [Source::Matching, Source::Store].map(|source| self.of_source(source, theta));
        match self.fetching {
            Fetching::InTurn => FeatureLatency {
                ms: matching.ms + store.ms,
                d_theta: matching.d_theta.iter().zip(&store.d_theta).map(|(a, b)| a + b).collect(),
            },
            Fetching::Together if store.ms > matching.ms || !self.has(Source::Matching) => store,
            Fetching::Together => matching,
        }
    }

    /// Equation (4) of concrete features, given by their positions among `count`, in ms.
    pub fn selected_ms(&self, features: &[usize], count: usize) -> f64 {
        let mut theta = vec![0.0; count];
        features.iter().for_each(|&feature| theta[feature] = 1.0);
        self.expected(&theta).ms
    }

    fn has(&self, source: Source) -> bool {
        self.groups.iter().any(|group| group.source == source)
    }

    /// What one source's groups and count cost; nothing without any.
    pub(super) fn of_source(&self, source: Source, theta: &[f64]) -> FeatureLatency {
        let per_feature_ms = match source {
            Source::Matching => self.beta_ms,
            Source::Store => self.gamma_ms,
        };
        let groups: Vec<&FetchGroup> = self.groups.iter().filter(|group| group.source == source).collect();
        let paid = match self.fetching {
            Fetching::InTurn => 0..groups.len(),
            Fetching::Together => {
                let slower = |best: usize, at: usize| {
                    if groups[at].expected_ms(theta) > groups[best].expected_ms(theta) { at } else { best }
                };
                (0..groups.len()).reduce(slower).map_or(0..0, |slowest| slowest..slowest + 1)
            }
        };
        let mut latency = FeatureLatency { ms: 0.0, d_theta: vec![0.0; theta.len()] };
        for &(feature, _) in groups.iter().flat_map(|group| &group.features) {
            latency.ms += per_feature_ms * theta[feature];
            latency.d_theta[feature] += per_feature_ms;
        }
        groups[paid].iter().for_each(|group| group.add_to(&mut latency, theta));
        latency
    }
}

impl FetchGroup {
    /// Probability that none of the features except `but` is selected.
    fn none(&self, theta: &[f64], but: Option<usize>) -> f64 {
        let others = self.features.iter().filter(|(feature, _)| Some(*feature) != but);
        others.map(|&(feature, _)| 1.0 - theta[feature]).product()
    }

    fn expected_ms(&self, theta: &[f64]) -> f64 {
        let own: f64 = self.features.iter().map(|&(feature, own_ms)| theta[feature] * own_ms).sum();
        self.trip_ms * (1.0 - self.none(theta, None)) + own
    }

    fn add_to(&self, latency: &mut FeatureLatency, theta: &[f64]) {
        latency.ms += self.expected_ms(theta);
        for &(feature, own_ms) in &self.features {
            latency.d_theta[feature] += own_ms + self.trip_ms * self.none(theta, Some(feature));
        }
    }
}

#[cfg(test)]
mod tests;
