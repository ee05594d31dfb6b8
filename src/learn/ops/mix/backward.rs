//! Backward: gradients by the entries, the weights and the coefficients, from one bit per unit.

use super::{
    super::{matrix::*, product::*},
    Incoming, Scene, Source,
    open::{Bit, where_open},
};
use rayon::prelude::*;

/// Gradients by the three arguments.
pub(super) struct Gradients {
    pub(super) moving: Option<Vec<f32>>,
    pub(super) weights: Vec<f32>,
    pub(super) coefficients: Vec<f32>,
}

impl Scene<'_> {
    pub(super) fn backward(&self, gradient: &[f32], open: &[u8], moves: bool) -> Gradients {
        let (rows, width) = (self.rows(), self.width);
        let (entries, operators) = (self.plan.incoming.len(), self.plan.outgoing.len());
        // a_k at every column of the output.
        let mut shares = vec![1.0; width];
        for (k, out, columns) in self.outgoing() {
            if out.passed.is_some() {
                shares[columns].fill(self.coefficients.mixed[k]);
            }
        }
        let mut by_moving = vec![0.0; if moves { rows * self.moving.columns() } else { 0 }];
        let mut by_weights = vec![0.0; self.weights.rows() * self.weights.columns()];
        let mut by_coefficients = vec![0.0; entries + 2 * operators];
        // D_j of one entry after the other.
        let mut open_gradient = vec![0.0; rows * width];
        for (j, incoming) in self.plan.incoming.iter().enumerate() {
            let by_entry = (moves && incoming.source == Source::Moving).then_some(&mut by_moving[..]);
            let sums = self.entry_backward(j, gradient, open, &shares, &mut open_gradient, by_entry);
            let (by_bias, by_passed) = sums.split_at(width);
            for (k, _) in self.passes(j) {
                by_coefficients[entries + operators + k] = by_passed[k];
            }
            let products = self.weights_backward(j, &open_gradient, by_bias, &mut by_weights);
            let mass = f64::from(self.coefficients.mass[j]);
            by_coefficients[j] = products.iter().sum::<f64>() as f32;
            for (k, product) in products.iter().enumerate() {
                let mixed = f64::from(self.coefficients.mixed[k]);
                // Where a share has underflowed, so has its product.
                if mixed > 0.0 {
                    by_coefficients[entries + k] += (mass * product / mixed) as f32;
                }
            }
        }
        Gradients { moving: moves.then_some(by_moving), weights: by_weights, coefficients: by_coefficients }
    }

    /// Writes D_j, and ∂L/∂X_j into its columns of `by_moving`. Returns the sums over the rows of D_j `[width]`, then
    /// ⟨∂L/∂O_k, X_j⟩ for every k that X_j is passed on into `[operators]`.
    fn entry_backward(
        &self,
        j: usize,
        gradient: &[f32],
        open: &[u8],
        shares: &[f32],
        open_gradient: &mut [f32],
        by_moving: Option<&mut [f32]>,
    ) -> Vec<f32> {
        let (width, bytes) = (self.width, self.bytes());
        let sums_width = width + self.plan.outgoing.len();
        let task = task_rows(self.rows());
        let tasks = self.rows().div_ceil(task);
        let mut sums = vec![0.0; self.rows().div_ceil(BLOCK_ROWS) * sums_width];
        let mut moving: Vec<Option<&mut [f32]>> = match by_moving {
            Some(by_moving) => by_moving.chunks_mut(task * self.moving.columns()).map(Some).collect(),
            None => (0..tasks).map(|_| None).collect(),
        };
        let bit = Bit { bytes, byte: j / 8, place: j as u32 % 8 };
        open_gradient
            .par_chunks_mut(task * width)
            .zip(gradient.par_chunks(task * width))
            .zip(open.par_chunks(task * width * bytes))
            .zip(sums.par_chunks_mut(task / BLOCK_ROWS * sums_width))
            .zip(moving.par_iter_mut())
            .enumerate()
            .for_each(|(i, ((((d, gradient), open), sums), by_moving))| {
                let rows = d.len() / width;
                let x = self.entry(j).rows_from(i * task, rows);
                let blocks = d.chunks_mut(BLOCK_ROWS * width).zip(gradient.chunks(BLOCK_ROWS * width));
                let blocks = blocks.zip(open.chunks(BLOCK_ROWS * width * bytes));
                for (block, (((d, gradient), open), sums)) in
                    blocks.zip(sums.chunks_mut(sums_width)).enumerate()
                {
                    let (by_bias, by_passed) = sums.split_at_mut(width);
                    vectorised(
                        #[inline(always)]
                        || where_open(d, by_bias, gradient, open, shares, bit),
                    );
                    let x = x.rows_from(block * BLOCK_ROWS, d.len() / width);
                    for (k, columns) in self.passes(j) {
                        let products =
                            (0..x.rows()).map(|i| dot(&gradient[i * width..][columns.clone()], x.row(i)));
                        by_passed[k] = products.sum();
                    }
                }
                if let Some(by_moving) = by_moving {
                    let d = Matrix::new(d, rows, width, width);
                    self.add_to_moving(j, d, gradient, by_moving);
                }
            });
        sum_rows(&sums, sums_width)
    }

    /// ∂L/∂X_j for some rows.
    fn add_to_moving(&self, j: usize, d: Matrix, gradient: &[f32], by_moving: &mut [f32]) {
        let Incoming { column, width, .. } = self.plan.incoming[j];
        let stride = self.moving.columns();
        for (i, &run) in self.runs.iter().enumerate() {
            let out = MatrixMut::new(&mut by_moving[column..], d.rows(), width, stride);
            let write = if i == 0 { Write::Over } else { Write::Onto };
            let d = d.columns_from(run.column, run.width);
            multiply(out, write, self.coefficients.mass[j], d, self.weight(j, run).transposed());
        }
        for (k, columns) in self.passes(j) {
            let passed = self.coefficients.passed[k];
            for (row, gradient) in by_moving.chunks_mut(stride).zip(gradient.chunks_exact(self.width)) {
                let row = &mut row[column..][..width];
                row.iter_mut().zip(&gradient[columns.clone()]).for_each(|(x, g)| *x += passed * g);
            }
        }
    }

    /// Writes ∂L/∂W_j and ∂L/∂b_j into their rows of `by_weights`, and returns s_jk of every k.
    fn weights_backward(&self, j: usize, d: &[f32], by_bias: &[f32], by_weights: &mut [f32]) -> Vec<f64> {
        let Incoming { weight_row, width: inputs, .. } = self.plan.incoming[j];
        let operators = self.plan.outgoing.len();
        let stride = self.weights.columns();
        let mass = self.coefficients.mass[j];
        let x = self.entry(j);
        let d = Matrix::new(d, self.rows(), self.width, self.width);
        let rows = &mut by_weights[weight_row * stride..][..(inputs + 1) * stride];
        let (by_weight, by_bias_row) = rows.split_at_mut(inputs * stride);
        // One row of products per row of weights, so that their sum does not depend on the tiles.
        let mut products = vec![0.0f64; (inputs + 1) * operators];
        let (weight_products, bias_products) = products.split_at_mut(inputs * operators);
        let tile = tile_rows(inputs);
        by_weight
            .par_chunks_mut(tile * stride)
            .zip(weight_products.par_chunks_mut(tile * operators))
            .enumerate()
            .for_each(|(i, (by_weight, products))| {
                let rows = by_weight.len() / stride;
                let x = x.columns_from(i * tile, rows).transposed();
                for &run in &self.runs {
                    let out = MatrixMut::new(&mut by_weight[run.weight_column..], rows, run.width, stride);
                    multiply(out, Write::Over, 1.0, x, d.columns_from(run.column, run.width));
                }
                for (r, products) in products.chunks_exact_mut(operators).enumerate() {
                    let gradient = &mut by_weight[r * stride..][..stride];
                    self.finish_row(gradient, self.weights.row(weight_row + i * tile + r), mass, products);
                }
            });
        for run in &self.runs {
            by_bias_row[run.weight_column..][..run.width]
                .copy_from_slice(&by_bias[run.column..][..run.width]);
        }
        self.finish_row(by_bias_row, self.weights.row(weight_row + inputs), mass, bias_products);
        let mut sums = vec![0.0; operators];
        for row in products.chunks_exact(operators) {
            sums.iter_mut().zip(row).for_each(|(sum, product)| *sum += product);
        }
        sums
    }

    /// Takes the inner products of a row of G_j with the weights, and multiplies it by π_j.
    fn finish_row(&self, gradient: &mut [f32], weights: &[f32], mass: f32, products: &mut [f64]) {
        for (out, product) in self.plan.outgoing.iter().zip(products) {
            let columns = out.weight_column..out.weight_column + out.width;
            let gradient = &mut gradient[columns.clone()];
            *product = f64::from(dot(gradient, &weights[columns]));
            gradient.iter_mut().for_each(|g| *g *= mass);
        }
    }
}
