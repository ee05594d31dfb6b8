//! Options that describe traffic.

use crate::{
    base::{Error, Result},
    measure::{
        replay::{
            arrivals::Arrivals,
            make::{self, DataHashes, ListLength, Order, PlannedTrace, TraceRecipe},
        },
        traced::DataFiles,
        workload,
    },
};
use clap::{Args, ValueEnum};
use std::{path::PathBuf, str::FromStr};

/// What kind of trace is made.
#[derive(Debug, Args)]
#[group(id = "recipe", multiple = true)]
pub struct RecipeArgs {
    /// CSV of recorded arrivals, from its start again when it is shorter than --requests; without it they are drawn
    #[arg(long, value_name = "CSV")]
    pub arrivals: Option<PathBuf>,
    /// Column of --arrivals that holds the times
    #[arg(long, value_name = "NAME", default_value = "TIMESTAMP", requires = "arrivals")]
    time_column: String,
    /// How arrivals of the mean rate --qps are drawn
    #[arg(long, value_name = "NAME", default_value = "poisson", conflicts_with = "arrivals")]
    process: Process,
    /// Mean duration of a burst of --process bursty [default: 200]
    #[arg(long, value_name = "MS")]
    on_ms: Option<f64>,
    /// Mean duration between two bursts, in which nobody asks [default: 800]
    #[arg(long, value_name = "MS")]
    off_ms: Option<f64>,
    /// Requests of the trace
    #[arg(long, value_name = "N", default_value_t = 1000)]
    requests: usize,
    #[command(flatten)]
    length: LengthArgs,
    /// Take the users in the order of the log instead of drawing them
    #[arg(long)]
    in_log_order: bool,
    /// Seed of users, candidates, candidate counts and arrivals that are drawn
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
}

/// How many candidates requests have.
#[derive(Debug, Args)]
#[group(id = "length", multiple = false)]
struct LengthArgs {
    /// Candidates of every request; logged lists are padded by popularity [default: 1000]
    #[arg(long, value_name = "N")]
    candidates: Option<usize>,
    /// Column of --arrivals that holds the number of candidates
    #[arg(long, value_name = "NAME", requires = "arrivals")]
    candidates_column: Option<String>,
    /// Log-normal numbers of candidates, for instance median=800,sigma=0.6,min=50,max=3000
    #[arg(long, value_name = "LIST")]
    candidates_log_normal: Option<LogNormal>,
    /// Numbers of candidates drawn from the quantiles in a file: CSV with quantile,count or a JSON list of such objects
    #[arg(long, value_name = "Q.csv")]
    candidates_quantiles: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Process {
    /// Independent exponential gaps
    Poisson,
    /// A Poisson process that is on and off by turns, for exponential durations
    Bursty,
    /// Equal gaps
    Constant,
}

/// `median=M,sigma=S,min=A,max=B`, in any order.
#[derive(Debug, Clone, Copy, PartialEq)]
struct LogNormal {
    median: f64,
    sigma: f64,
    min: usize,
    max: usize,
}

impl FromStr for LogNormal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let pairs: Vec<(&str, &str)> = text.split(',').filter_map(|part| part.split_once('=')).collect();
        fn value<T: FromStr>(pairs: &[(&str, &str)], name: &str) -> Result<T, String> {
            let found = pairs.iter().find(|(key, _)| key.trim() == name);
            let number = found.and_then(|(_, number)| number.trim().parse().ok());
            number
                .ok_or_else(|| format!("no number for `{name}`; write median=800,sigma=0.6,min=50,max=3000"))
        }
        let (median, sigma) = (value(&pairs, "median")?, value(&pairs, "sigma")?);
        let (min, max) = (value(&pairs, "min")?, value(&pairs, "max")?);
        if text.split(',').count() != 4 {
            return Err("there are four values: median, sigma, min, max".to_owned());
        }
        Ok(Self { median, sigma, min, max })
    }
}

