//! What a replay means: the passes of one model on one engine, merged into summaries, with how far they lie apart and
//! whether they may be believed, as [`validity`] judges it.

use super::{
    capacity::Capacity,
    cost::CostSummary,
    environment::Environment,
    latency::LatencySummary,
    regression::{Comparison, Gate},
    replay::{
        forecast::Forecast,
        recorder::{ColdRuns, Recording},
        slo::SloCurve,
        work_model::WorkModel,
    },
    scores::{PassScores, TraceOutputs},
    store::StoreSummary,
    validity,
    vectors::OutputCheck,
};
use crate::base::{Error, Result, error::Place, fsio};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::Path;

mod basis;
mod pass;
mod setup;
mod spread;

pub use pass::{Pass, PassSummary};
pub use setup::{Load, Plan, Provenance, Setup};
pub use spread::Spread;
pub(super) use spread::deviation;

/// Version of the replay results that this program writes. Since 4, percentiles and their bounds are earned by the requests of
/// one pass; before, every pass of the same requests counted as so many more of them.
pub const SCHEMA_VERSION: u32 = 4;

/// What the engine's own run consists of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceParts {
    /// Copying the inputs into the session's memory: from host to device, where it computes on one.
    pub copy_in: LatencySummary,
    /// Computing.
    pub compute: LatencySummary,
    /// Copying the scores back.
    pub copy_out: LatencySummary,
}

impl ServiceParts {
    fn of(recording: &Recording) -> Option<Self> {
        (recording.compute.count() > 0).then(|| Self {
            copy_in: recording.copy_in.summary(),
            compute: recording.compute.summary(),
            copy_out: recording.copy_out.summary(),
        })
    }
}

/// The result of a replay of one model on one engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Measurement {
    /// Version of this layout.
    pub schema_version: u32,
    /// What was run.
    #[serde(flatten)]
    pub setup: Setup,
    /// Whether the numbers may be believed.
    pub valid: bool,
    /// Why not.
    pub reasons: Vec<String>,
    /// Somebody asked to stop before all passes were done; what had been measured by then is here.
    pub interrupted: bool,
    /// How the passes were made.
    pub plan: Plan,
    /// Requests issued in all passes, failed and rejected ones included.
    pub requests: u64,
    /// Requests that failed in the engine or in the store; they are in no latency.
    pub errors: u64,
    /// Requests that found the queue full; they are in no latency.
    pub rejected: u64,
    /// The first failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_error: Option<String>,
    /// From the schedule's start to the last completion, summed over the passes.
    pub span_ms: f64,
    /// Offered and served.
    pub load: Load,
    /// How the scores of these very sessions agreed with the package's before the clock started; absent when they were
    /// not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<OutputCheck>,
    /// How the scores of the trace's own requests agreed between sessions, plans, passes and engines; absent when nothing
    /// was scored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_outputs: Option<TraceOutputs>,
    /// Completion − scheduled arrival: waiting, assembly, fetch and service.
    pub response_us: LatencySummary,
    /// From the arrival to the begin of work: waiting for a worker, and the generator's lateness.
    pub queueing_us: LatencySummary,
    /// The engine's own run.
    pub service_us: LatencySummary,
    /// Where that time went, for sessions with memory of their own for inputs and outputs, as on a device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_parts_us: Option<ServiceParts>,
    /// How late the generator began work that could have begun.
    pub dispatch_lag_us: LatencySummary,
    /// Filling the input tensors with what the request carries: with all of it without a store.
    pub assembly_us: LatencySummary,
    /// Fetching what a store holds, decoded into the input tensors; absent without a store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fetch_us: Option<LatencySummary>,
    /// What was fetched from a store; absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreSummary>,
    /// The engine's runs before the clock started, without the cold ones.
    pub warmup_us: LatencySummary,
    /// The first runs of every bucket of candidate counts, one per session and pass, before anything else was run at them.
    pub cold: Vec<ColdRuns>,
    /// What serving cost.
    pub cost: CostSummary,
    /// Every pass, in order of time.
    pub passes: Vec<PassSummary>,
    /// How far they lie apart.
    pub spread: Spread,
    /// Against an older result, when that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comparison: Option<Comparison>,
    /// What a regression gate makes of it; absent without an older result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
    /// How long requests keep a worker, which forecasts need; absent with too few requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<WorkModel>,
    /// What this model expects at other rates, when that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forecast: Option<Forecast>,
    /// The search for the highest rate at an objective, when that was asked for: the result is that of the highest rate then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slo: Option<SloCurve>,
    /// What a rate needs and affords, when that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<Capacity>,
    /// The machine.
    pub environment: Environment,
    /// The files.
    pub provenance: Provenance,
}

