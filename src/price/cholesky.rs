//! Small dense linear algebra: symmetric positive definite systems, and quadratic minimisation under lower bounds.

/// A square matrix, row after row.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Square {
    size: usize,
    values: Vec<f64>,
}

impl Square {
    /// Zeros.
    pub(super) fn zeros(size: usize) -> Self {
        Self { size, values: vec![0.0; size * size] }
    }

    /// Adds `weight`·v·vᵀ for the sparse vector v of (index, value) pairs with distinct indices.
    pub(super) fn add_outer(&mut self, v: &[(usize, f64)], weight: f64) {
        for &(row, a) in v {
            for &(column, b) in v {
                self.values[row * self.size + column] += weight * a * b;
            }
        }
    }

    fn at(&self, row: usize, column: usize) -> f64 {
        self.values[row * self.size + column]
    }

    fn times(&self, x: &[f64]) -> Vec<f64> {
        self.values.chunks_exact(self.size).map(|row| row.iter().zip(x).map(|(a, b)| a * b).sum()).collect()
    }

    /// The rows and columns of `kept`.
    fn minor(&self, kept: &[usize]) -> Self {
        let values = kept.iter().flat_map(|&row| kept.iter().map(move |&column| self.at(row, column)));
        Self { size: kept.len(), values: values.collect() }
    }

    /// x with A·x = b by Cholesky's factors A = L·Lᵀ. None when A is not positive definite.
    pub(super) fn solve(&self, b: &[f64]) -> Option<Vec<f64>> {
        let n = self.size;
        let mut factor = Self::zeros(n);
        for row in 0..n {
            for column in 0..=row {
                let done: f64 = (0..column).map(|k| factor.at(row, k) * factor.at(column, k)).sum();
                let rest = self.at(row, column) - done;
                factor.values[row * n + column] = if row > column {
                    rest / factor.at(column, column)
                } else if rest > 0.0 {
                    rest.sqrt()
                } else {
                    return None;
                };
            }
        }
        let mut x = b.to_vec();
        for row in 0..n {
            let done: f64 = (0..row).map(|k| factor.at(row, k) * x[k]).sum();
            x[row] = (x[row] - done) / factor.at(row, row);
        }
        for row in (0..n).rev() {
            let done: f64 = (row + 1..n).map(|k| factor.at(k, row) * x[k]).sum();
            x[row] = (x[row] - done) / factor.at(row, row);
        }
        Some(x)
    }
}

/// The x ≥ `lower` that minimises ½·xᵀ·A·x − bᵀ·x for a positive definite A.
///
/// Lawson and Hanson's active sets (1974, chapter 23) on z = x − lower ≥ 0: coordinates are freed one by one, the steepest
/// first, and a step that would cross a bound stops at it and pins that coordinate again. None when A is not positive
/// definite.
pub(super) fn minimise_above(a: &Square, b: &[f64], lower: &[f64]) -> Option<Vec<f64>> {
    let shift = a.times(lower);
    let b: Vec<f64> = b.iter().zip(&shift).map(|(b, s)| b - s).collect();
    let scale = b.iter().fold(0.0f64, |most, v| most.max(v.abs()));
    let mut z = vec![0.0; b.len()];
    let mut free: Vec<usize> = Vec::new();
    // Each round lowers the objective, so no set comes twice; the cap only guards against rounding.
    for _ in 0..10 * b.len() {
        let descent: Vec<f64> = b.iter().zip(a.times(&z)).map(|(b, az)| b - az).collect();
        let steepest = (0..b.len())
            .filter(|j| !free.contains(j) && descent[*j] > 1e-12 * scale)
            .max_by(|&i, &j| descent[i].total_cmp(&descent[j]));
        let Some(steepest) = steepest else { break };
        free.push(steepest);
        loop {
            let wanted = a.minor(&free).solve(&free.iter().map(|&j| b[j]).collect::<Vec<_>>())?;
            let steps = free.iter().zip(&wanted);
            let crossing = |(&j, &to): (&usize, &f64)| (to <= 0.0).then(|| (share_to_zero(z[j], to), j));
            let Some((share, first)) = steps.clone().filter_map(crossing).min_by(|a, b| a.0.total_cmp(&b.0))
            else {
                steps.for_each(|(&j, &to)| z[j] = to);
                break;
            };
            steps.for_each(|(&j, &to)| z[j] += share * (to - z[j]));
            z[first] = 0.0;
            free.retain(|&j| z[j] > 0.0);
        }
    }
    Some(z.iter().zip(lower).map(|(z, lower)| z + lower).collect())
}

