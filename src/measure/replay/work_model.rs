//! A model of how long a request keeps its worker: quantiles per number of candidates, once for requests that a worker
//! begins straight after another and once for those that it begins after a pause.
//!
//! Samples are sorted by candidates and cut into groups of at least 100 whose counts differ by a quarter or more. Within a
//! group the work is scaled to the group's mean count c̄ by a straight line through its samples, so that a group's
//! quantiles hold the spread of equal requests and not that of unequal counts. Between the mean counts of two groups
//! quantiles are interpolated linearly, beyond the outer ones extrapolated. Last, all is scaled by one factor per state so
//! that the model's mean work over the samples is theirs: a queue follows the mean before anything else.
//!
//! Work is drawn by inverting the distribution: 63 cells of 1/64 and, for the tail, 64 cells of 1/4096. Draws of
//! successive requests are independent, so slow spells of a machine that last several requests are not in it.
//!
//! Beside the work, evenly spaced quantiles of the counts are kept, the smallest and the largest among them: what requests
//! ask for where no trace says it. Group means would lose the tail of the counts, and with it that of the response.

use super::work::{Before, WorkSample};
use crate::base::{Error, Result, rng::Generator};
use rand::RngExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Quantiles per group.
const LEVELS: usize = 128;
/// Cells of the body's width in the whole distribution; the last of them is cut again into as many.
const CELLS: usize = 64;
/// Below this, quantiles would be those of single requests.
pub const MIN_SAMPLES: usize = 100;
/// Counts of a group reach at least this many times its smallest, unless there are no more.
const GROUP_RATIO: f64 = 1.25;

/// Positions of larger numbers of candidates are not kept but computed for every draw: a file may say any number.
const POSITIONS: u32 = 1 << 20;

/// Quantiles of the counts at most.
const COUNTS: usize = 1000;

/// How long requests keep a worker, and how many candidates they have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WorkModel {
    /// Candidates of the requests, ascending: all of up to 1,000 requests, of more so many quantiles from the smallest to the
    /// largest number, their levels evenly spaced.
    #[serde(default)]
    pub candidates: Vec<u32>,
    /// Ascending by candidates; at least one.
    pub groups: Vec<WorkGroup>,
}

/// Requests of similar numbers of candidates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WorkGroup {
    /// Mean number of candidates, for which the quantiles hold.
    pub candidates: f64,
    /// Smallest number seen.
    pub min_candidates: u32,
    /// Largest number seen.
    pub max_candidates: u32,
    /// Requests behind it.
    pub samples: usize,
    /// Quantiles of the work of requests that were begun straight after another, in µs, at the levels of [`level`].
    pub after_work_us: Vec<f32>,
    /// The same of requests before which the worker had paused.
    pub after_pause_us: Vec<f32>,
}

/// Level of quantile `i` of a [`WorkGroup`], from 0 to 1.
pub fn level(i: usize) -> f64 {
    let cells = CELLS as f64;
    match i.checked_sub(CELLS - 1) {
        None => i as f64 / cells,
        Some(beyond) => (cells - 1.0) / cells + beyond as f64 / (cells * cells),
    }
}

impl WorkModel {
    /// Learns from a replay's samples.
    pub fn fit(samples: &[WorkSample]) -> Result<Self> {
        if samples.len() < MIN_SAMPLES {
            return Err(Error::usage(
                format!("{} requests are too few to tell how long requests take", samples.len()),
                format!("replay at least {MIN_SAMPLES}, better thousands"),
            ));
        }
        let mut sorted = samples.to_vec();
        sorted.sort_by_key(|sample| sample.candidates);
        let mut model =
            Self { candidates: counts(&sorted), groups: cut(&sorted).into_iter().map(group).collect() };
        for before in [Before::Work, Before::Pause] {
            model.keep_the_mean(samples, before);
        }
        Ok(model)
    }

    /// Mean work of a request in µs.
    pub fn mean_us(&self, candidates: f64, before: Before) -> f64 {
        let Position { group, share } = self.position(candidates);
        let of = |group: usize| mean(self.groups[group].quantiles(before));
        let here = of(group);
        match share == 0.0 {
            true => here,
            false => (here + f64::from(share) * (of(group + 1) - here)).max(0.0),
        }
    }

    /// Mean work over requests of the given numbers of candidates, begun straight after one another, in µs: its inverse
    /// is the highest rate of one worker.
    pub fn mean_over_us(&self, candidates: impl Iterator<Item = u32>) -> f64 {
        let (mut sum, mut count) = (0.0, 0.0);
        let means: Vec<f64> = self.groups.iter().map(|group| mean(&group.after_work_us)).collect();
        for candidates in candidates {
            let Position { group, share } = self.position(f64::from(candidates));
            let next = means.get(group + 1).unwrap_or(&0.0);
            sum += (means[group] + f64::from(share) * (next - means[group])).max(0.0);
            count += 1.0;
        }
        sum / f64::max(count, 1.0)
    }

