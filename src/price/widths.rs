//! How far prices between probed input widths are off.
//!
//! A first layer's price between the points of its grid lies on the lines between them (`grid`). Leave out a width that has one on
//! either side, put the line between those in its place, compare: that spans twice the gap that prices are read from, where a
//! curved cost is about four times as far off its line.

use super::{
    resolved::products,
    table::{Bucket, Operation},
};
use serde::{Deserialize, Serialize};

/// Beyond this mean error, in percent, prices between probed input widths are doubtful.
const DOUBTFUL_PCT: f64 = 10.0;

/// How well the two neighbours of a probed input width would have stood for it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WidthError {
    /// First layers at inner widths, once per side on which they have neighbours.
    pub points: usize,
    /// Mean |error|, in percent of the whole first layer alone.
    pub mape_pct: f64,
    /// The largest |error|, in percent.
    pub worst_pct: f64,
}

impl WidthError {
    /// Why prices between widths are doubtful; None where they are not.
    pub fn doubt(&self) -> Option<String> {
        (self.mape_pct > DOUBTFUL_PCT)
            .then(|| format!("prices between probed input widths are doubtful: {self}"))
    }
}

impl std::fmt::Display for WidthError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { points, mape_pct, worst_pct } = self;
        write!(
            f,
            "input widths from their neighbours would be {mape_pct:.1} % off in the mean, {worst_pct:.1} % at worst ({points} first \
             layers)"
        )
    }
}

/// Over all first layers of a bucket; None where no width has neighbours on both sides.
pub(super) fn left_out(bucket: &Bucket) -> Option<WidthError> {
    let mut errors = Vec::new();
    for (to, points) in products(bucket) {
        for &(user, item, ms) in &points {
            let at = bucket
                .entries
                .binary_search_by_key(&Operation::First { user, item, to }, |entry| entry.operation);
            let whole_ms = at.map_or(0.0, |at| bucket.entries[at].mean_ms);
            let of_users = points.iter().filter(|p| p.1 == item).map(|p| (p.0, p.2));
            let of_items = points.iter().filter(|p| p.0 == user).map(|p| (p.1, p.2));
            let lines = [between(of_users, user), between(of_items, item)];
            let off = lines.into_iter().flatten().map(|line| 100.0 * (line - ms).abs() / whole_ms);
            errors.extend(off.filter(|error| error.is_finite()));
        }
    }
    (!errors.is_empty()).then(|| WidthError {
        points: errors.len(),
        mape_pct: errors.iter().sum::<f64>() / errors.len() as f64,
        worst_pct: errors.iter().fold(0.0, |most, error| most.max(*error)),
    })
}

/// The line between the neighbours of `width` on an axis, (width, ms) each, at `width`; None at an end.
fn between(axis: impl Iterator<Item = (usize, f64)> + Clone, width: usize) -> Option<f64> {
    let low = axis.clone().filter(|point| point.0 < width).max_by_key(|point| point.0)?;
    let high = axis.filter(|point| point.0 > width).min_by_key(|point| point.0)?;
    let share = (width - low.0) as f64 / (high.0 - low.0) as f64;
    Some(low.1 + share * (high.1 - low.1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::price::{
        fixtures::{context, entry},
        table::LatencyTable,
    };

    /// First layers of users 0, 8, 24 and items 8, 16, 32, of so many ms.
    fn bucket(ms: impl Fn(f64, f64) -> f64) -> Bucket {
        let mut table = LatencyTable::new("test");
        for user in [0, 8, 24] {
            for item in [8, 16, 32] {
                let operation = Operation::First { user, item, to: 4 };
                let mean_ms = ms(user as f64, item as f64);
                table.insert(&context(), 100, entry(operation, 9, mean_ms)).unwrap();
            }
        }
        table.corrected(|_| true).unwrap().buckets.remove(0)
    }

    #[test]
    fn a_cost_that_is_linear_in_both_widths_is_exact_between_them() {
        let found = bucket(|user, item| 1.0 + 0.1 * user + 0.3 * item).between_widths.unwrap();
        // The middle user width at three items, the middle item width at three users.
        assert_eq!(found.points, 6);
        assert!(found.worst_pct < 1e-9, "{found:?}");
    }

    #[test]
    fn a_step_between_widths_is_known_with_its_size() {
        // Items of 16 cost 2 where the line from 1 (at 8) to 1 (at 32) says 1: half of it is lost.
        let found = bucket(|_, item| if item == 16.0 { 2.0 } else { 1.0 }).between_widths.unwrap();
        assert!((found.worst_pct - 50.0).abs() < 1e-9 && (found.mape_pct - 25.0).abs() < 1e-9, "{found:?}");
    }
}
