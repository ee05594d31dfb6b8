//! One worker: a thread with a session of its own, that takes requests from the queue.

use super::queue::{Queue, Turn};
use crate::{
    base::{Result, memory, stop::Stop},
    measure::{
        cost::Usage,
        engine::{self, Inputs, Session},
        replay::{
            Fetcher, Workload,
            buckets::Bucket,
            clock::Clock,
            recorder::{ColdRuns, Cut, Part, Recording, Times},
            work::WorkSamples,
        },
        store::FetchCounts,
    },
};
use std::time::Duration;

/// Who waits looks this often whether somebody has asked to stop.
const LOOK: Duration = Duration::from_millis(200);

/// What all workers share.
#[derive(Clone, Copy)]
pub(super) struct Common<'a> {
    pub(super) workload: &'a dyn Workload,
    pub(super) clock: &'a dyn Clock,
    pub(super) stop: &'a Stop,
    pub(super) cut: Cut,
}

pub(super) struct Worker<'a> {
    common: Common<'a>,
    session: &'a mut dyn Session,
    fetcher: Option<Box<dyn Fetcher + 'a>>,
    inputs: Inputs,
    scores: Vec<f32>,
    pub(super) recording: Recording,
}

impl<'a> Worker<'a> {
    /// Makes room for all that it will record, and finds its way to the store.
    pub(super) fn new(common: Common<'a>, session: &'a mut dyn Session) -> Result<Self> {
        let recording = Recording {
            intervals: common.cut.intervals(),
            work: WorkSamples::planned(common.workload.requests()),
            ..Recording::default()
        };
        let (fetcher, inputs) = (common.workload.fetcher()?, common.workload.inputs());
        Ok(Self { common, session, fetcher, inputs, scores: Vec::new(), recording })
    }

    /// Runs every bucket once cold, with its largest request so that no buffer has to grow later, has the session checked, and
    /// then runs every bucket `runs` times. Without a bucket nothing is done.
    pub(super) fn warm_up(
        &mut self,
        buckets: &[Bucket],
        runs: usize,
        check: impl FnOnce(&mut dyn Session) -> Result<()>,
    ) -> Result<()> {
        for bucket in buckets {
            if self.common.stop.requested() {
                return Ok(());
            }
            let cold = self.warm_run(bucket.largest)?;
            let us = vec![cold.as_secs_f64() * 1e6];
            self.recording.cold.push(ColdRuns { candidates: bucket.candidates, us });
        }
        if !buckets.is_empty() {
            check(self.session)?;
        }
        for bucket in buckets {
            for &request in bucket.first.iter().cycle().take(runs) {
                if self.common.stop.requested() {
                    return Ok(());
                }
                let took = self.warm_run(request)?;
                self.recording.warmup.record(took);
            }
        }
        Ok(())
    }

    fn warm_run(&mut self, request: usize) -> Result<Duration> {
        self.common.workload.prepare(request, &mut self.inputs)?;
        self.fetch(request)?;
        let begun = self.common.clock.now();
        Ok(self.score()?.saturating_sub(begun))
    }

    /// Serves until the queue is empty or somebody asks to stop. What it costs is counted from the start of the schedule.
    pub(super) fn work(&mut self, queue: &Queue) {
        let origin = queue.origin;
        if self.wait_until(origin).is_none() {
            self.recording.interrupted = true;
            return;
        }
        self.recording.cost.spun = Duration::ZERO;
        // Those of the warm-up.
        self.recording.fetches = FetchCounts::default();
        let (usage, allocations) = (Usage::of_thread(), memory::allocations());
        while let Some(turn) = queue.take(self.common.clock, &mut self.recording.rejected) {
            let Some(begun) = self.begin(&turn) else {
                self.recording.interrupted = true;
                break;
            };
            match self.serve(&turn, begun) {
                Ok(times) => {
                    self.recording.answered(times);
                    self.session.parts().into_iter().for_each(|parts| self.recording.itemised(parts));
                    let Times { due, free, completed, .. } = times;
                    self.recording.work.record(turn.request, self.inputs.candidates, due, free, completed);
                    self.recording.intervals[self.common.cut.index(turn.arrival_us)]
                        .answered
                        .answered(&times);
                    self.recording.span = times.completed.saturating_sub(origin);
                }
                Err(error) => {
                    self.recording.failed(&error);
                    self.recording.span = self.common.clock.now().saturating_sub(origin);
                }
            }
        }
        let cost = &mut self.recording.cost;
        // Asking how many there were is an allocation itself.
        cost.allocations = memory::allocations().zip(allocations).map(|(now, then)| now - then - 1);
        cost.workers = Usage::of_thread().zip(usage).map(|(now, then)| now.since(then));
    }

    /// When work on a request begins: at its arrival, or now. None when somebody has asked to stop.
    fn begin(&mut self, turn: &Turn) -> Option<Duration> {
        if turn.due > turn.free {
            return self.wait_until(turn.due);
        }
        (!self.common.stop.requested()).then_some(turn.free)
    }

    /// The time then; none when somebody has asked to stop.
    fn wait_until(&mut self, due: Duration) -> Option<Duration> {
        let mut now = self.common.clock.now();
        loop {
            if self.common.stop.requested() {
                return None;
            }
            let waited = self.common.clock.wait_until(due.min(now + LOOK));
            now = waited.now;
            self.recording.cost.spun += waited.spun;
            if now >= due {
                return Some(now);
            }
        }
    }

    fn serve(&mut self, turn: &Turn, begun: Duration) -> Result<Times> {
        let Common { workload, clock, .. } = self.common;
        workload.prepare(turn.request, &mut self.inputs)?;
        let assembled = clock.now();
        let fetched = self.fetch(turn.request)?;
        let completed = self.score()?;
        let part = Part::of(turn.request, workload.requests());
        Ok(Times { part, due: turn.due, free: turn.free, begun, assembled, fetched, completed })
    }

    /// Fetches what is stored for a request and says when it was there; none without a store.
    fn fetch(&mut self, request: usize) -> Result<Option<Duration>> {
        let Some(fetcher) = &mut self.fetcher else { return Ok(None) };
        let counts = &mut self.recording.fetches;
        counts.requests += 1;
        if let Err(error) = fetcher.fetch(request, &mut self.inputs, counts) {
            counts.failures += 1;
            return Err(error);
        }
        Ok(Some(self.common.clock.now()))
    }

    /// Runs the session and says when it was done; a wrong answer is a failure. It is looked at after the clock, so that this is in no request's time.
    fn score(&mut self) -> Result<Duration> {
        self.session.run(&self.inputs, &mut self.scores)?;
        let completed = self.common.clock.now();
        engine::check_scores(&self.scores, self.inputs.candidates)?;
        Ok(completed)
    }
}
