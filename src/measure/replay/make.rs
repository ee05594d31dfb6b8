//! Makes a trace from a log of who saw what and from arrivals. The schedule and the candidate counts are drawn first, then the requests
//! one by one, so that a long trace needs no more memory than a short one.
//!
//! Each request is a user of the log with the candidates that the log shows for it, padded with further items of the
//! log, drawn by popularity without replacement, to the wanted number. Padded items are ones that the log never
//! showed to this request, so nothing can be said about whether the user would have liked them.

use super::{
    arrivals::Arrivals,
    list_length::Lengths,
    popularity::Popularity,
    trace::{self, Origin, Pacing, Request},
    trace_file,
};
use crate::{
    base::{Error, Result, rng},
    data::column::Column,
    measure::limits::disk_free_bytes,
};
use rand::RngExt;
use serde::{Deserialize, Serialize};
use std::{collections::HashMap, path::Path};

pub use super::list_length::{ListLength, Quantiles};

/// Users and items of a log, by position.
#[derive(Debug, Clone, Default)]
pub struct RequestLog {
    /// Key of every item, in order of first appearance.
    items: Vec<u64>,
    /// Rows per item.
    counts: Vec<u64>,
    /// A user key and the items of one list: one per request of the log, or one per user when it has no requests.
    lists: Vec<(u64, Vec<usize>)>,
    /// What happened in log order, as indices into `lists`.
    visits: Vec<usize>,
}

/// Which users ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// In the order of the log, from its start again when it is used up.
    Log,
    /// Drawn from the log's rows or requests, so that busy users come often.
    Sampled,
}

/// What kind of trace is wanted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TraceRecipe {
    /// When requests come.
    pub arrivals: Arrivals,
    /// How many.
    pub requests: usize,
    /// Which users.
    pub order: Order,
    /// How many candidates.
    pub length: ListLength,
    /// Of users, candidates, candidate counts and random arrivals.
    pub seed: u64,
}

/// What the keys of a trace belong to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DataHashes {
    /// Of the encoders.
    pub encoders: String,
    /// Of the encoded rows.
    pub rows: String,
}

impl RequestLog {
    /// Reads rows of (request if the log has one, user, item) in log order.
    pub fn new(rows: impl IntoIterator<Item = (Option<u64>, u64, u64)>) -> Self {
        let mut log = Self::default();
        let (mut item_index, mut list_index) = (HashMap::new(), HashMap::new());
        for (request, user, item) in rows {
            let item = *item_index.entry(item).or_insert_with(|| {
                log.items.push(item);
                log.counts.push(0);
                log.items.len() - 1
            });
            log.counts[item] += 1;
            let mut first = false;
            let list = *list_index.entry((request, user)).or_insert_with(|| {
                first = true;
                log.lists.push((user, Vec::new()));
                log.lists.len() - 1
            });
            log.lists[list].1.push(item);
            if first || request.is_none() {
                log.visits.push(list);
            }
        }
        for (_, items) in &mut log.lists {
            let mut seen = std::collections::HashSet::new();
            items.retain(|&item| seen.insert(item));
        }
        log
    }

    /// Pads lists with these items, one key per row of a larger log, instead of those of the log's own rows.
    pub fn padded_from(mut self, items: impl IntoIterator<Item = u64>) -> Self {
        let mut index: HashMap<u64, usize> = self.items.iter().copied().zip(0..).collect();
        self.counts.fill(0);
        for key in items {
            let item = *index.entry(key).or_insert_with(|| {
                self.items.push(key);
                self.counts.push(0);
                self.items.len() - 1
            });
            self.counts[item] += 1;
        }
        self
    }

    /// Number of distinct items: no request can have more candidates.
    pub fn items(&self) -> usize {
        self.items.len()
    }
}

/// A trace whose schedule and candidate counts are drawn, and whose requests are ready to be.
#[derive(Debug)]
pub struct PlannedTrace {
    log: RequestLog,
    order: Order,
    seed: u64,
    schedule_us: Column<u64>,
    lengths: Lengths,
    origin: Origin,
}

/// What a request takes in a file of a trace, about, beside its candidates.
const REQUEST_BYTES: u64 = 30;
/// What a candidate takes there.
const CANDIDATE_BYTES: u64 = 12;
/// What is kept of a request in a file while a trace is planned.
const PLANNED_BYTES: u64 = 8;

