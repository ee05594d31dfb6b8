//! The regression gate: is this result slower than an older one by more than is allowed, and not by noise?
//!
//! # The interval
//!
//! Passes are the units: requests of one pass share whatever disturbed it, and passes of one run are processes of their own
//! that took turns with those of other engines. Of each pass the logarithm of a figure is taken (so that differences are
//! ratios), and the difference of the two means gets Welch's one-sided 99 % limits: `d ± t(0.99, ν) · √(s₁²/n₁ + s₂²/n₂)`,
//! with ν after Welch and Satterthwaite. A bootstrap would resample three values, and know nothing of what lies outside
//! them; Student's t does, and pays for few passes with a wide interval.
//!
//! Two results were not measured by turns, so the interval is made wider by what passes of one run cannot show:
//! - by how much the fixed work of [`conditions`](super::conditions) differs between the two runs, at its fastest in each:
//!   a machine that is itself slower today is no regression;
//! - by the microsecond that histograms tell apart, for percentiles.
//!
//! And its lower end is never above the ratio of the fastest passes. Interruptions only ever add time, so the fastest pass is
//! the nearest to what the program itself takes, and a program that became slower shows it there too.
//!
//! A figure is slower when the lower end is above the limit, not slower when the upper end is not, and not decided between
//! the two. A result fails only when it is VALID and a figure is slower: noise widens the interval, and so much of it that the result is
//! INVALID may come from a neighbour that slowed one run as a whole, which no interval within a run knows. Such a result fails only when a
//! figure takes surely more than twice its time. The price is said with every figure: the slowdown that would just have been seen, `detectable_pct`.
//!
//! What it cannot know: a neighbour that slows the engine and not the fixed work, through a whole run and not in the older
//! one. Measure the baseline on the same day where it matters.

mod baseline;

pub use baseline::Baseline;

use super::measurement::{Measurement, PassSummary};
use crate::base::student;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Of each end of an interval.
const CONFIDENCE: f64 = 0.99;
/// Below that there is no spread to speak of.
pub const LEAST_PASSES: usize = 3;
/// A neighbour on the same core leaves at least half of it: what surely grew by more became slower itself, steady machine or not.
const MOST_BY_NEIGHBOURS_PCT: f64 = 100.0;
/// What histograms tell apart.
const RESOLUTION_US: f64 = 1.0;

/// What an interval says of the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It grew by more than the limit: the lower end is above it.
    Slower,
    /// It did not: the upper end is not above it.
    NotSlower,
    /// The limit lies within the interval: with so much noise nobody knows.
    NotDecided,
}

impl Verdict {
    fn of(lower_pct: f64, upper_pct: f64, limit_pct: f64) -> Self {
        match (lower_pct > limit_pct, upper_pct <= limit_pct) {
            (true, _) => Self::Slower,
            (_, true) => Self::NotSlower,
            _ => Self::NotDecided,
        }
    }

    /// Of all figures together: slower if one is, not slower if there are some and all are not.
    fn of_all(changes: &[Change]) -> Self {
        let all_are_not = !changes.is_empty() && changes.iter().all(|c| c.verdict == Self::NotSlower);
        match changes.iter().any(|change| change.verdict == Self::Slower) {
            true => Self::Slower,
            false if all_are_not => Self::NotSlower,
            false => Self::NotDecided,
        }
    }
}

/// What a gate makes of a result and the older one that it was held against, for a program to act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// VALID, and not slower.
    Passed,
    /// VALID and slower, or INVALID and slower by more than a machine alone explains.
    Regressed,
    /// VALID, and too noisy to tell.
    Undecided,
    /// Not to be believed: a neighbour that slows a whole run is in no interval of its passes.
    Invalid,
}

impl Gate {
    /// Of a comparison and whether the result may be believed.
    pub fn of(comparison: &Comparison, valid: bool) -> Self {
        let beyond_noise = comparison.changes.iter().any(|change| change.lower_pct > MOST_BY_NEIGHBOURS_PCT);
        match (comparison.verdict, valid) {
            (Verdict::Slower, false) if beyond_noise => Self::Regressed,
            (_, false) => Self::Invalid,
            (Verdict::Slower, true) => Self::Regressed,
            (Verdict::NotSlower, true) => Self::Passed,
            (Verdict::NotDecided, true) => Self::Undecided,
        }
    }
}

/// A result against an older one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Comparison {
    /// The older result's file.
    pub baseline: String,
    /// Version of the runtime that it was measured on.
    pub baseline_engine_version: String,
    /// SHA-256 of the program that measured it.
    pub baseline_program_sha256: String,
    /// A figure may become this much larger.
    pub max_regression_pct: f64,
    /// By how much fixed work differs between the two runs: added to every interval on both sides.
    pub machine_pct: f64,
    /// Figure by figure.
    pub changes: Vec<Change>,
    /// Figures that could not be compared: a pass has too few requests for them, or there are fewer than two passes.
    pub left_out: Vec<String>,
    /// Of all figures that were compared: slower when one is, not slower when all are not.
    pub verdict: Verdict,
}

