//! The latency table: what was measured, under which circumstances, and what whole networks taught about it.
//!
//! A [`Bucket`] joins the circumstances of a measurement (engine, version, provider, layout, precision, threads, host,
//! candidates) with the typical service time of every probed layer. The raw values are never changed: whole-network
//! observations and the correction fitted to them stand beside, so that each version can be derived anew.

pub use super::entry::{InputEntry, Operation, RunQuantiles, TableEntry, Value};
use super::{
    correction::Correction, entry::order_widths, observation::Observation, origin::Origin, widths::WidthError,
};
use crate::{
    base::{
        Error, Result,
        error::Place,
        fsio, hash,
        names::{EngineName, Layout, Precision, Provider},
    },
    space::Input,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{cmp::Ordering, path::Path};

/// Version of the file format that this program reads and writes.
pub const SCHEMA_VERSION: u32 = 3;

/// The circumstances that prices belong to; none carries over to another.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TableContext {
    /// The runtime.
    pub engine: EngineName,
    /// Its version.
    pub engine_version: String,
    /// Where it computes.
    pub provider: Provider,
    /// How requests become inputs.
    pub layout: Layout,
    /// Number format of the graph.
    pub precision: Precision,
    /// Intra-op threads.
    pub threads: usize,
    /// Fingerprint of the host.
    pub host: String,
}

impl std::fmt::Display for TableContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { engine, engine_version, provider, layout, precision, threads, host } = self;
        write!(
            f,
            "{engine} {engine_version} ({provider}, {layout}, {precision}, threads {threads}, host {host})"
        )
    }
}

impl TableContext {
    /// The command that adds prices for these circumstances to a table.
    pub fn probe_command(&self, candidates: usize) -> String {
        self.command(candidates, "TABLE.json --resume` (it adds to the table)")
    }

    /// The command that measures a table for these circumstances from the beginning.
    pub fn probe_anew(&self, candidates: usize) -> String {
        self.command(candidates, "TABLE.json` into a new file")
    }

    fn command(&self, candidates: usize, out: &str) -> String {
        let Self { engine, provider, layout, precision, threads, host, .. } = self;
        format!(
            "measure it on host {host} with `autofas-bench table probe --config E.toml --encoders ENCODERS.json --engine {engine} \
             --provider {provider} --layout {layout} --precision {precision} --threads {threads} --candidates {candidates} \
             --out {out}, with the encoders.json of a run or of `autofas-bench data encode`, and start a run that pays with it: \
             `autofas-bench iterate --config E.toml --table TABLE.json --out RUN`"
        )
    }
}

/// Everything known under the same circumstances at one candidate count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bucket {
    /// The circumstances.
    pub context: TableContext,
    /// Candidates per request.
    pub candidates: usize,
    /// Raw probe values in the order of their operations, each operation once.
    pub entries: Vec<TableEntry>,
    /// What the inputs of the probed first layers were made of, by user and item width: one input for each pair of widths.
    #[serde(default)]
    pub grid: Vec<Input>,
    /// First layers over other sets of features, in the order of what they are made of.
    #[serde(default)]
    pub inputs: Vec<InputEntry>,
    /// Whole networks measured so far, each once, in the order of their widths.
    pub observations: Vec<Observation>,
    /// Whole networks that no correction has learnt from: they judge this table, and have a veto against a new correction.
    #[serde(default)]
    pub held_out: Vec<Observation>,
    /// What the observations say about the raw values; absent until the first calibration.
    pub correction: Option<Correction>,
    /// How far prices between probed input widths are off; absent where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub between_widths: Option<WidthError>,
}

/// A versioned latency table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatencyTable {
    /// Format of the file.
    pub schema_version: u32,
    /// 1 for fresh probes; each calibration or merge adds one.
    pub version: u32,
    /// [`LatencyTable::id`] of the tables that this one was derived from.
    pub parents: Vec<String>,
    /// What made it, in words.
    pub created_from: String,
    /// Where the values come from, each once.
    #[serde(default)]
    pub origins: Vec<Origin>,
    /// One per circumstances and candidate count, sorted by both.
    pub buckets: Vec<Bucket>,
}

