//! What a measuring process is told to do, and doing it. Jobs and their results are JSON files, because each engine is
//! measured in a process of its own (see [`child`](super::child)).

use super::{
    conditions::Watch,
    cost,
    engine::{self, CandidateCounts, Engine, Session, SessionOptions},
    environment::Environment,
    measurement::{Load, Pass, Provenance, Setup},
    pinning,
    plan::{self, Decision, PlanChoice},
    planted::Planted,
    replay::{
        Workload,
        clock::{Clock, RealClock},
        issue::{self, IssueOptions, Loop},
        recorder::Recording,
        trace::{self, Pacing, Trace},
        trace_file::TraceReader,
    },
    service::{self, ServiceJob, ServiceSample},
    store::{FeatureStore, StoreChoice},
    traced::{DataFiles, TracedData},
};
use crate::{
    base::{
        Error, Result,
        error::Place,
        fsio, hash,
        names::{Denormals, EngineName, Layout},
        stop::Stop,
    },
    data::column::Column,
    export::{self, Metadata},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

mod compared;

use compared::Compared;

/// A job for one measuring process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "job", rename_all = "lowercase")]
pub enum Job {
    /// Replay a trace.
    Replay(ReplayJob),
    /// Measure the mean service time of models.
    Service(ServiceJob),
}

/// Replay one trace once into models, one after the other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplayJob {
    /// The runtime.
    pub engine: EngineName,
    /// How sessions are made; what they know of candidate counts beforehand is taken from the trace.
    pub options: SessionOptions,
    /// Sessions that serve at once.
    pub workers: usize,
    /// Exported models: ONNX files with this program's metadata.
    pub models: Vec<PathBuf>,
    /// The trace.
    pub trace: PathBuf,
    /// How its requests are spaced.
    pub pacing: Pacing,
    /// Requests of every bucket of candidate counts that every worker runs before the clock starts, after a cold one.
    pub warmup: usize,
    /// Requests that may wait at once in open loop; without it, as many as there are.
    pub max_queue: Option<usize>,
    /// Data that the trace's keys belong to.
    pub data: DataFiles,
    /// Time that is added on purpose.
    pub planted: Option<Planted>,
    /// Where stored features come from.
    #[serde(default)]
    pub store: StoreChoice,
    /// Plans of tract that an earlier pass has chosen, by model: all passes of one run on the same.
    #[serde(default)]
    pub plans: BTreeMap<PathBuf, PlanChoice>,
}

impl ReplayJob {
    /// From the first moment of the schedule to the last arrival.
    pub fn schedule(&self) -> Result<Duration> {
        let schedule_us = TraceReader::open(&self.trace)?.trace()?.schedule_us(self.pacing)?;
        Ok(Duration::from_micros(schedule_us.last().copied().unwrap_or(0)))
    }
}

/// Result of a [`ServiceJob`], with the circumstances that a latency table keys by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceResult {
    /// Version of the runtime.
    pub engine_version: String,
    /// The machine.
    pub environment: Environment,
    /// Per candidate count, in the order of the models.
    pub samples: Vec<ServiceSample>,
}

impl Job {
    /// What the process has to know and no file may hold, for [`Job::tell`].
    pub fn secret(&self) -> Option<String> {
        match self {
            Self::Replay(job) => job.store.secret(),
            Self::Service(_) => None,
        }
    }

    /// Completes a job that was read from a file by what [`Job::secret`] gave.
    pub fn tell(&mut self, secret: &str) -> Result<()> {
        match self {
            Self::Replay(job) => job.store.tell(secret),
            Self::Service(_) => Ok(()),
        }
    }

    /// The runtime to be measured.
    pub fn engine(&self) -> EngineName {
        match self {
            Self::Replay(job) => job.engine,
            Self::Service(job) => job.engine,
        }
    }
}

