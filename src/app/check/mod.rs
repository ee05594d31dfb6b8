//! `table check`: a table held against whole networks that it never saw, on every engine and at every candidate count that it
//! has prices for.
//!
//! ```text
//! space, run ─► networks ─► ONNX files ─► measured twice, engine by engine and count by count ─► BucketCheck each
//! ```

mod measuring;
mod networks;

pub use measuring::Measure;
pub use networks::{Choice, ChosenNetwork};

use crate::{
    app::probe::Begin,
    base::{
        Error, Result, check, fsio,
        names::{Layout, Precision},
        progress::Progress,
        stop::Stop,
    },
    measure::{
        environment::Environment,
        probe::{ServiceSettings, context_here, features_hash},
    },
    price::{
        check::{BucketCheck, repeated},
        observation::Observation,
        table::{LatencyTable, TableContext},
    },
    space::{SearchSpace, Subnet},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Version of the result's format.
const SCHEMA_VERSION: u32 = 2;

/// What is to be checked, and by what.
pub struct CheckRequest<'a> {
    /// The table.
    pub table: &'a LatencyTable,
    /// What networks are drawn from.
    pub space: &'a SearchSpace,
    /// Networks that a run found: they are checked beside random ones.
    pub winners: Vec<Subnet>,
    /// How many networks altogether.
    pub networks: usize,
    /// Draws them.
    pub seed: u64,
    /// Rows of every feature's embedding table.
    pub cardinalities: Vec<usize>,
    /// Layout of the networks.
    pub layout: Layout,
    /// Number format of the networks.
    pub precision: Precision,
    /// How each engine measures.
    pub settings: Vec<ServiceSettings>,
    /// Candidate counts; empty for all that the table has under the circumstances of an engine.
    pub candidates: Vec<usize>,
    /// Limit on the mean |residual| of every bucket, in percent.
    pub max_mape_pct: Option<f64>,
    /// Where the result goes. What has been measured is kept beside it until then.
    pub out: PathBuf,
}

/// How a table agrees with networks that it never saw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TableCheck {
    /// Version of this format.
    pub schema_version: u32,
    /// Id of the table.
    pub table: String,
    /// The networks, in the order of every bucket's residuals.
    pub networks: Vec<ChosenNetwork>,
    /// Networks of the run that the table has seen: they judge nothing.
    pub excluded: Vec<String>,
    /// One per engine and candidate count.
    pub buckets: Vec<BucketCheck>,
    /// The limit that was stated on the mean |residual| of every bucket, in percent.
    pub max_mape_pct: Option<f64>,
    /// The machine.
    pub environment: Environment,
}

/// A bucket to be checked: the number of its engine's settings, and its key.
#[derive(Debug, Clone, PartialEq)]
struct Checked {
    settings: usize,
    context: TableContext,
    candidates: usize,
}

/// Measures the networks and writes the result. A request to `stop` ends it with what has been measured kept.
///
/// Whether a stated limit was met is for [`TableCheck::check_limit`] to say: the result is written all the same.
pub fn check_table(
    request: &CheckRequest,
    begin: Begin,
    measure: Measure,
    progress: &dyn Progress,
    stop: &Stop,
) -> Result<TableCheck> {
    let buckets = request.buckets()?;
    let features = features_hash(request.space, &request.cardinalities);
    for Checked { context, candidates, .. } in &buckets {
        let or = "name the --encoders or --cardinality that it was probed with, or ";
        request.table.check_features(context, *candidates, &features, or)?;
    }
    let chosen = networks::choose(request, &buckets)?;
    chosen.describe(request.networks, progress);
    // Networks that cannot be priced show before any of them is timed.
    for bucket in &buckets {
        BucketCheck::of(request.table, &bucket.context, bucket.candidates, &chosen.observations)?;
    }
    let times = measuring::measure_twice(request, &buckets, &chosen, begin, measure, progress, stop)?;
    let judged = buckets.iter().zip(&times.by_bucket).filter_map(|(bucket, halves)| {
        let both = |at: usize| [halves[0][at], halves[1][at]];
        let all = chosen.observations.iter().enumerate();
        let measured: Vec<Observation> = all.map(|(at, network)| repeated(network, both(at))).collect();
        BucketCheck::of(request.table, &bucket.context, bucket.candidates, &measured).transpose()
    });
    let check = TableCheck {
        schema_version: SCHEMA_VERSION,
        table: request.table.id(),
        buckets: judged.collect::<Result<_>>()?,
        networks: chosen.networks,
        excluded: chosen.excluded,
        max_mape_pct: request.max_mape_pct,
        environment: times.environment,
    };
    fsio::write_json(&request.out, &check)?;
    fsio::remove(&measuring::kept_beside(&request.out))?;
    Ok(check)
}

impl CheckRequest<'_> {
    /// What the table has prices for, of what is asked for.
    fn buckets(&self) -> Result<Vec<Checked>> {
        let mut found = Vec::new();
        for (number, settings) in self.settings.iter().enumerate() {
            let context = context_here(settings, self.layout)?;
            let known = self.table.buckets.iter().filter(|bucket| bucket.context == context);
            let mut counts: Vec<usize> = match self.candidates.as_slice() {
                [] => known.map(|bucket| bucket.candidates).collect(),
                asked => asked.to_vec(),
            };
            counts.iter().try_for_each(|&count| check::candidates("candidates", count))?;
            counts.sort_unstable();
            counts.dedup();
            if counts.is_empty() {
                // The table's own words on what it has instead.
                let anywhere = self.table.buckets.first().map_or(1, |bucket| bucket.candidates);
                self.table.bucket(&context, anywhere)?;
            }
            for candidates in counts {
                self.table.prices(&context, candidates)?;
                found.push(Checked { settings: number, context: context.clone(), candidates });
            }
        }
        Ok(found)
    }
}

impl TableCheck {
    /// Fails when a limit was stated and some bucket does not keep it.
    pub fn check_limit(&self) -> Result<()> {
        let Some(limit) = self.max_mape_pct else { return Ok(()) };
        let missed = self.buckets.iter().filter(|bucket| !bucket.keeps(limit));
        let missed: Vec<String> = missed
            .map(|bucket| {
                let place = format!("{} at {} candidates", bucket.context.engine, bucket.candidates);
                let found = &bucket.agreement;
                match bucket.void {
                    true => format!("{place} is void: two measurements lie {:.1} % apart", found.noise_pct),
                    false => format!("{place} is {:.1} % off", found.mape_pct),
                }
            })
            .collect();
        if missed.is_empty() {
            return Ok(());
        }
        Err(Error::Limit {
            limit: format!("a mean error of {limit} % on networks that the table never saw"),
            found: format!("{}; probe again on a machine that does nothing else", missed.join(", ")),
        })
    }
}

#[cfg(test)]
mod tests;