/// How one figure changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// Such as `response p99`.
    pub figure: String,
    /// Geometric mean over the older result's passes.
    pub baseline_us: f64,
    /// Over this one's.
    pub current_us: f64,
    /// By how much it grew.
    pub change_pct: f64,
    /// It grew by at least this, with 99 % confidence.
    pub lower_pct: f64,
    /// It grew by at most this, with 99 % confidence.
    pub upper_pct: f64,
    /// A slowdown by this much would just have failed.
    pub detectable_pct: f64,
    /// What the interval says of the limit.
    pub verdict: Verdict,
}

/// A figure of a pass in µs, and whether it is a percentile.
type Figure = (&'static str, fn(&PassSummary) -> Option<f64>, bool);

const FIGURES: [Figure; 4] = [
    ("service mean", |pass| pass.service_us.mean, false),
    ("service p50", |pass| pass.service_us.p50.map(|us| us as f64), true),
    ("response p50", |pass| pass.response_us.p50.map(|us| us as f64), true),
    ("response p99", |pass| pass.response_us.p99.map(|us| us as f64), true),
];

impl Comparison {
    /// Compares the passes of two results of the same setup; `file` is where the older one was.
    pub fn of(older: &Measurement, newer: &Measurement, file: &str, max_regression_pct: f64) -> Self {
        let machine = machine_difference(older, newer);
        let change = |(figure, value, rounded): Figure| {
            let of = |result: &Measurement| result.passes.iter().map(value).collect::<Option<Vec<f64>>>();
            let (before, after) = (of(older)?, of(newer)?);
            let enough = before.len().min(after.len()) >= 2;
            enough.then(|| Change::of(figure, [&before, &after], machine, rounded, max_regression_pct))
        };
        let (mut changes, mut left_out) = (Vec::new(), Vec::new());
        for figure in FIGURES {
            match change(figure) {
                Some(change) => changes.push(change),
                None => left_out.push(figure.0.to_owned()),
            }
        }
        Self {
            baseline: file.to_owned(),
            baseline_engine_version: older.setup.engine_version.clone(),
            baseline_program_sha256: older.environment.program_sha256.clone(),
            max_regression_pct,
            machine_pct: percent(machine),
            verdict: Verdict::of_all(&changes),
            changes,
            left_out,
        }
    }
}

impl Change {
    /// Of the values of both results' passes in µs. `machine` is a difference of logarithms.
    fn of(figure: &str, values_us: [&[f64]; 2], machine: f64, rounded: bool, limit_pct: f64) -> Self {
        let [before, after] = values_us.map(Logs::of);
        let difference = after.mean - before.mean;
        let (error, freedom) = welch([&before, &after]);
        let noise = student::quantile(CONFIDENCE, freedom) * error;
        let rounding = if rounded { (RESOLUTION_US / before.mean.exp()).ln_1p() } else { 0.0 };
        let between = machine + rounding;
        let fastest = after.least - before.least;
        let lower = (difference - noise).min(fastest) - between;
        let upper = (difference + noise).max(fastest) + between;
        let (lower_pct, upper_pct) = (percent(lower), percent(upper));
        Self {
            figure: figure.to_owned(),
            baseline_us: before.mean.exp(),
            current_us: after.mean.exp(),
            change_pct: percent(difference),
            lower_pct,
            upper_pct,
            detectable_pct: percent((limit_pct / 100.0).ln_1p() + noise + between),
            verdict: Verdict::of(lower_pct, upper_pct, limit_pct),
        }
    }
}

/// A difference of logarithms as a change in percent.
fn percent(difference: f64) -> f64 {
    100.0 * difference.exp_m1()
}

/// Logarithms of the values of some passes.
struct Logs {
    mean: f64,
    least: f64,
    variance: f64,
    count: f64,
}

impl Logs {
    fn of(values_us: &[f64]) -> Self {
        // What takes no time at all has no ratio.
        let logs: Vec<f64> = values_us.iter().map(|us| us.max(RESOLUTION_US / 2.0).ln()).collect();
        let count = logs.len() as f64;
        let mean = logs.iter().sum::<f64>() / count;
        let squares: f64 = logs.iter().map(|log| (log - mean).powi(2)).sum();
        let least = logs.iter().copied().fold(f64::INFINITY, f64::min);
        Self { mean, least, variance: squares / (count - 1.0), count }
    }
}

/// Standard error of the difference of two means, and its degrees of freedom.
fn welch(samples: [&Logs; 2]) -> (f64, f64) {
    let [a, b] = samples.map(|logs| logs.variance / logs.count);
    let [of_a, of_b] = samples.map(|logs| logs.count - 1.0);
    let sum = a + b;
    let freedom = if sum > 0.0 { sum * sum / (a * a / of_a + b * b / of_b) } else { of_a + of_b };
    (sum.sqrt(), freedom)
}

/// |ln| of the ratio by which fixed work differs at its fastest: of the clock's or of the memory's, whichever is larger.
fn machine_difference(older: &Measurement, newer: &Measurement) -> f64 {
    let fastest = |result: &Measurement, memory: bool| {
        let works = result.passes.iter().flat_map(|pass| [pass.conditions.before, pass.conditions.after]);
        works
            .map(|work| if memory { work.memory_us } else { work.clock_us })
            .fold(f64::INFINITY, f64::min)
            .max(f64::MIN_POSITIVE)
    };
    let differs = |memory| (fastest(newer, memory) / fastest(older, memory)).ln().abs();
    differs(false).max(differs(true))
}

#[cfg(test)]
mod tests;