/// Runs a job in this process and writes its result: what the hidden verb `engine-child` does. A replay that somebody asks
/// to stop ends with what it has measured by then.
pub fn run_job(job: &Job, out: &Path, stop: &Stop) -> Result<()> {
    let engine = engine::engine(job.engine())?;
    let clock = RealClock::start();
    match job {
        Job::Replay(job) => fsio::write_json(out, &replay(job, &*engine, &clock, stop)?),
        Job::Service(job) => {
            // Before the pin, which leaves fewer cores to this thread.
            let mut environment = Environment::current()?;
            let pin = || environment.pinned_cores = pinning::pin(job.options.threads);
            let samples = service::measure(job, &*engine, &clock, pin)?;
            fsio::write_json(out, &ServiceResult { engine_version: engine.version(), environment, samples })
        }
    }
}

/// Runs a replay job in this process: one pass per model, fewer when somebody asks to stop.
fn replay(job: &ReplayJob, engine: &dyn Engine, clock: &dyn Clock, stop: &Stop) -> Result<Vec<Pass>> {
    let mut traced = TracedData::load(&job.trace, &job.data)?;
    let store = job.store.open()?;
    if store.is_some() {
        traced.keep_keys()?;
    }
    let mut environment = Environment::current()?;
    environment.pinned_cores = pinning::pin(job.options.threads * job.workers);
    let replay = Replay {
        job,
        engine,
        clock,
        stop,
        // A request of another length would run on another plan than those that were made for what is known.
        options: SessionOptions {
            candidates_hint: traced.trace.fixed_candidates(),
            candidate_counts: CandidateCounts::of(
                traced.trace.candidates().iter().map(|&count| count as usize),
            ),
            ..job.options.clone()
        },
        schedule_us: traced.trace.schedule_us(job.pacing)?,
        environment,
        trace_sha256: hash::sha256_file(&job.trace)?,
        rows_hash: traced.rows_hash.clone(),
        traced,
        store,
    };
    let running = |_: &&PathBuf| !stop.requested();
    job.models.iter().take_while(running).map(|model| replay.run(model)).collect()
}

/// All that the models of a job share.
struct Replay<'a> {
    job: &'a ReplayJob,
    engine: &'a dyn Engine,
    clock: &'a dyn Clock,
    stop: &'a Stop,
    options: SessionOptions,
    schedule_us: Column<u64>,
    environment: Environment,
    trace_sha256: String,
    rows_hash: String,
    traced: TracedData,
    store: Option<Box<dyn FeatureStore>>,
}

