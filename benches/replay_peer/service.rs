//! Service time in the replay, and in a bare loop over the same session and the same requests.

use super::{protocol::Workload, scene::Scene};
use autofas_bench::{
    base::names::EngineName,
    measure::{
        engine::{Session, SessionOptions, engine},
        pinning,
        replay::{
            Workload as _,
            clock::RealClock,
            issue::{IssueOptions, Loop, issue},
        },
        workload::{ResolvedTrace, TraceWorkload},
    },
};
use serde_json::{Value, json};
use std::time::Instant;

const REQUESTS: usize = 200;
const CANDIDATES: usize = 500;
const LAYERS: [usize; 2] = [256, 128];

pub struct Service {
    workload: TraceWorkload<'static>,
    sessions: [Box<dyn Session>; 1],
    clock: RealClock,
    /// Twice the bare loop's mean time between two requests.
    gap_us: u64,
    ready: Value,
}

impl Service {
    pub fn new(name: EngineName) -> Self {
        // Of the whole process, for as long as it lives.
        let scene: &'static Scene = Box::leak(Box::new(Scene::new(&LAYERS)));
        let resolved: &'static ResolvedTrace = Box::leak(Box::new(scene.requests(REQUESTS, CANDIDATES)));
        let folder = tempfile::tempdir().expect("a folder for the model");
        let path = folder.path().join("model.onnx");
        scene.model.write(&path).expect("the model's file");
        let engine = engine(name).expect("the engine");
        // Both loops run on the same core: threads that start from here on inherit it.
        let core = pinning::pin(1);
        let options = SessionOptions { candidates_hint: Some(CANDIDATES), ..SessionOptions::PLAIN };
        let session = engine.load(&path, &options).expect("a session");
        let ready = json!({ "engine": name.to_string(), "version": engine.version(), "core": core });
        let workload = scene.workload(resolved);
        let mut service = Self { workload, sessions: [session], clock: RealClock::start(), gap_us: 0, ready };
        service.bare();
        let whole = Instant::now();
        service.bare();
        service.gap_us = 2 * whole.elapsed().as_micros() as u64 / REQUESTS as u64;
        service
    }

    /// Median time of a run in ms.
    fn bare(&mut self) -> f64 {
        let (mut inputs, mut scores) = (self.workload.inputs(), Vec::new());
        let mut times_ms: Vec<f64> = (0..REQUESTS)
            .map(|request| {
                self.workload.prepare(request, &mut inputs).expect("inputs");
                let begin = Instant::now();
                self.sessions[0].run(&inputs, &mut scores).expect("scores");
                begin.elapsed().as_secs_f64() * 1e3
            })
            .collect();
        times_ms.sort_by(f64::total_cmp);
        times_ms[REQUESTS / 2]
    }

    /// The same as the replay reports it.
    fn replayed(&mut self, mode: Loop) -> f64 {
        let schedule: Vec<u64> = (0..REQUESTS as u64).map(|i| i * self.gap_us).collect();
        let options = IssueOptions { mode, warmup: 2, ..IssueOptions::default() };
        let recording = issue(&self.workload, &schedule, &mut self.sessions, &self.clock, &options);
        let service = recording.expect("a recording").service;
        assert_eq!(service.count(), REQUESTS as u64, "requests failed");
        service.quantile_us(0.5).expect("enough requests") as f64 / 1e3
    }
}

impl Workload for Service {
    fn name(&self) -> &'static str {
        "replay"
    }

    fn run(&mut self, count: usize) -> Value {
        json!({ "ms": (0..count).map(|_| self.replayed(Loop::Closed)).collect::<Vec<_>>() })
    }

    fn other(&mut self, name: &str, count: usize) -> Value {
        let mut time = || match name {
            "bare" => self.bare(),
            "open" => self.replayed(Loop::Open),
            _ => panic!("`{name}` is no command"),
        };
        json!({ "ms": (0..count).map(|_| time()).collect::<Vec<_>>() })
    }

    fn ready(&self) -> Value {
        self.ready.clone()
    }
}
