//! What a measuring process is told to do, and doing it. Jobs and their results are JSON files, because each engine is
//! measured in a process of its own (see [`child`](super::child)).

use super::{
    engine::{self, Engine, Session, SessionOptions},
    environment::Environment,
    hlog,
    measurement::{Load, Measurement, Provenance, Setup},
    replay::{
        clock::{Clock, RealClock},
        issue::{self, IssueOptions, Loop},
        recorder::Recording,
        trace::{Pacing, Trace},
        trace_file,
    },
    service::{self, ServiceJob, ServiceSample},
    workload::{ResolvedTrace, TraceWorkload},
};
use crate::{
    base::{Error, Result, error::Place, fsio, hash, names::EngineName},
    data::{self, dataset::Dataset, encode::Encoders, schema::Schema},
    export,
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
    /// How sessions are made.
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

/// The files that an encoded data set is made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataFiles {
    /// Rows: a file or a folder.
    pub rows: PathBuf,
    /// The schema.
    pub schema: PathBuf,
    /// Encoders of the run that trained the model.
    pub encoders: PathBuf,
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
        Job::Service(job) => fsio::write_json(
            out,
            &ServiceResult {
                engine_version: engine.version(),
                samples: service::measure(job, &*engine, &clock)?,
                environment: Environment::current()?,
            },
        ),
    }
}

/// Runs a replay job in this process: one measurement per model.
fn replay(job: &ReplayJob, engine: &dyn Engine, clock: &dyn Clock) -> Result<Vec<Measurement>> {
    let trace = trace_file::read(&job.trace)?;
    let schema = Schema::load(&job.data.schema)?;
    let encoders = Encoders::load(&job.data.encoders)?;
    let encoder_hash = encoders.hash();
    if trace.origin.data_hash != encoder_hash {
        return Err(foreign(
            &job.trace,
            "the trace was made with other encoders",
            "make it again with `trace make`",
        ));
    }
    let dataset = data::load_with(&schema, &job.data.rows, &encoders)?;
    let replay = Replay {
        job,
        engine,
        clock,
        schedule_us: trace.schedule_us(job.pacing)?,
        resolved: ResolvedTrace::new(&trace, &dataset)?,
        environment: Environment::current()?,
        trace_sha256: hash::sha256_file(&job.trace)?,
        trace,
        dataset,
        schema,
        encoder_hash,
    };
    job.models.iter().map(|model| replay.run(model)).collect()
}

fn foreign(file: &Path, problem: &str, fix: &str) -> Error {
    Error::input(file, Place::whole(), problem, fix)
}

/// All that the models of a job share.
struct Replay<'a> {
    job: &'a ReplayJob,
    engine: &'a dyn Engine,
    clock: &'a dyn Clock,
    trace: Trace,
    schedule_us: Vec<u64>,
    resolved: ResolvedTrace,
    dataset: Dataset,
    schema: Schema,
    encoder_hash: String,
    environment: Environment,
    trace_sha256: String,
}

impl Replay<'_> {
    fn run(&self, model: &ReplayModel) -> Result<Measurement> {
        let job = self.job;
        let (signature, metadata) = export::read_signature(&model.path)?;
        if metadata.encoder_hash != self.encoder_hash {
            let problem = "the model was trained with other encoders than the trace's";
            return Err(foreign(&model.path, problem, "give the encoders of the model's run"));
        }
        let workload = TraceWorkload::new(&self.resolved, &self.dataset, &self.schema, &signature)?;
        let sessions: Vec<Box<dyn Session>> =
            (0..job.workers).map(|_| self.engine.load(&model.path, &job.options)).collect::<Result<_>>()?;
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
            provider: job.options.provider,
            layout: signature.layout,
            threads: job.options.threads,
            workers: job.workers,
            mode,
            pacing: job.pacing,
        };
        let (load, provenance) = (self.load(&recording, mode), self.provenance(&model.path)?);
        Ok(Measurement::of(&recording, setup, load, self.environment.clone(), provenance))
    }

    fn load(&self, recording: &Recording, mode: Loop) -> Load {
        let last_us = self.schedule_us.last().copied().unwrap_or(0);
        let gaps = self.schedule_us.len() as f64 - 1.0;
        Load {
            offered_qps: (mode == Loop::Open && last_us > 0).then(|| gaps * 1e6 / last_us as f64),
            answered_qps: recording.response.count() as f64 / recording.span.as_secs_f64().max(1e-9),
            mean_candidates: self.trace.mean_candidates(),
            max_candidates: self.trace.max_candidates(),
        }
    }

    fn provenance(&self, model: &Path) -> Result<Provenance> {
        Ok(Provenance {
            model: model.display().to_string(),
            model_sha256: hash::sha256_file(model)?,
            trace: self.job.trace.display().to_string(),
            trace_sha256: self.trace_sha256.clone(),
            data_hash: self.encoder_hash.clone(),
            arrivals: self.trace.origin.arrivals.clone(),
            notes: self.trace.origin.notes.clone(),
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
