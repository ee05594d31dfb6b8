//! When requests come: as recorded, at random (Poisson), in bursts, or at constant distance. Drawn before any clock starts.

use super::recorded;
use crate::{
    base::{
        Error, Result,
        rng::{self, Generator},
    },
    data::{column::Column, growing::Growing},
};
use rand::RngExt;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Where arrival times come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Arrivals {
    /// A CSV file with a column of times in ascending order. When it is shorter than what is asked for, it begins again,
    /// one mean gap after its last arrival: gaps and bursts stay as they were recorded.
    Recorded {
        /// The file.
        file: PathBuf,
        /// Column of times: `2023-11-16 18:17:03.97996`, or seconds.
        time_column: String,
        /// Column that says how many candidates each request has.
        candidates_column: Option<String>,
    },
    /// Independent exponential gaps.
    Poisson {
        /// Mean requests per second.
        qps: f64,
    },
    /// Bursts: a Poisson process that is on and off by turns (an interrupted Poisson process, Kuczura 1973). Both durations are
    /// exponential, with the means `on_ms` and `off_ms`. While on, requests come at the rate
    ///
    /// λ = qps · (on + off) / on,
    ///
    /// so that the mean rate is `qps`. The gaps are independent, with mean 1/qps and squared coefficient of variation
    ///
    /// c² = 1 + 2 · qps · off² / (on + off).
    Bursty {
        /// Mean requests per second, over on and off periods.
        qps: f64,
        /// Mean duration of a burst.
        on_ms: f64,
        /// Mean duration of the silence between two bursts.
        off_ms: f64,
    },
    /// Equal gaps.
    Constant {
        /// Requests per second.
        qps: f64,
    },
}

/// Arrival times, the first at 0.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Schedule {
    /// Offsets in µs, ascending.
    pub offsets_us: Column<u64>,
    /// Candidates per request, when the arrivals say so.
    pub candidates: Option<Column<u64>>,
    /// What a reader of results must know of it.
    pub notes: Vec<String>,
}

/// Bursts with fewer arrivals than one in this many are none, and would take long to draw.
const BURSTS_PER_ARRIVAL: f64 = 1000.0;

impl Arrivals {
    /// As many arrivals as `requests`.
    pub fn schedule(&self, requests: usize, seed: u64) -> Result<Schedule> {
        let mut generator = rng::generator(seed, "arrivals");
        match self {
            Self::Recorded { file, time_column, candidates_column } => {
                let recording = recorded::read(file, time_column, candidates_column.as_deref(), requests)?;
                recording.repeated(file, requests)
            }
            Self::Poisson { qps } => {
                let mean_gap_us = mean_gap_us(*qps)?;
                let mut at = 0.0;
                Schedule::drawn(requests, |_| step(&mut at, exponential(mean_gap_us, &mut generator)))
            }
            Self::Bursty { qps, on_ms, off_ms } => {
                let mut bursts = Bursts::new(*qps, *on_ms, *off_ms, &mut generator)?;
                let mut at = 0.0;
                Schedule::drawn(requests, |_| step(&mut at, bursts.gap_us(&mut generator)))
            }
            Self::Constant { qps } => {
                let gap_us = mean_gap_us(*qps)?;
                Schedule::drawn(requests, |i| i as f64 * gap_us)
            }
        }
    }
}

/// The value of `at`, which is moved on by the gap that follows.
fn step(at: &mut f64, gap: f64) -> f64 {
    std::mem::replace(at, *at + gap)
}

impl Schedule {
    fn drawn(requests: usize, mut offset_us: impl FnMut(usize) -> f64) -> Result<Self> {
        let mut offsets_us = Growing::default();
        for i in 0..requests {
            offsets_us.push(offset_us(i).round() as u64)?;
        }
        Ok(Self { offsets_us: offsets_us.finish()?, candidates: None, notes: Vec::new() })
    }
}

/// The state of a process that is on and off by turns. Beginning at an arrival, it is on.
struct Bursts {
    on_us: f64,
    off_us: f64,
    /// Mean gap while on.
    gap_on_us: f64,
    /// What is left of the present burst.
    left_us: f64,
}

impl Bursts {
    fn new(qps: f64, on_ms: f64, off_ms: f64, generator: &mut Generator) -> Result<Self> {
        let mean_gap_us = mean_gap_us(qps)?;
        let on_us = 1e3 * positive(on_ms, "the mean duration of a burst in ms")?;
        let off_us = 1e3 * positive(off_ms, "the mean duration between two bursts in ms")?;
        let bursts_per_arrival = mean_gap_us / (on_us + off_us);
        if bursts_per_arrival > BURSTS_PER_ARRIVAL {
            return Err(Error::usage(
                format!("{bursts_per_arrival:.0} bursts would share one request"),
                "raise the rate or the durations, or take Poisson arrivals",
            ));
        }
        let gap_on_us = mean_gap_us * (on_us / (on_us + off_us));
        Ok(Self { on_us, off_us, gap_on_us, left_us: exponential(on_us, generator) })
    }

    fn gap_us(&mut self, generator: &mut Generator) -> f64 {
        // How long it must be on until the next request.
        let mut on_us = exponential(self.gap_on_us, generator);
        let mut gap_us = 0.0;
        while on_us > self.left_us {
            on_us -= self.left_us;
            gap_us += self.left_us + exponential(self.off_us, generator);
            self.left_us = exponential(self.on_us, generator);
        }
        self.left_us -= on_us;
        gap_us + on_us
    }
}

fn exponential(mean: f64, generator: &mut Generator) -> f64 {
    // 1 − U lies in (0, 1], so the logarithm is finite.
    -mean * (1.0 - generator.random::<f64>()).ln()
}

impl std::fmt::Display for Arrivals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Recorded { file, .. } => {
                let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy();
                write!(f, "recorded in {name}")
            }
            Self::Poisson { qps } => write!(f, "Poisson, {qps} per second"),
            Self::Bursty { qps, on_ms, off_ms } => {
                let while_on = qps * (on_ms + off_ms) / on_ms;
                write!(
                    f,
                    "bursty, {qps} per second: {while_on} per second for {on_ms} ms, none for {off_ms} ms (means)"
                )
            }
            Self::Constant { qps } => write!(f, "constant, {qps} per second"),
        }
    }
}

fn mean_gap_us(qps: f64) -> Result<f64> {
    Ok(1e6 / positive(qps, "the rate in requests per second")?)
}

fn positive(value: f64, what: &str) -> Result<f64> {
    if value.is_finite() && value > 0.0 {
        return Ok(value);
    }
    Err(Error::usage(format!("{what} is {value}"), "give a number above 0"))
}

#[cfg(test)]
mod tests;
