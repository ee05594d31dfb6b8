//! What whole networks say about the raw values of a bucket, and the fit that finds it.
//!
//! A layer inside a network is not what it is alone: caches are warm or not, the runtime fuses, a call has a fixed part.
//! The model of a network's service time y over the raw values T_e of its layers, and the quantities x_q that its input is
//! made of, is
//!
//! ```text
//! y = c₀ + Σ_q κ_q·x_q + Σ_e φ_e·T_e,    φ_e = f_class(e) + δ_e,    classes: first, inner, output
//! ```
//!
//! and the fit minimises Σ ((y − ŷ) / (σ·y))², where σ² is the measurement's noise² and 2.5 %² for what no sum of layers
//! says, plus the priors ((f − 1) / 0.5)², (δ / 0.1)², (c₀ − call / 0.1·ȳ)² and (κ − κ⁰ / d)² with the isolated prices κ⁰
//! and a d of half of κ⁰, or of what would make the quantity a twentieth of ȳ where that is more: the isolated values hold
//! until networks say otherwise, a whole class moves more easily than one layer, and a layer that no network held takes
//! the factor of its class. Factors stay above [`MIN_FACTOR`], κ and c₀ above 0, so no price can turn negative. Each fit
//! starts from the raw values with all observations of the bucket that have a price, so the result does not depend on the
//! order in which they came. Whether it is paid is decided in [`choice`](super::choice).

use super::{
    input,
    least_squares::LeastSquares,
    observation::Observation,
    path::{Step, step_ms, steps},
    resolved::TablePrices,
    table::Bucket,
};
use crate::{
    base::{Error, Result},
    space::InputLoad,
};
use serde::{Deserialize, Serialize};

/// No layer gets cheaper than this share of its isolated price.
pub const MIN_FACTOR: f64 = 0.05;
/// Prior deviation of a class's factor from 1.
const CLASS_DEVIATION: f64 = 0.5;
/// Prior deviation of a layer's factor from its class's.
const STEP_DEVIATION: f64 = 0.1;
/// Prior deviation of a price per unit of input, as a share of its isolated value …
const INPUT_DEVIATION: f64 = 0.5;
/// … and at least what would make its quantity this share of the mean measured latency.
const LEAST_INPUT_DEVIATION: f64 = 0.05;
/// Prior deviation of the fixed part, as a share of the mean measured latency.
const FIXED_DEVIATION: f64 = 0.1;
/// How far networks lie from any sum of layers, in percent, however well they are measured: without it the fit would follow
/// what the model cannot say, and predict other networks worse.
const MODEL_ERROR_PCT: f64 = 2.5;

/// What whole networks say about the raw values of a bucket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Correction {
    /// Paid once per network.
    pub fixed_ms: f64,
    /// Prices per unit of what the input is made of, in ms.
    pub input: InputLoad,
    /// Factor on first layers.
    pub first: f64,
    /// Factor on layers between hidden ones.
    pub inner: f64,
    /// Factor on output nodes.
    pub output: f64,
    /// Factors of the layers that observed networks held, in ascending order; they replace that of their class.
    pub steps: Vec<StepFactor>,
}

/// Factor of one layer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepFactor {
    /// The layer; all input widths of a first layer share their factor.
    pub step: Step,
    /// What its raw value is multiplied by.
    pub factor: f64,
}

/// Positions of the unknowns: the fixed part, the three classes, then one per step.
const FIXED: usize = 0;
const CLASSES: usize = 1;
const STEPS: usize = 4;

fn class(step: Step) -> usize {
    match step {
        Step::First { .. } => CLASSES,
        Step::Layer { to: 2.., .. } | Step::Layer { to: 0, .. } => CLASSES + 1,
        Step::Layer { to: 1, .. } => CLASSES + 2,
    }
}

impl Correction {
    /// Prices as probed: one call, the input as first layers alone show it, and every layer as it is.
    pub fn as_probed(bucket: &Bucket) -> Self {
        let (fixed_ms, input) = (bucket.call_ms(), input::isolated(bucket));
        Self { fixed_ms, input, first: 1.0, inner: 1.0, output: 1.0, steps: Vec::new() }
    }

    /// The factor of a layer.
    pub fn factor(&self, step: Step) -> f64 {
        match self.steps.binary_search_by_key(&step, |known| known.step) {
            Ok(at) => self.steps[at].factor,
            Err(_) => [self.first, self.inner, self.output][class(step) - CLASSES],
        }
    }

