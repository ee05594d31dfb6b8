//! Options that describe traffic.

use crate::{
    base::{Error, Result},
    measure::{
        replay::{
            arrivals::Arrivals,
            make::{self, DataHashes, ListLength, Order, TraceRecipe},
            trace::Trace,
        },
        traced::DataFiles,
        workload,
    },
};
use clap::Args;
use std::path::PathBuf;

/// What kind of trace is made.
#[derive(Debug, Args)]
#[group(id = "recipe", multiple = true)]
pub struct RecipeArgs {
    /// CSV of recorded arrivals; without it they are a Poisson process of --qps
    #[arg(long, value_name = "CSV")]
    pub arrivals: Option<PathBuf>,
    /// Column of --arrivals that holds the times
    #[arg(long, value_name = "NAME", default_value = "TIMESTAMP", requires = "arrivals")]
    time_column: String,
    /// Column of --arrivals that holds the number of candidates, instead of --candidates
    #[arg(long, value_name = "NAME", requires = "arrivals", conflicts_with = "candidates")]
    candidates_column: Option<String>,
    /// Requests at most
    #[arg(long, value_name = "N", default_value_t = 1000)]
    requests: usize,
    /// Candidates per request; logged lists are padded by popularity
    #[arg(long, value_name = "N", default_value_t = 1000)]
    candidates: usize,
    /// Take the users in the order of the log instead of drawing them
    #[arg(long)]
    in_log_order: bool,
    /// Seed of users, candidates and random arrivals
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
}

impl RecipeArgs {
    /// Makes the trace; `qps` is the rate of arrivals that are not recorded.
    pub fn make(&self, files: &DataFiles, qps: Option<f64>) -> Result<Trace> {
        let arrivals = match (&self.arrivals, qps) {
            (Some(file), _) => Arrivals::Recorded {
                file: file.clone(),
                time_column: self.time_column.clone(),
                candidates_column: self.candidates_column.clone(),
                speed: 1.0,
            },
            (None, Some(qps)) => Arrivals::Poisson { qps },
            (None, None) => {
                let fix = "give recorded ones with --arrivals CSV, or a rate with --qps Q";
                return Err(Error::usage("nothing says when requests arrive", fix));
            }
        };
        let recipe = TraceRecipe {
            arrivals,
            requests: self.requests,
            order: if self.in_log_order { Order::Log } else { Order::Sampled },
            length: match self.candidates_column {
                Some(_) => ListLength::Arrivals,
                None => ListLength::Fixed(self.candidates),
            },
            seed: self.seed,
        };
        let (dataset, encoders) = super::files::load(files)?;
        let hashes = DataHashes { encoders: encoders.hash(), rows: dataset.rows_hash() };
        make::make(&workload::request_log(&dataset, None)?, &recipe, hashes)
    }
}
