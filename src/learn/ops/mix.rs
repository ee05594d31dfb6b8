//! A Mixop as one operation.
//!
//! Entries X_j of masses π_j come in; for every MLP operator k that is alive
//!
//! ```text
//! O_k = a_k · Σ_j π_j · relu(X_j·W_jk + b_jk)  +  c_k · X_{j(k)}
//! ```
//!
//! where the last term is there only when the zero operator passes on an entry j(k) of the same key: a and c are then the
//! shares of the two in their joint mass, else a = 1.
//!
//! Going back, only one bit per unit is needed of the forward pass: whether the ReLU was open. With
//! D_jk = a_k·∂L/∂O_k where it was, else 0, and G_j = X_jᵀ·D_j,
//!
//! ```text
//! ∂L/∂W_jk = π_j·G_jk      ∂L/∂X_j = Σ_k π_j·D_jk·W_jkᵀ + c_k·∂L/∂O_k  (the latter where j = j(k))
//! ∂L/∂π_j  = Σ_k s_jk      ∂L/∂a_k = Σ_j π_j·s_jk / a_k                ∂L/∂c_k = ⟨∂L/∂O_k, X_{j(k)}⟩
//! ```
//!
//! where s_jk = ⟨G_jk, W_jk⟩ + ⟨Σ_rows D_jk, b_jk⟩: a ReLU is linear where it is open, so the inner product of its output
//! with a gradient is that of the weights with theirs, and no activation has to be kept or computed again.

use super::{matrix, matrix::*, product::*, vector, with_contiguous_rows, with_storage};
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;
use std::sync::OnceLock;

/// The entries and operators that take part, and where their numbers stand.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What comes in.
    pub incoming: Vec<Incoming>,
    /// What goes out, one after the other.
    pub outgoing: Vec<Outgoing>,
}

/// An entry that comes in.
#[derive(Debug, Clone, Copy)]
pub struct Incoming {
    /// Which tensor it is part of.
    pub source: Source,
    /// Its first column there.
    pub column: usize,
    /// Its width.
    pub width: usize,
    /// Its first row in the weights; its biases stand in the row after its last.
    pub weight_row: usize,
}

/// The tensor that holds an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The one that gradients flow into.
    Moving,
    /// The one that stays as it is: the network's input behind the gradient block.
    Fixed,
}

/// An operator's output.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing {
    /// Its first column in the weights.
    pub weight_column: usize,
    /// Its width.
    pub width: usize,
    /// The incoming entry that is passed on under the same key.
    pub passed: Option<usize>,
}

/// O `[rows, Σ outgoing widths]`.
///
/// `moving` and `fixed` `[rows, ·]` hold the entries, `weights` `[Σ (incoming width + 1), ·]` all W_jk with their biases, and
/// `coefficients` the π of every incoming entry, then the a and then the c of every outgoing one.
pub fn mix(
    plan: Plan,
    moving: &Tensor,
    fixed: Option<&Tensor>,
    weights: &Tensor,
    coefficients: &Tensor,
) -> Result<Tensor> {
    if !moving.device().is_cpu() {
        return plain(&plan, moving, fixed, weights, coefficients);
    }
    let fixed = fixed.map(with_contiguous_rows).transpose()?;
    let mix = Mix { plan, fixed, open: OnceLock::new() };
    with_contiguous_rows(moving)?.apply_op3(weights, coefficients, mix)
}