    /// The most probable correction of the raw values of `bucket` under its observations, without the one at `left_out` and
    /// those that have layers without a price.
    pub(super) fn fit(bucket: &Bucket, left_out: Option<usize>) -> Result<Self> {
        let probed = Self::as_probed(bucket);
        let raw = TablePrices::new(bucket, &probed);
        let kept = bucket.observations.iter().enumerate().filter(|(at, _)| Some(*at) != left_out);
        let observations: Vec<&Observation> =
            kept.map(|(_, observation)| observation).filter(|o| o.has_price(&raw)).collect();
        if observations.is_empty() {
            return Ok(probed);
        }
        let unknowns = Unknowns::of(bucket, &observations);
        let mut squares = LeastSquares::of(unknowns.len());
        let mut mean_ms = 0.0;
        for observation in &observations {
            let row = unknowns.row(observation, &raw)?;
            let sigma_ms = observation.measured_ms * observation.noise_pct.hypot(MODEL_ERROR_PCT) / 100.0;
            squares.add(&row, observation.measured_ms, sigma_ms);
            mean_ms += observation.measured_ms / observations.len() as f64;
        }
        unknowns.add_priors(&mut squares, &probed, mean_ms);
        let x = squares.least_above(&unknowns.lower_bounds()).ok_or_else(|| {
            Error::usage(
                format!("the calibration of {} has no solution", bucket.context),
                "look for measured latencies near zero or beyond reason",
            )
        })?;
        Ok(unknowns.correction(&probed, &x))
    }

    pub(super) fn problem(&self) -> Option<String> {
        let factors = [self.first, self.inner, self.output];
        let mut factors = factors.into_iter().chain(self.steps.iter().map(|known| known.factor));
        let sound = factors.all(|f| f.is_finite() && f > 0.0)
            && self.fixed_ms.is_finite()
            && self.fixed_ms >= 0.0
            && self.input.array().iter().all(|price| price.is_finite() && *price >= 0.0)
            && self.steps.is_sorted_by(|a, b| a.step < b.step);
        (!sound).then(|| "the correction has factors that are no positive numbers, or unsorted steps".into())
    }
}

/// What a fit looks for, by position: the fixed part, the three classes, the layers of the observed networks, and the
/// prices of what their inputs are made of.
struct Unknowns {
    /// Ascending.
    steps: Vec<Step>,
    /// Quantities of the input, with the largest load of any observed network.
    quantities: Vec<(usize, f64)>,
}

impl Unknowns {
    fn of(bucket: &Bucket, observations: &[&Observation]) -> Self {
        let mut held: Vec<Step> = observations.iter().flat_map(|o| steps(&o.widths)).collect();
        held.sort_unstable();
        held.dedup();
        let most = |q: usize| observations.iter().map(|o| o.load.array()[q]).fold(0.0, f64::max);
        let quantities = (0..InputLoad::LEN).map(|q| (q, most(q)));
        let layout = bucket.context.layout;
        let there = |(q, most): &(usize, f64)| *most > 0.0 && input::belongs(*q, layout);
        Self { steps: held, quantities: quantities.filter(there).collect() }
    }

    fn len(&self) -> usize {
        STEPS + self.steps.len() + self.quantities.len()
    }

    fn step(&self, step: Step) -> usize {
        STEPS + self.steps.partition_point(|&known| known < step)
    }

    fn quantity(&self, at: usize) -> usize {
        STEPS + self.steps.len() + at
    }

    /// What each unknown is multiplied by in the time of a network.
    fn row(&self, observation: &Observation, raw: &TablePrices) -> Result<Vec<(usize, f64)>> {
        let mut row = vec![(FIXED, 1.0)];
        for step in steps(&observation.widths) {
            let ms = step_ms(step, observation.input, raw)?;
            let at = self.step(step);
            // A width that repeats gives the same step twice in one network.
            match row.iter_mut().find(|(known, _)| *known == at) {
                Some((_, sum)) => *sum += ms,
                None => row.push((at, ms)),
            }
        }
        let load = observation.load.array();
        row.extend(self.quantities.iter().enumerate().map(|(at, &(q, _))| (self.quantity(at), load[q])));
        Ok(row)
    }

    fn add_priors(&self, squares: &mut LeastSquares, probed: &Correction, mean_ms: f64) {
        squares.add(&[(FIXED, 1.0)], probed.fixed_ms, FIXED_DEVIATION * mean_ms);
        (CLASSES..STEPS).for_each(|class| squares.add(&[(class, 1.0)], 1.0, CLASS_DEVIATION));
        for &step in &self.steps {
            squares.add(&[(self.step(step), 1.0), (class(step), -1.0)], 0.0, STEP_DEVIATION);
        }
        let prices = probed.input.array();
        for (at, &(q, most)) in self.quantities.iter().enumerate() {
            let deviation = (INPUT_DEVIATION * prices[q]).max(LEAST_INPUT_DEVIATION * mean_ms / most);
            squares.add(&[(self.quantity(at), 1.0)], prices[q], deviation);
        }
    }

    fn lower_bounds(&self) -> Vec<f64> {
        let mut lower = vec![MIN_FACTOR; self.len()];
        lower[FIXED] = 0.0;
        lower[STEPS + self.steps.len()..].fill(0.0);
        lower
    }

    fn correction(&self, probed: &Correction, x: &[f64]) -> Correction {
        let steps = self.steps.iter().map(|&step| StepFactor { step, factor: x[self.step(step)] }).collect();
        let [first, inner, output] = [x[CLASSES], x[CLASSES + 1], x[CLASSES + 2]];
        let mut input = probed.input.array();
        self.quantities.iter().enumerate().for_each(|(at, &(q, _))| input[q] = x[self.quantity(at)]);
        Correction { fixed_ms: x[FIXED], input: InputLoad::from_array(input), first, inner, output, steps }
    }
}
