//! The issue loop. The schedule is fixed before the clock starts, and nothing that the system under test does moves
//! it: a request that had to wait shows its wait.
//!
//! Each worker owns one session, and a core where there are enough. A free worker takes the next request of the schedule,
//! waits for its arrival (sleep, then spin) and serves it. Requests are thus taken first come, first served by the first
//! worker that is free, as from one queue, without a further thread that would compete for a core.
//!
//! All that a run records has its place beforehand: the loop itself allocates nothing.

mod queue;
mod worker;

use super::{
    Workload, buckets,
    clock::Clock,
    recorder::{Cut, Recording},
};
use crate::{
    base::{Error, Result, stop::Stop},
    measure::{
        cost::{self, Begun},
        engine::Session,
        pinning,
    },
};
use queue::Queue;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    sync::{OnceLock, mpsc},
    thread,
    time::Duration,
};
use worker::{Common, Worker};

/// When the next request is issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Loop {
    /// At its scheduled arrival, whatever became of the ones before it.
    #[default]
    Open,
    /// As soon as a worker is free: shows the highest throughput, and no queueing. Its response times are not those of
    /// users who come when they want.
    Closed,
    /// All at the start, as a batch job has them: shows the highest throughput, and response times are those from the start
    /// of the whole.
    Offline,
}

/// How a run is issued.
#[derive(Debug, Clone, Default)]
pub struct IssueOptions {
    /// Open, closed or offline.
    pub mode: Loop,
    /// Requests of every bucket of candidate counts that every worker runs before the clock starts, after a first, cold one of
    /// every bucket that is reported apart. With 0 the clock starts cold.
    pub warmup: usize,
    /// Requests that may wait at once in open loop; one that would be one more is rejected, and counted. None: as many as
    /// there are.
    pub max_queue: Option<usize>,
    /// A core of its own for each worker. Workers without one run wherever the process may.
    pub cores: Vec<usize>,
    /// Who asks to stop gets what was recorded until then, marked as interrupted.
    pub stop: Stop,
}

/// Between the last warm-up and the origin of the schedule, so that all workers stand ready.
const LEAD: Duration = Duration::from_millis(2);

/// What a worker, by its number, does with its session between its cold runs and its warm-up.
pub type Check<'a> = &'a (dyn Fn(usize, &mut dyn Session) -> Result<()> + Sync);

/// [`issue_checked`] without anything to check.
pub fn issue(
    workload: &dyn Workload,
    schedule_us: &[u64],
    sessions: &mut [Box<dyn Session>],
    clock: &dyn Clock,
    options: &IssueOptions,
) -> Result<Recording> {
    issue_checked(workload, schedule_us, sessions, clock, options, &|_, _| Ok(()))
}

/// Runs the whole schedule: request `i` arrives `schedule_us[i]` after the start. One worker per session.
///
/// Fails when the store of the workload cannot be reached, and when the warm-up or the `check` of a session fails; later failures of single requests are counted in the recording. A
/// panic of an engine goes on to the caller. Without a warm-up nothing is checked, which would be one.
pub fn issue_checked(
    workload: &dyn Workload,
    schedule_us: &[u64],
    sessions: &mut [Box<dyn Session>],
    clock: &dyn Clock,
    options: &IssueOptions,
    session_check: Check<'_>,
) -> Result<Recording> {
    check(workload, schedule_us, sessions.len(), options)?;
    let cut = match options.mode {
        Loop::Open => Cut::of(schedule_us),
        Loop::Closed | Loop::Offline => Cut::none(),
    };
    let common = Common { workload, clock, stop: &options.stop, cut };
    let workers = sessions.iter_mut().map(|session| Worker::new(common, &mut **session));
    let workers = workers.collect::<Result<Vec<_>>>()?;
    let mut recording = run(workers, common, options, session_check, |origin| {
        Queue::new(options.mode, schedule_us, options.max_queue, origin)
    })?;
    if let Some(last) = recording.intervals.last_mut() {
        last.end = last.begin.max(recording.span);
    }
    Ok(recording)
}

fn check(workload: &dyn Workload, schedule_us: &[u64], workers: usize, options: &IssueOptions) -> Result<()> {
    if workers == 0 || schedule_us.is_empty() || workload.requests() != schedule_us.len() {
        return Err(Error::usage(
            format!(
                "{workers} workers cannot run {} scheduled arrivals of {} requests",
                schedule_us.len(),
                workload.requests()
            ),
            "give at least one worker, and one arrival per request",
        ));
    }
    if options.max_queue.is_some() && options.mode != Loop::Open {
        return Err(Error::usage(
            "only requests that arrive by a schedule can find a queue full",
            "leave out the limit of the queue, or the closed or offline loop",
        ));
    }
    Ok(())
}

/// Warms all workers up, starts the clock for all at once, and joins what they recorded. Each keeps its thread from the
/// first run to the last, since runtimes and allocators keep memory per thread.
fn run<'a>(
    workers: Vec<Worker<'a>>,
    common: Common<'a>,
    options: &IssueOptions,
    check: Check<'_>,
    queue: impl FnOnce(Duration) -> Queue<'a>,
) -> Result<Recording> {
    let buckets = match options.warmup {
        0 => Vec::new(),
        keep => buckets::of(common.workload, keep),
    };
    let started = OnceLock::new();
    let unwarmed_bytes = cost::resident_bytes();
    thread::scope(|scope| {
        let (warmed, all_warmed) = mpsc::channel();
        let mut threads = Vec::with_capacity(workers.len());
        for (number, mut worker) in workers.into_iter().enumerate() {
            let (go, gone) = mpsc::channel::<()>();
            let (warmed, started, buckets) = (warmed.clone(), &started, &buckets);
            let thread = scope.spawn(move || {
                if let Some(&core) = options.cores.get(number) {
                    pinning::confine(&[core]);
                }
                let ready = worker.warm_up(buckets, options.warmup, |session| check(number, session));
                // Nobody listens only where another worker has failed.
                let _ = warmed.send(ready);
                drop(warmed);
                if let (Ok(()), Some(queue)) = (gone.recv(), started.get()) {
                    worker.work(queue);
                }
                worker.recording
            });
            threads.push((go, thread));
        }
        drop(warmed);
        // Ends when every worker has sent its result or has panicked.
        let outcomes: Vec<Result<()>> = all_warmed.iter().collect();
        let ready = outcomes.len() == threads.len() && outcomes.iter().all(Result::is_ok);
        let begun = Begun::now(unwarmed_bytes);
        if ready {
            started.get_or_init(|| queue(common.clock.now() + LEAD));
            for (go, _) in &threads {
                // A worker that listens no more has panicked, which its join tells.
                let _ = go.send(());
            }
        }
        let recordings = threads.into_iter().map(|(go, thread)| {
            drop(go);
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        let total = recordings.reduce(|mut total, recording| {
            total.merge(recording);
            total
        });
        outcomes.into_iter().collect::<Result<()>>()?;
        let mut total = total.unwrap_or_default();
        begun.add_to(&mut total.cost);
        Ok(total)
    })
}

#[cfg(test)]
mod tests;
