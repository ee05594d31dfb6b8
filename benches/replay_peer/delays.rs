//! Whether what is reported is what happened: an engine whose runs take scripted times and which writes down, by the same
//! clock, when each began and ended. From that and the schedule every service and response time is known exactly.

use super::{
    protocol::Workload,
    spinning::{Nothing, Scripted},
};
use autofas_bench::measure::{
    engine::Session,
    pinning,
    replay::{
        clock::{Clock, RealClock, Waited},
        issue::{IssueOptions, issue},
        recorder::Recording,
    },
};
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use std::{
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

/// One arrival per millisecond …
const GAP_US: u64 = 1000;
/// … each with 200 to 700 µs of work, every length as often.
const LENGTHS: u64 = 500;
const SHORTEST_US: u64 = 200;
const STALL: Duration = Duration::from_millis(200);

/// The machine's clock; remembers for when the first wait was: the start of the schedule.
struct Watched {
    clock: RealClock,
    origin: OnceLock<Duration>,
}

impl Clock for Watched {
    fn now(&self) -> Duration {
        self.clock.now()
    }

    fn wait_until(&self, due: Duration) -> Waited {
        self.origin.get_or_init(|| due);
        self.clock.wait_until(due)
    }
}

pub struct Delays {
    turn: u64,
}

/// Sorted, in µs.
struct Truth {
    service: Vec<f64>,
    response: Vec<f64>,
    /// As the script alone has it, on a machine that is never late.
    scripted_response: Vec<f64>,
}

/// Responses of requests that are served one after the other, in order of arrival.
fn scripted_responses(schedule_us: &[u64], delays: &[Duration]) -> Vec<f64> {
    let mut done_us = 0.0f64;
    let response = |(&due_us, delay): (&u64, &Duration)| {
        done_us = done_us.max(due_us as f64) + delay.as_secs_f64() * 1e6;
        done_us - due_us as f64
    };
    schedule_us.iter().zip(delays).map(response).collect()
}

impl Delays {
    pub fn new() -> Self {
        pinning::pin(1);
        Self { turn: 0 }
    }

    /// A stall in the middle of a run, or none.
    fn measure(&mut self, requests: usize, stall: Option<Duration>) -> (Recording, Truth) {
        self.turn += 1;
        let mut delays: Vec<Duration> = (0..requests as u64)
            // 307 and 500 have no common divisor: every length comes, in no order that matters.
            .map(|n| Duration::from_micros(SHORTEST_US + (n * 307 + self.turn) % LENGTHS))
            .collect();
        if let Some(stall) = stall {
            delays[requests / 2] = stall;
        }
        let clock = Arc::new(Watched { clock: RealClock::start(), origin: OnceLock::new() });
        let runs = Arc::new(Mutex::new(Vec::with_capacity(requests)));
        let schedule: Vec<u64> = (0..requests as u64).map(|i| i * GAP_US).collect();
        let scripted_response = scripted_responses(&schedule, &delays);
        let mut session: [Box<dyn Session>; 1] =
            [Box::new(Scripted { clock: clock.clone(), delays, runs: runs.clone() })];
        let options = IssueOptions::default();
        let recording =
            issue(&Nothing(requests), &schedule, &mut session, &*clock, &options).expect("a recording");
        let origin = *clock.origin.get().expect("the schedule began");
        let runs = runs.lock().expect("the only worker ended");
        let us = |time: Duration| time.as_nanos() as f64 / 1e3;
        let due = |i: usize| origin + Duration::from_micros(schedule[i]);
        let sorted = |mut times: Vec<f64>| {
            times.sort_by(f64::total_cmp);
            times
        };
        let truth = Truth {
            service: sorted(runs.iter().map(|(begin, end)| us(*end - *begin)).collect()),
            response: sorted(runs.iter().enumerate().map(|(i, (_, end))| us(*end - due(i))).collect()),
            scripted_response: sorted(scripted_response),
        };
        (recording, truth)
    }
}

/// The largest difference of a histogram's values from the sorted truth, value by value, in units of its precision: a
/// microsecond, or a thousandth.
fn largest_error(histogram: &Histogram<u64>, truth: &[f64]) -> f64 {
    assert_eq!(histogram.len(), truth.len() as u64);
    let reported = histogram.iter_recorded().flat_map(|value| {
        let middle = histogram.median_equivalent(value.value_iterated_to());
        std::iter::repeat_n(middle as f64, value.count_since_last_iteration() as usize)
    });
    reported
        .zip(truth)
        .map(|(us, &true_us)| (us - true_us).abs() / (true_us * 1e-3).max(1.0))
        .fold(0.0, f64::max)
}

/// The same of a percentile that is reported.
fn error_at(quantile: f64, histogram: &Histogram<u64>, truth: &[f64]) -> f64 {
    let true_us = truth[(quantile * truth.len() as f64).ceil() as usize - 1];
    (histogram.value_at_quantile(quantile) as f64 - true_us).abs() / (true_us * 1e-3).max(1.0)
}

impl Workload for Delays {
    fn name(&self) -> &'static str {
        "steady"
    }

    fn run(&mut self, requests: usize) -> Value {
        let (recording, truth) = self.measure(requests, None);
        let histogram = recording.service.histogram();
        json!({
            "service_p99_error": error_at(0.99, histogram, &truth.service),
            "service_p999_error": error_at(0.999, histogram, &truth.service),
            "largest_service_error": largest_error(histogram, &truth.service),
            "response_p99_error": error_at(0.99, recording.response.histogram(), &truth.response),
            "largest_response_error": largest_error(recording.response.histogram(), &truth.response),
            "service_p99_us": recording.service.quantile_us(0.99),
            "scripted_p99_us": SHORTEST_US as f64 + (0.99 * LENGTHS as f64).ceil() - 1.0,
        })
    }

    fn other(&mut self, name: &str, requests: usize) -> Value {
        assert_eq!(name, "stall", "no other command");
        let (recording, truth) = self.measure(requests, Some(STALL));
        let histogram = recording.response.histogram();
        // A bucket may hold values that are a thousandth shorter.
        let half_us = STALL.as_micros() as u64 / 2;
        let waited = histogram.count_between(half_us - half_us / 1000, u64::MAX / 2);
        let must_wait = truth.scripted_response.iter().filter(|&&us| us >= half_us as f64).count();
        json!({
            "response_p99_error": error_at(0.99, histogram, &truth.response),
            "response_p999_error": error_at(0.999, histogram, &truth.response),
            "largest_response_error": largest_error(histogram, &truth.response),
            "shown_of_those_that_must_wait": waited as f64 / must_wait as f64,
            "response_p99_us": recording.response.quantile_us(0.99),
        })
    }

    fn ready(&self) -> Value {
        json!({ "precision": "1 µs or 0.1 %, whichever is more" })
    }
}
