//! A Redis server some of whose answers are late: each is in the histogram as late as it was, or counted as failed.

use super::redis::{ONE_PASS, first_error, load, server::RedisServer};
use crate::world::{World, replayed};
use serde_json::Value;
use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

const LATE: Duration = Duration::from_millis(100);
/// Answers before the first late one: what is asked before the clock starts.
const FIRST: u64 = 50;
/// One answer of so many is late.
const EVERY: u64 = 100;
const REQUESTS: u64 = 600;

/// Passes on what is said to a server at once, and what it answers sometimes later.
struct SlowLine {
    url: String,
    late: Arc<AtomicU64>,
}

impl SlowLine {
    fn to(server: &RedisServer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let (answers, late) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (port, counted) = (server.port(), Arc::clone(&late));
        // It ends with the test program.
        thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.unwrap();
                let server = TcpStream::connect(("127.0.0.1", port)).unwrap();
                let (asking, asked) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                thread::spawn(move || pass_on(asking, asked, || {}));
                let (answers, late) = (Arc::clone(&answers), Arc::clone(&counted));
                thread::spawn(move || {
                    pass_on(server, client, || {
                        let answer = answers.fetch_add(1, Relaxed);
                        if answer >= FIRST && answer.is_multiple_of(EVERY) {
                            late.fetch_add(1, Relaxed);
                            thread::sleep(LATE);
                        }
                    });
                });
            }
        });
        Self { url, late }
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, mut before: impl FnMut()) {
    to.set_nodelay(true).unwrap();
    let mut buffer = vec![0; 1 << 16];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        before();
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    // The other end is told, as if there were no line between.
    let _ = to.shutdown(std::net::Shutdown::Write);
}

/// The result of a replay through a slow line, and how many answers were late.
fn replay(timeout_ms: &str) -> (Value, u64) {
    let world = World::new();
    let server = RedisServer::start(&[]);
    load(&world, &server.url());
    let line = SlowLine::to(&server);
    let store = format!("{}?timeout_ms={timeout_ms}", line.url);
    let requests = REQUESTS.to_string();
    let how = ["--qps", "150", "--requests", &requests, "--workers", "1", "--store", &store];
    let (result, said) = replayed(world.path(), &[&ONE_PASS[..], &how].concat());
    let late = line.late.load(Relaxed);
    assert_eq!(result["requests"], REQUESTS, "{said}");
    assert!((3..20).contains(&late), "{late} answers were late");
    (result, late)
}

#[test]
fn a_late_answer_is_in_the_histograms_as_late_as_it_was() {
    let (result, late) = replay("20000");
    assert_eq!((&result["errors"], &result["store"]["fetches"]["failures"]), (&0.into(), &0.into()));
    let fetch = &result["fetch_us"];
    assert_eq!(fetch["count"], REQUESTS);
    let sum_us = fetch["mean"].as_f64().unwrap() * REQUESTS as f64;
    assert!(sum_us >= (late * 100_000) as f64, "{late} late answers and {fetch}");
    // Who waited behind it has waited too: responses count from the arrival.
    let response = &result["response_us"];
    assert!([response, fetch].iter().all(|found| found["max"].as_f64().unwrap() >= 1e5), "{response}");
    assert!(response["p99"].as_u64().unwrap() >= 50_000, "{response}");
}

#[test]
fn an_answer_that_is_later_than_the_time_out_is_counted_as_failed_and_is_in_no_histogram() {
    let (result, late) = replay("50");
    let errors = result["errors"].as_u64().unwrap();
    assert_eq!(result["store"]["fetches"]["failures"], errors);
    // A busy machine may make others late.
    assert!(errors >= late && errors < REQUESTS / 2, "{late} late answers, {errors} errors");
    for histogram in ["fetch_us", "response_us", "service_us"] {
        assert_eq!(result[histogram]["count"], REQUESTS - errors, "{histogram}");
    }
    assert!(first_error(&result).contains("within 50 ms"), "{}", first_error(&result));
    assert_eq!(result["valid"], false);
}
