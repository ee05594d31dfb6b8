//! A rising curve through known points, with its derivative: cubic between neighbours, as smooth as the points allow, and
//! never falling (F. N. Fritsch and J. Butland, SIAM J. Sci. Stat. Comput. 5, 1984).

use super::target::TargetLatency;
use serde::{Deserialize, Serialize};

/// A point that the curve goes through.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Knot {
    /// Mean service time.
    pub mean_ms: f64,
    /// The latency that belongs to it.
    pub latency_ms: f64,
    /// Derivative of the latency by the mean.
    pub slope: f64,
}

/// Latency as a function of the mean service time. It begins at (0, 0).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Curve {
    knots: Vec<Knot>,
}

impl Curve {
    /// The curve from (0, 0) through `points` (mean and latency, in ms), whose means must ascend. A latency below the one before
    /// it is raised to that.
    pub fn through(points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        let mut all = vec![(0.0, 0.0)];
        for (mean_ms, latency_ms) in points {
            let (before_ms, least_ms) = all[all.len() - 1];
            if mean_ms > before_ms {
                all.push((mean_ms, f64::max(latency_ms, least_ms)));
            }
        }
        let slopes = slopes(&all);
        let knots = all.into_iter().zip(slopes);
        Self {
            knots: knots.map(|((mean_ms, latency_ms), slope)| Knot { mean_ms, latency_ms, slope }).collect(),
        }
    }

    /// Value and derivative; beyond the last point the line that leaves it.
    pub fn at(&self, mean_ms: f64) -> TargetLatency {
        let above = self.knots.partition_point(|knot| knot.mean_ms <= mean_ms);
        match (above.checked_sub(1).map(|i| self.knots[i]), self.knots.get(above)) {
            (Some(left), Some(right)) => between(left, *right, mean_ms),
            (Some(last), None) => TargetLatency {
                ms: last.latency_ms + last.slope * (mean_ms - last.mean_ms),
                slope: last.slope,
            },
            (None, first) => {
                let slope = first.map_or(1.0, |first| first.slope);
                TargetLatency { ms: slope * mean_ms, slope }
            }
        }
    }
}

/// Hermite's cubic with the values and slopes of both ends.
fn between(left: Knot, right: Knot, mean_ms: f64) -> TargetLatency {
    let width = right.mean_ms - left.mean_ms;
    let t = (mean_ms - left.mean_ms) / width;
    let rise = right.latency_ms - left.latency_ms;
    // The cubic is left + width·(a·t + b·t² + c·t³).
    let secant = rise / width;
    let a = left.slope;
    let b = 3.0 * secant - 2.0 * left.slope - right.slope;
    let c = left.slope + right.slope - 2.0 * secant;
    TargetLatency {
        ms: left.latency_ms + width * t * (a + t * (b + t * c)),
        slope: a + t * (2.0 * b + 3.0 * t * c),
    }
}

