//! `table probe`: every layer of a space, on every engine and at every candidate count. What has been measured is kept
//! beside the table, so that a probing that was stopped goes on instead of measuring it again.

use crate::{
    base::{Error, Result, error::Place, fsio, progress::Progress, stop::Stop},
    measure::{
        child::Launcher,
        probe::{ProbePlan, ServiceSettings, context_here},
        service::Effort,
    },
    price::table::{LatencyTable, Operation, TableContext},
};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Version of the file that holds what has been measured.
const SCHEMA_VERSION: u32 = 1;

/// What is to be probed.
#[derive(Debug, Clone, PartialEq)]
pub struct ProbeRequest {
    /// The layers, and at which candidate counts.
    pub plan: ProbePlan,
    /// One for each engine.
    pub settings: Vec<ServiceSettings>,
    /// Where the table goes.
    pub out: PathBuf,
}

/// Whether a probing that was stopped goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// Everything is measured now.
    Anew,
    /// What has been measured is kept.
    WhereItStopped,
}

/// What has been measured, and how: values from other circumstances do not go together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Partial {
    schema_version: u32,
    how: How,
    table: LatencyTable,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct How {
    operations: Vec<Operation>,
    embedding_width: usize,
    cardinality: usize,
    effort: Effort,
    seed: u64,
}

/// Probes what is asked for and writes the table; a request to `stop` ends it with what has been measured kept.
pub fn probe_table(
    request: &ProbeRequest,
    begin: Begin,
    launcher: &Launcher,
    progress: &dyn Progress,
    stop: &Stop,
) -> Result<LatencyTable> {
    let ProbeRequest { plan, settings, out } = request;
    let kept = out.with_extension("partial.json");
    let mut table = match begin {
        Begin::Anew => LatencyTable::new("isolated layer probes"),
        Begin::WhereItStopped if !kept.exists() && out.exists() => return finished(request),
        Begin::WhereItStopped => begun(&kept, request)?,
    };
    for settings in settings {
        let context = context_here(settings, plan.layout)?;
        for &candidates in &plan.candidates {
            let engine = settings.engine;
            if holds(&table, &context, candidates, plan) {
                progress.say(&format!("{engine} at {candidates} candidates has been probed before"));
                continue;
            }
            stop.check()?;
            let layers = plan.operations.len();
            progress.measuring(&format!("probe {layers} layers on {engine} at {candidates} candidates"));
            let one = ProbePlan { candidates: vec![candidates], ..plan.clone() };
            let probed = one.run(launcher, settings)?;
            let (noisy, max_noise_pct) =
                (probed.noisy(settings.effort.max_noise_pct), settings.effort.max_noise_pct);
            if noisy > 0 {
                progress.say(&format!(
                    "{noisy} of {layers} values on {engine} stayed noisier than {max_noise_pct} %"
                ));
            }
            probed.insert_into(&mut table)?;
            let how = How::of(plan, settings);
            fsio::write_json(&kept, &Partial { schema_version: SCHEMA_VERSION, how, table: table.clone() })?;
        }
    }
    table.save(out)?;
    fsio::remove(&kept)?;
    Ok(table)
}

impl How {
    fn of(plan: &ProbePlan, settings: &ServiceSettings) -> Self {
        Self {
            operations: plan.operations.clone(),
            embedding_width: plan.embedding_width,
            cardinality: plan.cardinality,
            effort: settings.effort,
            seed: settings.seed,
        }
    }
}

/// The table of a probing that came to its end, if it answers the request.
fn finished(request: &ProbeRequest) -> Result<LatencyTable> {
    let table = LatencyTable::load(&request.out)?;
    for settings in &request.settings {
        let context = context_here(settings, request.plan.layout)?;
        let lacks = |candidates: &&usize| !holds(&table, &context, **candidates, &request.plan);
        if let Some(candidates) = request.plan.candidates.iter().find(lacks) {
            return Err(Error::input(
                &request.out,
                Place::whole(),
                format!("the table is finished and does not hold {context} at {candidates} candidates"),
                "probe them into another file and join both with `table merge`",
            ));
        }
    }
    Ok(table)
}

/// What a probing that was stopped has measured; nothing when it had not come that far.
fn begun(kept: &Path, request: &ProbeRequest) -> Result<LatencyTable> {
    if !kept.exists() {
        return Ok(LatencyTable::new("isolated layer probes"));
    }
    let partial: Partial = fsio::read_json(kept)?;
    let same = request.settings.iter().all(|settings| How::of(&request.plan, settings) == partial.how);
    if partial.schema_version != SCHEMA_VERSION || !same {
        return Err(Error::input(
            kept,
            Place::whole(),
            "what was measured before was measured otherwise",
            "go on with the same experiment and options, or begin anew without --resume",
        ));
    }
    Ok(partial.table)
}

fn holds(table: &LatencyTable, context: &TableContext, candidates: usize, plan: &ProbePlan) -> bool {
    table.bucket(context, candidates).is_ok_and(|bucket| {
        let known = |operation| bucket.entries.binary_search_by_key(operation, |e| e.operation).is_ok();
        plan.operations.iter().all(known)
    })
}
