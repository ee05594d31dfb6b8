//! Requests per second of the loop itself: the engine that computes nothing, one worker, closed loop.

use super::{protocol::Workload, scene::Scene, spinning::Nothing};
use autofas_bench::{
    base::names::EngineName,
    measure::{
        engine::{Session, SessionOptions, engine},
        pinning,
        replay::{
            self,
            clock::RealClock,
            issue::{IssueOptions, Loop, issue},
        },
        workload::{ResolvedTrace, TraceWorkload},
    },
};
use serde_json::{Value, json};
use std::path::Path;

pub struct Throughput {
    empty: Nothing,
    one: TraceWorkload<'static>,
    hundred: TraceWorkload<'static>,
    clock: RealClock,
}

impl Throughput {
    pub fn new() -> Self {
        let scene: &'static Scene = Box::leak(Box::new(Scene::new(&[1])));
        let of = |requests, candidates| {
            let resolved: &'static ResolvedTrace = Box::leak(Box::new(scene.requests(requests, candidates)));
            scene.workload(resolved)
        };
        let (one, hundred) = (of(300_000, 1), of(10_000, 100));
        pinning::pin(1);
        Self { empty: Nothing(1_000_000), one, hundred, clock: RealClock::start() }
    }

    fn measure(&self, workload: &dyn replay::Workload, passes: usize) -> Value {
        let null = engine(EngineName::Null).expect("the null engine");
        let mut session: [Box<dyn Session>; 1] =
            [null.load(Path::new("none"), &SessionOptions::PLAIN).expect("a session")];
        let schedule = vec![0; workload.requests()];
        let options = IssueOptions { mode: Loop::Closed, warmup: 100, ..IssueOptions::default() };
        let pass = |_| {
            let recording = issue(workload, &schedule, &mut session, &self.clock, &options);
            let recording = recording.expect("a recording");
            assert_eq!(recording.response.count(), schedule.len() as u64, "requests failed");
            let qps = recording.requests() as f64 / recording.span.as_secs_f64();
            (qps, recording.cost.allocations.expect("this program counts them"))
        };
        let (qps, allocations): (Vec<f64>, Vec<u64>) = (0..passes).map(pass).unzip();
        json!({ "qps": qps, "allocations": allocations.iter().sum::<u64>() })
    }
}

impl Workload for Throughput {
    fn name(&self) -> &'static str {
        "empty"
    }

    fn run(&mut self, count: usize) -> Value {
        self.measure(&self.empty, count)
    }

    fn other(&mut self, name: &str, count: usize) -> Value {
        match name {
            "one" => self.measure(&self.one, count),
            "hundred" => self.measure(&self.hundred, count),
            _ => panic!("`{name}` is no command"),
        }
    }
}