impl LatencyTable {
    /// An empty table of version 1.
    pub fn new(created_from: impl Into<String>) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            version: 1,
            parents: Vec::new(),
            created_from: created_from.into(),
            origins: Vec::new(),
            buckets: Vec::new(),
        }
    }

    /// The next version with the same content, which names this one as its parent.
    pub fn successor(&self, created_from: impl Into<String>) -> Self {
        Self {
            version: self.version + 1,
            parents: vec![self.id()],
            created_from: created_from.into(),
            ..self.clone()
        }
    }

    /// Version and content hash, such as `v2-1a2b3c4d`.
    pub fn id(&self) -> String {
        let json = serde_json::to_vec(self).expect("plain data");
        format!("v{}-{}", self.version, &hash::sha256(&json)[..8])
    }

    /// Reads and validates a table file.
    pub fn load(path: &Path) -> Result<Self> {
        let fix = "restore the file, or probe again with this version of the program: `autofas-bench table probe \
                   --config E.toml --out TABLE.json`";
        let table: Self = fsio::read_versioned(path, SCHEMA_VERSION, fix)?;
        match table.problem() {
            None => Ok(table),
            Some((place, problem)) => Err(Error::input(path, Place::field(place), problem, fix)),
        }
    }

    /// Where a table from a file is wrong, and how. Files are written in order, so anything out of order or
    /// twice was edited.
    fn problem(&self) -> Option<(String, String)> {
        if let Some(problem) = self.lost_origin() {
            return Some(("origins".into(), problem));
        }
        if !self.buckets.is_sorted_by(|a, b| a.key() < b.key()) {
            return Some(("buckets".into(), "has a bucket twice or out of order".into()));
        }
        self.buckets.iter().find_map(|bucket| {
            let place = format!("{} at {} candidates", bucket.context, bucket.candidates);
            bucket.problem().map(|problem| (place, problem))
        })
    }

    /// Writes the table as JSON. The same content gives the same bytes.
    pub fn save(&self, path: &Path) -> Result<()> {
        fsio::write_json(path, self)
    }

    /// Adds a raw value that this program measured; one that is there for the same operation is replaced.
    ///
    /// Refuses values that are no latencies. A correction stays as it is until the next calibration.
    pub fn insert(&mut self, context: &TableContext, candidates: usize, entry: TableEntry) -> Result<()> {
        sound(context, candidates, entry.problem())?;
        let entry = TableEntry { origin: self.own_origin(&context.host), ..entry };
        let entries = &mut self.bucket_or_new(context, candidates).entries;
        put(entries, entry, |a, b| a.operation.cmp(&b.operation));
        Ok(())
    }

    /// Adds a measurement of this program; one that is there of the same thing is replaced. Refuses what is no latency.
    pub fn insert_value(&mut self, context: &TableContext, candidates: usize, value: Value) -> Result<()> {
        let origin = self.own_origin(&context.host);
        match value {
            Value::Layer(entry) => return self.insert(context, candidates, entry),
            Value::Grid(entry, input) => {
                let other =
                    self.bucket(context, candidates).is_ok_and(|bucket| bucket.contradicts_grid(&input));
                if other {
                    return Err(Error::usage(
                        other_grid(&input) + " than before",
                        context.probe_anew(candidates),
                    ));
                }
                self.insert(context, candidates, entry)?;
                put(&mut self.bucket_or_new(context, candidates).grid, input, order_widths);
            }
            Value::Input(entry) => {
                sound(context, candidates, entry.problem())?;
                let entry = InputEntry { origin, ..entry };
                put(&mut self.bucket_or_new(context, candidates).inputs, entry, InputEntry::order);
            }
            Value::Network(observation) => {
                sound(context, candidates, observation.problem())?;
                let observation = Observation { origin, ..observation };
                let bucket = self.bucket_or_new(context, candidates);
                put(&mut bucket.observations, observation, Observation::order);
                bucket.judge_by_unlearnt();
            }
            Value::HeldOut(observation) => {
                sound(context, candidates, observation.problem())?;
                let observation = Observation { origin, ..observation };
                let bucket = self.bucket_or_new(context, candidates);
                put(&mut bucket.held_out, observation, Observation::order);
                bucket.judge_by_unlearnt();
            }
        }
        Ok(())
    }

    /// Derives the corrections of these buckets anew from raw values and whole networks, and how far prices between their widths are off.
    pub fn corrected(mut self, which: impl Fn(&Bucket) -> bool) -> Result<Self> {
        for bucket in self.buckets.iter_mut().filter(|bucket| which(bucket)) {
            let before = bucket.correction.take();
            bucket.refit(before.as_slice())?;
        }
        Ok(self)
    }

    /// The bucket of these circumstances and this candidate count.
    ///
    /// Fails with the command that would fill it, and says so when only host or engine version differ.
    pub fn bucket(&self, context: &TableContext, candidates: usize) -> Result<&Bucket> {
        if let Ok(at) = self.position(context, candidates) {
            return Ok(&self.buckets[at]);
        }
        let moved = self.buckets.iter().map(|bucket| &bucket.context).find(|known| {
            let same = TableContext {
                engine_version: context.engine_version.clone(),
                host: context.host.clone(),
                ..(*known).clone()
            };
            same == *context && *known != context
        });
        let hint = moved
            .map_or(String::new(), |known| format!(" (it has those of {known}, which do not carry over)"));
        Err(Error::MissingPrice {
            key: format!("{context} at {candidates} candidates{hint}"),
            fix: context.probe_command(candidates),
        })
    }

    pub(super) fn bucket_or_new(&mut self, context: &TableContext, candidates: usize) -> &mut Bucket {
        let at = self.position(context, candidates).unwrap_or_else(|at| {
            self.buckets.insert(at, Bucket::new(context.clone(), candidates));
            at
        });
        &mut self.buckets[at]
    }

    fn position(&self, context: &TableContext, candidates: usize) -> Result<usize, usize> {
        self.buckets.binary_search_by(|bucket| bucket.key().cmp(&(context, candidates)))
    }
}

