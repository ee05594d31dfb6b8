//! What fetching costs, measured: many sets of features are fetched for requests of the log as a replay's worker does it, by one
//! worker and by several at once, and [`FetchTable`] prices rows and features by the times.
//!
//! Sets are visited in several passes, each in a new seeded order, so that a drift of the machine meets all of them alike. A
//! visit is a block of requests after one that warms the caches, of several workers while all of them are at work (`visit.rs`); its
//! value is the mean without the slowest quarter, and a set's value the median over its visits, as for networks
//! ([`service`](super::service)). The store's part is the fetch, decoding included; the part of what comes with the request is
//! its copying into the inputs.
//!
//! In a server a network runs between two fetches and takes the caches for itself, the more the longer it runs: a fetch from a store on
//! the disk takes up to half as long again, one from memory up to three times as long. So all sets are visited once right after each
//! other and once behind a sweep that leaves nothing in the caches, and how far networks go from one to the other is measured with
//! networks of several sizes (`displacing.rs`).

mod displacing;
mod visit;

use super::{
    engine::Engine,
    environment,
    lookup::Lookups,
    replay::{
        arrivals::Arrivals,
        clock::Clock,
        make::{DataHashes, ListLength, Order, TraceRecipe, plan},
    },
    service::median,
    store::{FeatureStore, Manifest, Owner},
    workload::{ResolvedTrace, TraceWorkload, request_log},
};
use crate::{
    base::{Error, Result, check, names::Layout, progress::Progress, rng, stop::Stop},
    data::{
        dataset::{Dataset, Slot},
        schema::{Schema, Source},
    },
    export::signature::Signature,
    price::fetch_table::{
        FetchBucket, FetchMeasuring, FetchObservation, FetchTable, Fetches, GroupShape, SCHEMA_VERSION,
        asked_in,
    },
};
use rand::RngExt;
use std::{collections::BTreeSet, path::Path};
use visit::{Caches, Times, Visit, visit};

/// Different requests: more than a cache could keep the rows of.
const REQUESTS: usize = 64;
/// Memory that is touched to take the caches: more than the share of one core in most of them, and less than a few ms take.
pub const DISPLACED_BYTES: usize = 64 << 20;
/// Random sets of each size that the prices are fitted to, and that they are judged by.
const FITTED: usize = 4;
const JUDGES: usize = 2;
/// Sizes of random sets, as shares of all features.
const SHARES: [f64; 6] = [0.05, 0.1, 0.2, 0.35, 0.5, 0.8];

/// How thoroughly to measure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchEffort {
    /// Candidate counts.
    pub candidates: Vec<usize>,
    /// Workers that fetch at once, beside the one that fetches alone.
    pub workers: usize,
    /// How requests become inputs: it says whether a user's values are written once or for every candidate.
    pub layout: Layout,
    /// Visits to every set of features.
    pub passes: usize,
    /// Requests of a visit.
    pub block: usize,
    /// Of sets, requests and order.
    pub seed: u64,
    /// Memory that is touched to take the caches.
    pub displaced_bytes: usize,
}

impl FetchEffort {
    /// Refuses what would measure nothing.
    pub fn check(&self) -> Result<()> {
        let sound = self.workers > 0 && self.passes > 0 && self.block > 0 && !self.candidates.is_empty();
        if !sound {
            return Err(Error::usage(
                format!("{self:?} measures nothing"),
                "give at least one of everything, and requests of one candidate or more",
            ));
        }
        Ok(self.candidates.iter().try_for_each(|&count| check::candidates("candidates", count))?)
    }
}

/// What is priced.
#[derive(Clone, Copy)]
pub struct Priced<'a> {
    /// Whose requests ask.
    pub data: &'a Dataset,
    /// What its features are.
    pub schema: &'a Schema,
    /// Where stored features come from.
    pub store: &'a dyn FeatureStore,
    /// What the table calls it.
    pub name: &'a str,
    /// What runs the networks that take the caches.
    pub engine: &'a dyn Engine,
}

/// Measures and fits, one candidate count after the other, and gives `keep` the table after each: a failure and a request to `stop`
/// lose only the count that is being measured. Goes on with `begun`, where that is given and of the same, and with what that has left to be measured.
pub fn measure_prices(
    priced: Priced<'_>,
    effort: &FetchEffort,
    begun: Option<FetchTable>,
    clock: &dyn Clock,
    progress: &dyn Progress,
    stop: &Stop,
    keep: &mut dyn FnMut(&FetchTable) -> Result<()>,
) -> Result<FetchTable> {
    let mut table = begin(priced, effort, begun)?;
    let Priced { data, schema, store, .. } = priced;
    let shapes = shapes(schema, data, store.manifest());
    let sets = design(&shapes, effort.seed);
    while let Some(&candidates) = table.unfinished.first() {
        progress.stage(&format!("fetch for {candidates} candidates"), effort.passes as u64);
        let requests = requests(data, candidates, effort.seed)?;
        let fetches = observe(priced, &requests, &sets, effort, clock, progress, stop)?;
        table.add(FetchBucket::fit(schema, &shapes, candidates, fetches)?);
        keep(&table)?;
    }
    Ok(table)
}