impl Replay<'_> {
    fn run(&self, model: &Path) -> Result<Pass> {
        let (signature, metadata) = export::read_signature(model)?;
        self.check_encoders(model, &metadata)?;
        // Has every value without a store, so that plans and scores are the same with one and without.
        let lookups = self.traced.lookups(self.engine, model, &signature, &self.options)?;
        let complete = self.traced.workload(&signature, &lookups)?;
        let fetching = match &self.store {
            None => None,
            Some(store) => {
                store.manifest().check_serves(&self.job.store.place(), &metadata)?;
                Some(self.traced.fetching(&signature, &**store, &lookups)?)
            }
        };
        let workload = fetching.as_ref().unwrap_or(&complete);
        let Decision { options, choice, difference } = self.decision(model, &complete)?;
        let compared = Compared::new(self.engine, model, &signature, &options, &complete, self.stop)?;
        if self.job.warmup == 0 {
            // A session of its own, since a comparison would warm the others up.
            compared.check(0, &mut *self.session(model, &options)?)?;
        }
        let load = || (0..self.job.workers).map(|_| self.session(model, &options)).collect();
        let (mut sessions, load_bytes): (Vec<Box<dyn Session>>, _) = cost::growth(load)?;
        let how = self.issue_options();
        let watch = Watch::begin(self.environment.pinned_cores.clone().or_else(pinning::allowed));
        let check: issue::Check<'_> = &|worker, session| compared.check(worker, session);
        let mut recording =
            issue::issue_checked(workload, &self.schedule_us, &mut sessions, self.clock, &how, check)?;
        let conditions = watch.end();
        recording.cost.load_bytes = load_bytes;
        let (outputs, scores) = compared.finish(difference);
        Ok(Pass {
            setup: self.setup(signature.layout, how.mode, choice),
            load: self.load(&recording, how.mode),
            outputs,
            scores,
            store: workload.store_use(&self.job.store),
            recording,
            conditions,
            environment: self.environment.clone(),
            provenance: self.provenance(model)?,
        })
    }

    fn check_encoders(&self, model: &Path, metadata: &Metadata) -> Result<()> {
        if metadata.encoder_hash == self.traced.encoder_hash {
            return Ok(());
        }
        Err(Error::input(
            model,
            Place::whole(),
            "the model was trained with other encoders than the trace's",
            "give the encoders of the model's run",
        ))
    }

    /// The plan that the model runs on: the known one, or the better of those that are tried.
    fn decision(&self, model: &Path, complete: &dyn Workload) -> Result<Decision> {
        match self.job.plans.get(model) {
            Some(known) => Ok(Decision {
                options: self.options.with_plan(known.taken),
                choice: Some(known.clone()),
                difference: None,
            }),
            None => plan::decide(self.engine, model, &self.options, complete, self.clock),
        }
    }

    fn issue_options(&self) -> IssueOptions {
        let job = self.job;
        let mode = match job.pacing {
            Pacing::Closed => Loop::Closed,
            Pacing::Offline => Loop::Offline,
            Pacing::Speed { .. } | Pacing::Rate { .. } => Loop::Open,
        };
        // A worker whose session has threads of its own shares the cores with them.
        let cores = match &self.environment.pinned_cores {
            Some(cores) if job.options.threads == 1 && cores.len() == job.workers => cores.clone(),
            _ => Vec::new(),
        };
        let (warmup, max_queue, stop) = (job.warmup, job.max_queue, self.stop.clone());
        IssueOptions { mode, warmup, max_queue, cores, stop }
    }

    fn setup(&self, layout: Layout, mode: Loop, plan_choice: Option<PlanChoice>) -> Setup {
        let job = self.job;
        Setup {
            engine: job.engine,
            engine_version: self.engine.version(),
            provider: self.options.provider,
            layout,
            threads: self.options.threads,
            candidates_hint: self.options.candidates_hint,
            engine_settings: self.options.settings.only(job.engine),
            denormals: Denormals::Kept,
            plan_choice,
            workers: job.workers,
            mode,
            pacing: job.pacing,
            warmup_requests: job.warmup,
            max_queue: job.max_queue,
            planted: job.planted,
        }
    }

    fn session(&self, model: &Path, options: &SessionOptions) -> Result<Box<dyn Session>> {
        let session = self.engine.load(model, options)?;
        Ok(match self.job.planted {
            Some(planted) => planted.into(session),
            None => session,
        })
    }

    fn load(&self, recording: &Recording, mode: Loop) -> Load {
        let open = mode == Loop::Open;
        Load {
            offered_qps: open.then(|| trace::mean_qps(&self.schedule_us)).flatten(),
            answered_qps: recording.answered_qps(),
            mean_candidates: self.traced.trace.mean_candidates(),
            max_candidates: self.traced.trace.max_candidates(),
            half_candidates: half_candidates(&self.traced.trace),
        }
    }

    fn provenance(&self, model: &Path) -> Result<Provenance> {
        Ok(Provenance {
            model: model.display().to_string(),
            model_sha256: hash::sha256_file(model)?,
            trace: self.job.trace.display().to_string(),
            trace_sha256: self.trace_sha256.clone(),
            encoder_hash: self.traced.encoder_hash.clone(),
            rows_hash: self.rows_hash.clone(),
            arrivals: self.traced.trace.origin.arrivals.clone(),
            notes: self.traced.trace.origin.notes.clone(),
        })
    }
}

/// Mean number of candidates in the first and in the last half of the requests.
fn half_candidates(trace: &Trace) -> [f64; 2] {
    let (first, last) = trace.candidates().split_at(trace.requests().div_ceil(2));
    // A single request is both halves.
    let last = if last.is_empty() { first } else { last };
    [first, last].map(|half| half.iter().map(|&count| f64::from(count)).sum::<f64>() / half.len() as f64)
}

#[cfg(test)]
mod tests;
