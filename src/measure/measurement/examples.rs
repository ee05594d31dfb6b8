//! Passes and results made by hand, for tests.

use super::*;
use crate::{
    base::names::{Denormals, EngineName, Layout, Provider},
    measure::{
        conditions::examples::QUIET,
        engine::EngineSettings,
        replay::{issue::Loop, trace::Pacing},
        validity::Limits,
    },
};

pub(crate) fn setup(workers: usize) -> Setup {
    Setup {
        engine: EngineName::Null,
        engine_version: "1".into(),
        provider: Provider::Cpu,
        layout: Layout::UserOnce,
        threads: 1,
        candidates_hint: None,
        engine_settings: EngineSettings::DEFAULT,
        denormals: Denormals::Kept,
        plan_choice: None,
        workers,
        mode: Loop::Open,
        pacing: Pacing::Speed { factor: 1.0 },
        warmup_requests: 0,
        max_queue: None,
        planted: None,
    }
}

/// A plan of one pass, which asks for nothing that a short recording does not have.
pub(crate) fn plan(repeats: usize) -> Plan {
    Plan { repeats, seed: 1, limits: Limits { min_requests: 7, min_duration_s: 0.0 } }
}

pub(crate) fn pass(recording: Recording, workers: usize, cores: usize) -> Pass {
    let load = Load {
        offered_qps: Some(1.0),
        answered_qps: 1.0,
        mean_candidates: 1.0,
        max_candidates: 1,
        half_candidates: [1.0, 1.0],
    };
    let environment = Environment { host: "h".into(), cores, os: "linux".into(), ..Environment::default() };
    Pass {
        setup: setup(workers),
        load,
        outputs: None,
        scores: None,
        store: None,
        recording,
        conditions: QUIET,
        environment,
        provenance: Provenance::default(),
    }
}

/// One pass as a result.
pub(crate) fn measurement(recording: &Recording, workers: usize, cores: usize) -> Measurement {
    let pass = pass(recording.clone(), workers, cores);
    Measurement::of(&[pass], &plan(1)).expect("there is a pass").0
}
