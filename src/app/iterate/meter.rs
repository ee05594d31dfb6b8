//! Where the loop's measurements come from: child processes in earnest, scripts in tests.

use crate::{
    app::{
        apart,
        config::{Settings, Stage},
        teacher::{TeacherRequest, score_files},
    },
    base::{Result, fsio, names::EngineName},
    export::companions::Versioned,
    measure::{
        campaign::{Campaign, Measured},
        child::Launcher,
        engine::SessionOptions,
        environment::Environment,
        hlog,
        job::ReplayJob,
        latency::samples_needed,
        measurement::{Measurement, Plan},
        probe::{self, ProbePlan, ServiceSettings, context_here, measure_networks},
        replay::{trace::Pacing, work_model::WorkModel},
        service::{Requests, ServiceSample},
        store::StoreChoice,
        traced::DataFiles,
        validity::Limits,
    },
    price::table::{TableContext, Value},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

/// Requests that a replay runs before its clock starts.
const WARM_UP_REQUESTS: usize = 20;
/// Passes of a replay. The loop compares networks by interleaved service times, and its replays show them under traffic once,
/// in the time that `[traffic]` says; how far repeated passes lie apart is what the verb `replay` is for.
const PASSES: usize = 1;

/// A model to be timed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedModel {
    /// Name for reports.
    pub name: String,
    /// The ONNX file.
    pub path: PathBuf,
}

/// Service time of one model.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ServiceTime {
    /// Estimated mean without interruptions, in ms: see [`ServiceSample::mean_ms`].
    pub mean_ms: f64,
    /// Standard error of that, in percent.
    pub noise_pct: f64,
}

/// What requests need beside the model.
#[derive(Debug, Clone, PartialEq)]
pub struct Traffic {
    /// The trace's file.
    pub trace: PathBuf,
    /// The rows that users and items are looked up in.
    pub data: DataFiles,
    /// Where each network's histograms go, named after network and engine.
    pub hlogs: PathBuf,
    /// How a replay spaces the requests.
    pub pacing: Pacing,
    /// Where a replay fetches stored features from.
    pub store: StoreChoice,
}

/// Times models.
pub trait Meter {
    /// Tries every engine as it will be used, so that nothing is trained for a measurement that cannot be made.
    fn check(&self) -> Result<()> {
        Ok(())
    }
    /// The circumstances that an engine's measurements belong to.
    fn context(&self, engine: EngineName) -> Result<TableContext>;
    /// Everything of a plan that has one candidate count.
    fn probe(&self, engine: EngineName, plan: &ProbePlan) -> Result<Vec<Value>>;
    /// Whole networks, interleaved, in their order; asked requests of the traffic, or random ones without any.
    fn service(
        &self,
        engine: EngineName,
        models: &[NamedModel],
        traffic: Option<&Traffic>,
    ) -> Result<Vec<ServiceTime>>;
    /// Networks under replayed traffic, in their order.
    fn replay(
        &self,
        engine: EngineName,
        models: &[NamedModel],
        traffic: &Traffic,
    ) -> Result<Vec<Measurement>>;
    /// Has a ranking model from elsewhere score rows; how many they were.
    fn teacher(&self, request: &TeacherRequest) -> Result<usize> {
        score_files(request)
    }
    /// Writes what machine this is.
    fn describe(&self, path: &Path) -> Result<()>;
}

/// Times models in child processes, one at a time.
pub struct ChildMeter<'a> {
    launcher: Launcher,
    settings: &'a Settings,
}

impl<'a> ChildMeter<'a> {
    /// Children are started by `launcher` and measure as `settings` say. A request to stop ends them at once: a step that was
    /// stopped is measured anew.
    pub fn new(launcher: Launcher, settings: &'a Settings) -> Self {
        Self { launcher: Launcher { grace: Duration::ZERO, ..launcher }, settings }
    }

    fn service_settings(&self, engine: EngineName) -> ServiceSettings {
        ServiceSettings {
            engine,
            options: self.options(),
            precision: self.settings.target.precision,
            effort: self.settings.probe,
            seed: self.settings.seeds.of(Stage::Probe),
        }
    }

    fn options(&self) -> SessionOptions {
        self.settings.target.session_options()
    }
}

impl Meter for ChildMeter<'_> {
    fn teacher(&self, request: &TeacherRequest) -> Result<usize> {
        apart::teacher(request.clone(), &self.launcher)
    }

    fn check(&self) -> Result<()> {
        let mut engines = self.settings.target.engines.iter();
        engines.try_for_each(|&engine| probe::trial(&self.launcher, engine, &self.options()))
    }

    fn context(&self, engine: EngineName) -> Result<TableContext> {
        context_here(&self.service_settings(engine), self.settings.target.layout)
    }

    fn probe(&self, engine: EngineName, plan: &ProbePlan) -> Result<Vec<Value>> {
        let probed = plan.run(&self.launcher, &self.service_settings(engine))?;
        Ok(probed.values.into_iter().map(|(_, value)| value).collect())
    }

    fn service(
        &self,
        engine: EngineName,
        models: &[NamedModel],
        traffic: Option<&Traffic>,
    ) -> Result<Vec<ServiceTime>> {
        let networks: Vec<_> = models.iter().map(|m| (m.name.clone(), m.path.clone())).collect();
        let candidates = [self.settings.target.candidates];
        let requests = traffic.map_or(Requests::Random, |traffic| Requests::Trace {
            trace: traffic.trace.clone(),
            data: traffic.data.clone(),
        });
        let settings = self.service_settings(engine);
        let result = measure_networks(&self.launcher, &settings, &networks, &candidates, requests)?;
        let time =
            |sample: ServiceSample| ServiceTime { mean_ms: sample.mean_ms, noise_pct: sample.noise_pct };
        Ok(result.samples.into_iter().map(time).collect())
    }

    fn replay(
        &self,
        engine: EngineName,
        models: &[NamedModel],
        traffic: &Traffic,
    ) -> Result<Vec<Measurement>> {
        let job = ReplayJob {
            engine,
            options: self.options(),
            workers: self.settings.traffic.workers,
            models: models.iter().map(|model| model.path.clone()).collect(),
            trace: traffic.trace.clone(),
            pacing: traffic.pacing,
            warmup: WARM_UP_REQUESTS,
            max_queue: None,
            plans: BTreeMap::new(),
            data: traffic.data.clone(),
            planted: None,
            store: traffic.store.clone(),
        };
        // How many requests there are, and for how long, is the experiment's own choice.
        let limits = Limits { min_requests: samples_needed(0.5), min_duration_s: 0.0 };
        let plan = Plan { repeats: PASSES, seed: self.settings.seeds.of(Stage::Probe), limits };
        let outcome =
            Campaign { jobs: vec![job], plan, scored: BTreeMap::new() }.run(&self.launcher, |_| {})?;
        if let Some(failure) = outcome.failure {
            return Err(failure);
        }
        let measured = outcome.measured.into_iter().flatten();
        let keep = |(model, mut measured): (&NamedModel, Measured)| {
            measured.measurement.work = WorkModel::fit(measured.recording.work.samples()).ok();
            let path = traffic.hlogs.join(format!("{}-{engine}.hlog", model.name));
            hlog::write_recording(&path, &measured.recording)?;
            Ok(measured.measurement)
        };
        models.iter().zip(measured).map(keep).collect()
    }

    fn describe(&self, path: &Path) -> Result<()> {
        let environment = Environment::current()?;
        fsio::write_json(path, &Versioned { schema_version: 1, content: &environment })
    }
}
