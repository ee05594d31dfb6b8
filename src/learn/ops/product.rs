//! Products of matrices whose bytes do not depend on how their rows are divided among threads.
//!
//! gemm sums the terms of a number in one order wherever it stands in a product, but not in every product: it has kernels of
//! its own for few numbers, one row and one column, and its passes over the inner dimension are longer for narrow products.
//! So the passes are made here, all of one length, and what it would treat apart is either computed here or given more rows.

use super::matrix::*;
use rayon::prelude::*;

/// Terms that one pass sums over, at most: gemm makes one pass of so many, whatever the shape.
const DEPTH: usize = 512;

/// Numbers up to which gemm takes another kernel for a product.
const SMALL: usize = 256;

/// What becomes of the former content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// It is replaced.
    Over,
    /// The product is added to it.
    Onto,
}

/// `scale`·a·b into `out`, on the calling thread. The bytes of a row do not depend on which other rows are computed with it.
pub fn multiply(mut out: MatrixMut, write: Write, scale: f32, a: Matrix, b: Matrix) {
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
    match a.columns {
        0 if write == Write::Over => out.rows_mut().for_each(|row| row.fill(0.0)),
        0 => {}
        _ if out.columns == 1 => one_column(out, write, scale, a, b),
        _ if out.rows < 2 || out.rows * out.columns <= SMALL => with_more_rows(out, write, scale, a, b),
        _ => in_depths(out, write, scale, a, b),
    }
}

/// [`multiply`] with one column.
fn one_column(mut out: MatrixMut, write: Write, scale: f32, a: Matrix, b: Matrix) {
    let column: Vec<f32> = (0..b.rows).map(|k| b.data[k * b.row_stride]).collect();
    let mut sums = vec![0.0; a.rows];
    vectorised(
        #[inline(always)]
        || match a.column_stride {
            1 => sums.iter_mut().enumerate().for_each(|(row, sum)| *sum = dot(a.row(row), &column)),
            _ => {
                for (k, factor) in column.iter().enumerate() {
                    let column = a.transposed().row(k);
                    sums.iter_mut().zip(column).for_each(|(sum, x)| *sum += factor * x);
                }
            }
        },
    );
    for (out, sum) in out.rows_mut().zip(sums) {
        out[0] = scale * sum + if write == Write::Onto { out[0] } else { 0.0 };
    }
}

/// [`multiply`] with so many rows of zeros below that gemm takes its kernel for large products.
fn with_more_rows(mut out: MatrixMut, write: Write, scale: f32, a: Matrix, b: Matrix) {
    let rows = (SMALL / out.columns + 1).max(2);
    let (columns, inner) = (out.columns, a.columns);
    let mut padded = vec![0.0; rows * inner];
    for (row, padded) in padded.chunks_exact_mut(inner).take(a.rows).enumerate() {
        let place = row * a.row_stride;
        padded.iter_mut().enumerate().for_each(|(k, x)| *x = a.data[place + k * a.column_stride]);
    }
    let mut product = vec![0.0; rows * columns];
    for (product, out) in product.chunks_exact_mut(columns).zip(out.rows_mut()) {
        product.copy_from_slice(out);
    }
    let target = MatrixMut::new(&mut product, rows, columns, columns);
    in_depths(target, write, scale, Matrix::new(&padded, rows, inner, inner), b);
    out.rows_mut().zip(product.chunks_exact(columns)).for_each(|(out, product)| out.copy_from_slice(product));
}

/// [`multiply`] in passes of at most [`DEPTH`] terms, each added to those before it.
fn in_depths(mut out: MatrixMut, write: Write, scale: f32, a: Matrix, b: Matrix) {
    let inner = a.columns;
    let depth = inner.div_ceil(inner.div_ceil(DEPTH));
    for start in (0..inner).step_by(depth) {
        let count = depth.min(inner - start);
        let write = if start == 0 { write } else { Write::Onto };
        product(out.reborrow(), write, scale, a.columns_from(start, count), b.rows_from(start, count));
    }
}

/// [`multiply`] by gemm.
fn product(out: MatrixMut, write: Write, scale: f32, a: Matrix, b: Matrix) {
    // SAFETY: the constructors have checked that every row and column lies within its slice, `multiply` that the shapes
    // agree and nothing is empty, and `out` is borrowed mutably, so it overlaps neither operand.
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

    /// Rows `start..start + count` of `scale`·a·b, alone.
    fn rows_alone(a: Matrix, b: Matrix, former: &[f32], place: std::ops::Range<usize>) -> Vec<f32> {
        let columns = b.columns();
        let mut out = former[place.start * columns..place.end * columns].to_vec();
        let (rows, scale) = (place.len(), 0.37);
        let target = MatrixMut::new(&mut out, rows, columns, columns);
        multiply(target, Write::Onto, scale, a.rows_from(place.start, rows), b);
        out
    }

    #[test]
    fn the_bytes_of_a_row_do_not_depend_on_the_rows_computed_with_it() {
        for rows in [1, 9, 64, 65, 300] {
            for columns in [1, 2, 7, 16, 64, 65, 128] {
                for inner in [1, 2, 3, 64, 333, 513, 1300] {
                    let (x, y, former) =
                        (draw(rows * inner, "a"), draw(inner * columns, "b"), draw(rows * columns, "out"));
                    let straight = Matrix::new(&x, rows, inner, inner);
                    let turned = Matrix::new(&x, inner, rows, rows).transposed();
                    let b = Matrix::new(&y, inner, columns, columns);
                    let turned_b = Matrix::new(&y, columns, inner, inner).transposed();
                    for (kind, a, b) in
                        [("x·W", straight, b), ("xᵀ·dz", turned, b), ("dz·Wᵀ", straight, turned_b)]
                    {
                        let whole = rows_alone(a, b, &former, 0..rows);
                        for size in [1, 8, 40, 64, 256] {
                            let parts = (0..rows).step_by(size);
                            let parts = parts.map(|start| start..rows.min(start + size));
                            let parts: Vec<f32> =
                                parts.flat_map(|place| rows_alone(a, b, &former, place)).collect();
                            assert!(parts == whole, "{kind}: {rows}×{inner}×{columns} by {size} rows");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_weight_gradient_has_the_same_bytes_with_any_number_of_threads() {
        for (rows, inputs, outputs) in [(1030, 333, 97), (1300, 128, 64), (700, 65, 1), (90, 9, 3)] {
            let (x, dz) = (draw(rows * inputs, "x"), draw(rows * outputs, "dz"));
            let run = |threads: usize| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let (x, dz) =
                    (Matrix::new(&x, rows, inputs, inputs), Matrix::new(&dz, rows, outputs, outputs));
                pool.install(|| weight_gradient(x, dz))
            };
            let one = run(1);
            for threads in 2..6 {
                assert!(run(threads) == one, "{inputs}→{outputs}, {threads} threads");
            }
        }
    }
}
