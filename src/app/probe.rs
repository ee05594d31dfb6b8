//! `table probe`: layers and whole networks of a space, on every engine and at every candidate count. What has been
//! measured is kept beside the table after every group, so that a probing that was stopped goes on instead of measuring
//! it again.
//!
//! Groups of all candidate counts come in random order, those of one engine by turns with those of the other: a drift of
//! the machine meets all of them. With a time budget every group gets its share of what is left of it.

use crate::{
    base::{Error, Result, error::Place, fsio, hash, progress::Progress, stop::Stop},
    data::{
        encode::Encoders,
        schema::{Encoding, Feature, Schema},
    },
    measure::{
        child::Launcher,
        probe::{ProbeGroup, ProbePlan, Probed, ServiceSettings, Shard, context_here},
        service::Effort,
    },
    price::table::{LatencyTable, TableContext},
};
use serde::{Deserialize, Serialize};
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

/// Version of the file that holds what has been measured.
const SCHEMA_VERSION: u32 = 2;
/// Share of a group's time that it may measure in: starting a process and cold runs come on top.
const MEASURING_SHARE: f64 = 0.85;

/// What is to be probed.
#[derive(Debug, Clone, PartialEq)]
pub struct ProbeRequest {
    /// The layers and networks, and at which candidate counts.
    pub plan: ProbePlan,
    /// One for each engine.
    pub settings: Vec<ServiceSettings>,
    /// How long all of it may take; without it, as long as the effort asks for.
    pub budget: Option<Duration>,
    /// The part of the groups that is measured here; all of them without it.
    pub shard: Option<Shard>,
    /// Where the table goes.
    pub out: PathBuf,
}

/// Whether measuring that was stopped goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// Everything is measured now.
    Anew,
    /// What has been measured is kept.
    WhereItStopped,
}

/// Measures a group: in earnest in a child process.
pub type MeasureGroup<'a> =
    &'a dyn Fn(&ProbePlan, &ProbeGroup, &ServiceSettings, Option<f64>) -> Result<Probed>;

/// What has been measured, and how: values from other circumstances do not go together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Partial {
    schema_version: u32,
    how: How,
    table: LatencyTable,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct How {
    /// Hash of what is measured.
    plan: String,
    effort: Effort,
    seed: u64,
}

/// A group on its engine.
struct Turn<'a> {
    settings: &'a ServiceSettings,
    context: &'a TableContext,
    group: ProbeGroup,
}

/// Probes what is asked for in child processes and writes the table; a request to `stop` ends it with what has been
/// measured kept.
pub fn probe_table(
    request: &ProbeRequest,
    begin: Begin,
    launcher: &Launcher,
    progress: &dyn Progress,
    stop: &Stop,
) -> Result<LatencyTable> {
    let measure = |plan: &ProbePlan, group: &ProbeGroup, settings: &ServiceSettings, limit_s: Option<f64>| {
        plan.run_group(group, launcher, settings, limit_s)
    };
    probe_with(request, begin, &measure, progress, stop)
}

/// [`probe_table`] with groups that are measured by `measure`.
pub fn probe_with(
    request: &ProbeRequest,
    begin: Begin,
    measure: MeasureGroup,
    progress: &dyn Progress,
    stop: &Stop,
) -> Result<LatencyTable> {
    let ProbeRequest { plan, settings, out, .. } = request;
    let kept = out.with_extension("partial.json");
    let contexts: Vec<TableContext> =
        settings.iter().map(|settings| context_here(settings, plan.layout)).collect::<Result<_>>()?;
    let turns = request.part(by_turns(plan, settings, &contexts));
    let mut table = match begin {
        Begin::Anew => LatencyTable::new("probes of layers and random networks"),
        Begin::WhereItStopped if !kept.exists() && out.exists() => return finished(request, &turns),
        Begin::WhereItStopped => begun(&kept, request)?,
    };
    let open: Vec<&Turn> = turns.iter().filter(|t| !plan.holds(&table, t.context, &t.group)).collect();
    if open.len() < turns.len() {
        let done = turns.len() - open.len();
        progress.say(&format!("{done} of {} groups have been probed before", turns.len()));
    }
    let mut pace = Pace::new(plan, &open, request.budget);
    let mut noisy = 0;
    for (at, turn) in open.iter().enumerate() {
        stop.check()?;
        let Turn { settings, context: _, group } = turn;
        progress.measuring(&format!(
            "probe {} models on {} at {} candidates, group {} of {}{}",
            group.subjects.len(),
            settings.engine,
            group.candidates,
            turns.len() - open.len() + at + 1,
            turns.len(),
            pace.remaining()
        ));
        let probed = measure(plan, group, settings, pace.limit_s(at))?;
        pace.done(at);
        noisy += probed.noisy(settings.effort.max_noise_pct);
        probed.insert_into(&mut table)?;
        let how = How::of(plan, settings);
        fsio::write_json(&kept, &Partial { schema_version: SCHEMA_VERSION, how, table: table.clone() })?;
    }
    if noisy > 0 {
        progress.say(&format!("{noisy} values stayed noisier than the greatest noise (probe.max_noise_pct)"));
    }
    table.state_origin(Some(unix_s()), Some(plan.inputs_hash()));
    // Networks of a part may have layers that another part measures: whoever joins all of them corrects.
    let table = if request.shard.is_some() { table } else { table.corrected()? };
    table.save(out)?;
    fsio::remove(&kept)?;
    Ok(table)
}

