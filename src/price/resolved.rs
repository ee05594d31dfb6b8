//! The prices of one candidate count, or of a mixture of several, in dense form: the search asks for them in every step.
//!
//! A layer that is probed alone pays for a call of its own, and a first layer for looking its input up. A network pays for
//! one call, and for its input once, whatever comes behind. So both are taken out of the probed values here, and stand in
//! [`LayerPrices::fixed_ms`] and [`LayerPrices::input`].

use super::{
    FirstLayerPrice, LayerPrices,
    correction::Correction,
    grid::{Gap, Grid},
    input,
    matrix::WidthMatrix,
    path::Step,
    table::{Bucket, Operation, TableContext},
};
use crate::{
    base::{Error, Result},
    space::{InputLoad, InputWidths},
};
use std::collections::BTreeMap;

/// What is left of a layer's value, at least, once its call is taken out: the call may have been measured in a worse moment.
const LEAST_LAYER: f64 = 0.05;

/// Corrected prices of one candidate count, or of several with their weights: prices are linear, so what is interpolated or
/// expected over candidate counts is a weighted sum of them. Input widths between probed ones are interpolated.
#[derive(Debug, Clone)]
pub struct TablePrices {
    context: TableContext,
    /// With weights that sum to 1.
    parts: Vec<(f64, Resolved)>,
}

/// The prices of one bucket.
#[derive(Debug, Clone)]
struct Resolved {
    candidates: usize,
    /// By output width.
    first: BTreeMap<usize, (Grid, f64)>,
    /// From × to.
    layers: WidthMatrix,
    fixed_ms: f64,
    input: InputLoad,
}

impl TablePrices {
    /// Each bucket's prices, corrected by its own correction, in these weights, which sum to 1.
    pub(super) fn mixed(context: &TableContext, parts: &[(&Bucket, f64)]) -> Self {
        let resolve = |(bucket, weight): &(&Bucket, f64)| {
            let resolved = match &bucket.correction {
                Some(correction) => Resolved::new(bucket, correction),
                None => Resolved::new(bucket, &Correction::as_probed(bucket)),
            };
            (*weight, resolved)
        };
        Self { context: context.clone(), parts: parts.iter().map(resolve).collect() }
    }

    /// The raw values of `bucket` under a correction.
    pub(super) fn new(bucket: &Bucket, correction: &Correction) -> Self {
        Self { context: bucket.context.clone(), parts: vec![(1.0, Resolved::new(bucket, correction))] }
    }

    /// Σ over the parts.
    fn sum(&self, of: impl Fn(&Resolved) -> Result<f64>) -> Result<f64> {
        self.parts.iter().try_fold(0.0, |sum, (weight, part)| Ok(sum + weight * of(part)?))
    }

    fn missing(&self, operation: impl std::fmt::Display, candidates: usize) -> Error {
        Error::MissingPrice {
            key: format!("{operation} with {} at {candidates} candidates", self.context),
            fix: self.context.probe_command(candidates),
        }
    }

    /// Fails where first layers of width `to` have no price somewhere between the probed input widths, because a point of their grid
    /// is not there.
    pub fn check_grid(&self, to: usize) -> Result<()> {
        for (_, part) in &self.parts {
            let hole = part.first.get(&to).map(|(grid, _)| grid.hole());
            let hole =
                hole.ok_or_else(|| self.missing(format_args!("first layer → {to}"), part.candidates))?;
            if let Some((user, item)) = hole {
                return Err(self.missing(Operation::First { user, item, to }, part.candidates));
            }
        }
        Ok(())
    }

    fn first_of(&self, part: &Resolved, input: InputWidths, to: usize) -> Result<FirstLayerPrice> {
        let asked = format_args!("first layer (user {:.1}, item {:.1}) → {to}", input.user, input.item);
        let missing = |operation: &dyn std::fmt::Display| self.missing(operation, part.candidates);
        let Some((grid, factor)) = part.first.get(&to) else {
            return Err(missing(&asked));
        };
        let raw = grid.price(input).map_err(|gap| match gap {
            Gap::Outside { user, item } => missing(&format_args!(
                "{asked}, outside the probed user {} to {} and item {} to {},",
                user.0, user.1, item.0, item.1
            )),
            Gap::Corner { user, item } => missing(&Operation::First { user, item, to }),
        })?;
        Ok(FirstLayerPrice { ms: raw.ms * factor, d_user: raw.d_user * factor, d_item: raw.d_item * factor })
    }
}

impl Resolved {
    fn new(bucket: &Bucket, correction: &Correction) -> Self {
        let call_ms = bucket.call_ms();
        let layers = bucket.entries.iter().filter_map(|entry| {
            let Operation::Layer { from, to } = entry.operation else { return None };
            let layer_ms = (entry.mean_ms - call_ms).max(LEAST_LAYER * entry.mean_ms);
            Some((from, to, layer_ms * correction.factor(Step::Layer { from, to })))
        });
        let layers: Vec<_> = layers.collect();
        let first = products(bucket).into_iter().map(|(to, points)| {
            let factor = correction.factor(Step::First { to });
            (to, (Grid::new(&points), factor))
        });
        Self {
            candidates: bucket.candidates,
            first: first.collect(),
            layers: WidthMatrix::new(&layers),
            fixed_ms: correction.fixed_ms,
            input: correction.input,
        }
    }
}

/// By output width: (user width, item width, ms) of every probed first layer, less the call and what its input is made of.
pub(super) fn products(bucket: &Bucket) -> BTreeMap<usize, Vec<(usize, usize, f64)>> {
    let (call_ms, per_unit) = (bucket.call_ms(), input::isolated(bucket));
    let mut points: BTreeMap<usize, Vec<(usize, usize, f64)>> = BTreeMap::new();
    for entry in &bucket.entries {
        if let Operation::First { user, item, to } = entry.operation {
            let load = input::grid_input(bucket, entry).map(|input| input.load).unwrap_or_default();
            let product_ms = (entry.mean_ms - call_ms - per_unit.dot(&load)).max(0.0);
            points.entry(to).or_default().push((user, item, product_ms));
        }
    }
    points
}

impl Bucket {
    /// What one call costs; 0 where it was not probed.
    pub fn call_ms(&self) -> f64 {
        let call = self.entries.iter().find(|entry| entry.operation == Operation::Call);
        call.map_or(0.0, |entry| entry.mean_ms)
    }
}

impl LayerPrices for TablePrices {
    fn first_ms(&self, input: InputWidths, to: usize) -> Result<FirstLayerPrice> {
        let mut sum = FirstLayerPrice { ms: 0.0, d_user: 0.0, d_item: 0.0 };
        for (weight, part) in &self.parts {
            let price = self.first_of(part, input, to)?;
            sum.ms += weight * price.ms;
            sum.d_user += weight * price.d_user;
            sum.d_item += weight * price.d_item;
        }
        Ok(sum)
    }

    fn layer_ms(&self, from: usize, to: usize) -> Result<f64> {
        let missing = |candidates| self.missing(Operation::Layer { from, to }, candidates);
        self.sum(|part| part.layers.get(from, to).ok_or_else(|| missing(part.candidates)))
    }

    fn fixed_ms(&self) -> f64 {
        self.parts.iter().map(|(weight, part)| weight * part.fixed_ms).sum()
    }

    fn input(&self) -> InputLoad {
        self.parts.iter().fold(InputLoad::default(), |sum, (weight, part)| sum.plus(*weight, &part.input))
    }

    fn has_item_rows(&self) -> bool {
        self.context.layout.rows().is_some()
    }
}
