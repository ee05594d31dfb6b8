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
mod tests {
    use super::*;
    use crate::{
        base::names::{Layout, Provider},
        data::schema::Side,
        learn::network::{Dense, Embedding, Network, NetworkInput},
        measure::{
            replay::{
                arrivals::Arrivals,
                make::{self, ListLength, Order, TraceRecipe},
            },
            workload,
        },
    };

    const SCHEMA: &str = r#"
[data]
label = "click"
user_key = "user"
item_key = "item"
[defaults]
width = 4
categorical = { encoding = "vocabulary", min_count = 1 }
[[feature]]
name = "user"
kind = "user"
source = "matching"
type = "categorical"
fetch_ms = 0.1
[[feature]]
name = "item"
kind = "item"
source = "store"
type = "categorical"
fetch_ms = 0.1
"#;

    /// A log of 5 users and 20 items, its encoders, a trace of 700 requests and a model, all in `folder`.
    fn prepare(folder: &Path, encoder_hash: Option<&str>) -> ReplayJob {
        let rows: String = (0..100).map(|i| format!("{},u{},i{}\n", i % 2, i % 5, i * 7 % 20)).collect();
        let file = |name: &str| folder.join(name);
        fsio::write(&file("log.csv"), format!("click,user,item\n{rows}").as_bytes()).unwrap();
        fsio::write(&file("schema.toml"), SCHEMA.as_bytes()).unwrap();
        let schema = Schema::load(&file("schema.toml")).unwrap();
        let split = data::split::SplitSettings::Shuffle { valid_fraction: 0.1 };
        let loaded = data::load(&schema, &file("log.csv"), &split, 1).unwrap();
        loaded.encoders.save(&file("encoders.json")).unwrap();
        let recipe = TraceRecipe {
            arrivals: Arrivals::Poisson { qps: 20_000.0 },
            requests: 700,
            order: Order::Sampled,
            length: ListLength::Fixed(6),
            seed: 1,
        };
        let log = workload::request_log(&loaded.dataset, None).unwrap();
        let trace = make::make(&log, &recipe, &loaded.encoders.hash()).unwrap();
        trace_file::write(&file("trace.parquet"), &trace).unwrap();
        let input = |(side, feature): (Side, &data::dataset::EncodedFeature)| NetworkInput {
            feature: feature.name.clone(),
            side,
            width: 4,
            embedding: Embedding::Table { rows: vec![0.1; feature.cardinality as usize * 4] },
        };
        let network = Network {
            inputs: [Side::User, Side::Item].into_iter().zip(&loaded.dataset.features).map(input).collect(),
            layers: vec![Dense { inputs: 8, outputs: 1, weight: vec![0.1; 8], bias: vec![0.0] }],
        };
        let metadata = export::Metadata {
            encoder_hash: encoder_hash.map_or_else(|| loaded.encoders.hash(), str::to_owned),
            ..export::Metadata::default()
        };
        export::onnx(&network, Layout::UserOnce, &metadata).unwrap().write(&file("model.onnx")).unwrap();
        ReplayJob {
            engine: EngineName::Null,
            options: SessionOptions { provider: Provider::Cpu, threads: 1, candidates_hint: Some(6) },
            workers: 1,
            models: vec![ReplayModel { path: file("model.onnx"), hlog: Some(file("r.hlog")) }],
            trace: file("trace.parquet"),
            pacing: Pacing::Speed { factor: 1.0 },
            warmup: 5,
            data: DataFiles {
                rows: file("log.csv"),
                schema: file("schema.toml"),
                encoders: file("encoders.json"),
            },
        }
    }

    #[test]
    fn a_replay_job_runs_from_files_to_files_on_every_engine_of_this_crate() {
        for engine in [EngineName::Null, EngineName::Tract] {
            let folder = tempfile::tempdir().unwrap();
            let job = ReplayJob { engine, ..prepare(folder.path(), None) };
            let (job_file, out) = (folder.path().join("job.json"), folder.path().join("out.json"));
            fsio::write_json(&job_file, &Job::Replay(job)).unwrap();
            run_job(&job_file, &out).unwrap();
            let [measurement]: [Measurement; 1] = fsio::read_json(&out).unwrap();
            assert_eq!((measurement.requests, measurement.errors), (700, 0), "{:?}", measurement.first_error);
            assert_eq!((measurement.response_us.count, measurement.warmup_us.count), (700, 5));
            assert!(measurement.response_us.p99.is_some());
            assert!(measurement.response_us.mean >= measurement.service_us.mean);
            assert_eq!((measurement.load.mean_candidates, measurement.load.max_candidates), (6.0, 6));
            assert_eq!(measurement.setup.layout, Layout::UserOnce);
            let histograms = hlog::read(&folder.path().join("r.hlog")).unwrap();
            let counts: Vec<_> = histograms.iter().map(|(tag, h)| (tag.as_str(), h.len())).collect();
            assert_eq!(counts, [("response", 700), ("service", 700), ("lag", 700), ("assembly", 700)]);
        }
    }

    #[test]
    fn a_service_job_runs_from_files_to_files() {
        let folder = tempfile::tempdir().unwrap();
        let replay = prepare(folder.path(), None);
        let path = replay.models[0].path.clone();
        let signature = export::read_signature(&path).unwrap().0;
        let job = Job::Service(ServiceJob {
            engine: EngineName::Tract,
            options: replay.options,
            models: vec![service::ServiceModel { name: "m".into(), path, signature }],
            candidates: vec![3, 50],
            effort: service::Effort {
                passes: 2,
                block_ms: 0.0,
                min_runs: 2,
                repeats: 0,
                ..Default::default()
            },
            seed: 1,
        });
        let (job_file, out) = (folder.path().join("job.json"), folder.path().join("out.json"));
        fsio::write_json(&job_file, &job).unwrap();
        run_job(&job_file, &out).unwrap();
        let result: ServiceResult = fsio::read_json(&out).unwrap();
        assert_eq!(result.samples.iter().map(|s| s.candidates).collect::<Vec<_>>(), [3, 50]);
        assert!(result.samples.iter().all(|s| s.mean_ms > 0.0 && s.runs == 4));
    }

    #[test]
    fn a_trace_or_a_model_of_other_encoders_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let job = prepare(folder.path(), Some("of another run"));
        let engine = engine::engine(EngineName::Null).unwrap();
        let run = |job: &ReplayJob| replay(job, &*engine, &RealClock::start()).unwrap_err().to_string();
        assert!(run(&job).contains("model.onnx") && run(&job).contains("other encoders"), "{}", run(&job));
        let mut trace = trace_file::read(&job.trace).unwrap();
        trace.origin.data_hash = "of yet another".into();
        trace_file::write(&job.trace, &trace).unwrap();
        assert!(run(&job).contains("trace.parquet"), "{}", run(&job));
    }
}