impl RecipeArgs {
    /// All that says what is asked and when, for options that a trace of its own contradicts. The seed is not among them.
    pub const TRAFFIC: [&'static str; 10] = [
        "arrivals",
        "process",
        "on_ms",
        "off_ms",
        "requests",
        "in_log_order",
        "candidates",
        "candidates_column",
        "candidates_log_normal",
        "candidates_quantiles",
    ];

    /// Fails where arrivals of any rate, stretched to another, would not be those that were described.
    pub fn check_stretchable(&self) -> Result<()> {
        match self.process {
            Process::Poisson | Process::Constant => Ok(()),
            Process::Bursty => Err(Error::usage(
                "bursts of stated durations need a rate, for stretching them changes their durations",
                "make the trace with `trace make --process bursty --qps Q` and give it as --trace",
            )),
        }
    }

    /// Plans the trace; `qps` is the rate of arrivals that are not recorded.
    pub fn make(&self, files: &DataFiles, qps: Option<f64>) -> Result<PlannedTrace> {
        let recipe = TraceRecipe {
            arrivals: self.arrivals(qps)?,
            requests: self.requests,
            order: if self.in_log_order { Order::Log } else { Order::Sampled },
            length: self.length.length(),
            seed: self.seed,
        };
        let (dataset, encoders) = super::files::load(files)?;
        let hashes = DataHashes { encoders: encoders.hash(), rows: dataset.rows_hash() };
        make::plan(workload::request_log(&dataset, None)?, &recipe, hashes)
    }

    fn arrivals(&self, qps: Option<f64>) -> Result<Arrivals> {
        let bursts = self.on_ms.or(self.off_ms).is_some();
        if bursts && (self.arrivals.is_some() || self.process != Process::Bursty) {
            let fix = "add --process bursty, or leave --on-ms and --off-ms away";
            return Err(Error::usage("only drawn bursts have durations", fix));
        }
        if let Some(file) = &self.arrivals {
            return Ok(Arrivals::Recorded {
                file: file.clone(),
                time_column: self.time_column.clone(),
                candidates_column: self.length.candidates_column.clone(),
            });
        }
        let qps = qps.ok_or_else(|| {
            let fix = "give recorded ones with --arrivals CSV, or a rate with --qps Q";
            Error::usage("nothing says when requests arrive", fix)
        })?;
        Ok(match self.process {
            Process::Poisson => Arrivals::Poisson { qps },
            Process::Bursty => {
                let (on_ms, off_ms) = (self.on_ms.unwrap_or(200.0), self.off_ms.unwrap_or(800.0));
                Arrivals::Bursty { qps, on_ms, off_ms }
            }
            Process::Constant => Arrivals::Constant { qps },
        })
    }
}

impl LengthArgs {
    fn length(&self) -> ListLength {
        match self {
            Self { candidates_column: Some(_), .. } => ListLength::Arrivals,
            Self { candidates_quantiles: Some(file), .. } => ListLength::Quantiles { file: file.clone() },
            &Self { candidates_log_normal: Some(LogNormal { median, sigma, min, max }), .. } => {
                ListLength::LogNormal { median, sigma, min, max }
            }
            Self { candidates, .. } => ListLength::Fixed(candidates.unwrap_or(1000)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_normal_settings_are_read_in_any_order_and_missing_ones_named() {
        let expected = LogNormal { median: 800.0, sigma: 0.6, min: 50, max: 3000 };
        assert_eq!("max=3000, min=50,sigma=0.6,median=800".parse(), Ok(expected));
        for (text, problem) in [
            ("median=800,sigma=0.6,min=50", "`max`"),
            ("median=many,sigma=0.6,min=50,max=3000", "`median`"),
            ("median=800,sigma=0.6,min=50,max=3000,mean=2", "four values"),
        ] {
            assert!(text.parse::<LogNormal>().unwrap_err().contains(problem), "{text}");
        }
    }
}
