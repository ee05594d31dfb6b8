//! A store in the way of the requests.

use super::*;
use crate::measure::{
    replay::Fetcher,
    store::{FetchCounts, RowCounts},
};

/// Requests whose fetch takes 30 µs; every fifth one fails.
struct Stored {
    requests: usize,
    clock: Arc<VirtualClock>,
    reachable: bool,
}

struct Slow<'a>(&'a VirtualClock);

impl Fetcher for Slow<'_> {
    fn fetch(&mut self, request: usize, _: &mut Inputs, counts: &mut FetchCounts) -> Result<()> {
        self.0.pass(Duration::from_micros(30));
        counts.bytes += 7;
        counts.items.asked += 2;
        counts.items.missing += 1;
        match request % 5 {
            4 => Err(Error::usage("the store is gone", "start it again")),
            _ => Ok(()),
        }
    }
}

impl Workload for Stored {
    fn requests(&self) -> usize {
        self.requests
    }
    fn candidates(&self, _: usize) -> usize {
        2
    }
    fn inputs(&self) -> Inputs {
        Inputs::default()
    }
    fn prepare(&self, _: usize, inputs: &mut Inputs) -> Result<()> {
        inputs.candidates = 2;
        self.clock.pass(Duration::from_micros(5));
        Ok(())
    }
    fn fetcher(&self) -> Result<Option<Box<dyn Fetcher + '_>>> {
        match self.reachable {
            true => Ok(Some(Box::new(Slow(&self.clock)))),
            false => Err(Error::usage("nobody answers", "start the store")),
        }
    }
}

fn run(requests: usize, reachable: bool, warmup: usize) -> Result<Recording> {
    let clock = Arc::new(VirtualClock::default());
    let workload = Stored { requests, clock: clock.clone(), reachable };
    let spent = clock.clone();
    let session = scripted(move |_| {
        spent.pass(Duration::from_micros(50));
        Ok(2)
    });
    let options = IssueOptions { warmup, ..IssueOptions::default() };
    issue(&workload, &evenly(requests as u64, 1000), &mut [session], &*clock, &options)
}

#[test]
fn a_fetch_has_a_histogram_of_its_own_and_is_part_of_response_and_work_but_not_of_assembly_or_service() {
    let recording = run(100, true, 0).unwrap();
    let means = [&recording.assembly, &recording.fetch, &recording.service, &recording.response]
        .map(|latencies| latencies.mean_us());
    assert_eq!(means, [Some(5.0), Some(30.0), Some(50.0), Some(85.0)]);
    assert!(recording.work.samples().iter().all(|sample| sample.work_ns == 85_000));
    assert_eq!(recording.fetch.count(), 80);
}

#[test]
fn a_request_that_the_store_fails_is_an_error_with_its_reason_and_the_run_goes_on() {
    let recording = run(100, true, 0).unwrap();
    assert_eq!((recording.requests(), recording.errors, recording.response.count()), (100, 20, 80));
    assert_eq!(recording.first_error.as_deref(), Some("the store is gone; start it again"));
    let items = RowCounts { asked: 200, missing: 100 };
    let expected = FetchCounts { requests: 100, failures: 20, bytes: 700, items, ..FetchCounts::default() };
    assert_eq!(recording.fetches, expected);
}

#[test]
fn the_warm_up_fetches_as_well_and_is_not_counted_and_its_failure_ends_the_run() {
    assert_eq!(run(4, true, 3).unwrap().fetches.requests, 4);
    assert!(run(5, true, 20).unwrap_err().to_string().contains("the store is gone"));
}

#[test]
fn a_store_that_cannot_be_reached_ends_the_run_before_its_clock_starts() {
    assert!(run(4, false, 0).unwrap_err().to_string().contains("nobody answers"));
}
