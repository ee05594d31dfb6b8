//! The highest rate at which stated percentiles of the response hold: replays at rates that are raised until one fails and
//! then bisected. Every replay stays in the curve, so that what the answer rests on can be seen.
//!
//! A rate holds when its replay is valid and the **upper confidence bound** of every stated percentile is within its limit: a
//! rate that does not hold would be taken for one that does with a probability of 1 % at most per replay. The bound is that
//! of the measurement (binomial, without an assumption on the distribution). A rate at which requests are rejected does not
//! hold: they had no response at all. A replay that is not valid holds nothing; where
//! its bounds are within the limits, it does not show either that the rate fails: the rate is undecided. The search goes on
//! below such a rate and names it.

use crate::{
    base::{
        Error, Result,
        objective::{Objective, Percentile},
    },
    measure::latency::Latencies,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Version of the curves that this program writes.
pub const SCHEMA_VERSION: u32 = 2;

/// One number per percentile, in µs; absent where too few requests support it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Percentiles {
    /// Median.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50: Option<f64>,
    /// 90th percentile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p90: Option<f64>,
    /// 99th percentile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99: Option<f64>,
    /// 99.9th percentile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p999: Option<f64>,
}

impl Percentiles {
    /// One of them.
    pub fn get(&self, percentile: Percentile) -> Option<f64> {
        [self.p50, self.p90, self.p99, self.p999][percentile as usize]
    }

    /// Those that `value` knows.
    pub fn of(value: impl Fn(Percentile) -> Option<f64>) -> Self {
        let [p50, p90, p99, p999] = Percentile::ALL.map(value);
        Self { p50, p90, p99, p999 }
    }
}

/// What a replay at one rate showed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Observed {
    /// Requests answered.
    pub requests: u64,
    /// Requests that found the queue full. They are in no percentile, so a rate with one of them does not hold.
    #[serde(default)]
    pub rejected: u64,
    /// Response.
    pub response_us: Percentiles,
    /// Upper confidence bound of each.
    pub response_upper_us: Percentiles,
    /// Whether the replay may be believed.
    pub valid: bool,
    /// Why not.
    pub reasons: Vec<String>,
}

/// A point of the curve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RatePoint {
    /// Requests per second that were asked for.
    pub offered_qps: f64,
    /// What came of it.
    #[serde(flatten)]
    pub observed: Observed,
    /// What that says about the rate.
    pub standing: Standing,
}

/// What a replay says about its rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// Every objective holds with confidence.
    Holds,
    /// An objective does not.
    Fails,
    /// Nothing: the bounds are within the limits but the replay is not valid, or it was stopped.
    Undecided,
}

impl std::fmt::Display for Standing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Holds => "holds",
            Self::Fails => "does not hold",
            Self::Undecided => "undecided",
        })
    }
}

/// How far a search has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Progress {
    /// It goes on, or ended before the highest rate was known to the stated precision: stopped, or after as many replays as are
    /// made at most.
    Partial,
    /// The highest rate is known to the stated precision.
    Found,
    /// Even the lowest rate that was tried does not hold.
    Nothing,
    /// The highest rate that was tried holds; the search gave up raising it.
    Unbounded,
}

/// Rates and what they showed, and the highest that holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SloCurve {
    /// Version of this layout.
    pub schema_version: u32,
    /// What has to hold, all at once.
    pub objectives: Vec<Objective>,
    /// Of every replay's bounds.
    pub confidence: f64,
    /// The search ends when the lowest rate that fails is above the highest that holds by no more than this, in percent.
    pub precision_pct: f64,
    /// How far it came.
    pub progress: Progress,
    /// Highest rate that holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub highest_qps: Option<f64>,
    /// Lowest rate above it that was seen to fail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lowest_failed_qps: Option<f64>,
    /// Lowest rate above the highest that holds and below the lowest that fails of which no replay was valid, although its
    /// percentiles were within the limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lowest_undecided_qps: Option<f64>,
    /// Every replay, in order; a rate may have several.
    pub points: Vec<RatePoint>,
}

/// Of the bounds of a measurement's percentiles.
const CONFIDENCE: f64 = 0.99;
/// By how much a rate that holds is raised while none has failed.
const RAISE: f64 = 1.3;
/// By how much a rate that fails is lowered while none has held.
const LOWER: f64 = 0.5;
/// Lower than this share of the first rate nothing is tried.
const LOWEST: f64 = 0.2;
/// More replays are not made.
const MOST_POINTS: usize = 40;

impl SloCurve {
    /// Whether these are its objectives, in whatever order.
    pub fn answers(&self, objectives: &[Objective]) -> bool {
        let within = |some: &[Objective], all: &[Objective]| some.iter().all(|one| all.contains(one));
        within(&self.objectives, objectives) && within(objectives, &self.objectives)
    }