/// What can be done about a result that cannot be used.
pub(super) const AGAIN: &str = "measure it again with `replay --out`";

impl Measurement {
    /// Reads a file that `replay --out` wrote: one result or a list of them.
    pub fn load(path: &Path) -> Result<Vec<Self>> {
        let wrong = |place, problem: String| Error::input(path, place, problem, AGAIN);
        let items = match fsio::read_json(path)? {
            Value::Array(items) => items,
            item => vec![item],
        };
        let read = |item: Value| {
            let version = item.get("schema_version").and_then(Value::as_u64);
            if version != Some(SCHEMA_VERSION.into()) {
                let found = version.map_or("not there".to_owned(), |version| format!("{version}"));
                let why = match version {
                    Some(..4) => {
                        ": its percentiles and bounds count every pass as further requests, those of today only the \
                         requests of one pass"
                    }
                    _ => "",
                };
                let problem = format!("is {found}, this program reads {SCHEMA_VERSION}{why}");
                return Err(wrong(Place::field("schema_version"), problem));
            }
            serde_json::from_value(item)
                .map_err(|e| wrong(Place::whole(), format!("not a result of `replay` ({e})")))
        };
        items.into_iter().map(read).collect()
    }

    /// Merges, summarises and judges passes of one model on one engine; the merged recording comes with it. None without a
    /// pass.
    pub fn of(passes: &[Pass], plan: &Plan) -> Option<(Self, Recording)> {
        Self::until(passes, plan, None, &[])
    }

    /// As [`Measurement::of`]; `failure` says how the engine failed, where it did: it made no further passes then, unless it
    /// could be started again. `others` are what other engines scored.
    pub fn until(
        passes: &[Pass],
        plan: &Plan,
        failure: Option<&str>,
        others: &[&PassScores],
    ) -> Option<(Self, Recording)> {
        let (first, further) = passes.split_first()?;
        let mut recording = first.recording.clone();
        for pass in further {
            recording.repeat(pass.recording.clone());
            recording.cost.add_process(&pass.recording.cost);
        }
        // Workers of one pass overlap in time, passes follow each other.
        recording.span = passes.iter().map(|pass| pass.recording.span).sum();
        let summaries: Vec<PassSummary> = passes.iter().map(PassSummary::of).collect();
        let load = Load { answered_qps: recording.answered_qps(), ..first.load };
        let spread = Spread::of(&summaries);
        let interrupted = failure.is_none() && passes.len() < plan.repeats || recording.interrupted;
        let scores: Vec<&PassScores> = passes.iter().filter_map(|pass| pass.scores.as_ref()).collect();
        let trace_outputs = TraceOutputs::of(&scores, others);
        let reasons = validity::reasons(passes, &recording, plan, failure, trace_outputs.as_ref());
        let measurement = Self {
            schema_version: SCHEMA_VERSION,
            valid: reasons.is_empty(),
            reasons,
            interrupted,
            plan: plan.clone(),
            requests: recording.requests(),
            errors: recording.errors,
            rejected: recording.rejected,
            first_error: recording.first_error.clone(),
            span_ms: recording.span.as_secs_f64() * 1e3,
            response_us: recording.response.summary(),
            queueing_us: recording.queueing.summary(),
            service_us: recording.service.summary(),
            service_parts_us: ServiceParts::of(&recording),
            dispatch_lag_us: recording.dispatch_lag.summary(),
            assembly_us: recording.assembly.summary(),
            fetch_us: first.store.is_some().then(|| recording.fetch.summary()),
            store: first.store.clone().map(|usage| StoreSummary::of(usage, recording.fetches)),
            warmup_us: recording.warmup.summary(),
            cold: recording.cold.clone(),
            cost: recording.cost.summary(recording.response.count()),
            passes: summaries,
            spread,
            comparison: None,
            gate: None,
            work: None,
            forecast: None,
            slo: None,
            capacity: None,
            setup: first.setup.clone(),
            load,
            outputs: first.outputs,
            trace_outputs,
            environment: first.environment.clone(),
            provenance: first.provenance.clone(),
        };
        Some((measurement, recording))
    }

    /// Compares with an older result of the same setup, which was in `file`, and says what a gate makes of it.
    pub fn hold_against(&mut self, older: &Self, file: &str, max_regression_pct: f64) {
        let comparison = Comparison::of(older, self, file, max_regression_pct);
        self.gate = Some(Gate::of(&comparison, self.valid));
        self.comparison = Some(comparison);
    }
}

#[cfg(test)]
pub(crate) mod examples;
#[cfg(test)]
mod tests;