/// What is left to be measured, and how many visits to sets of features, or runs of networks between them, each candidate count takes.
pub fn planned(
    priced: Priced<'_>,
    effort: &FetchEffort,
    begun: Option<FetchTable>,
) -> Result<(Vec<usize>, usize)> {
    let table = begin(priced, effort, begun)?;
    let sets = design(&shapes(priced.schema, priced.data, priced.store.manifest()), effort.seed).len();
    let counts: BTreeSet<usize> = [1, effort.workers].into();
    let subjects = sets * (counts.len() + 1) + displacing::SUBJECTS;
    Ok((table.unfinished, subjects * effort.passes))
}

/// A table with what is there of it.
fn begin(priced: Priced<'_>, effort: &FetchEffort, begun: Option<FetchTable>) -> Result<FetchTable> {
    effort.check()?;
    let Priced { data, schema, store, name, engine } = priced;
    let most = effort.candidates.iter().copied().max().unwrap_or_default();
    let items = request_log(data, None)?.items();
    if items < most {
        return Err(Error::usage(
            format!("the data has {items} items, and no request for {most} of them"),
            "price fewer candidates, or name data with more items",
        ));
    }
    let mut table = FetchTable {
        schema_version: SCHEMA_VERSION,
        schema_hash: schema.hash(),
        store: name.to_owned(),
        host: environment::host(),
        workers: effort.workers,
        layout: asked_in(effort.layout),
        measuring: FetchMeasuring {
            store_rows_hash: store.manifest().rows_hash.clone(),
            data_rows_hash: data.rows_hash(),
            passes: effort.passes,
            block: effort.block,
            seed: effort.seed,
            displaced_bytes: effort.displaced_bytes,
            engine: engine.name(),
        },
        unfinished: effort.candidates.clone(),
        buckets: Vec::new(),
    };
    table.go_on(begun)?;
    Ok(table)
}

/// Rows of the store, and what comes with the request for user, item and pair.
fn shapes(schema: &Schema, data: &Dataset, manifest: &Manifest) -> Vec<GroupShape> {
    let position = |name: &str| schema.features.iter().position(|feature| feature.name == name);
    let mut shapes = Vec::new();
    for (owner, name) in [(Owner::User, "user"), (Owner::Item, "item"), (Owner::Pair, "pair")] {
        let own = |(_, feature): &(usize, &crate::data::schema::Feature)| {
            feature.source == Source::Matching && Owner::from(feature.kind) == owner
        };
        let features = schema.features.iter().enumerate().filter(own);
        let features: Vec<_> = features.map(|(at, feature)| (at, input_bytes(data, &feature.name))).collect();
        if !features.is_empty() {
            shapes.push(GroupShape { name: format!("request ({name})"), source: Source::Matching, features });
        }
    }
    shapes.extend(manifest.groups.iter().map(|group| {
        GroupShape {
            name: group.name.clone(),
            source: Source::Store,
            features: (group.features.iter())
                .filter_map(|feature| Some((position(&feature.name)?, feature.length * feature.value_bytes)))
                .collect(),
        }
    }));
    shapes
}

/// Bytes of a feature in the engine's inputs.
fn input_bytes(data: &Dataset, name: &str) -> usize {
    match data.features.iter().find(|feature| feature.name == name).map(|feature| feature.slot) {
        Some(Slot::Ids { length, .. }) => length * size_of::<i64>(),
        Some(Slot::Number { .. }) | None => size_of::<f32>(),
    }
}

/// A set of features, by ascending positions in the schema, and whether it judges the fit.
type Chosen = (Vec<usize>, bool);

/// Of every group one feature, half of them and all; all features; and random sets.
fn design(shapes: &[GroupShape], seed: u64) -> Vec<Chosen> {
    let mut generator = rng::generator(seed, "sets of features");
    let mut all: Vec<usize> =
        shapes.iter().flat_map(|shape| shape.features.iter().map(|&(position, _)| position)).collect();
    let mut sets: Vec<Chosen> = Vec::new();
    let mut seen = BTreeSet::new();
    let mut add = |mut set: Vec<usize>, judges: bool| {
        set.sort_unstable();
        if !set.is_empty() && seen.insert(set.clone()) {
            sets.push((set, judges));
        }
    };
    for shape in shapes {
        let mut members: Vec<usize> = shape.features.iter().map(|&(position, _)| position).collect();
        rng::shuffle(&mut members, &mut generator);
        for count in [1, members.len().div_ceil(2), members.len()] {
            add(members[..count.min(members.len())].to_vec(), false);
        }
    }
    add(all.clone(), false);
    for judges in [false, true] {
        for share in SHARES {
            for _ in 0..if judges { JUDGES } else { FITTED } {
                rng::shuffle(&mut all, &mut generator);
                let count = ((share * all.len() as f64).round() as usize).clamp(1, all.len());
                add(all[..count].to_vec(), judges);
            }
        }
    }
    sets
}