    /// The model of requests that take `factor` times as long.
    pub fn scaled(&self, factor: f64) -> Self {
        let mut scaled = self.clone();
        for group in &mut scaled.groups {
            let quantiles = group.after_work_us.iter_mut().chain(&mut group.after_pause_us);
            quantiles.for_each(|us| *us = (f64::from(*us) * factor) as f32);
        }
        scaled
    }

    /// The numbers of candidates that were seen, from smallest to largest.
    pub fn seen(&self) -> (u32, u32) {
        let first = self.groups.first().map_or(0, |group| group.min_candidates);
        (first, self.groups.last().map_or(0, |group| group.max_candidates))
    }

    /// Refuses a model of a file that cannot be drawn from; `file` is named.
    pub fn check(&self, file: &std::path::Path) -> Result<()> {
        let sound = |group: &WorkGroup| {
            let seen = f64::from(group.min_candidates)..=f64::from(group.max_candidates);
            seen.contains(&group.candidates)
                && [&group.after_work_us, &group.after_pause_us].into_iter().all(|quantiles| {
                    quantiles.len() == LEVELS
                        && quantiles.is_sorted()
                        && quantiles.iter().all(|us| us.is_finite() && *us >= 0.0)
                })
        };
        // Within each its mean, so that the means ascend as well.
        let ascending = self.groups.is_sorted_by(|a, b| a.max_candidates < b.min_candidates);
        let counted = !self.candidates.is_empty() && self.candidates.is_sorted();
        if counted && !self.groups.is_empty() && ascending && self.groups.iter().all(sound) {
            return Ok(());
        }
        Err(Error::input(
            file,
            crate::base::error::Place::whole(),
            "its model of the work per request is not one that this program writes",
            "replay again and keep the result with --out",
        ))
    }

    fn position(&self, candidates: f64) -> Position {
        let last = self.groups.len() - 1;
        if last == 0 {
            return Position { group: 0, share: 0.0 };
        }
        let above = self.groups.partition_point(|group| group.candidates <= candidates);
        let group = above.saturating_sub(1).min(last - 1);
        let (here, next) = (self.groups[group].candidates, self.groups[group + 1].candidates);
        Position { group, share: ((candidates - here) / (next - here)) as f32 }
    }

    /// Scales the quantiles of one state so that the mean over the samples of that state is theirs.
    fn keep_the_mean(&mut self, samples: &[WorkSample], before: Before) {
        let own: Vec<&WorkSample> = samples.iter().filter(|sample| sample.before == before).collect();
        if own.len() < MIN_SAMPLES {
            return;
        }
        let measured: f64 = own.iter().map(|sample| sample.work_ns as f64 / 1e3).sum();
        let modelled: f64 = own.iter().map(|s| self.mean_us(f64::from(s.candidates), before)).sum();
        let factor = if modelled > 0.0 { (measured / modelled) as f32 } else { 1.0 };
        for group in &mut self.groups {
            group.quantiles_mut(before).iter_mut().for_each(|us| *us *= factor);
        }
    }
}

impl WorkGroup {
    /// The quantiles of one state.
    pub fn quantiles(&self, before: Before) -> &[f32] {
        match before {
            Before::Work => &self.after_work_us,
            Before::Pause => &self.after_pause_us,
        }
    }

    fn quantiles_mut(&mut self, before: Before) -> &mut [f32] {
        match before {
            Before::Work => &mut self.after_work_us,
            Before::Pause => &mut self.after_pause_us,
        }
    }
}

/// Between which groups a number of candidates lies; the share is that of the upper one.
#[derive(Debug, Clone, Copy)]
struct Position {
    group: usize,
    share: f32,
}

/// The counts of samples that ascend by them, or [`COUNTS`] of more: those in the middles of as many equal parts, which keeps
/// the mean, and in the outer two parts the extremes.
fn counts(sorted: &[WorkSample]) -> Vec<u32> {
    let kept = sorted.len().min(COUNTS);
    let middle = |i: usize| sorted[(2 * i + 1) * sorted.len() / (2 * kept)].candidates;
    let inner = (1..kept - 1).map(middle);
    let (first, last) = (sorted[0].candidates, sorted[sorted.len() - 1].candidates);
    std::iter::once(first).chain(inner).chain([last]).collect()
}

/// Cuts samples, ascending by candidates, into groups.
fn cut(sorted: &[WorkSample]) -> Vec<&[WorkSample]> {
    let (mut groups, mut begin) = (Vec::new(), 0);
    for i in 1..sorted.len() {
        let reached = f64::from(sorted[i].candidates) >= GROUP_RATIO * f64::from(sorted[begin].candidates);
        // Equal counts stay together.
        let another = sorted[i].candidates != sorted[i - 1].candidates;
        if reached && another && i - begin >= MIN_SAMPLES && sorted.len() - i >= MIN_SAMPLES {
            groups.push(&sorted[begin..i]);
            begin = i;
        }
    }
    groups.push(&sorted[begin..]);
    groups
}

