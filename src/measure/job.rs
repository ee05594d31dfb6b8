//! What a measuring process is told to do, and doing it. Jobs and their results are JSON files, because each engine is
//! measured in a process of its own (see [`child`](super::child)).

use super::{
    engine::{self, Engine, Session, SessionOptions},
    environment::Environment,
    hlog,
    measurement::{Load, Measurement, Provenance, Setup},
    pinning,
    prove::FP32_TOLERANCE,
    replay::{
        clock::{Clock, RealClock},
        issue::{self, IssueOptions, Loop},
        recorder::Recording,
        trace::{self, Pacing},
    },
    service::{self, ServiceJob, ServiceSample},
    traced::{DataFiles, TracedData},
    vectors::{OutputCheck, Vectors},
};
use crate::{
    base::{Error, Result, error::Place, fsio, hash, names::EngineName},
    data::column::Column,
    export::{self, signature::Signature},
};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A job for one measuring process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "job", rename_all = "lowercase")]
pub enum Job {
    /// Replay a trace.
    Replay(ReplayJob),
    /// Measure the mean service time of models.
    Service(ServiceJob),
}

/// Replay one trace into models, one after the other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplayJob {
    /// The runtime.
    pub engine: EngineName,
    /// How sessions are made; the hint is the trace's, when all its requests have as many candidates.
    pub options: SessionOptions,
    /// Sessions that serve at once.
    pub workers: usize,
    /// Exported models, each with a place for its histograms.
    pub models: Vec<ReplayModel>,
    /// The trace.
    pub trace: PathBuf,
    /// How its requests are spaced.
    pub pacing: Pacing,
    /// Requests that every worker runs before the clock starts.
    pub warmup: usize,
    /// Data that the trace's keys belong to.
    pub data: DataFiles,
}

/// A model to replay into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayModel {
    /// The ONNX file, with this program's metadata.
    pub path: PathBuf,
    /// Where the histograms go.
    pub hlog: Option<PathBuf>,
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
    /// The runtime to be measured.
    pub fn engine(&self) -> EngineName {
        match self {
            Self::Replay(job) => job.engine,
            Self::Service(job) => job.engine,
        }
    }
}

/// Runs the job of a file in this process and writes its result: what the hidden verb `engine-child` does.
pub fn run_job(job: &Path, out: &Path) -> Result<()> {
    let job: Job = fsio::read_json(job)?;
    let engine = engine::engine(job.engine())?;
    let clock = RealClock::start();
    match &job {
        Job::Replay(job) => fsio::write_json(out, &replay(job, &*engine, &clock)?),
        Job::Service(job) => {
            // Before the pin, which leaves fewer cores to this thread.
            let mut environment = Environment::current()?;
            let pin = || environment.pinned_cores = pinning::pin(job.options.threads);
            let samples = service::measure(job, &*engine, &clock, pin)?;
            fsio::write_json(out, &ServiceResult { engine_version: engine.version(), environment, samples })
        }
    }
}

/// Runs a replay job in this process: one measurement per model.
fn replay(job: &ReplayJob, engine: &dyn Engine, clock: &dyn Clock) -> Result<Vec<Measurement>> {
    let traced = TracedData::load(&job.trace, &job.data)?;
    let mut environment = Environment::current()?;
    environment.pinned_cores = pinning::pin(job.options.threads * job.workers);
    let replay = Replay {
        job,
        engine,
        clock,
        // A request of another length would run on another plan than the one that was made for the hint.
        options: SessionOptions { candidates_hint: traced.trace.fixed_candidates(), ..job.options.clone() },
        schedule_us: traced.trace.schedule_us(job.pacing)?,
        environment,
        trace_sha256: hash::sha256_file(&job.trace)?,
        rows_hash: traced.rows_hash.clone(),
        traced,
    };
    job.models.iter().map(|model| replay.run(model)).collect()
}

/// All that the models of a job share.
struct Replay<'a> {
    job: &'a ReplayJob,
    engine: &'a dyn Engine,
    clock: &'a dyn Clock,
    options: SessionOptions,
    schedule_us: Column<u64>,
    environment: Environment,
    trace_sha256: String,
    rows_hash: String,
    traced: TracedData,
}

impl Replay<'_> {
    fn run(&self, model: &ReplayModel) -> Result<Measurement> {
        let job = self.job;
        let (signature, metadata) = export::read_signature(&model.path)?;
        if metadata.encoder_hash != self.traced.encoder_hash {
            return Err(Error::input(
                &model.path,
                Place::whole(),
                "the model was trained with other encoders than the trace's",
                "give the encoders of the model's run",
            ));
        }
        let workload = self.traced.workload(&signature)?;
        let mut sessions: Vec<Box<dyn Session>> =
            (0..job.workers).map(|_| self.engine.load(&model.path, &self.options)).collect::<Result<_>>()?;
        let outputs = self.compare(model, &signature, &mut sessions)?;
        let mode = match job.pacing {
            Pacing::Closed => Loop::Closed,
            Pacing::Speed { .. } | Pacing::Rate { .. } => Loop::Open,
        };
        let options = IssueOptions { mode, warmup: job.warmup };
        let recording = issue::issue(&workload, &self.schedule_us, sessions, self.clock, options)?;
        if let Some(path) = &model.hlog {
            write_hlog(path, &recording)?;
        }
        let setup = Setup {
            engine: job.engine,
            engine_version: self.engine.version(),
            provider: self.options.provider,
            layout: signature.layout,
            threads: self.options.threads,
            candidates_hint: self.options.candidates_hint,
            workers: job.workers,
            mode,
            pacing: job.pacing,
        };
        let (load, provenance) = (self.load(&recording, mode), self.provenance(&model.path)?);
        Ok(Measurement::of(&recording, setup, load, outputs, self.environment.clone(), provenance))
    }

    /// Scores the package's test request with the sessions that will be timed. None without such a request, and for the
    /// null engine, which scores nothing.
    fn compare(
        &self,
        model: &ReplayModel,
        signature: &Signature,
        sessions: &mut [Box<dyn Session>],
    ) -> Result<Option<OutputCheck>> {
        if self.job.engine == EngineName::Null {
            return Ok(None);
        }
        let vectors = Vectors::of(&model.path, signature, self.options.candidates_hint)?;
        let engine = format!("{} {}", self.job.engine, self.engine.version());
        vectors.map(|vectors| vectors.compare(&engine, sessions, FP32_TOLERANCE)).transpose()
    }

    fn load(&self, recording: &Recording, mode: Loop) -> Load {
        let open = mode == Loop::Open;
        Load {
            offered_qps: open.then(|| trace::mean_qps(&self.schedule_us)).flatten(),
            answered_qps: recording.response.count() as f64 / recording.span.as_secs_f64().max(1e-9),
            mean_candidates: self.traced.trace.mean_candidates(),
            max_candidates: self.traced.trace.max_candidates(),
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

fn write_hlog(path: &Path, recording: &Recording) -> Result<()> {
    let histograms = [
        ("response", recording.response.histogram()),
        ("service", recording.service.histogram()),
        ("lag", recording.dispatch_lag.histogram()),
        ("assembly", recording.assembly.histogram()),
    ];
    hlog::write(path, "autofas-bench replay", recording.span, &histograms)
}

#[cfg(test)]
mod tests;