/// The same in candle's own operations.
fn plain(
    plan: &Plan,
    moving: &Tensor,
    fixed: Option<&Tensor>,
    weights: &Tensor,
    coefficients: &Tensor,
) -> Result<Tensor> {
    let entry = |j: usize| {
        let Incoming { source, column, width, .. } = plan.incoming[j];
        let tensor =
            if source == Source::Moving { moving } else { fixed.expect("a plan with a fixed entry") };
        tensor.narrow(1, column, width)?.contiguous()
    };
    let coefficient = |place: usize| coefficients.narrow(0, place, 1);
    let (entries, operators) = (plan.incoming.len(), plan.outgoing.len());
    let mut outputs = Vec::with_capacity(operators);
    for (k, out) in plan.outgoing.iter().enumerate() {
        let mut sum: Option<Tensor> = None;
        for (j, incoming) in plan.incoming.iter().enumerate() {
            let weights = weights.narrow(1, out.weight_column, out.width)?;
            let weight = weights.narrow(0, incoming.weight_row, incoming.width)?.contiguous()?;
            let bias = weights.narrow(0, incoming.weight_row + incoming.width, 1)?.contiguous()?;
            let y = entry(j)?.matmul(&weight)?.broadcast_add(&bias)?.relu()?;
            let y = y.broadcast_mul(&coefficient(j)?)?;
            sum = Some(match sum {
                Some(sum) => (sum + y)?,
                None => y,
            });
        }
        let mut output = sum.expect("some entry comes in").broadcast_mul(&coefficient(entries + k)?)?;
        if let Some(j) = out.passed {
            output = (output + entry(j)?.broadcast_mul(&coefficient(entries + operators + k)?)?)?;
        }
        outputs.push(output);
    }
    Tensor::cat(&outputs, 1)
}

struct Mix {
    plan: Plan,
    fixed: Option<Tensor>,
    /// Whether each ReLU was open: of the ⌈entries / 8⌉ bytes of a row and column, bit j % 8 of byte j / 8 is entry j's.
    open: OnceLock<Vec<u8>>,
}

/// Columns of the weights that are neighbours of each other in the output as well: one product serves them all.
#[derive(Debug, Clone, Copy)]
struct Run {
    weight_column: usize,
    column: usize,
    width: usize,
}

/// The coefficients by their names in the module's formulas.
struct Coefficients<'a> {
    mass: &'a [f32],
    mixed: &'a [f32],
    passed: &'a [f32],
}

/// Everything that both passes read.
struct Scene<'a> {
    plan: &'a Plan,
    moving: Matrix<'a>,
    fixed: Option<Matrix<'a>>,
    weights: Matrix<'a>,
    coefficients: Coefficients<'a>,
    runs: Vec<Run>,
    /// Of the output.
    width: usize,
}

impl<'a> Scene<'a> {
    fn new(
        plan: &'a Plan,
        moving: Matrix<'a>,
        fixed: Option<Matrix<'a>>,
        weights: Matrix<'a>,
        coefficients: &'a [f32],
    ) -> Self {
        let mut runs: Vec<Run> = Vec::new();
        let mut column = 0;
        for out in &plan.outgoing {
            match runs.last_mut() {
                Some(run) if run.weight_column + run.width == out.weight_column => run.width += out.width,
                _ => runs.push(Run { weight_column: out.weight_column, column, width: out.width }),
            }
            column += out.width;
        }
        let (mass, shares) = coefficients.split_at(plan.incoming.len());
        let (mixed, passed) = shares.split_at(plan.outgoing.len());
        let coefficients = Coefficients { mass, mixed, passed };
        Self { plan, moving, fixed, weights, coefficients, runs, width: column }
    }

    fn rows(&self) -> usize {
        self.moving.rows()
    }

    /// X_j.
    fn entry(&self, j: usize) -> Matrix<'a> {
        let Incoming { source, column, width, .. } = self.plan.incoming[j];
        let tensor = match source {
            Source::Moving => self.moving,
            Source::Fixed => self.fixed.expect("a plan with a fixed entry"),
        };
        tensor.columns_from(column, width)
    }

    /// W_j of a run's columns.
    fn weight(&self, j: usize, run: Run) -> Matrix<'a> {
        let Incoming { weight_row, width, .. } = self.plan.incoming[j];
        self.weights.rows_from(weight_row, width).columns_from(run.weight_column, run.width)
    }

    /// b_j of all outgoing columns.
    fn bias(&self, j: usize) -> Vec<f32> {
        let Incoming { weight_row, width, .. } = self.plan.incoming[j];
        let row = self.weights.row(weight_row + width);
        self.runs.iter().flat_map(|run| &row[run.weight_column..][..run.width]).copied().collect()
    }

    /// Every outgoing entry with its place and its columns in the output.
    fn outgoing(&self) -> impl Iterator<Item = (usize, &Outgoing, std::ops::Range<usize>)> {
        let mut end = 0;
        self.plan.outgoing.iter().enumerate().map(move |(k, out)| {
            end += out.width;
            (k, out, end - out.width..end)
        })
    }

    /// The columns of the output that entry j is passed on into.
    fn passes(&self, j: usize) -> impl Iterator<Item = (usize, std::ops::Range<usize>)> {
        self.outgoing().filter(move |(_, out, _)| out.passed == Some(j)).map(|(k, _, columns)| (k, columns))
    }
}

