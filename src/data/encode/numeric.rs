//! Numbers: reading them from any column, quantile buckets, and standardised values.
//!
//! A number is computed with in single precision, rounded once from the double that the cell holds; so a CSV file and a
//! Parquet file of either precision give the same result.

use super::text::canonical;
use crate::base::{
    Result,
    rng::{self, Generator},
};
use crate::data::table::{RawColumn, RawTable};
use arrow::array::Array;
use rand::RngExt;

/// Standardised values end here: a value that far out is an outlier, and a network should not follow it further.
pub(crate) const CLIP: f32 = 8.0;

/// One number per row of a feature, NaN where missing. Text that is no number, and infinity, are errors.
pub fn numbers(table: &RawTable, column: &str) -> Result<Vec<f32>> {
    read(table, column, None)
}

/// [`numbers`] of a column that is no feature, so that other values are mended by `fix` alone.
pub(super) fn numbers_of_role(table: &RawTable, column: &str, fix: &str) -> Result<Vec<f32>> {
    read(table, column, Some(fix))
}

fn read(table: &RawTable, column: &str, fix: Option<&str>) -> Result<Vec<f32>> {
    let fix = |of_feature| fix.unwrap_or(of_feature);
    let raw = table.column(column)?;
    let numbers: Vec<f32> = match raw {
        RawColumn::Ints(a) => a.iter().map(|v| v.map_or(f32::NAN, |v| v as f64 as f32)).collect(),
        RawColumn::Singles(a) => a.iter().map(|v| v.unwrap_or(f32::NAN)).collect(),
        RawColumn::Doubles(a) => a.iter().map(|v| v.map_or(f32::NAN, |v| v as f32)).collect(),
        RawColumn::Text(a) => (0..a.len())
            .map(|row| if a.is_null(row) { Some(f32::NAN) } else { parse(a.value(row)) })
            .enumerate()
            .map(|(row, number)| {
                number.ok_or_else(|| {
                    let problem = format!("`{}` is not a number", a.value(row));
                    let fix = fix("correct the value, or declare the feature categorical");
                    table.cell_error(column, row, problem, fix)
                })
            })
            .collect::<Result<_>>()?,
        RawColumn::Lists(_) => {
            let fix = fix("declare it as a sequence");
            return Err(table.column_error(column, "lists where numbers are needed", fix));
        }
    };
    match numbers.iter().position(|v| v.is_infinite()) {
        Some(row) => {
            let fix = fix("leave the cell empty or write a number of single precision");
            Err(table.cell_error(column, row, "the number is infinite", fix))
        }
        None => Ok(numbers),
    }
}

/// The number that a text stands for: NaN where it means "missing", none where it is no number.
pub fn parse(text: &str) -> Option<f32> {
    // The short way first: nearly every cell is a plain number.
    match text.trim().parse::<f64>() {
        Ok(value) => Some(value as f32),
        Err(_) => canonical(text).map_or(Some(f32::NAN), |text| text.parse::<f64>().ok().map(|v| v as f32)),
    }
}

/// Inner edges of at most `buckets` quantile buckets, ascending. Bucket k holds the values in (edge k−1, edge k], so a
/// value that repeats often gets one bucket, and fewer than `buckets` are left.
pub fn quantile_edges(mut values: Vec<f32>, buckets: u32) -> Vec<f32> {
    values.retain(|v| !v.is_nan());
    values.sort_unstable_by(f32::total_cmp);
    let Some(&largest) = values.last() else { return Vec::new() };
    let mut edges: Vec<f32> = (1..buckets as usize)
        .map(|k| values[(k * values.len()).div_ceil(buckets as usize) - 1])
        // Nothing lies above the largest value.
        .filter(|&edge| edge < largest)
        .collect();
    edges.dedup_by(|a, b| a == b);
    edges
}

/// Id of a number: 0 when missing, else 1 + the number of edges below it.
pub fn bucket(value: f32, edges: &[f32]) -> u32 {
    if value.is_nan() { 0 } else { 1 + edges.partition_point(|&edge| edge < value) as u32 }
}

/// Mean and deviation of numbers that come one by one (Welford's recurrence: it does not cancel, however far the numbers lie
/// from 0, and does not depend on the pieces that they come in).
#[derive(Debug, Default)]
pub(super) struct Moments {
    count: u64,
    mean: f64,
    /// Σ(x − mean)².
    squares: f64,
}

impl Moments {
    /// Adds a number; a missing one is passed over.
    pub(super) fn add(&mut self, value: f32) {
        if value.is_nan() {
            return;
        }
        let value = f64::from(value);
        self.count += 1;
        let off = value - self.mean;
        self.mean += off / self.count as f64;
        self.squares += off * (value - self.mean);
    }

    /// Mean and deviation (of the population); 0 and 1 where there is no spread to divide by.
    pub(super) fn mean_and_deviation(&self) -> (f64, f64) {
        let variance = self.squares / self.count.max(1) as f64;
        (self.mean, if variance > 0.0 { variance.sqrt() } else { 1.0 })
    }
}

