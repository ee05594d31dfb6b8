//! What fetching costs, measured: many sets of features are fetched for requests of the log as a replay's worker does it, by one
//! worker and by several at once, and [`FetchTable`] prices rows and features by the times.
//!
//! Sets are visited in several passes, each in a new seeded order, so that a drift of the machine meets all of them alike. A
//! visit is a block of requests after one that warms the caches; its value is the mean without the slowest quarter, and a set's value
//! the median over its visits, as for networks ([`service`](super::service)). The store's part is the fetch, decoding included; the
//! part of what comes with the request is its copying into the inputs.

use super::{
    engine::Inputs,
    environment,
    lookup::Lookups,
    replay::{
        Workload,
        arrivals::Arrivals,
        clock::Clock,
        make::{DataHashes, ListLength, Order, TraceRecipe, plan},
    },
    service::{median, without_slowest_quarter},
    store::{FeatureStore, FetchCounts, Manifest, Owner},
    workload::{ResolvedTrace, TraceWorkload, request_log},
};
use crate::{
    base::{Error, Result, names::Layout, progress::Progress, rng, stop::Stop},
    data::{
        dataset::{Dataset, Slot},
        schema::{Schema, Side, Source},
    },
    export::signature::{Content, ElementType, Field, Rows, Signature, TensorSpec},
    price::fetch_table::{FetchBucket, FetchObservation, FetchTable, GroupShape, SCHEMA_VERSION},
};
use rand::RngExt;
use std::{collections::BTreeSet, path::Path};

/// Different requests: more than a cache could keep the rows of.
const REQUESTS: usize = 64;
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
    /// Visits to every set of features.
    pub passes: usize,
    /// Requests of a visit.
    pub block: usize,
    /// Of sets, requests and order.
    pub seed: u64,
}

