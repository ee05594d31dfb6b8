//! How soon networks take the caches from fetches: the largest set of features is fetched right after itself, behind a sweep, and
//! behind runs of networks of several sizes, by turns.

use super::{
    FetchEffort, Priced, REQUESTS,
    visit::{Asking, Caches},
};
use crate::{
    base::{
        Result, fsio,
        names::{Layout, Precision},
        rng,
        stop::Stop,
    },
    data::schema::{Feature, Side},
    export::probe::{self, ProbeFeature},
    measure::{
        engine::{Inputs, Session, SessionOptions},
        lookup::Lookups,
        replay::{Workload, clock::Clock},
        service::{caches::Sweep, median, without_slowest_quarter},
        workload::{ResolvedTrace, TraceWorkload},
    },
    price::fetch_table::{Displacement, asked_in},
};
use rand::RngExt;
use std::time::Duration;

/// Networks, from one that leaves nearly all to one that leaves nearly nothing: of every so many-th feature, with these layers.
pub(super) const NETWORKS: [(usize, &[usize]); 5] =
    [(10, &[64]), (5, &[128]), (3, &[128, 256, 64]), (2, &[256, 128]), (1, &[512, 256])];
/// Those, nothing, and a sweep.
pub(super) const SUBJECTS: usize = NETWORKS.len() + 2;
/// Fetches that a sweep makes longer by less than this share of them tell nothing of caches.
const LEAST_DIFFERENCE: f64 = 0.02;

/// A network, ready to run on one request of its own.
struct Network {
    session: Box<dyn Session>,
    inputs: Inputs,
    scores: Vec<f32>,
}

impl Network {
    fn run(&mut self, clock: &dyn Clock) -> Result<Duration> {
        let begun = clock.now();
        self.session.run(&self.inputs, &mut self.scores)?;
        Ok(clock.now().saturating_sub(begun))
    }
}

/// What runs between two fetches.
enum Between {
    Sweep(Sweep),
    Network(Network),
}

/// What networks do to fetches of `all` behind them; none where caches make no difference.
pub(super) fn displacements(
    priced: Priced<'_>,
    requests: &ResolvedTrace,
    all: &TraceWorkload<'_>,
    effort: &FetchEffort,
    clock: &dyn Clock,
    stop: &Stop,
) -> Result<Vec<Displacement>> {
    let sweep = |caches: Caches| Between::Sweep(Sweep::of_bytes(caches.displaced_bytes(effort)));
    let mut subjects = vec![sweep(Caches::Near), sweep(Caches::Displaced)];
    for (nth, widths) in NETWORKS {
        subjects.push(Between::Network(network(priced, requests, effort.layout, nth, widths)?));
    }
    // Of every subject the fetches and the runs, a block's mean each.
    let mut blocks: Vec<[Vec<f64>; 2]> = subjects.iter().map(|_| Default::default()).collect();
    let mut order: Vec<usize> = (0..subjects.len()).collect();
    let mut generator = rng::generator(effort.seed, "order of networks");
    for _ in 0..effort.passes {
        rng::shuffle(&mut order, &mut generator);
        for &at in &order {
            stop.check()?;
            let first = generator.random_range(0..REQUESTS);
            let means = block(&mut subjects[at], all, first, effort.block, clock)?;
            blocks[at].iter_mut().zip(means).for_each(|(blocks, mean)| blocks.push(mean));
        }
    }
    let found: Vec<[f64; 2]> = blocks.into_iter().map(|of| of.map(median)).collect();
    let ([near_ms, _], [far_ms, _]) = (found[0], found[1]);
    if far_ms - near_ms <= LEAST_DIFFERENCE * near_ms {
        return Ok(Vec::new());
    }
    let displacement = |&[fetch_ms, network_ms]: &[f64; 2]| Displacement {
        network_ms,
        share: (fetch_ms - near_ms) / (far_ms - near_ms),
    };
    Ok(found[2..].iter().map(displacement).collect())
}

/// The means, without the slowest quarter, of fetches and of what runs behind each of them, in ms.
fn block(
    subject: &mut Between,
    all: &TraceWorkload<'_>,
    first: usize,
    block: usize,
    clock: &dyn Clock,
) -> Result<[f64; 2]> {
    let mut ran_ms = Vec::with_capacity(block + 1);
    let mut between = || -> Result<()> {
        let took = match subject {
            Between::Network(network) => network.run(clock)?,
            Between::Sweep(sweep) => {
                sweep.run();
                Duration::ZERO
            }
        };
        ran_ms.push(took.as_secs_f64() * 1e3);
        Ok(())
    };
    let mut asking = Asking::new(all, clock, first, &mut between)?;
    asking.serve()?;
    let fetches: Vec<f64> =
        (0..block).map(|_| asking.serve().map(|[fetch_ms, _]| fetch_ms)).collect::<Result<_>>()?;
    drop(asking);
    Ok([without_slowest_quarter(fetches), without_slowest_quarter(ran_ms)])
}

/// A network of every `nth` feature of the data.
fn network(
    priced: Priced<'_>,
    requests: &ResolvedTrace,
    layout: Layout,
    nth: usize,
    widths: &[usize],
) -> Result<Network> {
    let Priced { data, schema, engine, .. } = priced;
    let encoded = |name: &str| data.features.iter().find(|encoded| encoded.name == name);
    let mut features: Vec<&Feature> = schema.features.iter().collect();
    // No network is of users alone.
    features.sort_by_key(|feature| feature.kind.side() == Side::User);
    let chosen = features.into_iter().step_by(nth).filter_map(|feature| {
        Some(ProbeFeature { feature, cardinality: encoded(&feature.name)?.cardinality as usize })
    });
    let inputs = probe::inputs(&chosen.collect::<Vec<_>>());
    let model = probe::network(inputs, widths, asked_in(layout), Precision::Fp32, "between")?;
    let folder = fsio::temporary_folder()?;
    let path = folder.path().join("between.onnx");
    model.write(&path)?;
    let workload = TraceWorkload::new(requests, data, schema, &model.signature, &Lookups::default())?;
    let mut inputs = workload.inputs();
    workload.prepare(0, &mut inputs)?;
    let options = SessionOptions { candidates_hint: Some(inputs.candidates), ..SessionOptions::PLAIN };
    Ok(Network { session: engine.load(&path, &options)?, inputs, scores: Vec::new() })
}