/// Puts `item` where it belongs in a sorted list, over one of the same place.
pub(super) fn put<T>(list: &mut Vec<T>, item: T, order: impl Fn(&T, &T) -> Ordering) {
    match list.binary_search_by(|known| order(known, &item)) {
        Ok(at) => list[at] = item,
        Err(at) => list.insert(at, item),
    }
}

/// Why a point of the grid does not go with the others.
pub(super) fn other_grid(input: &Input) -> String {
    let widths = input.widths;
    format!(
        "first layers at user {}, item {} are over other features of the same widths, which cost something else,",
        widths.user, widths.item
    )
}

fn sound(context: &TableContext, candidates: usize, problem: Option<String>) -> Result<()> {
    match problem {
        None => Ok(()),
        Some(problem) => Err(Error::usage(problem, context.probe_command(candidates))),
    }
}

impl Bucket {
    fn new(context: TableContext, candidates: usize) -> Self {
        Self {
            context,
            candidates,
            entries: Vec::new(),
            grid: Vec::new(),
            inputs: Vec::new(),
            observations: Vec::new(),
            held_out: Vec::new(),
            correction: None,
            between_widths: None,
        }
    }

    /// Whether the grid has other features at the same widths.
    pub(super) fn contradicts_grid(&self, input: &Input) -> bool {
        let known = self.grid.binary_search_by(|known| order_widths(known, input));
        known.is_ok_and(|at| self.grid[at] != *input)
    }

    /// Whether nothing is known under the circumstances.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
            && self.inputs.is_empty()
            && self.observations.is_empty()
            && self.held_out.is_empty()
    }

    fn key(&self) -> (&TableContext, usize) {
        (&self.context, self.candidates)
    }

    fn problem(&self) -> Option<String> {
        if let Some(pair) = self.entries.windows(2).find(|pair| pair[0].operation >= pair[1].operation) {
            return Some(format!("holds {} twice or out of order", pair[1].operation));
        }
        let sorted = |observations: &[Observation]| observations.is_sorted_by(|a, b| a.order(b).is_lt());
        if !sorted(&self.observations) || !sorted(&self.held_out) {
            return Some("holds an observation twice or out of order".into());
        }
        if !self.inputs.is_sorted_by(|a, b| a.order(b).is_lt()) {
            return Some("holds a set of features twice or out of order".into());
        }
        if !self.grid.is_sorted_by(|a, b| order_widths(a, b).is_lt()) {
            return Some("holds a point of the grid twice or out of order".into());
        }
        let entries = self.entries.iter().filter_map(TableEntry::problem);
        let observations = self.observations.iter().chain(&self.held_out).filter_map(Observation::problem);
        let entries = entries.chain(self.inputs.iter().filter_map(InputEntry::problem));
        entries.chain(observations).chain(self.correction.as_ref().and_then(Correction::problem)).next()
    }
}
