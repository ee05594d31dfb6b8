//! A queue, simulated: requests arrive, wait in one line, and are served first come, first served by the worker that is
//! free first, which is how the [issue loop](super::issue) hands them out. For one worker that is Lindley's recursion:
//! the next waiting time is the last one plus the last work minus the gap, or zero.

use super::work::Before;
use crate::{
    base::{Error, Result},
    measure::latency::Latencies,
};
use std::{cmp::Reverse, collections::BinaryHeap};

/// A request that comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// After the start, ascending.
    pub at_ns: u64,
    /// Its number of candidates.
    pub candidates: u32,
}

/// What was simulated.
#[derive(Debug, Clone, Default)]
pub struct Simulated {
    /// Completion − arrival.
    pub response: Latencies,
    /// Begin of work − arrival.
    pub waiting: Latencies,
    /// Work of all requests together.
    pub work_ns: u64,
    /// From the start to the last completion, summed over merged simulations.
    pub span_ns: u64,
}

impl Simulated {
    /// Adds another simulation's requests.
    pub fn merge(&mut self, other: &Self) {
        self.response.merge(&other.response);
        self.waiting.merge(&other.waiting);
        self.work_ns += other.work_ns;
        self.span_ns += other.span_ns;
    }
}

/// Simulates `workers` workers. `work_ns` says how long a request of so many candidates keeps its worker, given what the
/// worker did before.
pub fn simulate(
    arrivals: impl IntoIterator<Item = Arrival>,
    workers: usize,
    mut work_ns: impl FnMut(u32, Before) -> u64,
) -> Result<Simulated> {
    // The moment at which each worker becomes free, the earliest on top.
    let mut free: BinaryHeap<Reverse<u64>> = (0..workers).map(|_| Reverse(0)).collect();
    let mut simulated = Simulated::default();
    for Arrival { at_ns, candidates } in arrivals {
        let Some(mut first) = free.peek_mut() else {
            return Err(Error::usage("nobody would serve the requests", "simulate at least 1 worker"));
        };
        let (begin, before) = if at_ns > first.0 { (at_ns, Before::Pause) } else { (first.0, Before::Work) };
        let work = work_ns(candidates, before);
        let end = begin + work;
        first.0 = end;
        simulated.waiting.record_ns(begin - at_ns);
        simulated.response.record_ns(end - at_ns);
        simulated.work_ns += work;
        simulated.span_ns = simulated.span_ns.max(end);
    }
    Ok(simulated)
}

#[cfg(test)]
mod tests;