impl FetchEffort {
    /// Refuses what would measure nothing.
    pub fn check(&self) -> Result<()> {
        let sound = self.workers > 0 && self.passes > 0 && self.block > 0 && !self.candidates.is_empty();
        match sound && self.candidates.iter().all(|&count| count > 0) {
            true => Ok(()),
            false => Err(Error::usage(
                format!("{self:?} measures nothing"),
                "give at least one of everything, and requests of one candidate or more",
            )),
        }
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
}

/// Measures and fits. A request to `stop` ends it without a table.
pub fn measure_prices(
    priced: Priced<'_>,
    effort: &FetchEffort,
    clock: &dyn Clock,
    progress: &dyn Progress,
    stop: &Stop,
) -> Result<FetchTable> {
    effort.check()?;
    let Priced { data, schema, store, name } = priced;
    let shapes = shapes(schema, data, store.manifest());
    let sets = design(&shapes, effort.seed);
    let mut candidates = effort.candidates.clone();
    candidates.sort_unstable();
    candidates.dedup();
    let mut buckets = Vec::with_capacity(candidates.len());
    for candidates in candidates {
        progress.stage(&format!("fetch for {candidates} candidates"), effort.passes as u64);
        let requests = requests(data, candidates, effort.seed)?;
        let observations = observe(priced, &requests, &sets, effort, clock, progress, stop)?;
        buckets.push(FetchBucket::fit(schema, &shapes, candidates, observations)?);
    }
    Ok(FetchTable {
        schema_version: SCHEMA_VERSION,
        schema_hash: schema.hash(),
        store: name.to_owned(),
        host: environment::host(),
        workers: effort.workers,
        buckets,
    })
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
    let log = request_log(data, None)?;
    if log.items() < candidates {
        return Err(Error::usage(
            format!("the data has {} items, and no request for {candidates} of them", log.items()),
            "price fewer candidates, or name data with more items",
        ));
    }
    let recipe = TraceRecipe {
        arrivals: Arrivals::Poisson { qps: 1.0 },
        requests: REQUESTS,
        order: Order::Sampled,
        length: ListLength::Fixed(candidates),
        seed,
    };
    let trace = plan(log, &recipe, DataHashes::default())?;
    let mut resolved = ResolvedTrace::new(Path::new("the log"), trace.requests().map(Ok), data)?;
    resolved.keep_keys(data)?;
    Ok(resolved)
}

/// Times of every set, by one worker and by several.
fn observe(
    priced: Priced<'_>,
    requests: &ResolvedTrace,
    sets: &[Chosen],
    effort: &FetchEffort,
    clock: &dyn Clock,
    progress: &dyn Progress,
    stop: &Stop,
) -> Result<Vec<FetchObservation>> {
    let Priced { data, schema, store, .. } = priced;
    let workload = |(set, _): &Chosen| {
        TraceWorkload::fetching(
            requests,
            data,
            schema,
            &signature(schema, data, set),
            store,
            &Lookups::default(),
        )
    };
    let workloads: Vec<TraceWorkload> = sets.iter().map(workload).collect::<Result<_>>()?;
    let counts: BTreeSet<usize> = [1, effort.workers].into();
    let subjects: Vec<(usize, usize)> =
        counts.iter().flat_map(|&workers| (0..sets.len()).map(move |set| (set, workers))).collect();
    let mut times: Vec<Vec<Times>> = vec![Vec::new(); subjects.len()];
    let mut order: Vec<usize> = (0..subjects.len()).collect();
    let mut generator = rng::generator(effort.seed, "order of fetches");
    for pass in 0..effort.passes {
        rng::shuffle(&mut order, &mut generator);
        for &i in &order {
            stop.check()?;
            let (set, workers) = subjects[i];
            let first = generator.random_range(0..REQUESTS);
            times[i].push(visit(&workloads[set], workers, first, effort.block, clock)?);
        }
        progress.advance(pass as u64 + 1, "passes");
    }
    let observation = |(&(set, workers), times): (&(usize, usize), &Vec<Times>)| {
        let middle = |of: fn(&Times) -> f64| median(times.iter().map(of).collect());
        let (features, held_out) = sets[set].clone();
        let (fetch_ms, decode_ms) = (middle(|times| times.fetch_ms), middle(|times| times.decode_ms));
        FetchObservation { features, workers, fetch_ms, decode_ms, held_out }
    };
    Ok(subjects.iter().zip(&times).map(observation).collect())
}

/// Milliseconds per request.
#[derive(Debug, Clone, Copy)]
struct Times {
    fetch_ms: f64,
    decode_ms: f64,
}

/// A block of requests, each of so many workers from another one on.
fn visit(
    workload: &TraceWorkload<'_>,
    workers: usize,
    first: usize,
    block: usize,
    clock: &dyn Clock,
) -> Result<Times> {
    let work = |worker: usize| one_worker(workload, first + worker * REQUESTS / workers, block, clock);
    let all: Vec<Times> = match workers {
        1 => vec![work(0)?],
        _ => std::thread::scope(|scope| {
            let started: Vec<_> = (0..workers).map(|worker| scope.spawn(move || work(worker))).collect();
            let joined = started.into_iter().map(|thread| thread.join().expect("a worker does not panic"));
            joined.collect::<Result<_>>()
        })?,
    };
    let mean = |of: fn(&Times) -> f64| all.iter().map(of).sum::<f64>() / all.len() as f64;
    Ok(Times { fetch_ms: mean(|times| times.fetch_ms), decode_ms: mean(|times| times.decode_ms) })
}

fn one_worker(workload: &TraceWorkload<'_>, first: usize, block: usize, clock: &dyn Clock) -> Result<Times> {
    let (mut inputs, mut counts) = (workload.inputs(), FetchCounts::default());
    let mut fetcher = workload.fetcher()?;
    let mut serve = |request: usize, inputs: &mut Inputs| -> Result<[f64; 2]> {
        let begun = clock.now();
        workload.prepare(request, inputs)?;
        let decoded = clock.now();
        if let Some(fetcher) = &mut fetcher {
            fetcher.fetch(request, inputs, &mut counts)?;
        }
        let ms = |from, to: std::time::Duration| to.saturating_sub(from).as_secs_f64() * 1e3;
        Ok([ms(decoded, clock.now()), ms(begun, decoded)])
    };
    serve(first % REQUESTS, &mut inputs)?;
    let runs = (1..=block).map(|run| serve((first + run) % REQUESTS, &mut inputs));
    let runs: Vec<[f64; 2]> = runs.collect::<Result<_>>()?;
    let [fetch_ms, decode_ms] =
        [0, 1].map(|part| without_slowest_quarter(runs.iter().map(|run| run[part]).collect()));
    Ok(Times { fetch_ms, decode_ms })
}

/// Inputs of a network of these features under the layout user-once.
fn signature(schema: &Schema, data: &Dataset, set: &[usize]) -> Signature {
    let encoded = |name: &str| data.features.iter().find(|feature| feature.name == name);
    let fields = |side: Side, element: ElementType| -> Vec<Field> {
        let of_side = set.iter().map(|&at| &schema.features[at]).filter(|f| f.kind.side() == side);
        of_side
            .filter_map(|feature| encoded(&feature.name))
            .filter_map(|encoded| {
                let (own, columns) = match encoded.slot {
                    Slot::Ids { length, .. } => (ElementType::I64, length),
                    Slot::Number { .. } => (ElementType::F32, 1),
                };
                let field =
                    Field { feature: encoded.name.clone(), columns, cardinality: encoded.cardinality };
                (own == element).then_some(field)
            })
            .collect()
    };
    let (one, each) = (Rows::One, Rows::Candidates);
    let tensors = [
        ("user_ids", one, Side::User, ElementType::I64),
        ("item_ids", each, Side::Item, ElementType::I64),
        ("user_num", one, Side::User, ElementType::F32),
        ("item_num", each, Side::Item, ElementType::F32),
    ]
    .map(|(name, rows, side, element)| TensorSpec {
        name: name.to_owned(),
        rows,
        element,
        content: Content::Values,
        fields: fields(side, element),
    });
    let tensors = tensors.into_iter().filter(|tensor| !tensor.fields.is_empty()).collect();
    Signature { layout: Layout::UserOnce, tensors }
}

#[cfg(test)]
mod tests;
