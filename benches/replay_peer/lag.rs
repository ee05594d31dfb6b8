//! How late work begins that could have begun: in the replay, and in a loop that does nothing but sleep, spin and work.
//!
//! Poisson arrivals at half of what two workers can serve, each on a core of its own, and a millisecond of work per
//! request.

use super::{
    protocol::Workload,
    spinning::{Nothing, spin},
};
use autofas_bench::{
    base::Result,
    measure::{
        engine::{Inputs, Session},
        pinning,
        replay::{
            arrivals::Arrivals,
            clock::RealClock,
            issue::{IssueOptions, issue},
        },
    },
};
use serde_json::{Value, json};
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

const WORK: Duration = Duration::from_millis(1);
const LOAD: f64 = 0.5;
/// The bare loop sleeps until this long before an arrival, as the replay does, and spins through the rest.
const SPIN: Duration = Duration::from_micros(300);

/// A millisecond of work.
struct Worker(RealClock);

impl Session for Worker {
    fn run(&mut self, _: &Inputs, scores: &mut Vec<f32>) -> Result<()> {
        spin(&self.0, WORK);
        scores.clear();
        scores.push(0.5);
        Ok(())
    }
}

pub struct Lag {
    cores: Vec<usize>,
    workers: usize,
    turn: u64,
}

impl Lag {
    pub fn new() -> Self {
        let workers = thread::available_parallelism().map_or(1, usize::from).min(2);
        Self { cores: pinning::pin(workers).unwrap_or_default(), workers, turn: 0 }
    }

    /// Of so many seconds; the same for two turns in a row, which are those of the two sides.
    fn schedule(&mut self, seconds: usize) -> Vec<u64> {
        let qps = LOAD * self.workers as f64 / WORK.as_secs_f64();
        let (requests, seed) = ((qps * seconds as f64) as usize, self.turn / 2);
        self.turn += 1;
        Arrivals::Poisson { qps }.schedule(requests, seed).expect("arrivals").offsets_us.to_vec()
    }

    fn replayed(&mut self, seconds: usize) -> Vec<f64> {
        let schedule = self.schedule(seconds);
        let mut sessions: Vec<Box<dyn Session>> = Vec::new();
        sessions.resize_with(self.workers, || Box::new(Worker(RealClock::start())));
        let options = IssueOptions { cores: self.cores.clone(), warmup: 5, ..IssueOptions::default() };
        let recording =
            issue(&Nothing(schedule.len()), &schedule, &mut sessions, &RealClock::start(), &options)
                .expect("a recording");
        assert_eq!(recording.requests(), schedule.len() as u64);
        let lags = recording.dispatch_lag.histogram().iter_recorded();
        lags.flat_map(|lag| {
            std::iter::repeat_n(lag.value_iterated_to() as f64, lag.count_since_last_iteration() as usize)
        })
        .collect()
    }

    fn bare(&mut self, seconds: usize) -> Vec<f64> {
        let schedule = self.schedule(seconds);
        let next = AtomicUsize::new(0);
        let origin = Instant::now() + Duration::from_millis(2);
        let work = |core: Option<&usize>| {
            core.map(|&core| pinning::confine(&[core]));
            let mut lags = Vec::with_capacity(schedule.len());
            loop {
                let free = Instant::now();
                let Some(&at) = schedule.get(next.fetch_add(1, Ordering::Relaxed)) else { return lags };
                let due = origin + Duration::from_micros(at);
                let sleep = due.saturating_duration_since(free).saturating_sub(SPIN);
                if !sleep.is_zero() {
                    thread::sleep(sleep);
                }
                let mut now = Instant::now();
                while now < due {
                    std::hint::spin_loop();
                    now = Instant::now();
                }
                lags.push((now - due.max(free)).as_nanos() as f64 / 1e3);
                let until = now + WORK;
                while Instant::now() < until {
                    std::hint::spin_loop();
                }
            }
        };
        thread::scope(|scope| {
            let work = &work;
            let core = |worker| self.cores.get(worker);
            let threads: Vec<_> = (0..self.workers).map(|i| scope.spawn(move || work(core(i)))).collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("a loop that ends")).collect()
        })
    }
}

/// `{"p50_us", "p99_us", "p999_us", "max_us", "count"}`.
fn percentiles(mut lags_us: Vec<f64>) -> Value {
    lags_us.sort_by(f64::total_cmp);
    let at = |q: f64| lags_us[(q * lags_us.len() as f64).ceil() as usize - 1];
    json!({
        "p50_us": at(0.5), "p99_us": at(0.99), "p999_us": at(0.999), "max_us": at(1.0), "count": lags_us.len()
    })
}

impl Workload for Lag {
    fn name(&self) -> &'static str {
        "replay"
    }

    fn run(&mut self, seconds: usize) -> Value {
        percentiles(self.replayed(seconds))
    }

    fn other(&mut self, name: &str, seconds: usize) -> Value {
        assert_eq!(name, "bare", "no other command");
        percentiles(self.bare(seconds))
    }

    fn ready(&self) -> Value {
        json!({ "workers": self.workers, "cores": self.cores })
    }
}
