//! An engine whose latencies follow from what it is given, so that two runs measure the same.

use autofas_bench::{
    app::iterate::{Meter, NamedModel, ServiceTime, Traffic},
    base::{
        Result, fsio, hash,
        names::{Denormals, EngineName, Layout, Precision, Provider},
    },
    measure::{
        cost::CostSummary,
        engine::EngineSettings,
        environment::Environment,
        latency::LatencySummary,
        measurement::{Load, Measurement, Plan, Provenance, SCHEMA_VERSION, Setup, Spread},
        probe::ProbePlan,
        replay::{issue::Loop, trace::Pacing},
        validity::Limits,
    },
    price::table::{Operation, RunQuantiles, TableContext, TableEntry, Value},
};
use std::path::Path;

const CANDIDATES: usize = 20;

/// Says `at` where it is in a replay.
pub struct ScriptedMeter<'a> {
    pub at: &'a dyn Fn(&str),
}

/// A latency between 0.1 and 0.4 ms that every byte of the model decides.
fn latency_ms(engine: EngineName, model: &NamedModel) -> Result<f64> {
    let digest = hash::sha256(&fsio::read(&model.path)?);
    let share = f64::from(u32::from_str_radix(&digest[..6], 16).unwrap()) / f64::from(1 << 24);
    Ok(0.1 + 0.2 * share + if engine == EngineName::Tract { 0.1 } else { 0.0 })
}

impl Meter for ScriptedMeter<'_> {
    fn context(&self, engine: EngineName) -> Result<TableContext> {
        Ok(TableContext {
            engine,
            engine_version: "1".to_owned(),
            provider: Provider::Cpu,
            layout: Layout::UserOnce,
            precision: Precision::Fp32,
            threads: 1,
            host: "scripted".to_owned(),
        })
    }

    fn probe(&self, _: EngineName, plan: &ProbePlan) -> Result<Vec<Value>> {
        assert_eq!(plan.candidates, [CANDIDATES]);
        let entry = |operation: Operation| {
            let mean_ms = match operation {
                Operation::Call => 0.001,
                Operation::First { user, item, to } => 0.05 + 1e-5 * ((user + 4 * item) * to) as f64,
                Operation::Layer { from, to } => 0.02 + 1e-5 * (from * to) as f64,
            };
            Value::Layer(TableEntry {
                operation,
                samples: 10,
                mean_ms,
                noise_pct: 1.0,
                quantiles: RunQuantiles::default(),
                origin: 0,
            })
        };
        Ok(plan.subjects.iter().filter_map(|subject| plan.operation(subject)).map(entry).collect())
    }

    fn service(
        &self,
        engine: EngineName,
        models: &[NamedModel],
        traffic: Option<&Traffic>,
    ) -> Result<Vec<ServiceTime>> {
        assert!(traffic.is_none(), "what a table learns from is asked what its probes are asked");
        let time = |model| Ok(ServiceTime { mean_ms: latency_ms(engine, model)?, noise_pct: 0.5 });
        models.iter().map(time).collect()
    }

    fn replay(
        &self,
        engine: EngineName,
        models: &[NamedModel],
        traffic: &Traffic,
    ) -> Result<Vec<Measurement>> {
        let mut measured = Vec::new();
        for model in models {
            let ms = latency_ms(engine, model)?;
            let trace = hash::sha256_file(&traffic.trace)?;
            let log = format!("{} {ms} {trace}\n", model.name);
            fsio::write(&traffic.hlogs.join(format!("{}-{engine}.hlog", model.name)), log.as_bytes())?;
            measured.push(measurement(engine, ms));
            (self.at)(&format!("replay of {engine}, between two networks"));
        }
        (self.at)(&format!("replay of {engine}, at its end"));
        Ok(measured)
    }

    fn describe(&self, path: &Path) -> Result<()> {
        fsio::write_json(path, &environment())
    }
}

fn environment() -> Environment {
    Environment {
        host: "scripted".to_owned(),
        cores: 1,
        os: "none".to_owned(),
        program_version: "0".to_owned(),
        ..Environment::default()
    }
}

pub fn measurement(engine: EngineName, ms: f64) -> Measurement {
    let summary =
        LatencySummary { mean: Some(ms * 1e3), max: Some(ms * 2e3), count: 20, ..Default::default() };
    Measurement {
        schema_version: SCHEMA_VERSION,
        setup: Setup {
            engine,
            engine_version: "1".to_owned(),
            provider: Provider::Cpu,
            layout: Layout::UserOnce,
            threads: 1,
            candidates_hint: None,
            engine_settings: EngineSettings::DEFAULT.only(engine),
            denormals: Denormals::Kept,
            plan_choice: None,
            workers: 1,
            mode: Loop::Open,
            pacing: Pacing::Rate { qps: 50.0 },
            warmup_requests: 20,
            max_queue: None,
            planted: None,
        },
        valid: true,
        reasons: Vec::new(),
        interrupted: false,
        plan: Plan { repeats: 1, seed: 1, limits: Limits { min_requests: 7, min_duration_s: 0.0 } },
        requests: 20,
        errors: 0,
        rejected: 0,
        first_error: None,
        span_ms: 400.0,
        outputs: None,
        trace_outputs: None,
        load: Load {
            offered_qps: Some(50.0),
            answered_qps: 50.0,
            mean_candidates: 20.0,
            max_candidates: 20,
            half_candidates: [20.0; 2],
        },
        response_us: summary.clone(),
        queueing_us: summary.clone(),
        service_us: summary.clone(),
        service_parts_us: None,
        dispatch_lag_us: summary.clone(),
        assembly_us: summary.clone(),
        fetch_us: None,
        store: None,
        warmup_us: summary,
        cold: Vec::new(),
        cost: CostSummary::default(),
        passes: Vec::new(),
        spread: Spread::default(),
        comparison: None,
        gate: None,
        work: None,
        forecast: None,
        slo: None,
        capacity: None,
        environment: environment(),
        provenance: Provenance::default(),
    }
}
