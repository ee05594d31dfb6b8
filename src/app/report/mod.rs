//! What replays measured, in forms that other programs and people read: percentiles as CSV, pictures as SVG, a page.
//! Nothing is computed here but places on paper.

pub mod page;
pub mod percentiles;
pub mod plot;
pub mod quality;
pub mod scatter;

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
}

/// Responses of one engine over the offered rate.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve<'a> {
    /// Who answered.
    pub engine: &'a str,
    /// Requests per second, and p50, p90, p99 and p99.9 of the response in µs where enough requests earn them.
    pub points: Vec<(f64, [Option<f64>; 4])>,
}

/// The kind whose pictures are drawn.
pub const RESPONSE: &str = "response";

/// A load in words.
fn load_text(offered_qps: Option<f64>) -> String {
    offered_qps.map_or("without a schedule".to_owned(), |qps| format!("{} requests/s", plot::number(qps)))
}
