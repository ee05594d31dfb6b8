//! What a search pays for, and what a budget is held against, as a function of a network's mean service time: that time
//! itself, or what becomes of it under load.

/// A latency and its derivative.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TargetLatency {
    /// Milliseconds.
    pub ms: f64,
    /// ∂ms / ∂mean service time; at least 0.
    pub slope: f64,
}

/// Turns the mean service time of a network into the latency that is paid. It never falls as the mean grows, and it is finite
/// everywhere, so that its slope always tells the way back.
///
/// What the fetching of features takes is added to it unchanged: a request waits for a worker once its features are there.
pub trait LatencyTarget: Send + Sync {
    /// The latency of requests to a network of this mean service time in ms.
    fn of_mean(&self, mean_ms: f64) -> TargetLatency;

    /// Whether requests can be served at all with this mean; where not, the latency only tells the way back.
    fn keeps_up(&self, _mean_ms: f64) -> bool {
        true
    }

    /// The latency in words, to be put after "ms of".
    fn what(&self) -> String;
}

/// The mean service time itself, whatever the load.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MeanService;

impl LatencyTarget for MeanService {
    fn of_mean(&self, mean_ms: f64) -> TargetLatency {
        TargetLatency { ms: mean_ms, slope: 1.0 }
    }

    fn what(&self) -> String {
        "mean service time".to_owned()
    }
}