impl CustomOp3 for Mix {
    fn name(&self) -> &'static str {
        "mix"
    }

    fn cpu_fwd(
        &self,
        moving: &CpuStorage,
        moving_layout: &Layout,
        weights: &CpuStorage,
        weights_layout: &Layout,
        coefficients: &CpuStorage,
        coefficients_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let moving = matrix(moving, moving_layout)?;
        let weights = matrix(weights, weights_layout)?;
        let coefficients = vector(coefficients, coefficients_layout)?;
        let (output, open, width) = self.with_fixed(|fixed| {
            let scene = Scene::new(&self.plan, moving, fixed, weights, coefficients);
            let (output, open) = scene.forward();
            Ok((output, open, scene.width))
        })?;
        // An operation runs forward once.
        let _ = self.open.set(open);
        Ok((CpuStorage::F32(output), (moving.rows(), width).into()))
    }

    fn bwd(
        &self,
        moving: &Tensor,
        weights: &Tensor,
        coefficients: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient.contiguous()?;
        let open = self.open.get().expect("the forward pass has run");
        let found = with_storage(moving, |x, x_layout| {
            with_storage(weights, |w, w_layout| {
                with_storage(coefficients, |c, c_layout| {
                    with_storage(&gradient, |g, g_layout| {
                        let (x, w, g) = (matrix(x, x_layout)?, matrix(w, w_layout)?, vector(g, g_layout)?);
                        let c = vector(c, c_layout)?;
                        self.with_fixed(|fixed| {
                            Ok(Scene::new(&self.plan, x, fixed, w, c).backward(g, open, moving.track_op()))
                        })
                    })
                })
            })
        })?;
        let tensor = |values: Vec<f32>, like: &Tensor| Tensor::from_vec(values, like.shape(), like.device());
        Ok((
            found.moving.map(|values| tensor(values, moving)).transpose()?,
            Some(tensor(found.weights, weights)?),
            Some(tensor(found.coefficients, coefficients)?),
        ))
    }
}

impl Mix {
    fn with_fixed<T>(&self, compute: impl FnOnce(Option<Matrix>) -> Result<T>) -> Result<T> {
        match &self.fixed {
            None => compute(None),
            Some(fixed) => with_storage(fixed, |storage, layout| compute(Some(matrix(storage, layout)?))),
        }
    }
}

/// Gradients by the three arguments.
struct Gradients {
    moving: Option<Vec<f32>>,
    weights: Vec<f32>,
    coefficients: Vec<f32>,
}