fn group(samples: &[WorkSample]) -> WorkGroup {
    let candidates = samples.iter().map(|s| f64::from(s.candidates)).sum::<f64>() / samples.len() as f64;
    let of = |before| {
        let own: Vec<WorkSample> = samples.iter().filter(|s| s.before == before).copied().collect();
        quantiles(if own.len() >= MIN_SAMPLES { &own } else { samples }, candidates)
    };
    WorkGroup {
        candidates,
        min_candidates: samples[0].candidates,
        max_candidates: samples[samples.len() - 1].candidates,
        samples: samples.len(),
        after_work_us: of(Before::Work),
        after_pause_us: of(Before::Pause),
    }
}

/// Quantiles of the work of requests with `at` candidates.
fn quantiles(samples: &[WorkSample], at: f64) -> Vec<f32> {
    let line = Line::through(samples);
    let mut scaled: Vec<f64> = samples
        .iter()
        .map(|s| {
            s.work_ns as f64 / 1e3 * line.us(at) / line.us(f64::from(s.candidates)).max(f64::MIN_POSITIVE)
        })
        .collect();
    scaled.sort_by(f64::total_cmp);
    let value = |level: f64| {
        let place = level * (scaled.len() - 1) as f64;
        let (below, share) = (place as usize, place.fract());
        scaled[below] + share * (scaled[(below + 1).min(scaled.len() - 1)] - scaled[below])
    };
    (0..LEVELS).map(|i| value(level(i)) as f32).collect()
}

/// Mean of the distribution that is drawn from: linear between quantiles.
fn mean(quantiles: &[f32]) -> f64 {
    let cells = quantiles.windows(2).enumerate();
    cells.map(|(i, ends)| (level(i + 1) - level(i)) * f64::from(ends[0] + ends[1]) / 2.0).sum()
}

/// Mean work against candidates within a group, by least squares; work neither falls with more candidates nor grows
/// faster than they do.
struct Line {
    mean_candidates: f64,
    mean_us: f64,
    slope: f64,
}

impl Line {
    fn through(samples: &[WorkSample]) -> Self {
        let count = samples.len() as f64;
        let points = || samples.iter().map(|s| (f64::from(s.candidates), s.work_ns as f64 / 1e3));
        let mean_candidates = points().map(|(x, _)| x).sum::<f64>() / count;
        let mean_us = points().map(|(_, y)| y).sum::<f64>() / count;
        let variance: f64 = points().map(|(x, _)| (x - mean_candidates).powi(2)).sum();
        let covariance: f64 = points().map(|(x, y)| (x - mean_candidates) * (y - mean_us)).sum();
        let slope = if variance > 0.0 { covariance / variance } else { 0.0 };
        let steepest = mean_us / mean_candidates.max(1.0);
        Self { mean_candidates, mean_us, slope: slope.clamp(0.0, steepest) }
    }

    fn us(&self, candidates: f64) -> f64 {
        self.mean_us + self.slope * (candidates - self.mean_candidates)
    }
}

/// Draws work from a model.
pub struct WorkDraws<'a> {
    model: &'a WorkModel,
    /// Of every number of candidates up to the largest seen, or to [`POSITIONS`].
    positions: Vec<Position>,
    generator: Generator,
}

impl<'a> WorkDraws<'a> {
    /// Draws from `generator`.
    pub fn new(model: &'a WorkModel, generator: Generator) -> Self {
        let last = model.seen().1.min(POSITIONS);
        let positions = (0..=last).map(|candidates| model.position(f64::from(candidates))).collect();
        Self { model, positions, generator }
    }

    /// Work of the next request in ns.
    pub fn next_ns(&mut self, candidates: u32, before: Before) -> u64 {
        let Position { group, share } = match self.positions.get(candidates as usize) {
            Some(position) => *position,
            None => self.model.position(f64::from(candidates)),
        };
        let (cell, part) = cell(self.generator.random::<u64>());
        let at = |group: usize| {
            let quantiles = self.model.groups[group].quantiles(before);
            quantiles[cell] + part * (quantiles[cell + 1] - quantiles[cell])
        };
        let here = at(group);
        let us = if share == 0.0 { here } else { here + share * (at(group + 1) - here) };
        // Extrapolation may fall below zero, which the conversion cuts.
        (us * 1e3).round_ties_even() as u64
    }
}

/// The cell of a uniform draw and the part of it that lies below the draw.
fn cell(bits: u64) -> (usize, f32) {
    const TAIL: usize = CELLS - 1;
    let part = |rest: u64| (rest >> 40) as f32 / (1u32 << 24) as f32;
    let body = (bits >> 58) as usize;
    if body < TAIL {
        return (body, part(bits << 6));
    }
    let rest = bits << 6;
    (TAIL + (rest >> 58) as usize, part(rest << 6))
}

#[cfg(test)]
mod tests;
