//! What a probing that was stopped, or has ended, left behind: what goes on from it, and what does not.

use super::{Begin, ProbeRequest, Turn};
use crate::{
    base::{Error, Result, error::Place, fsio, hash},
    measure::{probe::ProbePlan, service::Effort},
    price::table::{LatencyTable, TableContext},
};
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, time::Duration};

/// Version of the file that holds what has been measured.
const SCHEMA_VERSION: u32 = 3;
/// What made the tables of probings.
const PROBED: &str = "probes of layers and random networks";

/// What has been measured, and how: values from other circumstances do not go together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Kept {
    schema_version: u32,
    how: How,
    /// Time that the measuring took.
    spent_s: f64,
    pub(super) table: LatencyTable,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct How {
    /// Hash of what is measured.
    plan: String,
    /// Part of it, where that is not all.
    shard: Option<String>,
    engines: Vec<EngineHow>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct EngineHow {
    context: TableContext,
    effort: Effort,
    seed: u64,
}

impl How {
    fn of(request: &ProbeRequest, contexts: &[TableContext]) -> Self {
        let json = serde_json::to_vec(&request.plan).expect("plain data");
        let engines = request.settings.iter().zip(contexts);
        let engine = |(settings, context): (&crate::measure::probe::ServiceSettings, &TableContext)| {
            EngineHow { context: context.clone(), effort: settings.effort, seed: settings.seed }
        };
        Self {
            plan: hash::sha256(&json),
            shard: request.shard.map(|shard| shard.to_string()),
            engines: engines.map(engine).collect(),
        }
    }
}

impl Kept {
    /// Nothing yet.
    pub(super) fn nothing(request: &ProbeRequest, contexts: &[TableContext]) -> Self {
        Self::of(request, contexts, LatencyTable::new(PROBED))
    }

    fn of(request: &ProbeRequest, contexts: &[TableContext], table: LatencyTable) -> Self {
        Self { schema_version: SCHEMA_VERSION, how: How::of(request, contexts), spent_s: 0.0, table }
    }

    /// What `begin` begins with: nothing, or what is there.
    pub(super) fn begin(request: &ProbeRequest, contexts: &[TableContext], begin: Begin) -> Result<Self> {
        match begin {
            Begin::Anew => {
                // Else what is given up here would be gone on with where this one is stopped in its first group.
                fsio::remove(&Self::file(request))?;
                Ok(Self::nothing(request, contexts))
            }
            Begin::WhereItStopped => Self::of_earlier(request, contexts),
        }
    }

    /// What of the turns is still to be measured.
    pub(super) fn open<'a>(&self, plan: &ProbePlan, turns: Vec<Turn<'a>>) -> Vec<Turn<'a>> {
        let lacking = |turn: Turn<'a>| {
            let group = plan.lacking(&self.table, turn.context, &turn.group)?;
            Some(Turn { group, ..turn })
        };
        turns.into_iter().filter_map(lacking).collect()
    }

    /// Where what has been measured is kept until the table is written.
    pub(super) fn file(request: &ProbeRequest) -> PathBuf {
        request.out.with_extension("partial.json")
    }

    /// What goes on: what a probing that was stopped has measured, else the finished table, to which is added what it lacks; nothing
    /// where there is neither.
    pub(super) fn of_earlier(request: &ProbeRequest, contexts: &[TableContext]) -> Result<Self> {
        let file = Self::file(request);
        if file.exists() {
            let fix = ways_on(request, "go on with the program that began it");
            let kept: Self = fsio::read_versioned(&file, SCHEMA_VERSION, &fix)?;
            kept.check_same(request, contexts)?;
            return Ok(kept);
        }
        if !request.out.exists() {
            return Ok(Self::nothing(request, contexts));
        }
        let table = LatencyTable::load(&request.out)?;
        check_extends(&table, request, contexts)?;
        Ok(Self::of(request, contexts, table))
    }

    fn check_same(&self, request: &ProbeRequest, contexts: &[TableContext]) -> Result<()> {
        let how = How::of(request, contexts);
        if self.how == how {
            return Ok(());
        }
        let hosts = |how: &How| how.engines.first().map(|engine| engine.context.host.clone());
        match (hosts(&self.how), hosts(&how)) {
            (Some(there), Some(here)) if there != here => Err(refused(
                request,
                format!("what was measured before was measured on host {there}, and this is host {here}"),
                "go on where it was measured",
            )),
            _ => Err(refused(
                request,
                "what was measured before was measured otherwise".to_owned(),
                "go on with the same experiment, engines and options",
            )),
        }
    }

    /// Time that has been spent on it.
    pub(super) fn spent(&self) -> Duration {
        Duration::try_from_secs_f64(self.spent_s).unwrap_or_default()
    }

    pub(super) fn write(&mut self, request: &ProbeRequest, spent: Duration) -> Result<()> {
        self.spent_s = spent.as_secs_f64();
        fsio::write_json(&Self::file(request), self)
    }
}

/// What was measured before a probing was stopped does not go on. Where there is a finished table, beginning anew would cost all of
/// it, so only what came after it is to be given up.
fn refused(request: &ProbeRequest, problem: String, fix: &str) -> Error {
    Error::input(Kept::file(request), Place::whole(), problem, ways_on(request, fix))
}

/// This fix, or to do without what was measured before.
fn ways_on(request: &ProbeRequest, fix: &str) -> String {
    match request.out.exists() {
        true => {
            let file = Kept::file(request);
            format!("{fix}, or remove {}: {} stays as it is", file.display(), request.out.display())
        }
        false => format!("{fix}, or begin anew without --resume"),
    }
}

/// Fails where what is asked for does not go together with what a finished table holds.
fn check_extends(table: &LatencyTable, request: &ProbeRequest, contexts: &[TableContext]) -> Result<()> {
    let own = request.plan.gathered();
    let stated = contexts.iter().flat_map(|context| table.stated_inputs(context));
    let mut others = stated.filter(|stated| **stated != own);
    let Some(other) = others.next() else { return Ok(()) };
    let problem = if other.features == own.features {
        "its first layers stand for their widths with other features (seeds.probe, layout or schema differ)"
    } else {
        "its first layers gathered from other features or embedding tables (schema, --encoders or --cardinality differ)"
    };
    let fix = "probe into another file, or begin this one anew without --resume";
    Err(Error::input(&request.out, Place::whole(), problem, fix))
}
