//! One visit to a set of features: a block of timed requests of every worker, while all of them are at work.

use super::{FetchEffort, REQUESTS};
use crate::{
    base::Result,
    measure::{
        engine::Inputs,
        replay::{Fetcher, Workload, clock::Clock},
        service::{caches::Sweep, without_slowest_quarter},
        store::FetchCounts,
        workload::TraceWorkload,
    },
};
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

/// Milliseconds per request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) fetch_ms: f64,
    pub(super) decode_ms: f64,
}

/// What a fetch finds in the caches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caches {
    /// What the one right before has left.
    Near,
    /// Nothing of it.
    Displaced,
}

impl Caches {
    /// Memory to touch between two fetches.
    pub(super) fn displaced_bytes(self, effort: &FetchEffort) -> usize {
        match self {
            Self::Near => 0,
            Self::Displaced => effort.displaced_bytes,
        }
    }
}

/// What is asked in one visit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Visit {
    /// Who ask at once.
    pub(super) workers: usize,
    /// The first request of the first of them; the others begin elsewhere.
    pub(super) first: usize,
    /// Timed requests of each.
    pub(super) block: usize,
    /// Memory that each touches between two requests.
    pub(super) displaced_bytes: usize,
}

/// A block of requests, each of so many workers from another one on.
pub(super) fn visit(workload: &TraceWorkload<'_>, asked: Visit, clock: &dyn Clock) -> Result<Times> {
    let Visit { workers, first, .. } = asked;
    let together = Together { workers, ..Together::default() };
    let work = |worker: usize| {
        let first = first + worker * REQUESTS / workers;
        one_worker(workload, Visit { first, ..asked }, clock, &together)
    };
    let all: Vec<Times> = match workers {
        1 => vec![work(0)?],
        _ => std::thread::scope(|scope| {
            let work = &work;
            let started: Vec<_> = (0..workers).map(|worker| scope.spawn(move || work(worker))).collect();
            let joined = started.into_iter().map(|thread| thread.join().expect("a worker does not panic"));
            joined.collect::<Result<_>>()
        })?,
    };
    let mean = |of: fn(&Times) -> f64| all.iter().map(of).sum::<f64>() / all.len() as f64;
    Ok(Times { fetch_ms: mean(|times| times.fetch_ms), decode_ms: mean(|times| times.decode_ms) })
}

/// Holds the workers of a visit together. A thread starts in the time of several fetches from memory, and workers that only waited
/// for each other would wake one after the other: so whoever is early asks on, untimed, until all are warm, and whoever is done
/// asks on until all are.
#[derive(Default)]
struct Together {
    workers: usize,
    warm: AtomicUsize,
    done: AtomicUsize,
}

impl Together {
    fn all(&self, arrived: &AtomicUsize) -> bool {
        arrived.load(Ordering::SeqCst) >= self.workers
    }
}

/// A worker that fails keeps nobody waiting.
struct Arrivals<'a>(&'a Together, [bool; 2]);

impl Arrivals<'_> {
    fn arrive(&mut self, place: usize) {
        let Together { warm, done, .. } = self.0;
        if !std::mem::replace(&mut self.1[place], true) {
            [warm, done][place].fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Drop for Arrivals<'_> {
    fn drop(&mut self) {
        [0, 1].into_iter().for_each(|place| self.arrive(place));
    }
}

fn one_worker(
    workload: &TraceWorkload<'_>,
    asked: Visit,
    clock: &dyn Clock,
    together: &Together,
) -> Result<Times> {
    let mut arrivals = Arrivals(together, [false; 2]);
    let mut sweep = Sweep::of_bytes(asked.displaced_bytes);
    let mut between = || -> Result<()> {
        sweep.run();
        Ok(())
    };
    let mut asking = Asking::new(workload, clock, asked.first, &mut between)?;
    asking.serve()?;
    arrivals.arrive(0);
    while !together.all(&together.warm) {
        asking.serve()?;
    }
    let runs: Vec<[f64; 2]> = (0..asked.block).map(|_| asking.serve()).collect::<Result<_>>()?;
    arrivals.arrive(1);
    while !together.all(&together.done) {
        asking.serve()?;
    }
    let [fetch_ms, decode_ms] =
        [0, 1].map(|part| without_slowest_quarter(runs.iter().map(|run| run[part]).collect()));
    Ok(Times { fetch_ms, decode_ms })
}

/// One worker with its next request.
pub(super) struct Asking<'a> {
    workload: &'a TraceWorkload<'a>,
    clock: &'a dyn Clock,
    next: usize,
    /// Runs between two requests, untimed.
    between: &'a mut dyn FnMut() -> Result<()>,
    inputs: Inputs,
    counts: FetchCounts,
    fetcher: Option<Box<dyn Fetcher + 'a>>,
}

impl<'a> Asking<'a> {
    pub(super) fn new(
        workload: &'a TraceWorkload<'a>,
        clock: &'a dyn Clock,
        first: usize,
        between: &'a mut dyn FnMut() -> Result<()>,
    ) -> Result<Self> {
        let (inputs, counts, fetcher) = (workload.inputs(), FetchCounts::default(), workload.fetcher()?);
        Ok(Self { workload, clock, next: first, between, inputs, counts, fetcher })
    }

    /// What fetching and decoding the next request takes, in ms.
    pub(super) fn serve(&mut self) -> Result<[f64; 2]> {
        let request = self.next % REQUESTS;
        self.next += 1;
        let begun = self.clock.now();
        self.workload.prepare(request, &mut self.inputs)?;
        let decoded = self.clock.now();
        if let Some(fetcher) = &mut self.fetcher {
            fetcher.fetch(request, &mut self.inputs, &mut self.counts)?;
        }
        let fetched = self.clock.now();
        (self.between)()?;
        let ms = |from, to: Duration| to.saturating_sub(from).as_secs_f64() * 1e3;
        Ok([ms(decoded, fetched), ms(begun, decoded)])
    }
}
