//! Measured prices of fetching: what the trips to a store's rows cost and what each feature adds, fitted to fetches of many
//! sets of features, once with what the fetch before has left in the caches and once with caches that something else has taken.

mod bucket;
mod displaced;
mod fit;
mod host;

pub use displaced::{Displaced, Displacement};
pub use fit::Fetches;

use super::feature::FeaturePrices;
use crate::{
    base::{
        Error, Result,
        error::Place,
        fsio,
        names::{EngineName, Layout},
    },
    data::schema::{Schema, Source},
};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Version of the file format that this program reads and writes.
pub const SCHEMA_VERSION: u32 = 5;

/// Prices of fetching from one store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FetchTable {
    /// Format of the file.
    pub schema_version: u32,
    /// [`Schema::hash`] of the schema that the store was loaded with.
    pub schema_hash: String,
    /// Where rows came from.
    pub store: String,
    /// Fingerprint of the host that asked.
    pub host: String,
    /// Workers that β and γ come from: so many fetched at once.
    pub workers: usize,
    /// How requests became inputs: concat, or user-once for all layouts that write a user's values once.
    pub layout: Layout,
    /// What was asked, and how often.
    pub measuring: FetchMeasuring,
    /// Candidate counts that are still to be measured, ascending: none in a whole table.
    pub unfinished: Vec<usize>,
    /// One per candidate count, ascending.
    pub buckets: Vec<FetchBucket>,
}

/// What was asked of a store, and how often: prices at several candidate counts go together where it is the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FetchMeasuring {
    /// Hash of the rows that the store was filled with.
    pub store_rows_hash: String,
    /// Hash of the rows whose users and items asked.
    pub data_rows_hash: String,
    /// Visits to every set of features.
    pub passes: usize,
    /// Requests of a visit.
    pub block: usize,
    /// Of sets, requests and order.
    pub seed: u64,
    /// Memory that was touched between two fetches to take the caches from them.
    pub displaced_bytes: usize,
    /// Whose runs of networks said how soon those take the caches.
    pub engine: EngineName,
}

/// How requests are served that are priced.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Serving {
    /// Workers that fetch at once.
    pub workers: usize,
    /// How a request becomes inputs.
    pub layout: Layout,
    /// What the network takes that runs between two fetches, in ms: the longer, the less of a store is left in the caches. Infinite for
    /// one that leaves nothing.
    pub network_ms: f64,
}

/// The layout whose requests ask as those of `layout` do, of the features that are in a request.
pub fn asked_in(layout: Layout) -> Layout {
    if layout.rows().is_some() { Layout::UserOnce } else { layout }
}

/// Prices at one candidate count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FetchBucket {
    /// Candidates per request.
    pub candidates: usize,
    /// Rows, in the order of the store; features that come with the request have one of their own. Fetched right after another
    /// request's.
    pub groups: Vec<GroupPrice>,
    /// The same behind something that took the caches.
    pub displaced: Displaced,
    /// β of equation (4), ms per selected feature of F1.
    pub beta_ms: f64,
    /// γ of equation (4), ms per selected feature of F2.
    pub gamma_ms: f64,
    /// How well the prices agree with what was measured.
    pub fit: FetchFit,
    /// What they were fitted to.
    pub observations: Vec<FetchObservation>,
}

/// Price of one row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupPrice {
    /// Name of the group.
    pub name: String,
    /// Whether it comes with the request or from the store.
    pub source: Source,
    /// Paid once when any of the features is selected, ms.
    pub trip_ms: f64,
    /// What each feature adds.
    pub features: Vec<OwnPrice>,
}

impl GroupPrice {
    /// What all of its features cost together, ms.
    pub fn all_ms(&self) -> f64 {
        self.trip_ms + self.features.iter().map(|feature| feature.own_ms).sum::<f64>()
    }
}

/// What one feature adds to its row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnPrice {
    /// The schema's name.
    pub feature: String,
    /// Bytes of its value.
    pub bytes: usize,
    /// Milliseconds.
    pub own_ms: f64,
}

