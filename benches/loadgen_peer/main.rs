//! This program's side of `scripts/figures/loadgen`: the issue loop and the engines of `replay`, fed with what MLPerf
//! LoadGen's system under test is fed with: inputs that lie ready in memory, at LoadGen's own arrivals.
//!
//! `loadgen_peer inputs MODEL ROWS SCHEMA ENCODERS TRACE OUT.safetensors` writes the inputs of every request of a trace.
//! `loadgen_peer run ENGINE INPUTS.safetensors PLAN.json` replays them once and prints one line of JSON. ENGINE is a model
//! for ONNX Runtime, or `sleep:MICROSECONDS`.

mod samples;
mod sleeper;

use autofas_bench::{
    base::{memory, names::EngineName},
    export,
    measure::{
        engine::{Inputs, Session, SessionOptions, engine},
        latency::Latencies,
        replay::{
            Workload,
            clock::RealClock,
            issue::{IssueOptions, Loop, issue},
        },
        traced::{DataFiles, TracedData},
    },
};
use samples::Ready;
use serde::Deserialize;
use serde_json::json;
use std::{fs, path::Path};

// As in the program.
#[global_allocator]
static ALLOCATOR: memory::Allocator = memory::ALLOCATOR;

/// Warm-up of `replay` when nothing else is asked for.
const WARMUP: usize = 20;

/// When which sample is asked for, as LoadGen drew both.
#[derive(Deserialize)]
struct Plan {
    arrivals_us: Vec<u64>,
    samples: Vec<usize>,
}

fn main() {
    memory::keep_freed();
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["inputs", model, rows, schema, encoders, trace, out] => {
            let files = DataFiles { rows: rows.into(), schema: schema.into(), encoders: encoders.into() };
            write_inputs(Path::new(model), &files, Path::new(trace), Path::new(out));
        }
        ["run", engine, inputs, plan] => run(engine, Path::new(inputs), Path::new(plan)),
        _ => println!("run by scripts/figures/loadgen, which speaks to it"),
    }
}

fn write_inputs(model: &Path, files: &DataFiles, trace: &Path, out: &Path) {
    let traced = TracedData::load(trace, files).expect("a trace of these data");
    let (signature, _) = export::read_signature(model).expect("a model of this program");
    let runtime = engine(EngineName::OnnxRuntime).expect("scripts/setup-runtime was run");
    let workload = traced
        .lookups(&*runtime, model, &signature, &SessionOptions::PLAIN)
        .and_then(|lookups| traced.workload(&signature, &lookups));
    let workload = workload.expect("a model that fits the trace");
    let of_request = |request| {
        let mut inputs = workload.inputs();
        workload.prepare(request, &mut inputs).expect("a request of the trace");
        inputs
    };
    let all: Vec<Inputs> = (0..workload.requests()).map(of_request).collect();
    samples::write(out, &all);
}

fn run(engine_text: &str, inputs: &Path, plan: &Path) {
    let plan: Plan =
        serde_json::from_slice(&fs::read(plan).expect("the plan")).expect("arrivals and samples");
    let workload = Ready::new(samples::read(inputs), plan.samples);
    let session: Box<dyn Session> = match engine_text.strip_prefix("sleep:") {
        Some(us) => Box::new(sleeper::Sleeper::new(us.parse().expect("microseconds"))),
        None => {
            let runtime = engine(EngineName::OnnxRuntime).expect("scripts/setup-runtime was run");
            runtime.load(Path::new(engine_text), &SessionOptions::PLAIN).expect("a model")
        }
    };
    let clock = RealClock::start();
    let options = IssueOptions { mode: Loop::Open, warmup: WARMUP, ..IssueOptions::default() };
    let recording =
        issue(&workload, &plan.arrivals_us, &mut [session], &clock, &options).expect("a run that begins");
    assert_eq!(recording.errors, 0, "{:?}", recording.first_error);
    let summary = |latencies: &Latencies| serde_json::to_value(latencies.summary()).expect("numbers");
    let answer = json!({
        "response_us": summary(&recording.response),
        "service_us": summary(&recording.service),
        "lag_us": summary(&recording.dispatch_lag),
        "span_s": recording.span.as_secs_f64(),
    });
    println!("{answer}");
}
