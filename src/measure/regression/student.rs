//! Quantiles of Student's t distribution.

use std::f64::consts::FRAC_PI_2;

/// Steps of the sum over a quarter of a turn.
const STEPS: usize = 2000;

/// The value that a t-distributed variable with `freedom` degrees of freedom, from 1 up to some thousands, stays below with `probability`, from 0.5
/// up to below 1.
///
/// With t = √ν·tan θ the density becomes proportional to cos^(ν−1) θ on (−π/2, π/2), so that P(0 ≤ T ≤ t) is a share of an
/// integral over a finite range, which is summed by midpoints.
pub(super) fn quantile(probability: f64, freedom: f64) -> f64 {
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

#[cfg(test)]
mod tests {
    use super::quantile;

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
}
