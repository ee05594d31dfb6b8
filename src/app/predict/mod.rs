//! `table predict`: what a latency table, prices of fetching and the replay of another network say of one network, before it is
//! replayed itself.
//!
//! ```text
//! fetch_ms     equation (4) of its features, at measured prices
//! service_ms   its layers, at the prices of the table
//! response_ms  their sum: the mean response when nobody waits
//! load         the queue at a rate, of work that scatters as the reference's does and has that mean
//! ```
//!
//! The search pays by the same functions: [`subnet_ms`], [`FeaturePrices::selected_ms`](crate::price::feature::FeaturePrices::selected_ms)
//! and [`Reference::work_at`].

mod network;

pub use network::PricedNetwork;

use crate::{
    base::{Error, Result, error::Place, names::EngineName},
    measure::{
        measurement::Measurement,
        replay::{
            forecast::{ForecastPoint, ForecastSettings, Traffic, forecast},
            trace::Trace,
        },
        tail::Reference,
    },
    price::{
        agreement::Shape,
        fetch_table::{FetchTable, Serving},
        observation::Observation,
        path::subnet_ms,
        table::{LatencyTable, TableContext},
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Version of the result's format.
const SCHEMA_VERSION: u32 = 1;
/// Of simulated gaps and work.
const SEED: u64 = 1;

/// What is to be predicted, and by what.
pub struct PredictRequest<'a> {
    /// The table.
    pub table: &'a LatencyTable,
    /// The network.
    pub network: &'a PricedNetwork,
    /// One per engine.
    pub contexts: &'a [TableContext],
    /// Prices of what comes from a store and with the request; without them nothing is fetched.
    pub fetch: Option<&'a FetchTable>,
    /// Which requests.
    pub requests: &'a [Requests<'a>],
    /// Workers that serve them.
    pub workers: usize,
    /// The rate of a forecast, where one is asked for.
    pub load: Option<OfferedLoad<'a>>,
}

/// Which requests are predicted.
#[derive(Debug, Clone, Copy)]
pub enum Requests<'a> {
    /// All with as many candidates, and Poisson arrivals.
    Each([u32; 1]),
    /// Those of a trace: means over its numbers of candidates, and its arrivals stretched to the rate.
    Of(&'a Trace),
}

/// A rate, and replays that show how work scatters.
#[derive(Debug, Clone, Copy)]
pub struct OfferedLoad<'a> {
    /// Requests per second.
    pub qps: f64,
    /// Where the replays stand.
    pub file: &'a Path,
    /// One per engine.
    pub results: &'a [Measurement],
}

/// What is predicted of a network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TablePrediction {
    /// Version of this format.
    pub schema_version: u32,
    /// Id of the table.
    pub table: String,
    /// Canonical id.
    pub network: String,
    /// Names of its features.
    pub features: Vec<String>,
    /// Widths of its hidden layers.
    pub layers: Vec<usize>,
    /// Where features come from at the prices that were given; absent without prices of fetching.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// Workers that serve the requests.
    pub workers: usize,
    /// By engine, then by requests.
    pub predictions: Vec<Prediction>,
}

/// What is predicted under the same circumstances.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Prediction {
    /// Engine, host and all else that the prices of layers belong to.
    pub context: TableContext,
    /// Candidates of every request; absent for those of a trace, over which all is a mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidates: Option<usize>,
    /// Mean time of decoding and fetching its features, in ms; absent without prices of fetching.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fetch_ms: Option<f64>,
    /// Mean time of the network's run, in ms.
    pub service_ms: f64,
    /// Whether the table has learnt from a network of this shape, at any number of candidates: then this shows a fit.
    pub shape: Shape,
    /// Mean response of requests that wait for nobody, in ms.
    pub response_ms: f64,
    /// What becomes of that at a rate, where one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<PredictedLoad>,
}

/// Simulated responses at one rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PredictedLoad {
    /// The model whose replay shows how work scatters.
    pub reference: String,
    /// Why to take it with care: what speaks against that replay.
    pub reasons: Vec<String>,
    /// The arrivals in words.
    pub arrivals: String,
    /// Requests per second that keep all workers at work all the time.
    pub capacity_qps: f64,
    /// The response at the rate.
    #[serde(flatten)]
    pub point: ForecastPoint,
}

/// Predicts for every engine and all requests.
///
/// Fails with the command to run where the table, the prices of fetching or the replays lack what is asked for.
pub fn predict(request: &PredictRequest) -> Result<TablePrediction> {
    let PricedNetwork { space, subnet, .. } = request.network;
    let mut predictions = Vec::with_capacity(request.contexts.len() * request.requests.len());
    for context in request.contexts {
        for requests in request.requests {
            predictions.push(request.prediction(context, requests)?);
        }
    }
    Ok(TablePrediction {
        schema_version: SCHEMA_VERSION,
        table: request.table.id(),
        network: subnet.id(space),
        features: subnet.feature_names(space).into_iter().map(str::to_owned).collect(),
        layers: subnet.layer_widths(),
        store: request.fetch.map(|fetch| fetch.store.clone()),
        workers: request.workers,
        predictions,
    })
}

