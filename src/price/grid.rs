//! Bilinear interpolation over probed (user width, item width) points, with its exact gradient.
//!
//! Widths above the probed range have no price. Widths below it take the price at its lower end, which is no less than
//! theirs: a search's expected width Σθ·width may be smaller than any real network's. No concrete network gets such a price
//! without item features: [`step_ms`](super::path::step_ms) refuses it.

use super::{FirstLayerPrice, matrix::WidthMatrix};
use crate::space::InputWidths;

/// Widths may leave the probed range by this share of it: sums of θ·width carry rounding errors.
const SLACK: f64 = 1e-6;

/// Prices of a first layer of one output width: users × items.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Grid(WidthMatrix);

/// Why a grid has no price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gap {
    /// The widths lie outside the probed ranges.
    Outside {
        /// Least and greatest user width.
        user: (usize, usize),
        /// Least and greatest item width.
        item: (usize, usize),
    },
    /// A corner of the cell around the widths was not probed.
    Corner {
        /// Its user width.
        user: usize,
        /// Its item width.
        item: usize,
    },
}

impl Grid {
    /// A grid through `points` (user width, item width, ms); there is at least one.
    pub(super) fn new(points: &[(usize, usize, f64)]) -> Self {
        Self(WidthMatrix::new(points))
    }

    /// The first (user width, item width) of the grid that was not probed.
    pub(super) fn hole(&self) -> Option<(usize, usize)> {
        let (users, items) = (&self.0.rows, &self.0.columns);
        let all = (0..users.len()).flat_map(|row| (0..items.len()).map(move |column| (row, column)));
        let hole = |&(row, column): &(usize, usize)| self.0.at(row, column).is_none();
        all.into_iter().find(hole).map(|(row, column)| (users[row], items[column]))
    }

    /// Price and gradient at `input`: exact at probed points, linear along either width within a cell.
    ///
    /// On a border between two cells the gradient is that of the upper one.
    pub(super) fn price(&self, input: InputWidths) -> Result<FirstLayerPrice, Gap> {
        let (users, items) = (&self.0.rows, &self.0.columns);
        let (Some(u), Some(i)) = (locate(users, input.user), locate(items, input.item)) else {
            let range = |axis: &[usize]| (axis[0], axis[axis.len() - 1]);
            return Err(Gap::Outside { user: range(users), item: range(items) });
        };
        let corner = |row: usize, column: usize| {
            self.0.at(row, column).ok_or(Gap::Corner { user: users[row], item: items[column] })
        };
        let (low, low_high) = (corner(u.low, i.low)?, corner(u.low, i.high)?);
        let (high_low, high) = (corner(u.high, i.low)?, corner(u.high, i.high)?);
        let mix = |a: f64, b: f64, share: f64| a + share * (b - a);
        Ok(FirstLayerPrice {
            ms: mix(mix(low, low_high, i.share), mix(high_low, high, i.share), u.share),
            d_user: u.slope * mix(high_low - low, high - low_high, i.share),
            d_item: i.slope * mix(low_high - low, high - high_low, u.share),
        })
    }
}

/// A position between two neighbours of an axis.
struct Between {
    low: usize,
    high: usize,
    /// 0 at the lower neighbour, 1 at the upper.
    share: f64,
    /// ∂share/∂width; 0 on an axis of one point, where the width cannot vary.
    slope: f64,
}

