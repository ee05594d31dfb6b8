//! Strided matrices over slices, how rows are divided among threads, and sums over them.

/// Rows whose sum is made in one go, and that share a stream of draws. It must not depend on the machine.
pub const BLOCK_ROWS: usize = 256;

/// Rows that one task takes, a multiple of [`BLOCK_ROWS`]: an equal share for every thread, because each task packs the weights
/// anew, but not so many that a task's activations leave the caches.
pub fn task_rows(rows: usize) -> usize {
    let share = rows.div_ceil(rayon::current_num_threads()).next_multiple_of(BLOCK_ROWS);
    share.clamp(BLOCK_ROWS, 4 * BLOCK_ROWS)
}

/// Rows of the weights that one task of a weight gradient takes: an equal share for every thread.
pub fn tile_rows(rows: usize) -> usize {
    rows.div_ceil(rayon::current_num_threads()).next_multiple_of(8)
}

/// Some rows and columns of a slice.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    pub(super) data: &'a [f32],
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) row_stride: usize,
    pub(super) column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Rows of `columns` numbers each, `row_stride` apart.
    pub fn new(data: &'a [f32], rows: usize, columns: usize, row_stride: usize) -> Self {
        assert!(reach(rows, columns, row_stride) <= data.len(), "a matrix reaches beyond its data");
        Self { data, rows, columns, row_stride, column_stride: 1 }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// `count` rows from `start` on.
    pub fn rows_from(self, start: usize, count: usize) -> Self {
        assert!(count <= self.rows && start <= self.rows - count, "rows beyond a matrix");
        let data = &self.data[start.saturating_mul(self.row_stride).min(self.data.len())..];
        Self { data, rows: count, ..self }
    }

    /// `count` columns from `start` on.
    pub fn columns_from(self, start: usize, count: usize) -> Self {
        assert!(count <= self.columns && start <= self.columns - count, "columns beyond a matrix");
        let data = &self.data[start.saturating_mul(self.column_stride).min(self.data.len())..];
        Self { data, columns: count, ..self }
    }

    /// Row `row`, of a matrix that is not transposed.
    pub fn row(&self, row: usize) -> &'a [f32] {
        assert_eq!(self.column_stride, 1, "rows of a transposed matrix are not contiguous");
        &self.data[row * self.row_stride..][..self.columns]
    }

    /// Rows and columns exchanged.
    pub fn transposed(self) -> Self {
        let Self { rows, columns, row_stride, column_stride, .. } = self;
        Self { rows: columns, columns: rows, row_stride: column_stride, column_stride: row_stride, ..self }
    }
}

/// Some rows and columns of a slice, to write into.
#[derive(Debug)]
pub struct MatrixMut<'a> {
    pub(super) data: &'a mut [f32],
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) row_stride: usize,
}

impl<'a> MatrixMut<'a> {
    /// Rows of `columns` numbers each, `row_stride` apart.
    pub fn new(data: &'a mut [f32], rows: usize, columns: usize, row_stride: usize) -> Self {
        assert!(reach(rows, columns, row_stride) <= data.len(), "a matrix reaches beyond its data");
        Self { data, rows, columns, row_stride }
    }

    /// The same place, for a while.
    pub(super) fn reborrow(&mut self) -> MatrixMut<'_> {
        MatrixMut { data: &mut *self.data, ..*self }
    }

    /// Its rows.
    pub(super) fn rows_mut(&mut self) -> impl Iterator<Item = &mut [f32]> {
        let columns = self.columns;
        self.data.chunks_mut(self.row_stride.max(1)).take(self.rows).map(move |row| &mut row[..columns])
    }
}

/// How many numbers a matrix spans.
fn reach(rows: usize, columns: usize, row_stride: usize) -> usize {
    assert!(columns <= row_stride || rows <= 1, "the rows of a matrix overlap");
    if rows == 0 || columns == 0 {
        return 0;
    }
    // Unsafe code leans on this number, so it must not wrap.
    let last = (rows - 1).checked_mul(row_stride).and_then(|start| start.checked_add(columns));
    last.expect("a matrix is smaller than the address space")
}

/// Adds rows of `columns` numbers that stand one after the other, in their order.
pub fn sum_rows(parts: &[f32], columns: usize) -> Vec<f32> {
    let mut sum = vec![0.0; columns];
    for part in parts.chunks_exact(columns.max(1)) {
        sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
    }
    sum
}

/// Σ a·b in sixteen sums side by side, which the compiler can keep in vector registers.
#[inline(always)]
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 16];
    let (a_parts, b_parts) = (a.chunks_exact(16), b.chunks_exact(16));
    let rest: f32 = a_parts.remainder().iter().zip(b_parts.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a_parts.zip(b_parts) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f32>() + rest
}

/// Runs `compute` with the widest vector instructions that this machine has.
///
/// `compute` must be `#[inline(always)]` code: the compiler vectorises what it inlines here.
#[inline(always)]
pub fn vectorised<R>(compute: impl FnOnce() -> R) -> R {
    struct Run<F>(F);
    impl<R, F: FnOnce() -> R> pulp::WithSimd for Run<F> {
        type Output = R;
        #[inline(always)]
        fn with_simd<S: pulp::Simd>(self, _: S) -> R {
            (self.0)()
        }
    }
    pulp::Arch::new().dispatch(Run(compute))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "smaller than the address space")]
    fn a_matrix_whose_size_wraps_around_is_refused() {
        // (2⁶³ + 1 − 1)·2 is 0 in 64 bits.
        Matrix::new(&[0.0; 4], (1 << (usize::BITS - 1)) + 1, 1, 2);
    }

    #[test]
    #[should_panic(expected = "rows beyond a matrix")]
    fn a_range_of_rows_that_wraps_around_is_refused() {
        Matrix::new(&[0.0; 4], 2, 2, 2).rows_from(usize::MAX, 2);
    }
}