/// Rows of every feature's embedding table: as the encoders say, else as the schema declares, else `vocabulary` for what
/// only the data knows. Numbers have none.
pub fn table_rows(schema: &Schema, encoders: Option<&Encoders>, vocabulary: usize) -> Result<Vec<usize>> {
    if let Some(encoders) = encoders {
        encoders.check_serves(schema)?;
        return Ok(encoders.features().iter().map(|feature| feature.cardinality() as usize).collect());
    }
    let rows = |feature: &Feature| match feature.encoding {
        Encoding::Vocabulary { .. } => vocabulary,
        // Id 0 is missing.
        Encoding::Hash { buckets } | Encoding::Buckets { buckets } => buckets as usize + 1,
        Encoding::Standardize => 0,
    };
    Ok(schema.features.iter().map(rows).collect())
}

/// All groups of all engines: the first of each, then the second of each, and so on.
fn by_turns<'a>(
    plan: &ProbePlan,
    settings: &'a [ServiceSettings],
    contexts: &'a [TableContext],
) -> Vec<Turn<'a>> {
    let mut turns = Vec::new();
    for (settings, context) in settings.iter().zip(contexts) {
        let groups = plan.groups(settings.seed).into_iter().enumerate();
        turns.extend(groups.map(|(at, group)| (at, Turn { settings, context, group })));
    }
    turns.sort_by_key(|(at, _)| *at);
    turns.into_iter().map(|(_, turn)| turn).collect()
}

impl ProbeRequest {
    /// The turns of this part: of every engine and candidate count some.
    fn part<'a>(&self, turns: Vec<Turn<'a>>) -> Vec<Turn<'a>> {
        let Some(shard) = self.shard else { return turns };
        let expected = |turn: &Turn| self.plan.expected_s(&turn.group, &turn.settings.effort);
        let own = shard.share(&turns.iter().map(expected).collect::<Vec<_>>());
        turns.into_iter().zip(own).filter_map(|(turn, own)| own.then_some(turn)).collect()
    }
}

/// Seconds since 1970-01-01 UTC.
fn unix_s() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// How fast it goes, and what may still be spent.
struct Pace {
    begun: Instant,
    budget: Option<Duration>,
    /// What every open group was estimated to take; only their proportions count.
    expected_s: Vec<f64>,
    done: usize,
}

impl Pace {
    fn new(plan: &ProbePlan, open: &[&Turn], budget: Option<Duration>) -> Self {
        let expected_s =
            open.iter().map(|turn| plan.expected_s(&turn.group, &turn.settings.effort)).collect();
        Self { begun: Instant::now(), budget, expected_s, done: 0 }
    }

    fn done(&mut self, at: usize) {
        self.done = at + 1;
    }

    fn left_s(&self) -> f64 {
        self.expected_s[self.done..].iter().sum()
    }

    /// How long group `at` may measure: its share of what is left of the budget.
    fn limit_s(&self, at: usize) -> Option<f64> {
        let left = self.budget?.saturating_sub(self.begun.elapsed());
        Some(MEASURING_SHARE * share_s(left.as_secs_f64(), self.expected_s[at], self.left_s()))
    }

    /// The estimated rest, in words; nothing before the first group has shown the pace.
    fn remaining(&self) -> String {
        let spent: f64 = self.expected_s[..self.done].iter().sum();
        if spent <= 0.0 {
            return match self.budget {
                Some(budget) => format!("; at most about {}", duration_text(budget.as_secs_f64())),
                None => String::new(),
            };
        }
        let by_pace = self.begun.elapsed().as_secs_f64() * self.left_s() / spent;
        format!("; about {} left", duration_text(by_pace))
    }
}

/// The part of `left_s` that belongs to what was expected to take `own_s` of all of `all_s`.
fn share_s(left_s: f64, own_s: f64, all_s: f64) -> f64 {
    if all_s > 0.0 { left_s * own_s / all_s } else { left_s }
}

/// Such as `45 s` or `3 min 20 s`.
pub(super) fn duration_text(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    if seconds < 60 { format!("{seconds} s") } else { format!("{} min {} s", seconds / 60, seconds % 60) }
}

impl How {
    fn of(plan: &ProbePlan, settings: &ServiceSettings) -> Self {
        let json = serde_json::to_vec(plan).expect("plain data");
        Self { plan: hash::sha256(&json), effort: settings.effort, seed: settings.seed }
    }
}

/// The table of a probing that came to its end, if it answers the request.
fn finished(request: &ProbeRequest, turns: &[Turn]) -> Result<LatencyTable> {
    let table = LatencyTable::load(&request.out)?;
    let lacking = turns.iter().find(|turn| !request.plan.holds(&table, turn.context, &turn.group));
    match lacking {
        None => Ok(table),
        Some(Turn { context, group, .. }) => Err(Error::input(
            &request.out,
            Place::whole(),
            format!(
                "the table is finished and does not hold all of {context} at {} candidates",
                group.candidates
            ),
            "probe them into another file and join both with `table merge`",
        )),
    }
}

/// What a probing that was stopped has measured; nothing when it had not come that far.
fn begun(kept: &Path, request: &ProbeRequest) -> Result<LatencyTable> {
    if !kept.exists() {
        return Ok(LatencyTable::new("probes of layers and random networks"));
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

#[cfg(test)]
mod tests;