fn locate(axis: &[usize], width: f64) -> Option<Between> {
    let (first, last) = (*axis.first()? as f64, *axis.last()? as f64);
    let slack = SLACK * last.max(1.0);
    if width.is_nan() || width > last + slack {
        return None;
    }
    if axis.len() == 1 || width < first {
        return Some(Between { low: 0, high: 0, share: 0.0, slope: 0.0 });
    }
    let width = width.clamp(first, last);
    let high = axis.partition_point(|&point| point as f64 <= width).clamp(1, axis.len() - 1);
    let (a, b) = (axis[high - 1] as f64, axis[high] as f64);
    Some(Between { low: high - 1, high, share: (width - a) / (b - a), slope: 1.0 / (b - a) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn grid() -> Grid {
        let mut points = Vec::new();
        for (u, user) in [0usize, 8, 40].into_iter().enumerate() {
            for (i, item) in [4usize, 20, 100].into_iter().enumerate() {
                points.push((user, item, [3.0, 1.0, 4.0, 1.5, 9.0, 2.0, 6.0, 5.0, 3.5][u * 3 + i]));
            }
        }
        Grid::new(&points)
    }

    fn at(grid: &Grid, user: f64, item: f64) -> FirstLayerPrice {
        grid.price(InputWidths { user, item }).unwrap()
    }

    #[test]
    fn it_is_exact_at_probed_points_and_linear_between() {
        let grid = grid();
        assert_eq!(at(&grid, 8.0, 20.0).ms, 9.0);
        assert_eq!(at(&grid, 40.0, 100.0).ms, 3.5);
        assert_eq!(at(&grid, 0.0, 4.0).ms, 3.0);
        assert_eq!(at(&grid, 4.0, 20.0).ms, 5.0);
        // The middle of a cell is the mean of its corners.
        assert!((at(&grid, 24.0, 60.0).ms - (9.0 + 2.0 + 5.0 + 3.5) / 4.0).abs() < 1e-12);
    }

    #[test]
    fn nothing_is_guessed_above_the_probed_widths() {
        let grid = grid();
        let gap = Gap::Outside { user: (0, 40), item: (4, 100) };
        for (user, item) in [(41.0, 50.0), (8.0, 100.1), (f64::NAN, 50.0)] {
            assert_eq!(grid.price(InputWidths { user, item }), Err(gap), "{user} {item}");
        }
        // Rounding of a sum of θ·width is forgiven.
        assert_eq!(at(&grid, 40.0 + 1e-9, 100.0 - 1e-9).ms.round(), 4.0);
    }

    #[test]
    fn below_the_probed_widths_the_lowest_price_stands() {
        let grid = grid();
        assert_eq!(at(&grid, 8.0, 1.0).ms, at(&grid, 8.0, 4.0).ms);
        assert_eq!(at(&grid, 8.0, 1.0).d_item, 0.0);
        // Such as a search that expects next to nothing of the candidate.
        assert_eq!(at(&grid, 24.0, 0.0).ms, at(&grid, 24.0, 4.0).ms);
    }

    #[test]
    fn a_missing_corner_is_named_and_only_where_it_is_needed() {
        let grid = Grid::new(&[(0, 8, 1.0), (8, 0, 1.0), (8, 8, 2.0), (16, 0, 1.5), (16, 8, 2.5)]);
        let inside = InputWidths { user: 4.0, item: 4.0 };
        assert_eq!(grid.price(inside), Err(Gap::Corner { user: 0, item: 0 }));
        assert_eq!((grid.hole(), self::grid().hole()), (Some((0, 0)), None));
        assert_eq!(at(&grid, 12.0, 4.0).ms, 1.75);
    }

    #[test]
    fn a_side_without_features_has_one_point_and_no_slope() {
        let grid = Grid::new(&[(0, 8, 1.0), (0, 16, 3.0)]);
        assert_eq!(at(&grid, 0.0, 12.0), FirstLayerPrice { ms: 2.0, d_user: 0.0, d_item: 0.25 });
        assert!(grid.price(InputWidths { user: 1.0, item: 12.0 }).is_err());
    }

    proptest! {
        #[test]
        fn the_gradient_agrees_with_central_differences(user in 0.1f64..39.9, item in 4.1f64..99.9) {
            let step = 1e-5;
            let borders = [8.0, 20.0];
            prop_assume!(borders.iter().all(|b| (user - b).abs() > step && (item - b).abs() > step));
            let grid = grid();
            let found = at(&grid, user, item);
            let d_user = (at(&grid, user + step, item).ms - at(&grid, user - step, item).ms) / (2.0 * step);
            let d_item = (at(&grid, user, item + step).ms - at(&grid, user, item - step).ms) / (2.0 * step);
            prop_assert!((found.d_user - d_user).abs() < 1e-6);
            prop_assert!((found.d_item - d_item).abs() < 1e-6);
        }
    }
}