impl Scene<'_> {
    fn bytes(&self) -> usize {
        self.plan.incoming.len().div_ceil(8)
    }

    /// The output, and which ReLUs were open.
    fn forward(&self) -> (Vec<f32>, Vec<u8>) {
        let (rows, width, bytes) = (self.rows(), self.width, self.bytes());
        let biases: Vec<Vec<f32>> = (0..self.plan.incoming.len()).map(|j| self.bias(j)).collect();
        let mut output = vec![0.0; rows * width];
        let mut open = vec![0u8; rows * width * bytes];
        let task = task_rows(rows);
        output
            .par_chunks_mut((task * width).max(1))
            .zip(open.par_chunks_mut((task * width * bytes).max(1)))
            .enumerate()
            .for_each_init(Vec::new, |z, (i, (output, open))| {
                let rows = output.len() / width;
                let start = i * task;
                z.resize(rows * width, 0.0);
                for (j, bias) in biases.iter().enumerate() {
                    let x = self.entry(j).rows_from(start, rows);
                    for &run in &self.runs {
                        let z = MatrixMut::new(&mut z[run.column..], rows, run.width, width);
                        multiply(z, Write::Over, 1.0, x, self.weight(j, run));
                    }
                    let mass = self.coefficients.mass[j];
                    let bit = Bit { bytes, byte: j / 8, place: j as u32 % 8 };
                    vectorised(
                        #[inline(always)]
                        || add_open(output, open, z, bias, mass, bit),
                    );
                }
                self.merge_passed(output, start);
            });
        (output, open)
    }

    /// a_k·O_k + c_k·X for the outgoing entries that an incoming one is passed on into.
    fn merge_passed(&self, output: &mut [f32], start: usize) {
        for (k, out, columns) in self.outgoing() {
            let Some(j) = out.passed else { continue };
            let (mixed, passed) = (self.coefficients.mixed[k], self.coefficients.passed[k]);
            let x = self.entry(j);
            for (i, row) in output.chunks_exact_mut(self.width).enumerate() {
                row[columns.clone()]
                    .iter_mut()
                    .zip(x.row(start + i))
                    .for_each(|(o, x)| *o = mixed * *o + passed * x);
            }
        }
    }

    fn backward(&self, gradient: &[f32], open: &[u8], moves: bool) -> Gradients {
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

/// Which bit of the `bytes` that stand at every row and column.
#[derive(Debug, Clone, Copy)]
struct Bit {
    bytes: usize,
    byte: usize,
    place: u32,
}

/// output += mass·relu(z + bias) for every row, and the bit of `open` where the ReLU is open.
#[inline(always)]
fn add_open(output: &mut [f32], open: &mut [u8], z: &[f32], bias: &[f32], mass: f32, bit: Bit) {
    let width = bias.len();
    let rows = output.chunks_exact_mut(width).zip(open.chunks_exact_mut(width * bit.bytes));
    for ((output, open), z) in rows.zip(z.chunks_exact(width)) {
        // One byte is the rule, and the only case that the compiler vectorises.
        match bit.bytes {
            1 => add_open_row(output, open.iter_mut(), z, bias, mass, bit.place),
            n => add_open_row(output, open.iter_mut().skip(bit.byte).step_by(n), z, bias, mass, bit.place),
        }
    }
}

#[inline(always)]
fn add_open_row<'a>(
    output: &mut [f32],
    open: impl Iterator<Item = &'a mut u8>,
    z: &[f32],
    bias: &[f32],
    mass: f32,
    place: u32,
) {
    for (((output, open), z), bias) in output.iter_mut().zip(open).zip(z).zip(bias) {
        let z = z + bias;
        // A NaN is passed on: a diverged training must show.
        *output += if z <= 0.0 { 0.0 } else { mass * z };
        *open |= u8::from(z > 0.0) << place;
    }
}

/// d = shares ⊙ gradient where the bit of `open` is set, else 0; and the sums over the rows.
#[inline(always)]
fn where_open(d: &mut [f32], sums: &mut [f32], gradient: &[f32], open: &[u8], shares: &[f32], bit: Bit) {
    let width = shares.len();
    let rows = d.chunks_exact_mut(width).zip(gradient.chunks_exact(width));
    for ((d, gradient), open) in rows.zip(open.chunks_exact(width * bit.bytes)) {
        match bit.bytes {
            1 => where_open_row(d, sums, gradient, open.iter(), shares, bit.place),
            n => where_open_row(d, sums, gradient, open.iter().skip(bit.byte).step_by(n), shares, bit.place),
        }
    }
}