impl PredictRequest<'_> {
    fn prediction(&self, context: &TableContext, requests: &Requests) -> Result<Prediction> {
        let PricedNetwork { space, subnet, .. } = self.network;
        let counts = requests.counts();
        for &(candidates, _) in &counts {
            self.table.check_features(context, candidates, &self.network.features_hash, "")?;
        }
        let service_ms = subnet_ms(space, subnet, &self.table.expected_prices(context, &counts)?)?;
        let fetch_ms = self.fetch.map(|fetch| self.fetch_ms(context, fetch, &counts)).transpose()?;
        let response_ms = fetch_ms.unwrap_or(0.0) + service_ms;
        let load = self.load.map(|load| load.forecast(context.engine, response_ms, requests, self.workers));
        Ok(Prediction {
            context: context.clone(),
            candidates: requests.candidates(),
            fetch_ms,
            service_ms,
            shape: self.shape(context),
            response_ms,
            load: load.transpose()?,
        })
    }

    fn shape(&self, context: &TableContext) -> Shape {
        let PricedNetwork { space, subnet, .. } = self.network;
        let network = Observation::of(space, subnet, 1.0, 0.0);
        let mut buckets = self.table.buckets.iter().filter(|bucket| bucket.context == *context);
        match buckets.any(|bucket| bucket.shape_of(&network) == Shape::Seen) {
            true => Shape::Seen,
            false => Shape::Unseen,
        }
    }

    /// Equation (4) in the mean over requests of different numbers of candidates, each behind a run of the network for as many.
    fn fetch_ms(&self, context: &TableContext, fetch: &FetchTable, counts: &[(usize, f64)]) -> Result<f64> {
        let PricedNetwork { schema, space, subnet, layout, .. } = self.network;
        let total: f64 = counts.iter().map(|(_, weight)| weight).sum();
        counts.iter().try_fold(0.0, |sum, &(candidates, weight)| {
            let network_ms = subnet_ms(space, subnet, &self.table.prices(context, candidates)?)?;
            let serving = Serving { workers: self.workers, layout: *layout, network_ms };
            let prices = fetch.prices(schema, candidates, serving)?.fetched_in(space);
            Ok(sum + weight / total * prices.selected_ms(&subnet.features, space.features.len()))
        })
    }
}

impl Requests<'_> {
    /// Every number of candidates with its weight.
    fn counts(&self) -> Vec<(usize, f64)> {
        match self {
            Self::Each([candidates]) => vec![(*candidates as usize, 1.0)],
            Self::Of(trace) => trace.counts(),
        }
    }

    fn candidates(&self) -> Option<usize> {
        match self {
            Self::Each([candidates]) => Some(*candidates as usize),
            Self::Of(_) => None,
        }
    }

    /// Arrivals, and the same in words.
    fn traffic(&self) -> (Traffic<'_>, String) {
        match self {
            Self::Each(candidates) => (Traffic::Poisson { candidates }, "Poisson".to_owned()),
            Self::Of(trace) => (Traffic::of(trace), trace.stretched()),
        }
    }
}

impl OfferedLoad<'_> {
    /// The queue of requests that keep a worker for `mean_ms` in the mean.
    fn forecast(
        &self,
        engine: EngineName,
        mean_ms: f64,
        requests: &Requests,
        workers: usize,
    ) -> Result<PredictedLoad> {
        let of_engine = self.results.iter().find(|result| result.setup.engine == engine);
        let result = of_engine.ok_or_else(|| {
            let problem = format!("it has no replay on {engine}, so how work scatters there is not known");
            let fix =
                format!("replay a network there: `autofas-bench replay --engine {engine} --out R.json …`");
            Error::input(self.file, Place::whole(), problem, fix)
        })?;
        let (traffic, arrivals) = requests.traffic();
        let name = result.provenance.model.clone();
        let reference = Reference::of_work(name, result.work_model(self.file)?.clone(), traffic)?;
        let settings = ForecastSettings::of(workers, SEED);
        let mut found = forecast(&reference.work_at(mean_ms), traffic, arrivals, settings, &[], &[self.qps])?;
        Ok(PredictedLoad {
            reference: reference.network,
            reasons: result.doubts(),
            arrivals: found.arrivals,
            capacity_qps: found.capacity_qps,
            point: found.points.swap_remove(0),
        })
    }
}

#[cfg(test)]
mod tests;
