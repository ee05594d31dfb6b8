//! Student's t distribution, and the paired test that rests on it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::f64::consts::FRAC_PI_2;

/// Steps of the sum over a quarter of a turn.
const STEPS: usize = 2000;

/// The value that a t-distributed variable with `freedom` degrees of freedom, from 1 up to some thousands, stays below with `probability`, from 0.5
/// up to below 1.
///
/// With t = √ν·tan θ the density becomes proportional to cos^(ν−1) θ on (−π/2, π/2), so that P(0 ≤ T ≤ t) is a share of an
/// integral over a finite range, which is summed by midpoints.
pub fn quantile(probability: f64, freedom: f64) -> f64 {
    let step = FRAC_PI_2 / STEPS as f64;
    let density = |i: usize| ((i as f64 + 0.5) * step).cos().powf(freedom - 1.0);
    let total: f64 = (0..STEPS).map(density).sum();
    let wanted = (2.0 * probability - 1.0) * total;
    let mut sum = 0.0;
    for i in 0..STEPS {
        let next = density(i);
        if sum + next >= wanted {
            let angle = (i as f64 + (wanted - sum) / next) * step;
            return freedom.sqrt() * angle.tan();
        }
        sum += next;
    }
    f64::INFINITY
}

/// The probability that a t-distributed variable with `freedom` degrees of freedom is at least as far from 0 as `t`: the p of a
/// two-sided test. The share of the tail is summed by itself, so that a small one keeps its digits.
fn two_sided(t: f64, freedom: f64) -> f64 {
    let share = |from: f64| {
        let step = (FRAC_PI_2 - from) / STEPS as f64;
        let density = |i: usize| (from + (i as f64 + 0.5) * step).cos().powf(freedom - 1.0);
        (0..STEPS).map(density).sum::<f64>() * step
    };
    share((t.abs() / freedom.sqrt()).atan()) / share(0.0)
}

/// What a paired t-test finds: whether the mean of differences is 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PairedT {
    /// Pairs.
    pub pairs: usize,
    /// Mean difference.
    pub mean: f64,
    /// Standard deviation of the differences.
    pub deviation: f64,
    /// Mean over its standard error; absent where all differences are the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub t: Option<f64>,
    /// Two-sided: how often differences of mean 0 would show a mean as far from it. Absent where t is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p: Option<f64>,
    /// The mean ± t(0.975, pairs − 1) standard errors.
    pub interval_95: [f64; 2],
}

impl PairedT {
    /// Of two or more differences between the members of pairs.
    pub fn of(differences: &[f64]) -> Option<Self> {
        let (mean, deviation) = mean_and_deviation(differences)?;
        let deviation = deviation?;
        let freedom = (differences.len() - 1) as f64;
        let error = deviation / (differences.len() as f64).sqrt();
        let t = (error > 0.0).then(|| mean / error);
        let half = quantile(0.975, freedom) * error;
        Some(Self {
            pairs: differences.len(),
            mean,
            deviation,
            t,
            p: t.map(|t| two_sided(t, freedom)),
            interval_95: [mean - half, mean + half],
        })
    }
}

/// Mean, and with two values or more the standard deviation (n − 1). None of nothing.
pub fn mean_and_deviation(values: &[f64]) -> Option<(f64, Option<f64>)> {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (!values.is_empty()).then(|| (mean, (values.len() > 1).then(|| (squares / (count - 1.0)).sqrt())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (probability, freedom, expected) in [
            (0.99, 1.0, 31.8205),
            (0.99, 2.0, 6.9646),
            (0.99, 3.0, 4.5407),
            (0.99, 4.0, 3.7469),
            (0.975, 10.0, 2.2281),
            (0.995, 30.0, 2.7500),
            (0.99, 1000.0, 2.3301),
        ] {
            let found = quantile(probability, freedom);
            assert!((found - expected).abs() < 2e-3 * expected, "{probability} {freedom}: {found}");
        }
        assert_eq!(quantile(0.5, 3.0), 0.0);
    }

    #[test]
    fn broken_degrees_of_freedom_lie_between_whole_ones() {
        let at = |freedom| quantile(0.99, freedom);
        assert!(at(2.0) > at(2.5) && at(2.5) > at(3.0));
    }

    #[test]
    fn tails_are_those_of_closed_forms_and_of_scipy() {
        // ν = 1 is Cauchy: 1 − 2/π·atan t. ν = 2: 1 − t/√(2 + t²).
        for t in [0.0f64, 0.3, 1.0, 4.0, 60.0] {
            let cauchy = 1.0 - 2.0 / std::f64::consts::PI * t.atan();
            assert!((two_sided(t, 1.0) - cauchy).abs() < 1e-9);
            let two = 1.0 - t / (2.0 + t * t).sqrt();
            assert!((two_sided(-t, 2.0) - two).abs() < 1e-6 * two, "{t}");
        }
        // scipy.stats.t.sf(t, ν)·2
        for (t, freedom, expected) in [
            (2.5, 3.0, 0.087_706_647_0),
            (1.3, 4.0, 0.263_451_596_5),
            (4.2, 9.0, 0.002_306_692_507),
            (8.0, 4.0, 0.001_323_896_909),
            (3.1, 30.0, 0.004_184_484_861),
        ] {
            let found = two_sided(t, freedom);
            assert!((found - expected).abs() < 1e-5 * expected, "{t} {freedom}: {found}");
        }
    }

    #[test]
    fn a_paired_test_is_that_of_scipy() {
        // scipy.stats.ttest_rel(a, b), and .confidence_interval(0.95)
        let a = [0.7412, 0.7398, 0.7405, 0.7421, 0.7390];
        let b = [0.7395, 0.7391, 0.7399, 0.7402, 0.7393];
        let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        let found = PairedT::of(&differences).unwrap();
        assert!((found.mean - 0.00092).abs() < 1e-12);
        let (t, p, low, high) = (2.297_130_379, 0.083_201_319, -0.000_191_965, 0.002_031_965);
        assert!((found.t.unwrap() - t).abs() < 1e-6 && (found.p.unwrap() - p).abs() < 1e-6, "{found:?}");
        assert!((found.interval_95[0] - low).abs() < 2e-6 && (found.interval_95[1] - high).abs() < 2e-6);
        assert_eq!(PairedT::of(&[0.1]), None);
        let alike = PairedT::of(&[0.5, 0.5, 0.5]).unwrap();
        assert_eq!((alike.t, alike.p, alike.interval_95), (None, None, [0.5, 0.5]));
    }

    #[test]
    fn a_deviation_needs_two_values() {
        assert_eq!(mean_and_deviation(&[]), None);
        assert_eq!(mean_and_deviation(&[3.0]), Some((3.0, None)));
        assert_eq!(mean_and_deviation(&[1.0, 3.0]), Some((2.0, Some(2f64.sqrt()))));
    }
}
