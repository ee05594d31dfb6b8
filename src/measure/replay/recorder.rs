//! What happened in a run, raw. What it means is said by [`Measurement`](crate::measure::measurement::Measurement).

use crate::{base::Error, measure::latency::Latencies};
use std::time::Duration;

/// Where in the schedule a request stands: whether responses grow shows between its ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Among the first quarter of the requests.
    FirstQuarter,
    /// Between the two.
    Middle,
    /// Among the last quarter.
    LastQuarter,
}

impl Part {
    /// The part of request `index` of `requests`.
    pub fn of(index: usize, requests: usize) -> Self {
        match index * 4 / requests.max(1) {
            0 => Self::FirstQuarter,
            1 | 2 => Self::Middle,
            _ => Self::LastQuarter,
        }
    }
}

/// Times of one answered request.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// Where in the schedule it stands.
    pub part: Part,
    /// Scheduled arrival (in closed loop: the moment the worker became free).
    pub due: Duration,
    /// When its worker had nothing else to do.
    pub free: Duration,
    /// When work on it began.
    pub begun: Duration,
    /// When its inputs were assembled.
    pub assembled: Duration,
    /// When its scores were there.
    pub completed: Duration,
}

/// All that is kept of a run. Workers record apart and are merged afterwards, so nothing is shared while timing.
#[derive(Debug, Clone, Default)]
pub struct Recording {
    /// Completion − scheduled arrival.
    pub response: Latencies,
    /// Responses of the schedule's first quarter alone.
    pub first_quarter: Latencies,
    /// Responses of its last quarter alone.
    pub last_quarter: Latencies,
    /// The engine's own run.
    pub service: Latencies,
    /// From the arrival, or from the moment the worker was free if that came later, to the begin of work: the
    /// generator's own lateness.
    pub dispatch_lag: Latencies,
    /// Filling the input tensors.
    pub assembly: Latencies,
    /// The engine's runs before the clock started.
    pub warmup: Latencies,
    /// Requests that failed; they are in no histogram.
    pub errors: u64,
    /// The first failure in words.
    pub first_error: Option<String>,
    /// From the start of the schedule to the last completion.
    pub span: Duration,
}

impl Recording {
    /// Adds an answered request.
    pub fn answered(&mut self, times: Times) {
        let response = times.completed.saturating_sub(times.due);
        self.response.record(response);
        match times.part {
            Part::FirstQuarter => self.first_quarter.record(response),
            Part::Middle => {}
            Part::LastQuarter => self.last_quarter.record(response),
        }
        self.dispatch_lag.record(times.begun.saturating_sub(times.due.max(times.free)));
        self.assembly.record(times.assembled.saturating_sub(times.begun));
        self.service.record(times.completed.saturating_sub(times.assembled));
    }

    /// Adds a failed request.
    pub fn failed(&mut self, error: &Error) {
        self.errors += 1;
        if self.first_error.is_none() {
            let cause = std::error::Error::source(error).map(|e| format!(": {e}")).unwrap_or_default();
            self.first_error = Some(format!("{error}{cause}"));
        }
    }

    /// Adds another worker's recording of the same run.
    pub fn merge(&mut self, other: Self) {
        for (mine, theirs) in [
            (&mut self.response, &other.response),
            (&mut self.first_quarter, &other.first_quarter),
            (&mut self.last_quarter, &other.last_quarter),
            (&mut self.service, &other.service),
            (&mut self.dispatch_lag, &other.dispatch_lag),
            (&mut self.assembly, &other.assembly),
            (&mut self.warmup, &other.warmup),
        ] {
            mine.merge(theirs);
        }
        self.errors += other.errors;
        self.first_error = self.first_error.take().or(other.first_error);
        self.span = self.span.max(other.span);
    }
}
