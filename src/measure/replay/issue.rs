//! The issue loop. The schedule is fixed before the clock starts, and nothing that the system under test does moves
//! it: a request that had to wait shows its wait.
//!
//! Each worker owns one session. A free worker takes the next request of the schedule, waits for its arrival (sleep,
//! then spin) and serves it. Requests are thus taken first come, first served by the first worker that is free, as
//! from one queue, without a further thread that would compete for a core.

use super::{
    Workload,
    clock::Clock,
    recorder::{Part, Recording, Times},
};
use crate::{
    base::{Error, Result},
    measure::engine::{Inputs, Session},
};
use serde::{Deserialize, Serialize};
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

/// When the next request is issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Loop {
    /// At its scheduled arrival, whatever became of the ones before it.
    Open,
    /// As soon as a worker is free: shows the highest throughput, and no queueing. Its response times are not those of
    /// users who come when they want.
    Closed,
}

/// How a run is issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IssueOptions {
    /// Open or closed.
    pub mode: Loop,
    /// Requests that every worker runs before the clock starts.
    pub warmup: usize,
}

/// Between the last warm-up and the origin of the schedule, so that all workers stand ready.
const LEAD: Duration = Duration::from_millis(2);

/// Runs the whole schedule: request `i` arrives `schedule_us[i]` after the start. One worker per session.
///
/// Fails when the warm-up fails; later failures of single requests are counted in the recording.
pub fn issue(
    workload: &dyn Workload,
    schedule_us: &[u64],
    sessions: Vec<Box<dyn Session>>,
    clock: &dyn Clock,
    options: IssueOptions,
) -> Result<Recording> {
    if sessions.is_empty() || schedule_us.is_empty() || workload.requests() != schedule_us.len() {
        return Err(Error::usage(
            format!(
                "{} workers cannot run {} scheduled arrivals of {} requests",
                sessions.len(),
                schedule_us.len(),
                workload.requests()
            ),
            "give at least one worker, and one arrival per request",
        ));
    }
    let next = AtomicUsize::new(0);
    let mut workers: Vec<Worker> = sessions
        .into_iter()
        .map(|session| Worker {
            session,
            workload,
            schedule_us,
            clock,
            next: &next,
            inputs: workload.inputs(),
            scores: Vec::new(),
            recording: Recording::default(),
        })
        .collect();
    on_threads(&mut workers, |worker| worker.warm_up(options.warmup)).into_iter().collect::<Result<()>>()?;
    let origin = clock.now() + LEAD;
    on_threads(&mut workers, |worker| worker.work(options.mode, origin));
    let mut total = Recording::default();
    workers.into_iter().for_each(|worker| total.merge(worker.recording));
    Ok(total)
}

/// Runs `task` for every worker at once, each on its own thread. A panic of an engine goes on to the caller.
fn on_threads<'a, T: Send>(workers: &mut [Worker<'a>], task: impl Fn(&mut Worker<'a>) -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let task = &task;
        let threads: Vec<_> = workers.iter_mut().map(|worker| scope.spawn(move || task(worker))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

struct Worker<'a> {
    session: Box<dyn Session>,
    workload: &'a dyn Workload,
    schedule_us: &'a [u64],
    clock: &'a dyn Clock,
    next: &'a AtomicUsize,
    inputs: Inputs,
    scores: Vec<f32>,
    recording: Recording,
}

impl Worker<'_> {
    fn warm_up(&mut self, requests: usize) -> Result<()> {
        for request in 0..requests {
            self.workload.prepare(request % self.schedule_us.len(), &mut self.inputs)?;
            let begun = self.clock.now();
            self.score()?;
            self.recording.warmup.record(self.clock.now().saturating_sub(begun));
        }
        Ok(())
    }

    fn work(&mut self, mode: Loop, origin: Duration) {
        self.clock.wait_until(origin);
        loop {
            let free = self.clock.now();
            let request = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(&arrival_us) = self.schedule_us.get(request) else { return };
            let due = match mode {
                Loop::Open => origin + Duration::from_micros(arrival_us),
                Loop::Closed => free,
            };
            self.clock.wait_until(due);
            match self.serve(request, due, free) {
                Ok(times) => self.recording.answered(times),
                Err(error) => self.recording.failed(&error),
            }
            self.recording.span = self.clock.now().saturating_sub(origin);
        }
    }

    fn serve(&mut self, request: usize, due: Duration, free: Duration) -> Result<Times> {
        let begun = self.clock.now();
        self.workload.prepare(request, &mut self.inputs)?;
        let assembled = self.clock.now();
        self.score()?;
        let part = Part::of(request, self.schedule_us.len());
        Ok(Times { part, due, free, begun, assembled, completed: self.clock.now() })
    }

    /// Runs the session; an answer that does not score every candidate once is a failure.
    fn score(&mut self) -> Result<()> {
        self.session.run(&self.inputs, &mut self.scores)?;
        if self.scores.len() == self.inputs.candidates {
            return Ok(());
        }
        Err(Error::engine(
            "the engine",
            "answer a request",
            "export the model again: it has to give one score per candidate",
            format!("{} scores for {} candidates", self.scores.len(), self.inputs.candidates),
        ))
    }
}

#[cfg(test)]
mod tests;
