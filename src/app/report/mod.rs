//! What replays measured, in forms that other programs and people read: percentiles as CSV, pictures as SVG, a page.
//! Nothing is computed here but places on paper.

pub(crate) mod courses;
pub mod html;
mod marks;
pub(in crate::app) mod numbers;
pub mod page;
mod paper;
pub mod percentiles;
pub mod plot;
pub mod quality;
pub mod rounds;
pub mod scatter;
pub mod shares;
pub mod supernet;

use crate::measure::latency::samples_needed;
use hdrhistogram::Histogram;

/// Latencies of one engine at one load, of one kind.
#[derive(Debug, Clone, Copy)]
pub struct Distribution<'a> {
    /// Who answered.
    pub engine: &'a str,
    /// Requests per second that were offered; none where requests had no schedule.
    pub offered_qps: Option<f64>,
    /// `response`, `service`, …
    pub kind: &'a str,
    /// The values in microseconds.
    pub histogram: &'a Histogram<u64>,
    /// Those of one pass, which decide about percentiles ([`latency`](crate::measure::latency)); further passes repeat them.
    pub distinct: u64,
    /// Whether what was measured may be believed.
    pub valid: bool,
}

impl Distribution<'_> {
    /// Whether there are enough requests for this quantile.
    fn earns(&self, quantile: f64) -> bool {
        self.distinct >= samples_needed(quantile)
    }
}

/// Responses of one engine over the offered rate.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve<'a> {
    /// Who answered.
    pub engine: &'a str,
    /// Requests per second, and p50, p90, p99 and p99.9 of the response in µs where enough requests earn them.
    pub points: Vec<(f64, [Option<f64>; 4])>,
    /// How many of these may not be believed.
    pub doubted: usize,
}

/// Percentiles that are named.
const COLUMNS: [(f64, &str); 5] =
    [(0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p99.9"), (0.9999, "p99.99")];

/// The kind whose pictures are drawn.
pub const RESPONSE: &str = "response";

/// A load in words.
fn load_text(offered_qps: Option<f64>) -> String {
    offered_qps.map_or("without a schedule".to_owned(), |qps| format!("{} requests/s", paper::number(qps)))
}
