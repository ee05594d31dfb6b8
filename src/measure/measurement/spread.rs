//! How far the passes of one result lie apart.

use super::PassSummary;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How far passes lie apart: the standard deviation of a percentile over the passes, in percent of its mean. Unlike a range
/// it does not grow with the number of passes. Absent with fewer than two passes, and where a pass has too few samples for
/// the percentile.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Spread {
    /// Of the median service time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_p50_pct: Option<f64>,
    /// Of the median response time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_p50_pct: Option<f64>,
    /// Of the 99th percentile of the response time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_p99_pct: Option<f64>,
}

impl Spread {
    /// Of these passes.
    pub fn of(passes: &[PassSummary]) -> Self {
        let of = |value: fn(&PassSummary) -> Option<u64>| {
            let [_, pct] = deviation(&passes.iter().map(value).collect::<Option<Vec<u64>>>()?)?;
            Some(pct)
        };
        Self {
            service_p50_pct: of(|pass| pass.service_us.p50),
            response_p50_pct: of(|pass| pass.response_us.p50),
            response_p99_pct: of(|pass| pass.response_us.p99),
        }
    }
}

/// Sample standard deviation (the squares' sum over n − 1) of values in µs, in µs and in percent of their mean; none with
/// fewer than two values. A microsecond is what histograms tell apart, so a mean of 0 is taken as 1.
pub(in crate::measure) fn deviation(values_us: &[u64]) -> Option<[f64; 2]> {
    let count = values_us.len() as f64;
    let mean = values_us.iter().sum::<u64>() as f64 / count;
    let squares: f64 = values_us.iter().map(|&us| (us as f64 - mean).powi(2)).sum();
    let deviation = (squares / (count - 1.0)).sqrt();
    (values_us.len() > 1).then(|| [deviation, 100.0 * deviation / mean.max(1.0)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deviation_is_that_of_a_sample() {
        assert_eq!(deviation(&[206, 200, 194]), Some([6.0, 3.0]));
        assert_eq!(deviation(&[2, 4, 4, 4, 5, 5, 7, 9]).map(|[us, _]| us), Some((32.0f64 / 7.0).sqrt()));
        assert_eq!(deviation(&[0, 0]), Some([0.0, 0.0]));
        assert_eq!((deviation(&[5]), deviation(&[])), (None, None));
    }
}