/// Numbers that quantiles are read from: all of them up to a limit, then a uniform sample of that size.
#[derive(Debug)]
pub(super) struct Sample {
    kept: Vec<f32>,
    seen: u64,
    rng: Generator,
}

impl Sample {
    /// With this many, the share of the rows below an edge is off by a tenth of a percent (standard error at the median).
    const LIMIT: usize = 1 << 18;

    /// The sample repeats for a feature of this name.
    pub(super) fn new(name: &str) -> Self {
        Self { kept: Vec::new(), seen: 0, rng: rng::generator(0, &format!("sample of {name}")) }
    }

    /// Adds a number; a missing one is passed over.
    pub(super) fn add(&mut self, value: f32) {
        if value.is_nan() {
            return;
        }
        self.seen += 1;
        if self.kept.len() < Self::LIMIT {
            self.kept.push(value);
            return;
        }
        // Vitter's algorithm R: every number so far is kept with the same probability.
        let place = self.rng.random_range(0..self.seen);
        if let Some(kept) = self.kept.get_mut(place as usize) {
            *kept = value;
        }
    }

    pub(super) fn values(self) -> Vec<f32> {
        self.kept
    }
}

/// (x − mean) / deviation, clipped to ±8. NaN stays NaN.
pub fn standardize(value: f32, mean: f64, deviation: f64) -> f32 {
    (((f64::from(value) - mean) / deviation) as f32).clamp(-CLIP, CLIP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantile_buckets_hold_equal_shares() {
        let values: Vec<f32> = (1..=100).rev().map(|v| v as f32).collect();
        let edges = quantile_edges(values.clone(), 4);
        assert_eq!(edges, [25.0, 50.0, 75.0]);
        for (value, id) in [(1.0, 1), (25.0, 1), (25.5, 2), (50.0, 2), (75.1, 4), (1e9, 4), (-1e9, 1)] {
            assert_eq!(bucket(value, &edges), id, "{value}");
        }
        assert_eq!(bucket(f32::NAN, &edges), 0);
    }

    #[test]
    fn a_frequent_value_has_a_bucket_of_its_own() {
        let mut values = vec![0.0; 70];
        values.extend((1..=30).map(|v| v as f32));
        values.push(f32::NAN);
        let edges = quantile_edges(values, 10);
        assert_eq!(edges, [0.0, 10.0, 20.0]);
        assert_ne!(bucket(0.0, &edges), bucket(1.0, &edges));
    }

    #[test]
    fn a_constant_or_absent_column_has_one_bucket() {
        assert!(quantile_edges(vec![5.0; 9], 4).is_empty());
        assert!(quantile_edges(vec![f32::NAN; 9], 4).is_empty());
        assert_eq!(bucket(5.0, &[]), 1);
    }

    #[test]
    fn standardised_values_have_mean_0_and_deviation_1_and_ends() {
        let moments = |values: &[f32]| {
            let mut moments = Moments::default();
            values.iter().for_each(|&value| moments.add(value));
            moments.mean_and_deviation()
        };
        let (mean, deviation) = moments(&[2.0, 4.0, f32::NAN, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]);
        assert!((mean - 5.0).abs() < 1e-12 && (deviation - 2.0).abs() < 1e-12, "{mean} {deviation}");
        let (mean, deviation) = (5.0, 2.0);
        assert_eq!(standardize(9.0, mean, deviation), 2.0);
        assert_eq!(standardize(1e6, mean, deviation), 8.0);
        assert_eq!(standardize(-1e6, mean, deviation), -8.0);
        assert!(standardize(f32::NAN, mean, deviation).is_nan());
        assert_eq!(moments(&[0.1, 0.1, 0.1]), (f64::from(0.1f32), 1.0));
        assert_eq!(moments(&[f32::NAN]), (0.0, 1.0));
        // The spread of large numbers is not lost in their squares.
        let (_, deviation) = moments(&[1e7, 1e7 + 1.0, 1e7 + 2.0]);
        assert!((deviation - (2.0f64 / 3.0).sqrt()).abs() < 1e-9, "{deviation}");
    }

    #[test]
    fn quantiles_of_more_numbers_than_are_kept_are_near_those_of_all() {
        let mut sample = Sample::new("x");
        let count = 3 * Sample::LIMIT;
        (0..count).for_each(|i| sample.add(i as f32));
        let values = sample.values();
        assert_eq!(values.len(), Sample::LIMIT);
        for (k, edge) in (1..).zip(quantile_edges(values, 10)) {
            let share = f64::from(edge) / count as f64;
            // Four standard errors at the median.
            assert!((share - f64::from(k) / 10.0).abs() < 0.004, "edge {k}: {share}");
        }
    }

    #[test]
    fn text_is_read_as_a_number_or_refused() {
        assert_eq!(parse(" 1e3 "), Some(1000.0));
        assert_eq!(parse("true"), Some(1.0));
        assert!(parse("null").unwrap().is_nan() && parse("").unwrap().is_nan());
        assert_eq!(parse("12 km"), None);
    }
}