/// Slopes at the points: inside, the weighted harmonic mean of the two secants; at the ends, that of the parabola through the
/// outer three points. None is more than three times a secant beside it, which keeps the cubic from falling.
fn slopes(points: &[(f64, f64)]) -> Vec<f64> {
    let width: Vec<f64> = points.windows(2).map(|p| p[1].0 - p[0].0).collect();
    let secant: Vec<f64> = points.windows(2).zip(&width).map(|(p, w)| (p[1].1 - p[0].1) / w).collect();
    let inner = |i: usize| {
        let (before, after) = (secant[i - 1], secant[i]);
        if before <= 0.0 || after <= 0.0 {
            return 0.0;
        }
        let (w1, w2) = (2.0 * width[i] + width[i - 1], width[i] + 2.0 * width[i - 1]);
        (w1 + w2) / (w1 / before + w2 / after)
    };
    // `near` is the outer interval, `far` the one beside it.
    let end = |near: usize, far: Option<usize>| match far {
        None => secant[near],
        Some(far) => {
            let sum = width[near] + width[far];
            let parabola = ((width[near] + sum) * secant[near] - width[near] * secant[far]) / sum;
            parabola.clamp(0.0, 3.0 * secant[near])
        }
    };
    match secant.len() {
        0 => vec![1.0; points.len()],
        intervals => {
            let last = intervals - 1;
            let first = end(0, (last > 0).then_some(1));
            let ending = end(last, last.checked_sub(1));
            let inside = (1..intervals).map(inner);
            std::iter::once(first).chain(inside).chain([ending]).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_stays_a_line_with_its_slope_and_goes_on_as_one() {
        let curve = Curve::through([(1.0, 3.0), (2.5, 7.5), (3.0, 9.0)]);
        for mean_ms in [0.0, 0.3, 1.0, 1.7, 2.9, 3.0, 12.0] {
            let TargetLatency { ms, slope } = curve.at(mean_ms);
            assert!(
                (ms - 3.0 * mean_ms).abs() < 1e-12 && (slope - 3.0).abs() < 1e-12,
                "{mean_ms}: {ms} {slope}"
            );
        }
    }

    #[test]
    fn a_pole_is_met_between_its_points_in_value_and_slope() {
        // m / (1 − m), as the mean response of a memoryless queue, at steps of 0.025.
        let curve = Curve::through((1..=38).map(|i| 0.025 * f64::from(i)).map(|m| (m, m / (1.0 - m))));
        for i in 1..94 {
            let m = 0.01 * f64::from(i);
            let TargetLatency { ms, slope } = curve.at(m);
            assert!((ms / (m / (1.0 - m)) - 1.0).abs() < 0.005, "{m}: {ms}");
            assert!((slope * (1.0 - m).powi(2) - 1.0).abs() < 0.1, "{m}: {slope}");
        }
    }

    #[test]
    fn points_that_fall_or_repeat_a_mean_do_not_let_the_curve_fall() {
        let curve = Curve::through([(1.0, 2.0), (1.0, 9.0), (2.0, 1.0), (3.0, 4.0)]);
        let knots: Vec<_> = curve.knots.iter().map(|knot| (knot.mean_ms, knot.latency_ms)).collect();
        assert_eq!(knots, [(0.0, 0.0), (1.0, 2.0), (2.0, 2.0), (3.0, 4.0)]);
        assert_eq!(curve.at(1.5), TargetLatency { ms: 2.0, slope: 0.0 });
        let alone = Curve::through([]);
        assert_eq!(alone.at(2.0), TargetLatency { ms: 2.0, slope: 1.0 });
        let empty: Curve = serde_json::from_str("[]").unwrap();
        assert_eq!(empty.at(2.0), TargetLatency { ms: 2.0, slope: 1.0 });
    }

    proptest! {
        #[test]
        fn it_never_falls_and_its_slope_is_that_of_central_differences(
            steps in prop::collection::vec((0.05f64..2.0, 0.0f64..3.0), 1..12),
            place in 0.0f64..1.0,
        ) {
            let mut at = (0.0, 0.0);
            let points = steps.iter().map(|step| {
                at = (at.0 + step.0, at.1 + step.1);
                at
            });
            let points: Vec<_> = points.collect();
            let end = points[points.len() - 1];
            let curve = Curve::through(points.iter().copied());
            for &(mean_ms, latency_ms) in &points {
                prop_assert!((curve.at(mean_ms).ms - latency_ms).abs() < 1e-9);
            }
            let mean_ms = 1.2 * place * end.0;
            let step = 1e-5;
            let [low, high] = [mean_ms - step, mean_ms + step].map(|m| curve.at(m).ms);
            prop_assert!(high >= low - 1e-12);
            let found = curve.at(mean_ms).slope;
            prop_assert!(found >= 0.0);
            let differences = (high - low) / (2.0 * step);
            prop_assert!((found - differences).abs() < 1e-2 * (1.0 + found), "{found} {differences}");
        }
    }
}