/// Fails where a disk has no room for what would be written to `path`: a full one stops others, too.
fn check_room(path: &Path, bytes: u64, or: &str) -> Result<()> {
    match disk_free_bytes(path).filter(|&free| free < bytes) {
        None => Ok(()),
        Some(free) => {
            let [bytes, free] = [bytes, free].map(|bytes| bytes as f64 / 1e9);
            let problem = format!(
                "about {bytes:.1} GB of a trace do not fit into the {free:.1} GB that are free for {}",
                path.display()
            );
            Err(Error::usage(problem, format!("ask for fewer requests or candidates, or {or}")))
        }
    }
}

/// Plans a trace of the log of data with these hashes: see [`Origin`].
pub fn plan(log: RequestLog, recipe: &TraceRecipe, data: DataHashes) -> Result<PlannedTrace> {
    if recipe.requests == 0 {
        return Err(Error::usage("a trace of 0 requests asks nothing", "want at least one request"));
    }
    if log.visits.is_empty() {
        return Err(Error::usage(
            "the data has no row, so nobody would ask",
            "give data with at least one row",
        ));
    }
    check_room(
        &std::env::temp_dir(),
        PLANNED_BYTES.saturating_mul(recipe.requests as u64),
        "set TMPDIR to another disk",
    )?;
    let schedule = recipe.arrivals.schedule(recipe.requests, recipe.seed)?;
    let requests = schedule.offsets_us.len();
    let lengths = recipe.length.draw(requests, schedule.candidates, recipe.seed)?;
    let mut notes = schedule.notes;
    notes.extend(recipe.length.note(&recipe.arrivals));
    let items = log.items();
    let clamped = (0..requests).filter(|&request| !(1..=items).contains(&lengths.of(request))).count();
    if clamped > 0 {
        notes.push(format!(
            "{clamped} of {requests} requests wanted a number of candidates outside 1 to {items} (the log's items) \
             and got the nearest"
        ));
    }
    let origin = Origin {
        encoder_hash: data.encoders,
        rows_hash: Some(data.rows),
        arrivals: recipe.arrivals.to_string(),
        seed: recipe.seed,
        notes,
    };
    let (order, seed) = (recipe.order, recipe.seed);
    Ok(PlannedTrace { log, order, seed, schedule_us: schedule.offsets_us, lengths, origin })
}

impl PlannedTrace {
    /// What a reader of the trace should know.
    pub fn notes(&self) -> &[String] {
        &self.origin.notes
    }

    /// The same requests, spaced otherwise; the origin says so.
    pub fn paced(mut self, pacing: Pacing) -> Result<Self> {
        self.schedule_us = trace::paced_us(&self.schedule_us, pacing)?;
        self.origin.arrivals += &pacing.suffix();
        Ok(self)
    }

    /// Fails when the requests cannot be spaced so.
    pub fn check_pacing(&self, pacing: Pacing) -> Result<()> {
        trace::paced_us(&self.schedule_us, pacing).map(|_| ())
    }

    /// Arrivals, ascending from 0.
    pub fn schedule_us(&self) -> &[u64] {
        &self.schedule_us
    }

    /// From what it is made.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Draws the requests: the same ones every time.
    pub fn requests(&self) -> impl Iterator<Item = Request> {
        let log = &self.log;
        let mut users = rng::generator(self.seed, "trace users");
        let mut padding = rng::generator(self.seed, "trace candidates");
        let mut popularity = Popularity::new(&log.counts);
        self.schedule_us.iter().enumerate().map(move |(i, &arrival_us)| {
            let visit = match self.order {
                Order::Log => i % log.visits.len(),
                Order::Sampled => users.random_range(0..log.visits.len()),
            };
            let (user, logged) = &log.lists[log.visits[visit]];
            let length = self.lengths.of(i).clamp(1, log.items());
            let mut list = logged[..logged.len().min(length)].to_vec();
            popularity.extend(&mut list, length, &mut padding);
            let candidates = list.into_iter().map(|item| log.items[item]).collect();
            Request { arrival_us, id: i as u64, user: *user, candidates }
        })
    }

    /// About what it takes on a disk.
    fn bytes(&self) -> u64 {
        let items = self.log.items();
        let requests = 0..self.schedule_us.len();
        let candidates: u64 = requests.clone().map(|i| self.lengths.of(i).clamp(1, items) as u64).sum();
        REQUEST_BYTES * requests.len() as u64 + CANDIDATE_BYTES * candidates
    }

    /// Writes the trace: `.parquet` or `.jsonl`. Fails before it begins where the disk has no room for it.
    pub fn write(&self, path: &Path) -> Result<()> {
        check_room(path, self.bytes(), "name a place on another disk")?;
        trace_file::write(path, &self.origin, self.schedule_us.len(), self.requests())
    }
}

#[cfg(test)]
mod tests;