/// Agreement of the fit with measured fetches, in percent of them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FetchFit {
    /// Fetches that were fitted to.
    pub fitted: usize,
    /// Mean |residual| over them.
    pub fitted_mape_pct: f64,
    /// Fetches that were not.
    pub held_out: usize,
    /// Mean |residual| over those: the error of a prediction.
    pub held_out_mape_pct: f64,
}

/// The time of fetching one set of features.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FetchObservation {
    /// Positions in the schema, ascending.
    pub features: Vec<usize>,
    /// Workers that fetched at once.
    pub workers: usize,
    /// From the store, ms.
    pub fetch_ms: f64,
    /// Decoding what came with the request, ms.
    pub decode_ms: f64,
    /// Whether the prices were fitted to it or are judged by it.
    pub held_out: bool,
}

impl FetchObservation {
    fn ms(&self, source: Source) -> f64 {
        match source {
            Source::Matching => self.decode_ms,
            Source::Store => self.fetch_ms,
        }
    }
}

/// A row as it is laid out, before it has a price.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupShape {
    /// Name of the group.
    pub name: String,
    /// Whether it comes with the request or from the store.
    pub source: Source,
    /// Position in the schema and bytes of every feature.
    pub features: Vec<(usize, usize)>,
}

impl FetchTable {
    /// Reads and validates a file with all prices that were to be measured.
    pub fn load(path: &Path) -> Result<Self> {
        let table = Self::load_begun(path)?;
        if table.unfinished.is_empty() {
            return Ok(table);
        }
        let counts: Vec<String> = table.unfinished.iter().map(usize::to_string).collect();
        let problem = format!("the prices for {} candidates are not measured yet", counts.join(", "));
        let fix = "go on with the same `autofas-bench store price` and --resume";
        Err(Error::input(path, Place::field("unfinished"), problem, fix))
    }

    /// Reads and validates a file that may lack some of the prices that were to be measured.
    pub fn load_begun(path: &Path) -> Result<Self> {
        let fix = "measure again with `autofas-bench store price` of this version of the program";
        let wrong = |place: &str, problem: String| Err(Error::input(path, Place::field(place), problem, fix));
        let table: Self = fsio::read_versioned(path, SCHEMA_VERSION, fix)?;
        if table.buckets.is_empty() || !table.buckets.is_sorted_by(|a, b| a.candidates < b.candidates) {
            return wrong("buckets", "has none, or one twice or out of order".into());
        }
        let shapes = |bucket: &FetchBucket| -> [Vec<(String, Vec<String>)>; 3] {
            let names = |group: &GroupPrice| group.features.iter().map(|f| f.feature.clone()).collect();
            let groups = [&table.buckets[0].groups, &bucket.groups, &bucket.displaced.groups];
            groups.map(|groups| groups.iter().map(|group| (group.name.clone(), names(group))).collect())
        };
        if table
            .buckets
            .iter()
            .map(shapes)
            .any(|[first, near, displaced]| near != first || displaced != first)
        {
            return wrong("buckets", "do not hold the same rows".into());
        }
        match table.buckets.iter().find(|bucket| !bucket.is_sound()) {
            Some(bucket) => wrong(
                "buckets",
                format!("has a price at {} candidates that is no latency", bucket.candidates),
            ),
            None => Ok(table),
        }
    }

    /// Writes the table as JSON.
    pub fn save(&self, path: &Path) -> Result<()> {
        fsio::write_json(path, self)
    }

    /// Takes what another measurement has found already, and joins and sorts what is left to be measured of both.
    ///
    /// Fails when that was of something else, or measured otherwise.
    pub fn go_on(&mut self, begun: Option<Self>) -> Result<()> {
        let (left, buckets) = match begun {
            Some(begun) => {
                self.check_same(&begun)?;
                (begun.unfinished, begun.buckets)
            }
            None => (Vec::new(), Vec::new()),
        };
        self.unfinished.extend(left);
        self.unfinished.sort_unstable();
        self.unfinished.dedup();
        buckets.into_iter().for_each(|bucket| self.add(bucket));
        Ok(())
    }

