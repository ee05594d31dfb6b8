//! What happened in a run, raw. What it means is said by [`Measurement`](crate::measure::measurement::Measurement).

use super::work::WorkSamples;
use crate::{
    base::Error,
    measure::{cost::Cost, engine::Parts, latency::Latencies, store::FetchCounts},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Where in the schedule a request stands: whether responses grow shows between its ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Among the first quarter of the requests.
    FirstQuarter,
    /// Among the second.
    SecondQuarter,
    /// Among the third.
    ThirdQuarter,
    /// Among the last quarter.
    LastQuarter,
}

impl Part {
    /// The part of request `index` of `requests`.
    pub fn of(index: usize, requests: usize) -> Self {
        match index * 4 / requests.max(1) {
            0 => Self::FirstQuarter,
            1 => Self::SecondQuarter,
            2 => Self::ThirdQuarter,
            _ => Self::LastQuarter,
        }
    }

    /// 0 for the first half of the requests, 1 for the second.
    fn half(self) -> usize {
        match self {
            Self::FirstQuarter | Self::SecondQuarter => 0,
            Self::ThirdQuarter | Self::LastQuarter => 1,
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
    /// When what the request carries was assembled.
    pub assembled: Duration,
    /// When what a store holds was fetched; none without a store.
    pub fetched: Option<Duration>,
    /// When its scores were there.
    pub completed: Duration,
}

impl Times {
    fn response(&self) -> Duration {
        self.completed.saturating_sub(self.due)
    }

    fn service(&self) -> Duration {
        self.completed.saturating_sub(self.fetched.unwrap_or(self.assembled))
    }
}

/// Response and service of some of the requests.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Excerpt {
    /// Completion − scheduled arrival.
    pub response: Latencies,
    /// The engine's own run.
    pub service: Latencies,
}

impl Excerpt {
    /// Adds an answered request.
    pub fn answered(&mut self, times: &Times) {
        self.response.record(times.response());
        self.service.record(times.service());
    }

    fn join(&mut self, other: &Self, how: Join) {
        how(&mut self.response, &other.response);
        how(&mut self.service, &other.service);
    }
}

/// The requests that were due in a stretch of the schedule.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Interval {
    /// After the start of the schedule.
    pub begin: Duration,
    /// After the start of the schedule, this moment excluded; of the last one, the end of the run.
    pub end: Duration,
    /// What was answered of them.
    pub answered: Excerpt,
}

/// How latencies of one recording get into those of another: as those of other requests, or of the same again.
type Join = fn(&mut Latencies, &Latencies);

/// What the first run of every session took for a bucket of candidate counts, before anything else was run at these counts:
/// neither the comparison of its scores nor a warm-up came before it. A runtime may make a plan then, or grow its memory. The
/// session is new and so are its weights in the memory; the process is not where the plan of tract was chosen in it, on sessions
/// that are gone by then.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ColdRuns {
    /// The most candidates that a request of this bucket may have.
    pub candidates: usize,
    /// The engine's own run, one per worker and pass.
    pub us: Vec<f64>,
}

/// All that is kept of a run. Workers record apart and are merged afterwards, so nothing is shared while timing.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Recording {
    /// Completion − scheduled arrival.
    pub response: Latencies,
    /// Responses of the schedule's first quarter alone.
    pub first_quarter: Latencies,
    /// Responses of its last quarter alone.
    pub last_quarter: Latencies,
    /// The first and the second half of the schedule's requests.
    pub halves: [Excerpt; 2],
    /// Stretches of the schedule, one after the other. A loop without a schedule has one, the whole run.
    pub intervals: Vec<Interval>,
    /// From the arrival to the begin of work: waiting for a worker, and the generator's lateness.
    pub queueing: Latencies,
    /// The engine's own run.
    pub service: Latencies,
    /// From the arrival, or from the moment the worker was free if that came later, to the begin of work: the
    /// generator's own lateness.
    pub dispatch_lag: Latencies,
    /// Filling the input tensors with what the request carries, or with all of it without a store.
    pub assembly: Latencies,
    /// Fetching the rest from the store, decoded into the input tensors; empty without one.
    #[serde(default)]
    pub fetch: Latencies,
    /// What was fetched.
    #[serde(default)]
    pub fetches: FetchCounts,
    /// Of the engine's own run, where its session tells: copying the inputs into its memory …
    pub copy_in: Latencies,
    /// … computing …
    pub compute: Latencies,
    /// … and copying the scores back.
    pub copy_out: Latencies,
    /// The engine's runs before the clock started, without the cold ones.
    pub warmup: Latencies,
    /// The first runs of every bucket of candidate counts, in ascending order.
    pub cold: Vec<ColdRuns>,
    /// How long single requests kept their worker, for a queue simulation.
    pub work: WorkSamples,
    /// Requests that failed in the engine or in the store; they are in no histogram.
    pub errors: u64,
    /// The first of these failures in words.
    pub first_error: Option<String>,
    /// Requests that found the queue full, which only a limited queue can be; they are in no histogram.
    pub rejected: u64,
    /// Somebody asked to stop before all requests were issued: the numbers are of those before.
    pub interrupted: bool,
    /// What the run cost.
    pub cost: Cost,
    /// From the start of the schedule to the last completion.
    pub span: Duration,
}

