//! `table probe`: layers and whole networks of a space, on every engine and at every candidate count. What has been
//! measured is kept beside the table after every group, so that a probing that was stopped goes on instead of measuring
//! it again; and what a finished table lacks of what is asked for is added to it.
//!
//! Groups of all candidate counts come in random order, those of one engine by turns with those of the other: a drift of
//! the machine meets all of them. With a time budget every group gets its share of what is left of it.

mod kept;
mod planned;

pub use planned::plan_probe;

use crate::{
    app::plan::span,
    base::{Result, calendar, fsio, progress::Progress, stop::Stop},
    data::{
        encode::Encoders,
        schema::{Encoding, Feature, Schema},
    },
    measure::{
        child::Launcher,
        probe::{ProbeGroup, ProbePlan, Probed, ServiceSettings, Shard, context_here},
    },
    price::table::{Bucket, LatencyTable, TableContext},
};
use kept::Kept;
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

/// Share of a group's time that it may measure in: starting a process and cold runs come on top.
const MEASURING_SHARE: f64 = 0.85;

/// What is to be probed.
#[derive(Debug, Clone, PartialEq)]
pub struct ProbeRequest {
    /// The layers and networks, and at which candidate counts.
    pub plan: ProbePlan,
    /// One for each engine.
    pub settings: Vec<ServiceSettings>,
    /// How long all of it may take, with what was spent before it was stopped; without it, as long as the effort asks for.
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
    let _claim = fsio::claim(out)?;
    let contexts: Vec<TableContext> =
        settings.iter().map(|settings| context_here(settings, plan.layout)).collect::<Result<_>>()?;
    let turns = request.part(by_turns(plan, settings, &contexts));
    let mut kept = Kept::begin(request, &contexts, begin)?;
    let (all, open) = (turns.len(), kept.open(plan, turns));
    if begin == Begin::WhereItStopped && out.exists() && !Kept::file(request).exists() {
        if open.is_empty() {
            return Ok(kept.table);
        }
        kept.table = kept.table.successor(format!("more probes into table {}", kept.table.id()));
    }
    let before = all - open.len();
    if before > 0 {
        progress.say(&format!("{before} of {all} groups have been probed before"));
    }
    measure_open(request, &mut kept, &open, before, measure, progress, stop)?;
    let mut table = kept.table;
    table.state_origin(Some(calendar::now_since_1970().as_secs()), Some(plan.gathered()));
    // Networks of a part may have layers that another part measures: whoever joins all of them corrects.
    if request.shard.is_none() {
        let probed = |bucket: &Bucket| {
            contexts.contains(&bucket.context) && plan.candidates.contains(&bucket.candidates)
        };
        table = table.corrected(probed)?;
        table.buckets.iter().filter(|bucket| probed(bucket)).for_each(|bucket| describe(bucket, progress));
    }
    table.save(out)?;
    fsio::remove(&Kept::file(request))?;
    Ok(table)
}

/// Measures the open groups, of which `before` others were done; what there is after each of them is kept.
fn measure_open(
    request: &ProbeRequest,
    kept: &mut Kept,
    open: &[Turn],
    before: usize,
    measure: MeasureGroup,
    progress: &dyn Progress,
    stop: &Stop,
) -> Result<()> {
    let (plan, spent) = (&request.plan, kept.spent());
    let mut pace = Pace::new(plan, open, request.budget.map(|budget| budget.saturating_sub(spent)));
    let mut noisy = 0;
    for (at, Turn { settings, group, .. }) in open.iter().enumerate() {
        stop.check()?;
        progress.measuring(&format!(
            "probe {} models on {} at {} candidates, group {} of {}{}",
            group.subjects.len(),
            settings.engine,
            group.candidates,
            before + at + 1,
            before + open.len(),
            pace.remaining()
        ));
        let probed = measure(plan, group, settings, pace.limit_s(at))?;
        pace.done(at);
        noisy += probed.noisy(settings.effort.max_noise_pct);
        probed.insert_into(&mut kept.table)?;
        kept.write(request, spent + pace.elapsed())?;
    }
    if noisy > 0 {
        progress.say(&format!("{noisy} values stayed noisier than the greatest noise (probe.max_noise_pct)"));
    }
    Ok(())
}

/// Says what of the prices of a bucket is doubtful.
fn describe(bucket: &Bucket, progress: &dyn Progress) {
    let place = format!("{} at {} candidates", bucket.context.engine, bucket.candidates);
    if let Some(doubt) = bucket.between_widths.and_then(|error| error.doubt()) {
        progress.say(&format!("note: {place}: {doubt}"));
    }
    let unpriced = bucket.unpriced();
    if unpriced > 0 {
        progress.say(&format!(
            "note: {place}: {unpriced} networks have layers without a price, and correct nothing"
        ));
    }
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

/// How fast it goes, and what may still be spent.
struct Pace {
    begun: Instant,
    budget: Option<Duration>,
    /// What every open group was estimated to take; only their proportions count.
    expected_s: Vec<f64>,
    done: usize,
}

impl Pace {
    fn new(plan: &ProbePlan, open: &[Turn], budget: Option<Duration>) -> Self {
        let expected_s =
            open.iter().map(|turn| plan.expected_s(&turn.group, &turn.settings.effort)).collect();
        Self { begun: Instant::now(), budget, expected_s, done: 0 }
    }

    fn elapsed(&self) -> Duration {
        self.begun.elapsed()
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
                Some(budget) => format!("; at most about {}", span(budget.as_secs_f64())),
                None => String::new(),
            };
        }
        let by_pace = self.begun.elapsed().as_secs_f64() * self.left_s() / spent;
        format!("; about {} left", span(by_pace))
    }
}

/// The part of `left_s` that belongs to what was expected to take `own_s` of all of `all_s`.
fn share_s(left_s: f64, own_s: f64, all_s: f64) -> f64 {
    if all_s > 0.0 { left_s * own_s / all_s } else { left_s }
}

#[cfg(test)]
mod tests;
