//! Which range of a tensor its bytes cover, by three methods. All of them see the same values.

use crate::{base::names::RangeMethod, export::format::Affine};

/// Values that are looked at, at most: evenly spaced ones of more.
const VALUES: usize = 1 << 20;

/// Values on which squared errors are summed, at most.
const ERROR_VALUES: usize = 1 << 16;

/// Shares of the whole range that least squares chooses from: 1, 0.98, …
const SHRINKING: usize = 45;

/// The values of one tensor, in order.
pub(super) struct Observed(Vec<f32>);

impl Observed {
    /// Of values that were seen on calibration rows; None when one is not finite or there is none.
    pub(super) fn new(values: impl ExactSizeIterator<Item = f32>) -> Option<Self> {
        let stride = values.len().div_ceil(VALUES).max(1);
        let mut kept = Vec::with_capacity(values.len() / stride + 1);
        let (mut low, mut high) = (f32::INFINITY, f32::NEG_INFINITY);
        for (at, value) in values.enumerate() {
            if !value.is_finite() {
                return None;
            }
            (low, high) = (low.min(value), high.max(value));
            if at % stride == 0 {
                kept.push(value);
            }
        }
        kept.sort_unstable_by(f32::total_cmp);
        // Whatever was left out, the ends are there.
        *kept.first_mut()? = low;
        *kept.last_mut()? = high;
        Some(Self(kept))
    }

    /// The bytes by a method; `percentile` is the share of values that one end of the range leaves below it.
    pub(super) fn affine(&self, method: RangeMethod, percentile: f64) -> Affine {
        let whole = (self.0[0], self.0[self.0.len() - 1]);
        let (low, high) = match method {
            RangeMethod::MinMax => whole,
            RangeMethod::Percentile => (self.quantile(1.0 - percentile), self.quantile(percentile)),
            RangeMethod::LeastSquares => self.least_squares(whole),
        };
        Affine::of_range(low, high)
    }

    fn quantile(&self, share: f64) -> f32 {
        let last = self.0.len() - 1;
        self.0[((last as f64 * share).round() as usize).min(last)]
    }

    fn least_squares(&self, (low, high): (f32, f32)) -> (f32, f32) {
        let stride = self.0.len().div_ceil(ERROR_VALUES);
        let error = |affine: Affine| -> f64 {
            let one = |&x: &f32| f64::from(x - affine.scale * affine.steps(x)).powi(2);
            self.0.iter().step_by(stride).map(one).sum()
        };
        let shares = (0..SHRINKING).map(|step| 1.0 - 0.02 * step as f32);
        let ranges = shares.map(|share| (low * share, high * share));
        ranges
            .min_by(|&a, &b| error(Affine::of_range(a.0, a.1)).total_cmp(&error(Affine::of_range(b.0, b.1))))
            .unwrap_or((low, high))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn affine(values: &[f32], method: RangeMethod, percentile: f64) -> Affine {
        Observed::new(values.iter().copied()).unwrap().affine(method, percentile)
    }

    #[test]
    fn min_max_covers_everything_and_a_percentile_cuts_both_ends() {
        // −100, −99, …, 900: the 99th percentile of 1,001 values is 890, the first −90.
        let values: Vec<f32> = (-100..=900).map(|v| v as f32).collect();
        assert_eq!(affine(&values, RangeMethod::MinMax, 0.99), Affine::of_range(-100.0, 900.0));
        assert_eq!(affine(&values, RangeMethod::Percentile, 0.99), Affine::of_range(-90.0, 890.0));
    }

    #[test]
    fn least_squares_keeps_a_uniform_range_and_gives_up_a_lone_outlier() {
        // A uniform tensor loses more by clipping than by steps. Of many values up to 1 and one at 10, the best end is where the
        // steps of the many, n·(h/255)²/12, and the clipping of the one, (10 − h)², are least together.
        let uniform: Vec<f32> = (0..=10_000).map(|v| v as f32).collect();
        assert_eq!(affine(&uniform, RangeMethod::LeastSquares, 0.0), Affine::of_range(0.0, 10_000.0));
        let mut outlier: Vec<f32> = (0..200_000).map(|v| v as f32 / 200_000.0).collect();
        outlier.push(10.0);
        let found = affine(&outlier, RangeMethod::LeastSquares, 0.0);
        let best = best_by_formula(10.0, 65_536.0);
        assert!((found.scale * 255.0 - best).abs() < 0.21, "{} against {best}", found.scale * 255.0);
    }

    /// The end h of the range that minimises n·(h/255)²/12 + (10 − h)² over the shares, for n values within a step's reach.
    fn best_by_formula(outlier: f32, n: f32) -> f32 {
        let error = |h: f32| n * (h / 255.0).powi(2) / 12.0 + (outlier - h).powi(2);
        let ends = (0..SHRINKING).map(|step| outlier * (1.0 - 0.02 * step as f32));
        ends.min_by(|&a, &b| error(a).total_cmp(&error(b))).unwrap()
    }

    #[test]
    fn values_that_are_not_finite_have_no_range() {
        assert!(Observed::new([1.0, f32::NAN].into_iter()).is_none());
        assert!(Observed::new([f32::INFINITY].into_iter()).is_none());
        assert!(Observed::new(std::iter::empty::<f32>().collect::<Vec<_>>().into_iter()).is_none());
        assert_eq!(affine(&[0.0; 9], RangeMethod::LeastSquares, 0.9), Affine::of_range(0.0, 0.0));
    }
}