impl Recording {
    /// Adds an answered request, to all but the intervals.
    pub fn answered(&mut self, times: Times) {
        let response = times.response();
        self.response.record(response);
        match times.part {
            Part::FirstQuarter => self.first_quarter.record(response),
            Part::SecondQuarter | Part::ThirdQuarter => {}
            Part::LastQuarter => self.last_quarter.record(response),
        }
        self.halves[times.part.half()].answered(&times);
        self.queueing.record(times.begun.saturating_sub(times.due));
        self.dispatch_lag.record(times.begun.saturating_sub(times.due.max(times.free)));
        self.assembly.record(times.assembled.saturating_sub(times.begun));
        if let Some(fetched) = times.fetched {
            self.fetch.record(fetched.saturating_sub(times.assembled));
        }
        self.service.record(times.service());
    }

    /// Adds where the time of an answered request's run went.
    pub fn itemised(&mut self, parts: Parts) {
        self.copy_in.record(parts.copy_in);
        self.compute.record(parts.run);
        self.copy_out.record(parts.copy_out);
    }

    /// Adds a failed request.
    pub fn failed(&mut self, error: &Error) {
        self.errors += 1;
        if self.first_error.is_none() {
            let cause = std::error::Error::source(error).map(|e| format!(": {e}")).unwrap_or_default();
            self.first_error = Some(format!("{error}{cause}"));
        }
    }

    /// Requests whose turn came: answered, failed and rejected.
    pub fn requests(&self) -> u64 {
        self.response.count() + self.errors + self.rejected
    }

    /// Answered requests per second.
    pub fn answered_qps(&self) -> f64 {
        self.response.count() as f64 / self.span.as_secs_f64().max(1e-9)
    }

    /// Adds another worker's recording of the same run.
    pub fn merge(&mut self, other: Self) {
        self.join(other, Latencies::merge);
    }

    /// Adds the recording of another pass over the same requests.
    pub fn repeat(&mut self, other: Self) {
        self.join(other, Latencies::repeat);
    }

    fn join(&mut self, other: Self, how: Join) {
        for (mine, theirs) in [
            (&mut self.response, &other.response),
            (&mut self.first_quarter, &other.first_quarter),
            (&mut self.last_quarter, &other.last_quarter),
            (&mut self.queueing, &other.queueing),
            (&mut self.service, &other.service),
            (&mut self.dispatch_lag, &other.dispatch_lag),
            (&mut self.assembly, &other.assembly),
            (&mut self.fetch, &other.fetch),
            (&mut self.copy_in, &other.copy_in),
            (&mut self.compute, &other.compute),
            (&mut self.copy_out, &other.copy_out),
            (&mut self.warmup, &other.warmup),
        ] {
            how(mine, theirs);
        }
        self.halves.iter_mut().zip(&other.halves).for_each(|(mine, theirs)| mine.join(theirs, how));
        let intervals = self.intervals.iter_mut().zip(&other.intervals);
        intervals.for_each(|(mine, theirs)| mine.answered.join(&theirs.answered, how));
        self.cold.iter_mut().zip(other.cold).for_each(|(mine, theirs)| mine.us.extend(theirs.us));
        self.work.merge(other.work);
        self.fetches.merge(&other.fetches);
        self.errors += other.errors;
        self.first_error = self.first_error.take().or(other.first_error);
        self.rejected += other.rejected;
        self.interrupted |= other.interrupted;
        self.cost.add_worker(&other.cost);
        self.span = self.span.max(other.span);
    }
}

/// How a schedule is cut into intervals: a second long or longer, and at most 60.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    width_us: u64,
    count: usize,
}

impl Cut {
    const MIN_WIDTH_US: u64 = 1_000_000;
    const MAX_COUNT: u64 = 60;

    /// Of ascending arrivals.
    pub fn of(schedule_us: &[u64]) -> Self {
        let last_us = schedule_us.last().copied().unwrap_or(0);
        let width_us = (last_us / Self::MAX_COUNT + 1).max(Self::MIN_WIDTH_US);
        Self { width_us, count: (last_us / width_us) as usize + 1 }
    }

    /// A single interval, for requests that have no arrival.
    pub fn none() -> Self {
        Self { width_us: u64::MAX, count: 1 }
    }

    /// Which interval an arrival falls into.
    pub fn index(&self, arrival_us: u64) -> usize {
        (arrival_us / self.width_us) as usize
    }

    /// Room for all of them, made beforehand.
    pub fn intervals(&self) -> Vec<Interval> {
        let at = |i: usize| Duration::from_micros(self.width_us.saturating_mul(i as u64));
        let interval = |i| Interval { begin: at(i), end: at(i + 1), answered: Excerpt::default() };
        (0..self.count).map(interval).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_last_a_second_or_a_sixtieth_of_the_schedule() {
        let bounds = |schedule_us: &[u64]| {
            let cut = Cut::of(schedule_us);
            let last_us = *schedule_us.last().unwrap();
            let intervals = cut.intervals();
            assert_eq!(cut.index(last_us), intervals.len() - 1);
            assert!(intervals.windows(2).all(|pair| pair[0].end == pair[1].begin));
            assert!(intervals.last().unwrap().end > Duration::from_micros(last_us));
            (intervals.len(), intervals[0].end)
        };
        assert_eq!(bounds(&[0]), (1, Duration::from_secs(1)));
        assert_eq!(bounds(&[0, 999_999]), (1, Duration::from_secs(1)));
        assert_eq!(bounds(&[0, 1_000_000]), (2, Duration::from_secs(1)));
        assert_eq!(bounds(&[5, 59_500_000]), (60, Duration::from_secs(1)));
        // Just more than ten minutes: 60 intervals of just more than ten seconds.
        assert_eq!(bounds(&[0, 600_000_000]), (60, Duration::from_micros(10_000_001)));
        assert_eq!((Cut::none().intervals().len(), Cut::none().index(u64::MAX - 1)), (1, 0));
    }
}
