use super::{
    super::clock::{RealClock, virtual_time::VirtualClock},
    *,
};
use crate::measure::{
    engine::Inputs,
    replay::recorder::{ColdRuns, Excerpt},
};
use std::sync::{Arc, Mutex};

mod fetching;
mod queueing;
mod stopping;
mod warming;

/// Remembers which requests were prepared.
#[derive(Default)]
struct Numbers {
    requests: usize,
    prepared: Mutex<Vec<usize>>,
}

impl Workload for Numbers {
    fn requests(&self) -> usize {
        self.requests
    }
    fn candidates(&self, _: usize) -> usize {
        2
    }
    fn inputs(&self) -> Inputs {
        Inputs::default()
    }
    fn prepare(&self, request: usize, inputs: &mut Inputs) -> Result<()> {
        self.prepared.lock().unwrap().push(request);
        inputs.candidates = 2;
        Ok(())
    }
}

/// Its n-th run does what `spend(n)` does and gives that many scores.
struct Scripted<F> {
    runs: u64,
    spend: F,
}

impl<F: FnMut(u64) -> Result<usize> + Send> Session for Scripted<F> {
    fn run(&mut self, _: &Inputs, scores: &mut Vec<f32>) -> Result<()> {
        let run = self.runs;
        self.runs += 1;
        scores.clear();
        scores.resize((self.spend)(run)?, 0.5);
        Ok(())
    }
}

fn scripted(spend: impl FnMut(u64) -> Result<usize> + Send + 'static) -> Box<dyn Session> {
    Box::new(Scripted { runs: 0, spend })
}

fn evenly(requests: u64, gap_us: u64) -> Vec<u64> {
    (0..requests).map(|i| i * gap_us).collect()
}

fn numbers(requests: usize) -> Numbers {
    Numbers { requests, ..Numbers::default() }
}

/// One worker on virtual time whose n-th run takes `service_us(n)`.
fn virtual_run(
    schedule_us: &[u64],
    mode: Loop,
    late: Duration,
    service_us: impl Fn(u64) -> u64 + Send + 'static,
) -> Recording {
    let options = IssueOptions { mode, ..IssueOptions::default() };
    virtual_run_with(&numbers(schedule_us.len()), schedule_us, &options, late, service_us)
}

/// The same, with a workload and options.
fn virtual_run_with(
    workload: &dyn Workload,
    schedule_us: &[u64],
    options: &IssueOptions,
    late: Duration,
    service_us: impl Fn(u64) -> u64 + Send + 'static,
) -> Recording {
    let clock = Arc::new(VirtualClock { late, ..VirtualClock::default() });
    let spent = clock.clone();
    let session = scripted(move |n| {
        spent.pass(Duration::from_micros(service_us(n)));
        Ok(2)
    });
    issue(workload, schedule_us, &mut [session], &*clock, options).unwrap()
}

fn close(found: Option<u64>, expected: f64) {
    let found = found.expect("enough samples") as f64;
    assert!((found - expected).abs() <= expected * 1e-3, "{found} for {expected}");
}

#[test]
fn a_known_distribution_of_service_times_is_reported_right() {
    // 7 and 10,000 have no common divisor, so every time from 1 to 10,000 µs occurs once; no request waits.
    let recording = virtual_run(&evenly(10_000, 20_000), Loop::Open, Duration::ZERO, |n| n * 7 % 10_000 + 1);
    for latencies in [&recording.service, &recording.response] {
        let summary = latencies.summary();
        close(summary.p50, 5000.0);
        close(summary.p99, 9900.0);
        close(summary.p999, 9990.0);
        assert_eq!((summary.mean, summary.max, summary.count), (Some(5000.5), Some(10_000.0), 10_000));
    }
    assert_eq!((recording.dispatch_lag.summary().max, recording.errors), (Some(0.0), 0));
}

#[test]
fn a_stall_shows_in_every_request_that_had_to_wait_for_it() {
    // One run of 200 ms among runs of 0.1 ms, one arrival per ms. The k-th request after the stall arrives at
    // k ms and is done at 200 + 0.1·k ms, so it responds after 200 − 0.9·k ms until that falls to 0.1 ms.
    let stall = |n| if n == 1000 { 200_000 } else { 100 };
    let schedule = evenly(2000, 1000);
    let open = virtual_run(&schedule, Loop::Open, Duration::ZERO, stall);
    let mut expected: Vec<u64> = vec![100; 1000];
    expected.push(200_000);
    expected.extend((1..1000).map(|k: u64| 200_000u64.saturating_sub(900 * k).max(100)));
    expected.sort_unstable();
    let waited = expected.iter().filter(|&&us| us > 100).count() as u64;
    assert_eq!(waited, 223, "the stall and 222 behind it");
    assert_eq!(open.response.histogram().count_between(101, u64::MAX / 2), waited);
    close(open.response.quantile_us(0.9), expected[1800 - 1] as f64);
    close(open.response.quantile_us(0.99), expected[1980 - 1] as f64);
    let mean = expected.iter().sum::<u64>() as f64 / 2000.0;
    let found = open.response.mean_us().unwrap();
    assert!((found - mean).abs() < 1e-6, "{found} for {mean}");
    close(open.service.quantile_us(0.99), 100.0);
    let closed = virtual_run(&schedule, Loop::Closed, Duration::ZERO, stall);
    assert_eq!(closed.response.histogram().count_between(101, u64::MAX / 2), 1);
}

