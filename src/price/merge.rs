//! Joining tables: shards of one probing, several hosts or engines in one file.
//!
//! Every value keeps its [`Origin`]. What is there twice has to agree: two values of one layer, or of one network, under the same
//! circumstances that lie further apart than their noise are a [`Disagreement`], and beyond 25 % the tables do
//! not belong together.

use super::{
    correction::Correction,
    entry::order_widths,
    observation::Observation,
    origin::{Gathered, Origin},
    table::{Bucket, InputEntry, LatencyTable, TableContext, TableEntry, other_grid, put},
};
use crate::{
    base::{Error, Result},
    space::{Input, InputWidths},
};
use std::{
    cmp::{Ordering, Reverse},
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// Two values are further apart than their noise from this many standard errors of their difference on.
const STANDARD_ERRORS: f64 = 3.0;
/// Values of two measuring processes lie apart by a few percent on any machine: less is not worth a word.
const AGREEMENT_PCT: f64 = 3.0;
/// Nor are a few microseconds, which a call takes more or less whatever it computes.
const CALL_MS: f64 = 0.005;
/// Values of one thing that lie further apart, and further than their noise, were not measured under the same circumstances.
const CONTRADICTION_PCT: f64 = 25.0;

/// Everything in any of `tables` (at least one), as the version after the newest of them.
///
/// Where two hold the same layer under the same circumstances, the value of more samples is kept, then the one of less
/// noise; of two observations of one network, the less noisy one. Buckets that came together from several tables are
/// corrected anew by all their networks that have a price; the held-out networks of all of them have a veto, as in the rounds that
/// they come from, so that what they rejected there does not come back. The order of the tables changes nothing but that of the
/// parents.
///
/// Fails when the tables contradict each other, or their first layers gathered from different features or embedding tables, or stand for
/// the same widths with different features.
pub fn merge(tables: &[LatencyTable]) -> Result<LatencyTable> {
    check_inputs(tables)?;
    if let Some(found) = disagreements(tables).into_iter().find(Disagreement::contradicts) {
        let fix = format!(
            "measure the wrong one again ({}), or leave its table out",
            found.context.probe_command(found.candidates)
        );
        return Err(Error::usage(format!("the tables contradict each other: {found}"), fix));
    }
    let sources: Vec<LatencyTable> = tables.iter().map(with_own_id).collect();
    let all: BTreeSet<&Origin> = sources.iter().flat_map(|table| &table.origins).collect();
    let mut joined = LatencyTable::new(format!("merge of {} tables", tables.len()));
    joined.version = tables.iter().map(|table| table.version).max().unwrap_or(0) + 1;
    joined.parents = tables.iter().map(LatencyTable::id).collect();
    joined.origins = all.into_iter().cloned().collect();
    let mut several: BTreeMap<(TableContext, usize), Vec<Correction>> = BTreeMap::new();
    for table in &sources {
        for bucket in &table.buckets {
            let mut bucket = bucket.clone();
            // The joined list is sorted, and holds all of the table's.
            bucket.rename_origins(|at| joined.origins.partition_point(|known| *known < table.origins[at]));
            let known = joined.bucket_or_new(&bucket.context, bucket.candidates);
            if known.is_empty() {
                *known = bucket;
            } else if *known != bucket {
                let paid = several.entry((bucket.context.clone(), bucket.candidates)).or_default();
                paid.extend(known.correction.take().into_iter().chain(bucket.correction.clone()));
                join(known, &bucket);
            }
        }
    }
    for bucket in &mut joined.buckets {
        let paid = several.get(&(bucket.context.clone(), bucket.candidates));
        // A shard has no correction, because its networks may have layers that another shard holds.
        if paid.is_some() || bucket.correction.is_none() {
            bucket.refit(paid.map_or(&[], Vec::as_slice))?;
        }
    }
    Ok(joined)
}

/// Buckets that hold networks with layers that the table has no price for, such as where a shard is missing, and how many.
pub fn incomplete(joined: &LatencyTable) -> Vec<(&TableContext, usize, usize)> {
    let all = joined.buckets.iter().map(|bucket| (&bucket.context, bucket.candidates, bucket.unpriced()));
    all.filter(|(.., networks)| *networks > 0).collect()
}

/// The table with its id in those of its origins that name no other one.
fn with_own_id(table: &LatencyTable) -> LatencyTable {
    let id = table.id();
    let mut named = table.clone();
    named.origins.iter_mut().for_each(|origin| {
        origin.table.get_or_insert_with(|| id.clone());
    });
    named
}

fn join(known: &mut Bucket, other: &Bucket) {
    for entry in &other.entries {
        match known.entries.binary_search_by_key(&entry.operation, |e| e.operation) {
            Ok(at) if better(entry, &known.entries[at]) => known.entries[at] = *entry,
            Ok(_) => {}
            Err(at) => known.entries.insert(at, *entry),
        }
    }
    other.grid.iter().for_each(|&input| put(&mut known.grid, input, order_widths));
    for entry in &other.inputs {
        let rank = |e: &InputEntry| (Reverse(e.samples), e.noise_pct, e.mean_ms, e.origin);
        keep_better(&mut known.inputs, entry, InputEntry::order, rank);
    }
    let rank = |o: &Observation| (o.noise_pct, o.measured_ms, o.origin);
    for observation in &other.observations {
        keep_better(&mut known.observations, observation, Observation::order, rank);
    }
    for observation in &other.held_out {
        keep_better(&mut known.held_out, observation, Observation::order, rank);
    }
    // What one table learnt from cannot judge the joined one.
    known.judge_by_unlearnt();
}

/// Puts `item` into a sorted list, where one of the same place stays if it ranks before.
fn keep_better<T: Clone, R: PartialOrd>(
    list: &mut Vec<T>,
    item: &T,
    order: impl Fn(&T, &T) -> Ordering,
    rank: impl Fn(&T) -> R,
) {
    match list.binary_search_by(|known| order(known, item)) {
        Ok(at) if rank(item) < rank(&list[at]) => list[at] = item.clone(),
        Ok(_) => {}
        Err(at) => list.insert(at, item.clone()),
    }
}

/// The last comparisons only make the choice independent of the order of the tables.
fn better(a: &TableEntry, b: &TableEntry) -> bool {
    let (more, less) = ((a.samples, b.samples), (a.noise_pct, b.noise_pct));
    more.0 > more.1 || (more.0 == more.1 && (less.0, a.mean_ms, a.origin) < (less.1, b.mean_ms, b.origin))
}

/// Two values of one thing that lie further apart than their noise.
#[derive(Debug, Clone, PartialEq)]
pub struct Disagreement {
    /// The circumstances of both.
    pub context: TableContext,
    /// Candidates per request.
    pub candidates: usize,
    /// The layer or the network.
    pub what: String,
    /// Both values with the ids of their tables, the lower one first.
    pub values: [(f64, String); 2],
    /// Their distance, in percent of the lower one.
    pub apart_pct: f64,
    /// Standard error of their difference, in percent.
    pub noise_pct: f64,
}

impl Disagreement {
    /// Whether the tables cannot both be right.
    pub fn contradicts(&self) -> bool {
        self.apart_pct > CONTRADICTION_PCT
    }
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [(low, here), (high, there)] = &self.values;
        write!(
            f,
            "{} of {} at {} candidates takes {low:.4} ms in table {here} and {high:.4} ms in table {there}: {:.0} % apart, with a \
             noise of {:.1} %",
            self.what, self.context, self.candidates, self.apart_pct, self.noise_pct
        )
    }
}

