//! How long each request kept its worker, with its number of candidates: what a queue simulation learns from.

use serde::{Deserialize, Serialize};
use std::{hint::black_box, time::Duration};

/// Requests that are kept of a run at most, evenly spread over it: 16 bytes each, and enough for a 99.9th percentile.
const KEPT: usize = 1 << 15;

/// What the worker did before it began a request. After a pause its caches are cold, its core may have slept or lowered
/// its clock, and the same request takes longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Before {
    /// It served another request, and this one waited meanwhile.
    Work,
    /// It waited for this one.
    Pause,
}

/// One request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkSample {
    /// Its number of candidates.
    pub candidates: u32,
    /// What its worker did before.
    pub before: Before,
    /// From the moment at which the worker could begin (arrival, or the end of the request before) to the completion: dispatch
    /// lag, assembly, fetch and the engine's run.
    pub work_ns: u64,
}

/// Every so many requests of a run, in the order in which each worker served them. Memory is taken when the run is
/// planned, never while it is timed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkSamples {
    stride: usize,
    samples: Vec<WorkSample>,
}

impl WorkSamples {
    /// Room for a run of `requests` requests.
    pub fn planned(requests: usize) -> Self {
        let stride = requests.div_ceil(KEPT).max(1);
        let unused = WorkSample { candidates: 0, before: Before::Work, work_ns: u64::MAX };
        let mut samples = vec![unused; requests.div_ceil(stride)];
        // The system gives a page at its first use, which must not be while the clock runs.
        black_box(&mut samples).clear();
        Self { stride, samples }
    }

    /// Keeps request number `request` of the run if it is among those that are kept. `due` is its arrival, `free` when its
    /// worker had nothing else to do.
    pub fn record(
        &mut self,
        request: usize,
        candidates: usize,
        due: Duration,
        free: Duration,
        completed: Duration,
    ) {
        if self.stride == 0 || !request.is_multiple_of(self.stride) {
            return;
        }
        let before = if due > free { Before::Pause } else { Before::Work };
        let work_ns = completed.saturating_sub(due.max(free)).as_nanos() as u64;
        self.samples.push(WorkSample { candidates: candidates as u32, before, work_ns });
    }

    /// Adds those of another worker, or of another run.
    pub fn merge(&mut self, other: Self) {
        self.stride = self.stride.max(other.stride);
        self.samples.extend(other.samples);
    }

    /// What was kept.
    pub fn samples(&self) -> &[WorkSample] {
        &self.samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn us(us: u64) -> Duration {
        Duration::from_micros(us)
    }

    #[test]
    fn work_counts_from_the_moment_the_worker_could_begin() {
        let mut kept = WorkSamples::planned(2);
        kept.record(0, 7, us(100), us(40), us(130));
        kept.record(1, 8, us(110), us(130), us(180));
        let expected = [(7, Before::Pause, 30_000), (8, Before::Work, 50_000)]
            .map(|(candidates, before, work_ns)| WorkSample { candidates, before, work_ns });
        assert_eq!(kept.samples(), expected);
    }

    #[test]
    fn a_long_run_keeps_requests_of_its_whole_length_in_the_memory_that_was_planned() {
        let requests = 5 * KEPT + 3;
        let mut kept = WorkSamples::planned(requests);
        let room = kept.samples.capacity();
        (0..requests).for_each(|i| kept.record(i, i, us(0), us(0), us(1)));
        assert_eq!((kept.samples.capacity(), kept.samples.len()), (room, requests.div_ceil(6)));
        assert!(kept.samples.len() <= KEPT);
        assert_eq!(kept.samples.last().unwrap().candidates as usize, (requests - 1) / 6 * 6);
    }
}