#[test]
fn overload_is_not_hidden_and_nothing_is_dropped() {
    // 1,000 arrivals a second, 500 services a second: request i responds after 2 + i ms.
    let recording = virtual_run(&evenly(1000, 1000), Loop::Open, Duration::ZERO, |_| 2000);
    let summary = recording.response.summary();
    assert_eq!((summary.count, summary.max, summary.mean), (1000, Some(1_001_000.0), Some(501_500.0)));
    assert_eq!((recording.service.mean_us(), recording.span), (Some(2000.0), Duration::from_secs(2)));
    // Requests 0 to 249 and 750 to 999.
    assert_eq!(recording.first_quarter.mean_us(), Some(126_500.0));
    assert_eq!(recording.last_quarter.mean_us(), Some(876_500.0));
}

#[test]
fn a_late_generator_shows_as_lag_and_as_response() {
    let late = Duration::from_micros(300);
    let recording = virtual_run(&evenly(100, 1000)[1..], Loop::Open, late, |_| 50);
    assert_eq!(recording.dispatch_lag.mean_us(), Some(300.0));
    assert_eq!(recording.response.mean_us(), Some(350.0));
    // A worker that is busy when the request arrives is no lag of the generator.
    let busy = virtual_run(&[0, 0, 0], Loop::Open, Duration::ZERO, |_| 50);
    assert_eq!((busy.dispatch_lag.summary().max, busy.response.summary().max), (Some(0.0), Some(150.0)));
}

#[test]
fn errors_and_wrong_answers_are_counted_and_kept_out_of_the_latencies() {
    let session = scripted(|n| match n % 10 {
        3 => Err(Error::engine("scripted", "run", "mend it", "out of luck")),
        7 => Ok(1),
        _ => Ok(2),
    });
    let options = IssueOptions { mode: Loop::Closed, ..IssueOptions::default() };
    let recording = issue(&numbers(100), &[0; 100], &mut [session], &RealClock::start(), &options).unwrap();
    assert_eq!((recording.errors, recording.response.count(), recording.service.count()), (20, 80, 80));
    assert!(recording.first_error.unwrap().contains("out of luck"));
}

/// Gives two scores, of which the last is `last(n)` in the n-th run.
struct Scores<F>(u64, F);

impl<F: FnMut(u64) -> f32 + Send> Session for Scores<F> {
    fn run(&mut self, _: &Inputs, scores: &mut Vec<f32>) -> Result<()> {
        scores.clear();
        scores.extend([0.5, (self.1)(self.0)]);
        self.0 += 1;
        Ok(())
    }
}

#[test]
fn a_score_that_is_not_finite_fails_its_request_and_no_other() {
    for (bad, named) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (f32::NEG_INFINITY, "-inf")] {
        let session: Box<dyn Session> = Box::new(Scores(0, move |n| if n == 4 { bad } else { f32::MIN }));
        let options = IssueOptions { mode: Loop::Closed, ..IssueOptions::default() };
        let clock = RealClock::start();
        let recording = issue(&numbers(10), &[0; 10], &mut [session], &clock, &options).unwrap();
        assert_eq!((recording.errors, recording.response.count(), recording.service.count()), (1, 9, 9));
        let said = recording.first_error.unwrap();
        assert!(said.ends_with(&format!("the score of candidate 2 of 2 is {named}")), "{said}");
        assert!(said.contains("export it again"), "{said}");
    }
}

#[test]
fn warm_up_runs_are_reported_apart_and_their_failure_ends_the_run() {
    let workload = numbers(3);
    let options = IssueOptions { warmup: 5, ..IssueOptions::default() };
    let clock = RealClock::start();
    let recording = issue(&workload, &[0; 3], &mut [scripted(|_| Ok(2))], &clock, &options).unwrap();
    assert_eq!((recording.warmup.count(), recording.service.count()), (5, 3));
    assert_eq!(*workload.prepared.lock().unwrap(), [0, 0, 1, 2, 0, 1, 0, 1, 2]);
    assert_eq!(recording.cold.len(), 1);
    assert_eq!((recording.cold[0].candidates, recording.cold[0].us.len()), (2, 1));
    assert!(issue(&workload, &[0; 3], &mut [scripted(|_| Ok(3))], &clock, &options).is_err());
}

#[test]
fn several_workers_share_one_queue_and_serve_every_request_once() {
    let workload = numbers(6);
    let sleeper = || {
        scripted(|_| {
            thread::sleep(Duration::from_millis(20));
            Ok(2)
        })
    };
    let options = IssueOptions::default();
    let recording =
        issue(&workload, &[0; 6], &mut [sleeper(), sleeper()], &RealClock::start(), &options).unwrap();
    let mut prepared = workload.prepared.into_inner().unwrap();
    prepared.sort_unstable();
    assert_eq!(prepared, [0, 1, 2, 3, 4, 5]);
    // Two at a time: the last are not done before three rounds, and none before one.
    assert!(recording.response.summary().max >= Some(60_000.0));
    assert!(recording.response.histogram().min() >= 19_900);
    assert_eq!(recording.response.count(), 6);
}

#[test]
fn a_real_stall_shows_in_the_requests_behind_it() {
    let session = scripted(|n| {
        if n == 20 {
            thread::sleep(Duration::from_millis(200));
        }
        Ok(2)
    });
    let options = IssueOptions::default();
    let schedule = evenly(100, 2000);
    let recording = issue(&numbers(100), &schedule, &mut [session], &RealClock::start(), &options).unwrap();
    // The 49 that arrive less than 100 ms after the stalled one wait for 100 ms at least; noise only adds.
    assert!(recording.response.histogram().count_between(99_900, u64::MAX / 2) >= 50);
}

#[test]
fn a_schedule_that_does_not_fit_the_requests_is_refused() {
    let options = IssueOptions::default();
    for (schedule, mut sessions) in [(vec![0], vec![scripted(|_| Ok(2))]), (vec![0, 0], vec![])] {
        assert!(issue(&numbers(2), &schedule, &mut sessions, &RealClock::start(), &options).is_err());
    }
}