/// Requests of the log with `candidates` candidates each.
fn requests(data: &Dataset, candidates: usize, seed: u64) -> Result<ResolvedTrace> {
    let recipe = TraceRecipe {
        arrivals: Arrivals::Poisson { qps: 1.0 },
        requests: REQUESTS,
        order: Order::Sampled,
        length: ListLength::Fixed(candidates),
        seed,
    };
    let trace = plan(request_log(data, None)?, &recipe, DataHashes::default())?;
    let mut resolved = ResolvedTrace::new(Path::new("the log"), trace.requests().map(Ok), data)?;
    resolved.keep_keys(data)?;
    Ok(resolved)
}

/// Who fetches what, and what the caches hold.
#[derive(Clone, Copy)]
struct Subject {
    set: usize,
    workers: usize,
    caches: Caches,
}

/// Times of every set: by one worker and by several right after each other, by one worker with caches that something else has taken, and
/// behind networks.
fn observe(
    priced: Priced<'_>,
    requests: &ResolvedTrace,
    sets: &[Chosen],
    effort: &FetchEffort,
    clock: &dyn Clock,
    progress: &dyn Progress,
    stop: &Stop,
) -> Result<Fetches> {
    let Priced { data, schema, store, .. } = priced;
    let workload = |(set, _): &Chosen| {
        let signature = signature(schema, data, effort.layout, set);
        TraceWorkload::fetching(requests, data, schema, &signature, store, &Lookups::default())
    };
    let workloads: Vec<TraceWorkload> = sets.iter().map(workload).collect::<Result<_>>()?;
    let counts: BTreeSet<usize> = [1, effort.workers].into();
    let near = counts.iter().map(|&workers| (workers, Caches::Near));
    let subjects: Vec<Subject> = near
        .chain([(1, Caches::Displaced)])
        .flat_map(|(workers, caches)| (0..sets.len()).map(move |set| Subject { set, workers, caches }))
        .collect();
    let mut times: Vec<Vec<Times>> = vec![Vec::new(); subjects.len()];
    let mut order: Vec<usize> = (0..subjects.len()).collect();
    let mut generator = rng::generator(effort.seed, "order of fetches");
    for pass in 0..effort.passes {
        rng::shuffle(&mut order, &mut generator);
        for &i in &order {
            stop.check()?;
            let Subject { set, workers, caches } = subjects[i];
            let first = generator.random_range(0..REQUESTS);
            let displaced_bytes = caches.displaced_bytes(effort);
            let asked = Visit { workers, first, block: effort.block, displaced_bytes };
            times[i].push(visit(&workloads[set], asked, clock)?);
        }
        progress.advance(pass as u64 + 1, "passes");
    }
    let mut fetches = Fetches::default();
    for (&Subject { set, workers, caches }, times) in subjects.iter().zip(&times) {
        let middle = |of: fn(&Times) -> f64| median(times.iter().map(of).collect());
        let (features, held_out) = sets[set].clone();
        let (fetch_ms, decode_ms) = (middle(|times| times.fetch_ms), middle(|times| times.decode_ms));
        let observation = FetchObservation { features, workers, fetch_ms, decode_ms, held_out };
        match caches {
            Caches::Near => fetches.near.push(observation),
            Caches::Displaced => fetches.displaced.push(observation),
        }
    }
    // Of all sets the largest shows best what networks do.
    if let Some(all) = (0..sets.len()).max_by_key(|&set| sets[set].0.len()) {
        fetches.networks = displacing::displacements(priced, requests, &workloads[all], effort, clock, stop)?;
    }
    Ok(fetches)
}

/// Inputs of a network of these features.
fn signature(schema: &Schema, data: &Dataset, layout: Layout, set: &[usize]) -> Signature {
    let chosen = set.iter().map(|&at| &schema.features[at]);
    let encoded = chosen.filter_map(|feature| {
        let encoded = data.features.iter().find(|encoded| encoded.name == feature.name)?;
        Some((feature.kind.side(), encoded))
    });
    Signature::of_features(asked_in(layout), encoded)
}

#[cfg(test)]
mod tests;
