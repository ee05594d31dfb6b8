//! Prices of what an input is made of, apart from the product that follows.
//!
//! A first layer is looking its input up and multiplying it. Only the product depends on the layer's width, so
//!
//! ```text
//! T(input → to) = T_product(D_user, D_item, to) + Σ_q κ_q·x_q
//! ```
//!
//! with the quantities x of [`InputLoad`] and a price κ_q ≥ 0 for each. They are found where products are cheapest: first
//! layers of the narrowest width over many sets of features, y ≈ a + b·D_user + c·D_item + Σ κ_q·x_q, by least squares
//! with weak priors at 0. Quantities that go along with the width (as in a space of equal features) share its price in some
//! way, which makes no difference: what is taken from the product here is what is added there.

use super::{
    least_squares::LeastSquares,
    table::{Bucket, Operation, TableEntry},
};
use crate::{
    base::names::Layout,
    space::{Input, InputLoad},
};

/// Prior deviation of each price, as a share of what would make it the whole mean time.
const DEVIATION: f64 = 0.5;
/// Measurements are never trusted more than this, in percent.
const LEAST_NOISE_PCT: f64 = 1.0;

/// Positions of the unknowns: a, b, c, then one per quantity.
const FIXED: [usize; 3] = [0, 1, 2];

/// Prices per unit of load, in ms, as first layers alone show them; all 0 where none was probed over sets of features.
pub(super) fn isolated(bucket: &Bucket) -> InputLoad {
    fit(bucket).unwrap_or_default()
}

fn fit(bucket: &Bucket) -> Option<InputLoad> {
    let narrowest = bucket.inputs.iter().map(|entry| entry.to).min()?;
    let of_grid = bucket.entries.iter().filter_map(|entry| {
        let input = grid_input(bucket, entry)?;
        let known = matches!(entry.operation, Operation::First { to, .. } if to == narrowest);
        known.then_some((input, entry.mean_ms, entry.noise_pct))
    });
    let of_sets = bucket.inputs.iter().filter(|entry| entry.to == narrowest);
    let of_sets = of_sets.map(|entry| (entry.input, entry.mean_ms, entry.noise_pct));
    let rows: Vec<(Input, f64, f64)> = of_grid.chain(of_sets).collect();

    let mean_ms = rows.iter().map(|(_, ms, _)| ms).sum::<f64>() / rows.len() as f64;
    let largest = |of: &dyn Fn(&Input) -> f64| rows.iter().map(|(input, ..)| of(input)).fold(0.0, f64::max);
    let most: Vec<f64> =
        (0..InputLoad::LEN).map(|q| largest(&|input: &Input| input.load.array()[q])).collect();
    let quantities: Vec<usize> =
        (0..InputLoad::LEN).filter(|&q| most[q] > 0.0 && belongs(q, bucket.context.layout)).collect();

    let unknowns = FIXED.len() + quantities.len();
    let mut squares = LeastSquares::of(unknowns);
    for (input, ms, noise_pct) in &rows {
        let load = input.load.array();
        let mut row = vec![(0, 1.0), (1, input.widths.user), (2, input.widths.item)];
        row.extend(quantities.iter().enumerate().map(|(at, &q)| (FIXED.len() + at, load[q])));
        let sigma_ms = ms * noise_pct.max(LEAST_NOISE_PCT) / 100.0;
        squares.add(&row, *ms, sigma_ms.max(f64::MIN_POSITIVE.sqrt()));
    }
    let scales = [1.0, largest(&|i: &Input| i.widths.user), largest(&|i: &Input| i.widths.item)];
    let scales = scales.into_iter().chain(quantities.iter().map(|&q| most[q]));
    for (at, scale) in scales.enumerate() {
        let deviation = DEVIATION * mean_ms / if scale > 0.0 { scale } else { 1.0 };
        squares.add(&[(at, 1.0)], 0.0, deviation);
    }
    let x = squares.least_above(&vec![0.0; unknowns])?;
    let mut prices = [0.0; InputLoad::LEN];
    quantities.iter().enumerate().for_each(|(at, &q)| prices[q] = x[FIXED.len() + at]);
    Some(InputLoad::from_array(prices))
}

/// The input of a first layer's entry, where the bucket says what it was made of.
pub(super) fn grid_input(bucket: &Bucket, entry: &TableEntry) -> Option<Input> {
    let Operation::First { user, item, .. } = entry.operation else { return None };
    let same = |input: &&Input| input.widths.user == user as f64 && input.widths.item == item as f64;
    bucket.grid.iter().find(same).copied()
}

/// Whether a graph of this layout has the part that quantity `q` counts.
pub(super) fn belongs(q: usize, layout: Layout) -> bool {
    let whole = q >= InputLoad::LEN / 3 * 2;
    whole == (layout == Layout::Concat)
}
