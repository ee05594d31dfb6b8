//! The item table: the item part of the first layer, one row per item, computed beforehand.
//!
//! A row is x·W_v of the item's features, before activation and without bias. In i8 it is `scale` · `q` with
//! scale = max |row| / 127 and q = round(row / scale): off by at most half a scale.

use super::form::Form;
use crate::{base::names::RowFormat, data::schema::Refresh, learn::network::NetworkInput};
use half::f16;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The statement that travels with a model whose items have rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemTableSpec {
    /// Number format of the rows.
    pub rows: RowFormat,
    /// Values of a row.
    pub outputs: usize,
    /// Memory of one row, its scale included.
    pub bytes_per_item: u64,
    /// Items of the data that the model was exported with, where they were counted.
    pub items: Option<u64>,
    /// Memory of their rows.
    pub bytes: Option<u64>,
    /// How often rows have to be computed anew: as often as the feature that changes most often. Until then they are as old as
    /// the last time.
    pub refresh: Refresh,
    /// The features that rows stand for, with how long each stays true.
    pub features: BTreeMap<String, Refresh>,
}

impl ItemTableSpec {
    /// Of a network over `inputs` whose first layer has that many `outputs`, in that form; none where no feature of it is
    /// looked up.
    pub(super) fn of(inputs: &[NetworkInput], outputs: usize, form: &Form) -> Option<Self> {
        let rows = form.layout.rows()?;
        let cached = |input: &&NetworkInput| form.caches(input);
        let refresh = |input: &NetworkInput| (input.feature.clone(), form.cacheable[&input.feature]);
        let features: BTreeMap<_, _> = inputs.iter().filter(cached).map(refresh).collect();
        let daily = features.values().any(|&refresh| refresh == Refresh::Daily);
        let bytes_per_item = row_bytes(rows, outputs);
        (!features.is_empty()).then_some(Self {
            rows,
            outputs,
            bytes_per_item,
            items: form.items,
            bytes: form.items.map(|items| items * bytes_per_item),
            refresh: if daily { Refresh::Daily } else { Refresh::Static },
            features,
        })
    }
}

impl std::fmt::Display for ItemTableSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { rows, outputs, bytes_per_item, .. } = self;
        write!(f, "item table: {outputs} values per item in {rows}, {bytes_per_item} bytes")?;
        if let (Some(items), Some(bytes)) = (self.items, self.bytes) {
            write!(f, ", {:.1} MB for {items} items", bytes as f64 / 1e6)?;
        }
        f.write_str(match self.refresh {
            Refresh::Static => "; fill it once per version of the model, and new items when they come",
            _ => "; fill it daily: until then its rows are a day old",
        })
    }
}

/// Memory of one row.
fn row_bytes(format: RowFormat, outputs: usize) -> u64 {
    let (each, scale) = match format {
        RowFormat::F32 => (size_of::<f32>(), 0),
        RowFormat::F16 => (size_of::<f16>(), 0),
        RowFormat::I8 => (size_of::<i8>(), size_of::<f32>()),
    };
    (outputs * each + scale) as u64
}

/// Rows in their format.
#[derive(Debug, Clone, PartialEq)]
pub enum ItemRows {
    /// Row after row.
    F32(Vec<f32>),
    /// Row after row.
    F16(Vec<f16>),
    /// Row after row, with the scale of each.
    I8 {
        /// Multiples of the scale.
        values: Vec<i8>,
        /// One per row.
        scales: Vec<f32>,
    },
}

impl ItemRows {
    /// No rows.
    pub fn new(format: RowFormat) -> Self {
        match format {
            RowFormat::F32 => Self::F32(Vec::new()),
            RowFormat::F16 => Self::F16(Vec::new()),
            RowFormat::I8 => Self::I8 { values: Vec::new(), scales: Vec::new() },
        }
    }

    /// Adds a row, rounded to the format.
    pub fn push(&mut self, row: &[f32]) {
        match self {
            Self::F32(values) => values.extend_from_slice(row),
            Self::F16(values) => values.extend(row.iter().map(|&value| f16::from_f32(value))),
            Self::I8 { values, scales } => {
                let largest = row.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
                // A row of zeros has any scale; a normal number keeps the division out of trouble.
                let scale = (largest / 127.0).max(f32::MIN_POSITIVE);
                values.extend(row.iter().map(|value| (value / scale).round_ties_even() as i8));
                scales.push(scale);
            }
        }
    }

    /// A row of `outputs` values as the graph reads it.
    pub fn row(&self, index: usize, outputs: usize) -> Vec<f32> {
        let range = index * outputs..(index + 1) * outputs;
        match self {
            Self::F32(values) => values[range].to_vec(),
            Self::F16(values) => values[range].iter().map(|value| value.to_f32()).collect(),
            Self::I8 { values, scales } => {
                values[range].iter().map(|&value| f32::from(value) * scales[index]).collect()
            }
        }
    }

    /// How far the number that a row holds may be from `exact`, by rounding alone.
    pub fn half_step(&self, index: usize, exact: f32) -> f32 {
        match self {
            Self::F32(_) => 0.0,
            Self::F16(_) => (exact.abs() * 2f32.powi(-11)).max(2f32.powi(-25)),
            Self::I8 { scales, .. } => scales[index] / 2.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_rounded_to_their_format() {
        let row = [1.27, -0.634, 0.006, 0.0];
        let read = |format| {
            let mut rows = ItemRows::new(format);
            rows.push(&[0.0; 4]);
            rows.push(&row);
            assert_eq!(rows.row(0, 4), [0.0; 4]);
            (rows.row(1, 4), rows)
        };
        assert_eq!(read(RowFormat::F32).0, row);
        // The scale is 0.01: 127, −63.4, 0.6 and 0 steps.
        let (found, rows) = read(RowFormat::I8);
        let ItemRows::I8 { values, scales } = &rows else { panic!("{rows:?}") };
        assert_eq!(values[4..], [127, -63, 1, 0]);
        assert!((scales[1] - 0.01).abs() < 1e-9);
        assert!((found[1] + 0.63).abs() < 1e-6 && (found[2] - 0.01).abs() < 1e-6, "{found:?}");
        // The f16 numbers nearest to these.
        assert_eq!(read(RowFormat::F16).0, [1.269_531_2, -0.633_789_06, 0.006_000_519, 0.0]);
        for format in RowFormat::ALL {
            let (found, rows) = read(*format);
            for (a, b) in found.iter().zip(row) {
                assert!((a - b).abs() <= rows.half_step(1, b) + 1e-7, "{format}: {a} {b}");
            }
        }
    }

    #[test]
    fn a_row_takes_its_values_and_its_scale() {
        let bytes = |format| row_bytes(format, 512);
        assert_eq!(RowFormat::ALL.iter().map(|&f| bytes(f)).collect::<Vec<_>>(), [2048, 1024, 516]);
    }
}
