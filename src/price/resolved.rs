//! The prices of one bucket in dense form: the search asks for them in every step.

use super::{
    FirstLayerPrice, LayerPrices,
    calibrate::Correction,
    grid::{Gap, Grid},
    matrix::WidthMatrix,
    path::Step,
    table::{Bucket, LatencyTable, Operation, TableContext},
};
use crate::{
    base::{Error, Result},
    space::InputWidths,
};
use std::collections::BTreeMap;

/// Corrected prices of one bucket. Input widths between probed ones are interpolated; nothing else is.
#[derive(Debug, Clone)]
pub struct TablePrices {
    context: TableContext,
    candidates: usize,
    /// By output width.
    first: BTreeMap<usize, (Grid, f64)>,
    /// From × to.
    layers: WidthMatrix,
    fixed_ms: f64,
}

impl LatencyTable {
    /// The prices under these circumstances, with this version's correction applied.
    ///
    /// Fails with the command to run when the table has none.
    pub fn prices(&self, context: &TableContext, candidates: usize) -> Result<TablePrices> {
        let bucket = self.bucket(context, candidates)?;
        Ok(TablePrices::new(bucket, bucket.correction.as_ref().unwrap_or(&Correction::NONE)))
    }
}

impl TablePrices {
    /// The raw values of `bucket`, multiplied by the factors of `correction`.
    pub(super) fn new(bucket: &Bucket, correction: &Correction) -> Self {
        let mut points: BTreeMap<usize, Vec<(usize, usize, f64)>> = BTreeMap::new();
        let mut layers = Vec::new();
        for entry in &bucket.entries {
            match entry.operation {
                Operation::First { user, item, to } => {
                    points.entry(to).or_default().push((user, item, entry.mean_ms));
                }
                Operation::Layer { from, to } => {
                    layers.push((from, to, entry.mean_ms * correction.factor(Step::Layer { from, to })));
                }
            }
        }
        let first = points.into_iter().map(|(to, points)| {
            let factor = correction.factor(Step::First { to });
            (to, (Grid::new(&points), factor))
        });
        Self {
            context: bucket.context.clone(),
            candidates: bucket.candidates,
            first: first.collect(),
            layers: WidthMatrix::new(&layers),
            fixed_ms: correction.fixed_ms,
        }
    }

    fn missing(&self, operation: impl std::fmt::Display) -> Error {
        Error::MissingPrice {
            key: format!("{operation} with {} at {} candidates", self.context, self.candidates),
            fix: self.context.probe_command(self.candidates),
        }
    }
}

impl LayerPrices for TablePrices {
    fn first_ms(&self, input: InputWidths, to: usize) -> Result<FirstLayerPrice> {
        let asked = format_args!("first layer (user {:.1}, item {:.1}) → {to}", input.user, input.item);
        let Some((grid, factor)) = self.first.get(&to) else {
            return Err(self.missing(asked));
        };
        let raw = grid.price(input).map_err(|gap| match gap {
            Gap::Outside { user, item } => self.missing(format_args!(
                "{asked}, outside the probed user {} to {} and item {} to {},",
                user.0, user.1, item.0, item.1
            )),
            Gap::Corner { user, item } => self.missing(Operation::First { user, item, to }),
        })?;
        Ok(FirstLayerPrice { ms: raw.ms * factor, d_user: raw.d_user * factor, d_item: raw.d_item * factor })
    }

    fn layer_ms(&self, from: usize, to: usize) -> Result<f64> {
        self.layers.get(from, to).ok_or_else(|| self.missing(Operation::Layer { from, to }))
    }

    fn fixed_ms(&self) -> f64 {
        self.fixed_ms
    }

    fn has_item_rows(&self) -> bool {
        self.context.layout.rows().is_some()
    }
}