#[inline(always)]
fn where_open_row<'a>(
    d: &mut [f32],
    sums: &mut [f32],
    gradient: &[f32],
    open: impl Iterator<Item = &'a u8>,
    shares: &[f32],
    place: u32,
) {
    for ((((d, gradient), open), share), sum) in d.iter_mut().zip(gradient).zip(open).zip(shares).zip(sums) {
        *d = if open & (1 << place) != 0 { share * gradient } else { 0.0 };
        *sum += *d;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::ops::fixtures::{assert_close, gradients, leaf};
    use candle_core::Device;
    use proptest::prelude::*;

    /// Entries of `widths` (the last one fixed if asked for), and operators of which only `alive` take part. Every operator
    /// with an entry of its own width gets that entry passed on.
    fn plan(entries: &[usize], operators: &[usize], alive: &[bool], fixed: bool) -> Plan {
        let (mut column, mut weight_row) = (0, 0);
        let incoming = entries.iter().enumerate().map(|(j, &width)| {
            let last = fixed && j + 1 == entries.len();
            let source = if last { Source::Fixed } else { Source::Moving };
            let incoming = Incoming { source, column: if last { 0 } else { column }, width, weight_row };
            column += width;
            weight_row += width + 1;
            incoming
        });
        let incoming: Vec<Incoming> = incoming.collect();
        let mut weight_column = 0;
        let mut outgoing = Vec::new();
        for (&width, &alive) in operators.iter().zip(alive) {
            if alive {
                let passed = entries.iter().position(|&entry| entry == width);
                outgoing.push(Outgoing { weight_column, width, passed });
            }
            weight_column += width;
        }
        Plan { incoming, outgoing }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn values_and_gradients_are_those_of_plain_candle(
            rows in prop::sample::select(vec![1usize, 6, 256, 300, 515]),
            entries in prop::collection::vec(1usize..12, 1..11),
            operators in prop::collection::btree_set(1usize..12, 1..5),
            dead in prop::collection::vec(any::<bool>(), 5),
            fixed: bool, constant: bool,
        ) {
            let operators: Vec<usize> = operators.into_iter().collect();
            let mut alive: Vec<bool> = operators.iter().zip(&dead).map(|(_, dead)| !dead).collect();
            alive[0] |= alive.iter().all(|alive| !alive);
            let fixed_width = if fixed && entries.len() > 1 { *entries.last().unwrap() } else { 0 };
            let plan = plan(&entries, &operators, &alive, fixed_width > 0);
            let moving_width = entries.iter().sum::<usize>() - fixed_width;
            let x = leaf("x", (rows, moving_width));
            let input = if constant { x.as_tensor().detach() } else { x.as_tensor().clone() };
            let held = (fixed_width > 0).then(|| leaf("fixed", (rows, fixed_width)).as_tensor().detach());
            let weights = leaf("w", (entries.iter().map(|w| w + 1).sum::<usize>(), operators.iter().sum::<usize>()));
            let count = plan.incoming.len() + 2 * plan.outgoing.len();
            let mut coefficients: Vec<f32> = (0..count).map(|i| 0.2 + (i as f32 * 0.37) % 1.0).collect();
            for k in (0..plan.outgoing.len()).filter(|&k| plan.outgoing[k].passed.is_none()) {
                // a is 1 by definition.
                coefficients[plan.incoming.len() + k] = 1.0;
            }
            let coefficients = candle_core::Var::new(coefficients, &Device::Cpu).unwrap();
            let leaves = [&x, &weights, &coefficients];
            let ours = mix(plan.clone(), &input, held.as_ref(), &weights, &coefficients).unwrap();
            let candles = plain(&plan, &input, held.as_ref(), &weights, &coefficients).unwrap();
            let (ours, candles) = (gradients(&ours, &leaves), gradients(&candles, &leaves));
            assert_close(&ours, &candles, if constant { &[1] } else { &[] });
        }
    }

    #[test]
    fn a_step_has_the_same_bytes_with_any_number_of_threads() {
        let (rows, entries, operators) = (700, [40, 130, 24], [130, 24, 64]);
        let plan = plan(&entries, &operators, &[true; 3], true);
        let x = leaf("x", (rows, 170));
        let fixed = leaf("fixed", (rows, 24)).as_tensor().detach();
        let weights = leaf("w", (197, 218));
        let coefficients =
            candle_core::Var::new(&[0.3f32, 0.5, 0.2, 0.6, 0.8, 1.0, 0.4, 0.2, 0.0], &Device::Cpu).unwrap();
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let output = || mix(plan.clone(), &x, Some(&fixed), &weights, &coefficients).unwrap();
            pool.install(|| gradients(&output(), &[&x, &weights, &coefficients]))
        };
        let one = run(1);
        for threads in 2..6 {
            assert!(run(threads) == one, "{threads} threads");
        }
    }
}
