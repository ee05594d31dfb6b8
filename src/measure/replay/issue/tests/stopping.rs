//! Runs that somebody ends, and engines that end themselves.

use super::*;
use crate::base::stop::Stop;

#[test]
fn a_run_that_is_stopped_keeps_what_it_has_and_says_so() {
    let stop = Stop::never();
    let options = IssueOptions { stop: stop.clone(), ..IssueOptions::default() };
    let service_us = move |n| {
        if n == 29 {
            stop.request(2);
        }
        100
    };
    let schedule = evenly(100, 1000);
    let recording = virtual_run_with(&numbers(100), &schedule, &options, Duration::ZERO, service_us);
    assert!(recording.interrupted);
    assert_eq!((recording.requests(), recording.span), (30, Duration::from_micros(29_100)));
    let whole = virtual_run(&schedule, Loop::Open, Duration::ZERO, |_| 100);
    assert!(!whole.interrupted && whole.requests() == 100);
}

#[test]
fn a_run_that_is_stopped_before_it_begins_is_an_interrupted_one_without_requests() {
    for warmup in [0, 3] {
        let stop = Stop::never();
        stop.request(15);
        let options = IssueOptions { warmup, stop, ..IssueOptions::default() };
        let recording = virtual_run_with(&numbers(5), &evenly(5, 10), &options, Duration::ZERO, |_| 1);
        assert!(recording.interrupted && recording.requests() == 0);
    }
}

/// Somebody asks to stop once its time has come.
struct Impatient {
    time: VirtualClock,
    stop: Stop,
    at: Duration,
}

impl Clock for Impatient {
    fn now(&self) -> Duration {
        self.time.now()
    }
    fn wait_until(&self, due: Duration) -> crate::measure::replay::clock::Waited {
        let waited = self.time.wait_until(due);
        if waited.now >= self.at {
            self.stop.request(2);
        }
        waited
    }
}

#[test]
fn a_long_gap_between_arrivals_does_not_hold_up_a_stop() {
    let (stop, hour) = (Stop::never(), 3_600_000_000);
    let clock = Impatient { time: VirtualClock::default(), stop: stop.clone(), at: Duration::from_secs(1) };
    let options = IssueOptions { stop, ..IssueOptions::default() };
    let recording = issue(&numbers(2), &[0, hour], &mut [scripted(|_| Ok(2))], &clock, &options).unwrap();
    assert!(recording.interrupted && recording.requests() == 1);
    assert!(clock.now() < Duration::from_secs(2), "{:?}", clock.now());
}

#[test]
fn a_panic_of_one_engine_goes_on_to_the_caller_while_others_wait_or_work() {
    for panics_at in [0, 1, 7] {
        let broken = scripted(move |n| if n == panics_at { panic!("a broken engine") } else { Ok(2) });
        // So slow that it cannot serve all requests before the other one is even woken.
        let slow = scripted(|_| {
            std::thread::sleep(Duration::from_millis(1));
            Ok(2)
        });
        let mut sessions = [broken, slow];
        let options = IssueOptions { warmup: 2, mode: Loop::Closed, ..IssueOptions::default() };
        let run = std::panic::AssertUnwindSafe(|| {
            issue(&numbers(5000), &[0; 5000], &mut sessions, &RealClock::start(), &options)
        });
        let panic = std::panic::catch_unwind(run).map(|_| ()).unwrap_err();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"a broken engine"));
    }
}