/// The share of the way from `from` ≥ 0 to `to` ≤ 0 after which 0 is met; 0 where it starts there.
fn share_to_zero(from: f64, to: f64) -> f64 {
    if from > 0.0 { from / (from - to) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn square(rows: &[&[f64]]) -> Square {
        Square { size: rows.len(), values: rows.concat() }
    }

    #[test]
    fn a_known_system_is_solved() {
        // L = [2; 6 1; −8 5 3], x = (1, 2, 3).
        let a = square(&[&[4.0, 12.0, -16.0], &[12.0, 37.0, -43.0], &[-16.0, -43.0, 98.0]]);
        let x = a.solve(&[-20.0, -43.0, 192.0]).unwrap();
        for (found, expected) in x.iter().zip([1.0, 2.0, 3.0]) {
            assert!((found - expected).abs() < 1e-9, "{x:?}");
        }
    }

    #[test]
    fn an_indefinite_matrix_is_refused() {
        assert_eq!(square(&[&[1.0, 2.0], &[2.0, 1.0]]).solve(&[1.0, 1.0]), None);
    }

    #[test]
    fn without_active_bounds_the_minimum_is_the_solution() {
        let a = square(&[&[2.0, 0.5], &[0.5, 1.0]]);
        let free = a.solve(&[1.0, 2.0]).unwrap();
        let bounded = minimise_above(&a, &[1.0, 2.0], &[-10.0, -10.0]).unwrap();
        assert!(free.iter().zip(&bounded).all(|(a, b)| (a - b).abs() < 1e-12));
    }

    #[test]
    fn an_active_bound_moves_the_other_coordinate() {
        // Free minimum (−1, 1.5); with x₀ ≥ 0 the other solves 2·x₁ = 2 alone.
        let a = square(&[&[1.0, 1.0], &[1.0, 2.0]]);
        let x = minimise_above(&a, &[0.5, 2.0], &[0.0, 0.0]).unwrap();
        assert!(x[0] == 0.0 && (x[1] - 1.0).abs() < 1e-12, "{x:?}");
    }

    #[test]
    fn a_coordinate_that_stays_at_its_bound_stops_the_step_at_once() {
        assert_eq!(share_to_zero(0.0, 0.0), 0.0);
        assert_eq!(share_to_zero(0.0, -1.0), 0.0);
        assert_eq!(share_to_zero(1.0, -3.0), 0.25);
    }

    proptest! {
        #[test]
        fn the_bounded_minimum_satisfies_its_conditions(
            rows in prop::collection::vec(prop::collection::vec(-1.0f64..1.0, 5), 8),
            b in prop::collection::vec(-2.0f64..2.0, 5),
            lower in prop::collection::vec(-0.5f64..0.5, 5),
        ) {
            let mut a = Square::zeros(5);
            for row in &rows {
                a.add_outer(&row.iter().copied().enumerate().collect::<Vec<_>>(), 1.0);
            }
            (0..5).for_each(|i| a.add_outer(&[(i, 1.0)], 0.05));
            let x = minimise_above(&a, &b, &lower).unwrap();
            for i in 0..5 {
                let slope = a.times(&x)[i] - b[i];
                prop_assert!(x[i] >= lower[i]);
                // Flat where free, rising where pinned.
                prop_assert!(slope.abs() < 1e-8 || (x[i] == lower[i] && slope > 0.0), "{i} {x:?} {slope}");
            }
        }
    }
}
