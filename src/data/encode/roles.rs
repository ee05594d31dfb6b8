//! Columns that are not features: labels, weights, scores, keys.

use super::{feature::categories, hashing, numeric};
use crate::base::Result;
use crate::data::{encode::distinct::MISSING, table::RawTable};

/// Labels: 0 or 1 in every row.
pub(crate) fn labels(table: &RawTable, column: &str) -> Result<Vec<f32>> {
    let fix = "a label is 0 or 1 in every row: write 0 for no and 1 for yes, or drop the row";
    checked(table, column, |v| v == 0.0 || v == 1.0, "a label that is neither 0 nor 1", fix)
}

/// Sample weights: not negative.
pub(super) fn weights(table: &RawTable, column: &str) -> Result<Vec<f32>> {
    checked(table, column, |v| v >= 0.0, "a negative weight", "give every row a weight of at least 0")
}

/// Probabilities.
pub(super) fn probabilities(table: &RawTable, column: &str) -> Result<Vec<f32>> {
    let sound = |v| (0.0..=1.0).contains(&v);
    checked(table, column, sound, "a score outside 0 to 1", "give the teacher's probability in every row")
}

fn checked(
    table: &RawTable,
    column: &str,
    sound: impl Fn(f32) -> bool,
    problem: &str,
    fix: &str,
) -> Result<Vec<f32>> {
    let numbers = numeric::numbers_of_role(table, column, fix)?;
    match numbers.iter().position(|&v| !sound(v)) {
        None => Ok(numbers),
        Some(row) if numbers[row].is_nan() => Err(table.cell_error(column, row, "the value is missing", fix)),
        Some(row) => Err(table.cell_error(column, row, format!("{problem} ({})", numbers[row]), fix)),
    }
}

/// Keys: a whole number as it is, everything else hashed ([`hashing::key`]). Missing keys are errors.
pub(crate) fn keys(table: &RawTable, column: &str) -> Result<Vec<u64>> {
    let distinct = categories(table, column)?;
    if let Some(row) = distinct.codes.iter().position(|&code| code == MISSING) {
        return Err(table.cell_error(
            column,
            row,
            "the key is missing",
            "give every row a key or drop the row",
        ));
    }
    let keys: Vec<u64> = distinct.texts.iter().map(|text| hashing::key(text)).collect();
    Ok(distinct.codes.iter().map(|&code| keys[code as usize]).collect())
}
