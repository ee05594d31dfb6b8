//! Replays Poisson arrivals into an ONNX model that this program did not export, on one worker:
//! `cargo run --release --example replay_onnx MODEL.onnx QPS REQUESTS ROWS`.
//!
//! The model runs in ONNX Runtime; each request asks for ROWS rows of zeros, and the first output is taken for the scores. Response times count
//! from the scheduled arrival. A session and a workload of one's own are all that a replay asks for.
use autofas_bench::{
    Result, Session,
    base::Error,
    export::check,
    measure::{
        engine::{ForeignModel, Inputs},
        replay::{
            Workload,
            arrivals::Arrivals,
            clock::RealClock,
            issue::{IssueOptions, issue},
            recorder::Recording,
        },
    },
};
use std::path::Path;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let wrong = || Error::usage("wrong arguments", "give a model, a rate, requests, and rows of each");
    let [model, qps, requests, rows] = &arguments[..] else { return Err(wrong()) };
    let [requests, rows] = [requests, rows].map(|text| text.parse().map_err(|_| wrong()));
    let qps = qps.parse().map_err(|_| wrong())?;
    let recorded = replayed(Path::new(model), qps, requests?, rows?)?;
    for (name, times) in [("response", &recorded.response), ("service", &recorded.service)] {
        let found = times.summary();
        println!("{name}: p50 {:?} µs, p99 {:?} µs, mean {:.0?} µs", found.p50, found.p99, found.mean);
    }
    let late = recorded.dispatch_lag.summary().max;
    println!("{} failed; the generator was late by {late:?} µs at most", recorded.errors);
    Ok(())
}

/// The model, and what it is asked.
struct Foreign(ForeignModel, String);

impl Session for Foreign {
    fn run(&mut self, inputs: &Inputs, scores: &mut Vec<f32>) -> Result<()> {
        let zeros = self.0.inputs().iter().map(|input| input.zeros(inputs.candidates)).collect();
        *scores = self.0.run(zeros, &self.1)?.1;
        Ok(())
    }
}

/// As many requests for as many rows.
struct Alike(usize, usize);

impl Workload for Alike {
    fn requests(&self) -> usize {
        self.0
    }
    fn candidates(&self, _: usize) -> usize {
        self.1
    }
    fn inputs(&self) -> Inputs {
        Inputs { candidates: self.1, tensors: Vec::new() }
    }
    fn prepare(&self, _: usize, _: &mut Inputs) -> Result<()> {
        Ok(())
    }
}

/// What was recorded of `requests` requests at `qps`.
pub fn replayed(model: &Path, qps: f64, requests: usize, rows: usize) -> Result<Recording> {
    check::read(model, &check::Limits::STANDARD)?;
    let model = ForeignModel::load(model)?;
    let output = model.outputs()[0].to_owned();
    let schedule = Arrivals::Poisson { qps }.schedule(requests, 1)?;
    let options = IssueOptions { warmup: 5, ..IssueOptions::default() };
    let sessions: &mut [Box<dyn Session>] = &mut [Box::new(Foreign(model, output))];
    issue(&Alike(requests, rows), &schedule.offsets_us, sessions, &RealClock::start(), &options)
}