    fn check_same(&self, begun: &Self) -> Result<()> {
        let of = |table: &Self| {
            let Self { schema_hash, store, host, workers, layout, measuring, .. } = table;
            let FetchMeasuring {
                store_rows_hash,
                data_rows_hash,
                passes,
                block,
                seed,
                displaced_bytes,
                engine,
            } = measuring;
            [
                format!("store {store}"),
                format!("rows {store_rows_hash} in the store"),
                format!("rows {data_rows_hash} of the data"),
                format!("schema {schema_hash}"),
                format!("host {host}"),
                format!("{workers} workers"),
                format!("layout {layout}"),
                format!("{passes} passes"),
                format!("blocks of {block}"),
                format!("seed {seed}"),
                format!("{displaced_bytes} bytes displaced"),
                format!("networks on {engine}"),
            ]
        };
        let other = of(begun).into_iter().zip(of(self)).filter(|(there, here)| there != here);
        let (there, here): (Vec<String>, Vec<String>) = other.unzip();
        if there.is_empty() {
            return Ok(());
        }
        Err(Error::usage(
            format!("the prices were begun for {}, and not for {}", there.join(", "), here.join(", ")),
            "go on with what they were begun for, or begin anew without --resume",
        ))
    }

    /// Adds what was measured at one candidate count, which is left to be measured no more.
    pub fn add(&mut self, bucket: FetchBucket) {
        self.unfinished.retain(|&candidates| candidates != bucket.candidates);
        let place = self.buckets.partition_point(|known| known.candidates < bucket.candidates);
        self.buckets.insert(place, bucket);
    }

    /// Fails when the prices are not those of requests that are served so. One worker alone pays neither β nor γ, so for it any
    /// number of workers will do.
    fn check_serving(&self, serving: Serving) -> Result<()> {
        let Serving { workers, layout, .. } = serving;
        let layout = asked_in(layout);
        if layout != self.layout {
            return Err(Error::usage(
                format!(
                    "the prices of fetching were measured for the layout {}, and requests come in {layout}",
                    self.layout
                ),
                format!("measure them for it: `autofas-bench store price --layout {layout} …`"),
            ));
        }
        if workers > 1 && workers != self.workers {
            return Err(Error::usage(
                format!(
                    "the prices of fetching were measured with {} workers at once, and {workers} serve",
                    self.workers
                ),
                format!(
                    "measure them for so many: `autofas-bench store price --workers {workers} …`, or change [traffic] workers"
                ),
            ));
        }
        Ok(())
    }

    /// Prices at `candidates` of requests that are served so: those of the bucket, or linear between two; outside the measured counts
    /// there are none.
    pub fn prices(&self, schema: &Schema, candidates: usize, serving: Serving) -> Result<FeaturePrices> {
        if self.schema_hash != schema.hash() {
            return Err(Error::usage(
                "the prices of fetching were measured with another schema",
                "measure them with this one: `autofas-bench store price`",
            ));
        }
        self.check_serving(serving)?;
        let prices = self.at(schema, candidates, serving.network_ms)?;
        Ok(match serving.workers {
            1 => FeaturePrices { beta_ms: 0.0, gamma_ms: 0.0, ..prices },
            _ => prices,
        })
    }

    fn at(&self, schema: &Schema, candidates: usize, network_ms: f64) -> Result<FeaturePrices> {
        let above = self.buckets.partition_point(|bucket| bucket.candidates < candidates);
        if let Some(exact) = self.buckets.get(above).filter(|bucket| bucket.candidates == candidates) {
            return exact.prices(schema, network_ms);
        }
        let (Some(low), Some(high)) =
            (above.checked_sub(1).map(|at| &self.buckets[at]), self.buckets.get(above))
        else {
            let (first, last) = (&self.buckets[0], &self.buckets[self.buckets.len() - 1]);
            return Err(Error::MissingPrice {
                key: format!(
                    "fetching for {candidates} candidates, outside the measured {} to {},",
                    first.candidates, last.candidates
                ),
                fix: format!("measure it with `autofas-bench store price --candidates {candidates} …`"),
            });
        };
        let share = (candidates - low.candidates) as f64 / (high.candidates - low.candidates) as f64;
        Ok(low.prices(schema, network_ms)?.mix(&high.prices(schema, network_ms)?, share))
    }
}

#[cfg(test)]
mod tests;
