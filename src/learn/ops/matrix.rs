//! Strided matrices over slices, and products of them.

use rayon::prelude::*;

/// Rows whose sum is made in one go, and that share a stream of draws. It must not depend on the machine.
pub const BLOCK_ROWS: usize = 256;

/// Rows that one task takes, a multiple of [`BLOCK_ROWS`]: an equal share for every thread, because each task packs the weights
/// anew, but not so many that a task's activations leave the caches.
pub fn task_rows(rows: usize) -> usize {
    let share = rows.div_ceil(rayon::current_num_threads()).next_multiple_of(BLOCK_ROWS);
    share.clamp(BLOCK_ROWS, 4 * BLOCK_ROWS)
}

/// Some rows and columns of a slice.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
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
        assert!(start + count <= self.rows, "rows beyond a matrix");
        let data = &self.data[(start * self.row_stride).min(self.data.len())..];
        Self { data, rows: count, ..self }
    }

    /// `count` columns from `start` on.
    pub fn columns_from(self, start: usize, count: usize) -> Self {
        assert!(start + count <= self.columns, "columns beyond a matrix");
        let data = &self.data[(start * self.column_stride).min(self.data.len())..];
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
    data: &'a mut [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
}

impl<'a> MatrixMut<'a> {
    /// Rows of `columns` numbers each, `row_stride` apart.
    pub fn new(data: &'a mut [f32], rows: usize, columns: usize, row_stride: usize) -> Self {
        assert!(reach(rows, columns, row_stride) <= data.len(), "a matrix reaches beyond its data");
        Self { data, rows, columns, row_stride }
    }
}

/// How many numbers a matrix spans.
fn reach(rows: usize, columns: usize, row_stride: usize) -> usize {
    assert!(columns <= row_stride || rows <= 1, "the rows of a matrix overlap");
    if rows == 0 || columns == 0 { 0 } else { (rows - 1) * row_stride + columns }
}

/// What becomes of the former content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// It is replaced.
    Over,
    /// The product is added to it.
    Onto,
}

/// `scale`·a·b into `out`, on the calling thread.
pub fn multiply(out: MatrixMut, write: Write, scale: f32, a: Matrix, b: Matrix) {
    assert!(
        out.rows == a.rows && out.columns == b.columns && a.columns == b.rows,
        "a product of {}×{} and {}×{} is not {}×{}",
        a.rows,
        a.columns,
        b.rows,
        b.columns,
        out.rows,
        out.columns
    );
    if out.rows == 0 || out.columns == 0 {
        return;
    }
    if a.columns == 0 {
        if write == Write::Over {
            out.data.chunks_mut(out.row_stride).take(out.rows).for_each(|row| row[..out.columns].fill(0.0));
        }
        return;
    }
    // SAFETY: the constructors have checked that every row and column lies within its slice, the shapes agree, and `out`
    // is borrowed mutably, so it overlaps neither operand.
    unsafe {
        gemm::gemm(
            out.rows,
            out.columns,
            a.columns,
            out.data.as_mut_ptr(),
            1,
            out.row_stride as isize,
            write == Write::Onto,
            a.data.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            1.0f32,
            scale,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// Rows of the weights that one task of a weight gradient takes: an equal share for every thread.
pub fn tile_rows(rows: usize) -> usize {
    rows.div_ceil(rayon::current_num_threads()).next_multiple_of(8)
}

/// xᵀ·dz: the gradient of weights `[inputs, outputs]` from x `[rows, inputs]` and dz `[rows, outputs]`.
pub fn weight_gradient(x: Matrix, dz: Matrix) -> Vec<f32> {
    let outputs = dz.columns();
    let mut gradient = vec![0.0; x.columns() * outputs];
    let tile = tile_rows(x.columns());
    gradient.par_chunks_mut((tile * outputs).max(1)).enumerate().for_each(|(i, part)| {
        let rows = part.len() / outputs;
        let x = x.columns_from(i * tile, rows).transposed();
        multiply(MatrixMut::new(part, rows, outputs, outputs), Write::Over, 1.0, x, dz);
    });
    gradient
}

/// Adds rows of `columns` numbers that stand one after the other, in their order.
pub fn sum_rows(parts: &[f32], columns: usize) -> Vec<f32> {
    let mut sum = vec![0.0; columns];
    for part in parts.chunks_exact(columns.max(1)) {
        sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
    }
    sum
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
    use crate::base::rng;
    use proptest::prelude::*;

    fn draw(count: usize, name: &str) -> Vec<f32> {
        rng::normals(count, 1.0, &mut rng::generator(1, name))
    }

    proptest! {
        #[test]
        fn products_are_those_of_the_definition(
            rows in 0usize..9, inner in 0usize..70, columns in 0usize..40, gap in 0usize..3,
            scale in prop::sample::select(vec![1.0f32, -0.5]), onto: bool, transposed: bool,
        ) {
            let a = draw(rows.max(inner) * (rows.max(inner) + gap), "a");
            let b = draw(inner * (columns + gap), "b");
            let before = draw(rows * (columns + gap), "out");
            let a = if transposed {
                Matrix::new(&a, inner, rows, rows + gap).transposed()
            } else {
                Matrix::new(&a, rows, inner, inner + gap)
            };
            let b = Matrix::new(&b, inner, columns, columns + gap);
            let write = if onto { Write::Onto } else { Write::Over };
            let mut out = before.clone();
            multiply(MatrixMut::new(&mut out, rows, columns, columns + gap), write, scale, a, b);
            for row in 0..rows {
                for column in 0..columns {
                    let at = |m: &Matrix, r: usize, c: usize| m.data[r * m.row_stride + c * m.column_stride];
                    let sum: f32 = (0..inner).map(|k| at(&a, row, k) * at(&b, k, column)).sum();
                    let place = row * (columns + gap) + column;
                    let wanted = scale * sum + if onto { before[place] } else { 0.0 };
                    prop_assert!((out[place] - wanted).abs() < 1e-4, "{} {}", out[place], wanted);
                }
                let gap = row * (columns + gap) + columns..(row + 1) * (columns + gap);
                prop_assert_eq!(&out[gap.clone()], &before[gap]);
            }
        }
    }

    #[test]
    fn a_weight_gradient_has_the_same_bytes_with_any_number_of_threads() {
        let (rows, inputs, outputs) = (1030, 333, 97);
        let (x, dz) = (draw(rows * inputs, "x"), draw(rows * outputs, "dz"));
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let (x, dz) = (Matrix::new(&x, rows, inputs, inputs), Matrix::new(&dz, rows, outputs, outputs));
            pool.install(|| weight_gradient(x, dz))
        };
        let one = run(1);
        for threads in 2..6 {
            assert!(run(threads) == one, "{threads} threads");
        }
    }
}
