//! What waits, how long, and what is turned away.

use super::*;

#[test]
fn waiting_is_told_apart_from_assembly_and_service() {
    // All at once: the k-th waits for the k before it.
    let recording = virtual_run(&[0, 0, 0], Loop::Open, Duration::ZERO, |_| 50);
    assert_eq!((recording.queueing.mean_us(), recording.queueing.summary().max), (Some(50.0), Some(100.0)));
    assert_eq!((recording.service.mean_us(), recording.assembly.mean_us()), (Some(50.0), Some(0.0)));
    // A late generator makes requests wait as well.
    let late = virtual_run(&evenly(9, 1000)[1..], Loop::Open, Duration::from_micros(300), |_| 50);
    assert_eq!(late.queueing.mean_us(), Some(300.0));
}

#[test]
fn in_offline_mode_everything_waits_from_the_start_and_in_closed_loop_nothing_does() {
    let schedule = evenly(100, 1000);
    let offline = virtual_run(&schedule, Loop::Offline, Duration::ZERO, |_| 20);
    // Request k is done after 20·(k + 1) µs; the arrivals are not looked at.
    assert_eq!((offline.response.mean_us(), offline.response.summary().max), (Some(1010.0), Some(2000.0)));
    assert_eq!((offline.queueing.summary().max, offline.span), (Some(1980.0), Duration::from_millis(2)));
    let closed = virtual_run(&schedule, Loop::Closed, Duration::ZERO, |_| 20);
    assert_eq!((closed.response.summary().max, closed.queueing.summary().max), (Some(20.0), Some(0.0)));
    assert_eq!(closed.span, Duration::from_millis(2));
    for (recording, label) in [(offline, Loop::Offline), (closed, Loop::Closed)] {
        assert_eq!(recording.intervals.len(), 1, "{label:?}");
        assert_eq!(recording.intervals[0].end, recording.span);
        assert_eq!(recording.intervals[0].answered.response.count(), 100);
    }
    assert_eq!(serde_json::to_value(Loop::Offline).unwrap(), "offline");
}

/// Responses of an FCFS queue with one server and `places` places, event by event, and the number of rejected requests.
fn limited(schedule_us: &[u64], service_us: impl Fn(u64) -> u64, places: usize) -> (Vec<u64>, u64) {
    let (mut responses, mut rejected, mut free_at) = (Vec::new(), 0, 0);
    let mut begins: Vec<u64> = Vec::new();
    for &due in schedule_us {
        let waiting = begins.iter().filter(|&&begin| begin > due).count();
        if free_at > due && waiting >= places {
            rejected += 1;
            continue;
        }
        let begin = due.max(free_at);
        free_at = begin + service_us(begins.len() as u64);
        begins.push(begin);
        responses.push(free_at - due);
    }
    (responses, rejected)
}

#[test]
fn a_limited_queue_rejects_what_finds_it_full_and_counts_it() {
    // 1,000 arrivals a second, 333 to 1,000 services a second.
    let schedule = evenly(1000, 1000);
    let service_us = |n: u64| 1000 + n * 7 % 5 * 500;
    for places in [0, 1, 3, 50, 5000] {
        let options = IssueOptions { max_queue: Some(places), ..IssueOptions::default() };
        let recording = virtual_run_with(&numbers(1000), &schedule, &options, Duration::ZERO, service_us);
        let (responses, rejected) = limited(&schedule, service_us, places);
        assert_eq!(recording.rejected, rejected, "{places} places");
        assert_eq!(recording.response.count(), responses.len() as u64);
        assert_eq!((recording.requests(), recording.errors), (1000, 0));
        let mean = responses.iter().sum::<u64>() as f64 / responses.len() as f64;
        assert!((recording.response.mean_us().unwrap() - mean).abs() < 1e-6, "{places} places");
        assert_eq!(recording.response.summary().max, responses.iter().max().map(|&us| us as f64));
        assert_eq!(rejected > 0, places < 1000);
    }
}

#[test]
fn only_an_open_loop_may_have_a_limited_queue() {
    for mode in [Loop::Closed, Loop::Offline] {
        let options = IssueOptions { mode, max_queue: Some(1), ..IssueOptions::default() };
        let found = issue(&numbers(1), &[0], &mut [scripted(|_| Ok(2))], &RealClock::start(), &options);
        assert!(found.unwrap_err().to_string().contains("queue"));
    }
}

#[test]
fn halves_and_intervals_hold_the_requests_that_were_due_in_them() {
    // 10 a second for 4 s, 5 ms each until 2.5 s and 20 ms from then on.
    let recording =
        virtual_run(&evenly(40, 100_000), Loop::Open, Duration::ZERO, |n| if n < 25 { 5000 } else { 20_000 });
    let means = |excerpts: &[&Excerpt]| -> Vec<f64> {
        assert!(excerpts.iter().all(|one| one.response.mean_us() == one.service.mean_us()));
        excerpts.iter().filter_map(|one| one.service.mean_us()).collect()
    };
    let [first, second] = &recording.halves;
    assert_eq!(means(&[first, second]), [5000.0, 16_250.0]);
    let intervals: Vec<&Excerpt> = recording.intervals.iter().map(|interval| &interval.answered).collect();
    assert_eq!(means(&intervals), [5000.0, 5000.0, 12_500.0, 20_000.0]);
    assert!(intervals.iter().all(|one| one.service.count() == 10));
    assert_eq!(recording.intervals[3].begin, Duration::from_secs(3));
    assert_eq!(recording.intervals[3].end, Duration::from_millis(3920), "the end of the run");
}