    /// Nothing tried yet.
    pub fn new(objectives: Vec<Objective>, precision_pct: f64) -> Result<Self> {
        if !(precision_pct.is_finite() && precision_pct > 0.0) {
            return Err(Error::usage(
                format!("a highest rate cannot be found to {precision_pct} %"),
                "give a precision above 0",
            ));
        }
        Ok(Self {
            schema_version: SCHEMA_VERSION,
            objectives,
            confidence: CONFIDENCE,
            precision_pct,
            progress: Progress::Partial,
            highest_qps: None,
            lowest_failed_qps: None,
            lowest_undecided_qps: None,
            points: Vec::new(),
        })
    }

    /// The rate to replay next, of a search that begins at `start_qps`; none when it is over.
    pub fn next_rate(&self, start_qps: f64) -> Option<f64> {
        // An undecided rate lies below the lowest that fails.
        let above = self.lowest_undecided_qps.or(self.lowest_failed_qps);
        let next = match (self.highest_qps, above) {
            (None, None) => start_qps,
            (Some(holds), None) => holds * RAISE,
            (None, Some(fails)) => fails * LOWER,
            (Some(holds), Some(fails)) if self.is_precise(holds, fails) => return None,
            (Some(holds), Some(fails)) => (holds * fails).sqrt(),
        };
        (next >= LOWEST * start_qps && self.points.len() < MOST_POINTS).then_some(next)
    }

    /// Adds what a replay at a rate showed, and says what that means. A later replay of the same rate takes the place of one that
    /// left it undecided.
    pub fn add(&mut self, offered_qps: f64, observed: Observed) -> Standing {
        let within = self.objectives.iter().all(|objective| objective.holds(&observed));
        let standing = match within && observed.rejected == 0 {
            true if observed.valid => Standing::Holds,
            true => Standing::Undecided,
            false => Standing::Fails,
        };
        self.points.push(RatePoint { offered_qps, observed, standing });
        match standing {
            Standing::Holds => {
                self.highest_qps = Some(offered_qps);
                self.lowest_undecided_qps = self.lowest_undecided_qps.filter(|qps| *qps > offered_qps);
            }
            // No higher rate is ever tried: what was undecided is this rate or above it.
            Standing::Fails => {
                (self.lowest_failed_qps, self.lowest_undecided_qps) = (Some(offered_qps), None)
            }
            Standing::Undecided => self.lowest_undecided_qps = Some(offered_qps),
        }
        standing
    }

    /// Adds a replay that was stopped: it says nothing about its rate.
    pub fn add_stopped(&mut self, offered_qps: f64, observed: Observed) -> Standing {
        let standing = Standing::Undecided;
        self.points.push(RatePoint { offered_qps, observed, standing });
        standing
    }

    /// No rate is left to replay.
    pub fn finish(&mut self) {
        self.progress = match (self.highest_qps, self.lowest_undecided_qps.or(self.lowest_failed_qps)) {
            (None, _) => Progress::Nothing,
            (Some(_), None) => Progress::Unbounded,
            (Some(holds), Some(fails)) if self.is_precise(holds, fails) => Progress::Found,
            (Some(_), Some(_)) => Progress::Partial,
        };
    }

    /// Whether a rate that holds and one that does not are as near to each other as was asked for.
    fn is_precise(&self, holds_qps: f64, fails_qps: f64) -> bool {
        fails_qps / holds_qps <= 1.0 + self.precision_pct / 100.0
    }

    /// Fails when nothing that was tried holds.
    pub fn check(&self) -> Result<()> {
        if self.progress != Progress::Nothing {
            return Ok(());
        }
        let limits: Vec<String> = self.objectives.iter().map(Objective::to_string).collect();
        let limit = format!("the objective {}", limits.join(", "));
        let last = self.points.last();
        let found = last.map_or_else(String::new, |point| {
            let seen = |o: &Objective| {
                let us = point.observed.response_upper_us.get(o.percentile);
                us.map_or_else(
                    || {
                        format!(
                            "{} is not earned by {} requests",
                            o.percentile.name(),
                            point.observed.requests
                        )
                    },
                    |us| format!("{} may be {:.3} ms", o.percentile.name(), us / 1e3),
                )
            };
            let mut parts: Vec<String> = self.objectives.iter().map(seen).collect();
            parts.extend(point.observed.reasons.iter().cloned());
            format!("even at {:.3} requests per second {}", point.offered_qps, parts.join("; "))
        });
        match last.map(|point| point.standing) {
            Some(Standing::Undecided) => {
                Err(Error::NotValid { reasons: format!("no rate is known to keep {limit}: {found}") })
            }
            _ => Err(Error::Limit { limit, found }),
        }
    }
}

impl Objective {
    /// Whether the percentile itself is within the limit; not when too few requests support it.
    pub fn holds_in(&self, response: &Latencies) -> bool {
        response.quantile_us(self.percentile.quantile()).is_some_and(|us| us as f64 <= self.limit_us)
    }

    /// Whether the upper bound is within the limit; not when too few requests support one.
    pub fn holds(&self, observed: &Observed) -> bool {
        observed.response_upper_us.get(self.percentile).is_some_and(|us| us <= self.limit_us)
    }
}

#[cfg(test)]
mod tests;