/// One value: ms, noise in percent, number of its table.
type Value = (f64, f64, usize);

/// Where tables hold values of one thing that lie further apart than their noise, the furthest ones first; of more than two
/// values the lowest and the highest.
pub fn disagreements(tables: &[LatencyTable]) -> Vec<Disagreement> {
    // By what tells them apart, with how they are called: inputs of the same widths may be of different features.
    let mut values: BTreeMap<(&TableContext, usize, String), (String, Vec<Value>)> = BTreeMap::new();
    for (number, table) in tables.iter().enumerate() {
        for bucket in &table.buckets {
            let entries = bucket.entries.iter().map(|e| {
                let what = e.operation.to_string();
                (what.clone(), what, (e.mean_ms, e.noise_pct, number))
            });
            let inputs = bucket.inputs.iter().map(|e| {
                let InputWidths { user, item } = e.input.widths;
                let what =
                    format!("first layer over a set of features (user {user}, item {item}) → {}", e.to);
                (format!("{:?} {}", e.input, e.to), what, (e.mean_ms, e.noise_pct, number))
            });
            let networks = bucket.observations.iter().chain(&bucket.held_out).map(|o| {
                let what = format!("network {}", o.network);
                (format!("{:?} {:?}", o.widths, o.whole_input()), what, (o.measured_ms, o.noise_pct, number))
            });
            for (key, what, value) in entries.chain(inputs).chain(networks) {
                let known = values.entry((&bucket.context, bucket.candidates, key));
                known.or_insert_with(|| (what, Vec::new())).1.push(value);
            }
        }
    }
    let mut found: Vec<Disagreement> = values
        .into_iter()
        .filter_map(|((context, candidates, _), (what, values))| {
            let low = values.iter().min_by(|a, b| a.0.total_cmp(&b.0))?;
            let high = values.iter().max_by(|a, b| a.0.total_cmp(&b.0))?;
            let apart_pct = 100.0 * (high.0 - low.0) / low.0.max(f64::MIN_POSITIVE);
            let noise_pct = low.1.hypot(high.1 * high.0 / low.0.max(f64::MIN_POSITIVE));
            let apart =
                high.0 - low.0 > CALL_MS && apart_pct > AGREEMENT_PCT.max(STANDARD_ERRORS * noise_pct);
            if !apart {
                return None;
            }
            let values = [low, high].map(|value| (value.0, tables[value.2].id()));
            Some(Disagreement { context: context.clone(), candidates, what, values, apart_pct, noise_pct })
        })
        .collect();
    found.sort_by(|a, b| b.apart_pct.total_cmp(&a.apart_pct));
    found
}

