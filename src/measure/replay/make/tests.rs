use super::*;
use crate::{base::error::Spot, measure::replay::check::Checked};
use std::collections::HashSet;

/// Users 100 and 200; items 1 to 6, item 6 by far the most popular.
fn log(requests: bool) -> RequestLog {
    let mut rows = vec![(10, 100, 1), (10, 100, 2), (11, 200, 3), (12, 100, 4), (12, 100, 1), (13, 200, 5)];
    rows.extend((0..50).map(|_| (14, 200, 6)));
    RequestLog::new(rows.into_iter().map(|(r, u, i)| (requests.then_some(r), u, i)))
}

fn recipe(length: ListLength, order: Order, seed: u64) -> TraceRecipe {
    TraceRecipe { arrivals: Arrivals::Poisson { qps: 100.0 }, requests: 200, order, length, seed }
}

fn planned(with_requests: bool, recipe: &TraceRecipe) -> Result<PlannedTrace> {
    plan(log(with_requests), recipe, DataHashes::default())
}

fn made(with_requests: bool, recipe: &TraceRecipe) -> Vec<Request> {
    planned(with_requests, recipe).unwrap().requests().collect()
}

#[test]
fn requests_of_the_log_keep_their_candidates_and_are_padded_without_repeats() {
    let requests = made(true, &recipe(ListLength::Fixed(4), Order::Log, 1));
    assert_eq!(requests.len(), 200);
    for (request, (user, logged)) in
        requests.iter().zip([(100, &[1, 2][..]), (200, &[3]), (100, &[4, 1]), (200, &[5]), (200, &[6])])
    {
        assert_eq!((request.user, &request.candidates[..logged.len()]), (user, logged));
    }
    assert_eq!(requests[5].user, 100, "the log starts again");
    assert!(requests.iter().all(|r| r.candidates.iter().collect::<HashSet<_>>().len() == 4));
    let padded_with_popular = requests.iter().filter(|r| r.candidates.contains(&6)).count();
    assert!(padded_with_popular > 180, "{padded_with_popular}");
    let checked = Checked::new(requests.into_iter().map(Ok), "t".into(), Spot::Row(1), 200);
    assert_eq!(checked.filter(|request| request.is_ok()).count(), 200);
}

#[test]
fn without_requests_each_row_is_a_visit_with_the_list_of_its_user() {
    let requests = made(false, &recipe(ListLength::Fixed(3), Order::Log, 1));
    let users: Vec<_> = requests[..6].iter().map(|r| r.user).collect();
    assert_eq!(users, [100, 100, 200, 100, 100, 200]);
    assert_eq!(requests[0].candidates, [1, 2, 4]);
    assert_eq!(requests[2].candidates, [3, 5, 6]);
}

#[test]
fn traces_repeat_by_seed() {
    let make = |seed| made(true, &recipe(ListLength::Fixed(3), Order::Sampled, seed));
    assert_eq!(make(5), make(5));
    assert_ne!(make(5), make(6));
    let planned = planned(true, &recipe(ListLength::Fixed(3), Order::Sampled, 5)).unwrap();
    assert!(planned.requests().eq(planned.requests()), "however often they are drawn");
}

#[test]
fn lengths_beyond_the_log_are_clamped_and_the_trace_says_so() {
    let trace = planned(true, &recipe(ListLength::Fixed(99), Order::Log, 1)).unwrap();
    assert!(trace.requests().all(|r| r.candidates.len() == 6));
    assert!(trace.notes()[0].contains("200 of 200") && trace.notes()[0].contains("1 to 6"));
    let error = planned(true, &recipe(ListLength::Arrivals, Order::Log, 1)).unwrap_err();
    assert!(error.to_string().contains("column of counts"), "{error}");
}

#[test]
fn recorded_counts_become_list_lengths() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.csv");
    crate::base::fsio::write(&file, b"t,n\n0,2\n1,0\n2,5\n").unwrap();
    let recorded = Arrivals::Recorded { file, time_column: "t".into(), candidates_column: Some("n".into()) };
    let recipe =
        TraceRecipe { arrivals: recorded, requests: 4, ..recipe(ListLength::Arrivals, Order::Log, 1) };
    let trace = planned(true, &recipe).unwrap();
    let lengths: Vec<_> = trace.requests().map(|r| r.candidates.len()).collect();
    assert_eq!(lengths, [2, 1, 5, 2]);
    let notes = &trace.origin.notes;
    for (note, expected) in notes.iter().zip(["come 1.33 times", "column `n`", "1 of 4"]) {
        assert!(note.contains(expected), "{notes:?}");
    }
    assert_eq!((trace.schedule_us(), notes.len()), (&[0, 1_000_000, 2_000_000, 3_000_000][..], 3));
    let faster = trace.paced(Pacing::Speed { factor: 2.0 }).unwrap();
    assert_eq!(faster.schedule_us(), [0, 500_000, 1_000_000, 1_500_000]);
    assert_eq!(faster.origin().arrivals, "recorded in a.csv, at speed 2");
    let stretched = faster.paced(Pacing::Rate { qps: 10.0 }).unwrap();
    assert_eq!((stretched.schedule_us()[3], trace::mean_qps(stretched.schedule_us())), (300_000, Some(10.0)));
}

#[test]
fn a_trace_that_asks_nothing_or_has_no_room_is_refused_before_it_is_made() {
    let asked = |requests| {
        let recipe = TraceRecipe { requests, ..recipe(ListLength::Fixed(2), Order::Log, 1) };
        planned(true, &recipe).unwrap_err().to_string()
    };
    assert_eq!(asked(0), "a trace of 0 requests asks nothing; want at least one request");
    let empty =
        plan(RequestLog::new([]), &recipe(ListLength::Fixed(2), Order::Log, 1), DataHashes::default());
    assert!(empty.unwrap_err().to_string().contains("the data has no row"));
    if disk_free_bytes(&std::env::temp_dir()).is_some() {
        for many in [1 << 60, usize::MAX] {
            let said = asked(many);
            assert!(said.contains("GB of a trace do not fit") && said.contains("set TMPDIR"), "{said}");
        }
    }
    let trace = planned(true, &recipe(ListLength::Fixed(4), Order::Log, 1)).unwrap();
    assert_eq!(trace.bytes(), 200 * (30 + 4 * 12));
}