/// Circumstances of one host that differ in the engine's version alone: their prices stand side by side, and only those of the
/// version that is asked for are found.
pub fn other_versions(joined: &LatencyTable) -> Vec<(TableContext, TableContext)> {
    let contexts: BTreeSet<&TableContext> = joined.buckets.iter().map(|bucket| &bucket.context).collect();
    let versions = |a: &TableContext, b: &TableContext| {
        TableContext { engine_version: b.engine_version.clone(), ..a.clone() } == *b
    };
    let pairs = contexts.iter().flat_map(|a| contexts.iter().filter(move |b| *b > a).map(move |b| (*a, *b)));
    pairs.filter(|(a, b)| versions(a, b)).map(|(a, b)| (a.clone(), b.clone())).collect()
}

/// Fails where first layers under the same circumstances gathered from different features or embedding tables, or where equal
/// widths stand for different features.
fn check_inputs(tables: &[LatencyTable]) -> Result<()> {
    let mut known: BTreeMap<&TableContext, (&LatencyTable, &Gathered)> = BTreeMap::new();
    let mut grids: BTreeMap<&TableContext, Vec<(&LatencyTable, &Bucket)>> = BTreeMap::new();
    for table in tables {
        for bucket in &table.buckets {
            let context = &bucket.context;
            for inputs in table.stated_inputs(context) {
                let (other, of_other) = known.entry(context).or_insert((table, inputs));
                if of_other.features != inputs.features {
                    let problem = "gathered from other features or embedding tables";
                    let fix = "probe all of them with the same schema, --encoders and --cardinality";
                    return Err(apart(context, problem, [other, table], fix));
                }
                if of_other.grid != inputs.grid {
                    let problem = "stand for their widths with other features";
                    return Err(apart(context, problem, [other, table], SAME_GRID));
                }
            }
            let same = grids.entry(context).or_default();
            let contradicts = |other: &Bucket| bucket.grid.iter().find(|input| other.contradicts_grid(input));
            if let Some((other, input)) = same.iter().find_map(|(table, o)| Some((table, contradicts(o)?))) {
                return Err(other_points(context, input, [other, table]));
            }
            same.push((table, bucket));
        }
    }
    Ok(())
}

/// What makes the grids of two tables the same.
const SAME_GRID: &str = "probe both with the same schema, layout and seeds.probe, or keep the tables apart";

fn other_points(context: &TableContext, input: &Input, tables: [&LatencyTable; 2]) -> Error {
    let [one, other] = tables.map(LatencyTable::id);
    Error::usage(format!("{} in table {one} than in table {other} ({context})", other_grid(input)), SAME_GRID)
}

fn apart(context: &TableContext, problem: &str, tables: [&LatencyTable; 2], fix: &str) -> Error {
    let [one, other] = tables.map(LatencyTable::id);
    Error::usage(format!("first layers of {context} {problem} in table {one} than in table {other}"), fix)
}
