//! A dense layer as one operation: f(x·W + b), where f is nothing, a ReLU, or a ReLU with dropout.
//!
//! The bias, the ReLU and the dropout are applied to each block of rows while it is in the cache. The backward pass needs
//! no stored mask: a unit that was negative or dropped has the output 0, any other was passed on.

use super::{matrix, matrix::*, product::*, vector, with_contiguous_rows, with_storage};
use crate::base::rng::Generator;
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use rand::{Rng, SeedableRng};
use rayon::prelude::*;

/// What follows the affine map.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Follow {
    /// Nothing.
    Nothing,
    /// max(0, ·).
    Relu,
    /// max(0, ·), then each unit is kept with probability `keep` and divided by it.
    ReluDropout {
        /// Share of units that are kept.
        keep: f32,
        /// Base of the draws: every block of rows has a stream of its own.
        seed: u64,
        /// Where the rows begin in the batch that they are a shard of, so that it drops the same with any shards.
        first_row: usize,
    },
}

/// f(x·W + b): `[rows, outputs]` from x `[rows, inputs]`, W `[inputs, outputs]` and b `[outputs]`.
pub fn dense(x: &Tensor, weight: &Tensor, bias: &Tensor, follow: Follow) -> Result<Tensor> {
    if !x.device().is_cpu() {
        return plain(x, weight, bias, follow);
    }
    with_contiguous_rows(x)?.apply_op3(&with_contiguous_rows(weight)?, &bias.contiguous()?, Dense(follow))
}

/// The same in candle's own operations.
fn plain(x: &Tensor, weight: &Tensor, bias: &Tensor, follow: Follow) -> Result<Tensor> {
    let y = x.matmul(weight)?.broadcast_add(bias)?;
    match follow {
        Follow::Nothing => Ok(y),
        Follow::Relu => y.relu(),
        Follow::ReluDropout { keep, seed, first_row } => {
            let factors = kept(&y, keep, seed, first_row)?;
            y.relu()?.mul(&factors)
        }
    }
}

/// What dropout multiplies every value of x `[rows, columns]` by: 0 or 1 / `keep`. The rows stand from `first_row` on in
/// the batch that they are a shard of.
pub fn kept(x: &Tensor, keep: f32, seed: u64, first_row: usize) -> Result<Tensor> {
    let (rows, columns) = x.dims2()?;
    let mut factors = vec![1.0; rows * columns];
    factors
        .par_chunks_mut((BLOCK_ROWS * columns).max(1))
        .enumerate()
        .for_each(|(block, factors)| drop_rows(factors, columns, keep, seed, first_row + block * BLOCK_ROWS));
    Tensor::from_vec(factors, (rows, columns), x.device())
}

/// [`drop_some`] for rows that need not begin where a block does.
fn drop_rows(values: &mut [f32], columns: usize, keep: f32, seed: u64, first_row: usize) {
    let (mut row, mut rest) = (first_row, values);
    while !rest.is_empty() {
        let (block, passed) = (row / BLOCK_ROWS, row % BLOCK_ROWS);
        let count = ((BLOCK_ROWS - passed) * columns).min(rest.len());
        let (own, later) = rest.split_at_mut(count);
        drop_some(own, keep, seed, block as u64, passed * columns);
        (row, rest) = (row + BLOCK_ROWS - passed, later);
    }
}

/// Sets each value of a block from the value `passed` on to 0 with probability 1 − `keep` and divides the others by `keep`.
fn drop_some(values: &mut [f32], keep: f32, seed: u64, block: u64, passed: usize) {
    let mut rng = Generator::seed_from_u64(seed);
    rng.set_stream(block);
    // Two values share a word of the stream.
    rng.set_word_pos(passed as u128 / 2);
    let mut half = passed % 2;
    let factor = 1.0 / keep;
    // Sixteen bits decide one value.
    let threshold = (f64::from(keep) * 65536.0) as u32;
    let mut bytes = [0u8; 2048];
    let mut rest = values;
    while !rest.is_empty() {
        rng.fill_bytes(&mut bytes);
        let (part, later) = rest.split_at_mut(rest.len().min(bytes.len() / 2 - half));
        let draws =
            bytes[2 * half..].chunks_exact(2).map(|pair| u32::from(u16::from_le_bytes([pair[0], pair[1]])));
        for (value, draw) in part.iter_mut().zip(draws) {
            *value = if draw < threshold { *value * factor } else { 0.0 };
        }
        (rest, half) = (later, 0);
    }
}

struct Dense(Follow);

impl CustomOp3 for Dense {
    fn name(&self) -> &'static str {
        "dense"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, weight) = (matrix(x, x_layout)?, matrix(weight, weight_layout)?);
        let bias = vector(bias, bias_layout)?;
        let (rows, outputs) = (x.rows(), weight.columns());
        let mut y = vec![0.0; rows * outputs];
        let task = task_rows(rows);
        y.par_chunks_mut((task * outputs).max(1)).enumerate().for_each(|(i, y)| {
            let rows = y.len() / outputs;
            let x = x.rows_from(i * task, rows);
            multiply(MatrixMut::new(y, rows, outputs, outputs), Write::Over, 1.0, x, weight);
            vectorised(
                #[inline(always)]
                || add_bias(y, bias, self.0 != Follow::Nothing),
            );
            if let Follow::ReluDropout { keep, seed, first_row } = self.0 {
                drop_rows(y, outputs, keep, seed, first_row + i * task);
            }
        });
        Ok((CpuStorage::F32(y), (rows, outputs).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        y: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient.contiguous()?;
        let (rows, outputs) = y.dims2()?;
        let dz = with_storage(y, |y, y_layout| {
            with_storage(&gradient, |g, g_layout| Ok(self.before(vector(y, y_layout)?, vector(g, g_layout)?)))
        })?;
        let dz = Matrix::new(&dz, rows, outputs, outputs);
        let dx = match x.track_op() {
            false => None,
            true => {
                let dx = with_storage(weight, |w, layout| Ok(input_gradient(dz, matrix(w, layout)?)))?;
                Some(Tensor::from_vec(dx, x.shape(), x.device())?)
            }
        };
        let dw = match weight.track_op() {
            false => None,
            true => {
                let dw = with_storage(x, |x, layout| Ok(weight_gradient(matrix(x, layout)?, dz)))?;
                Some(Tensor::from_vec(dw, weight.shape(), weight.device())?)
            }
        };
        let db = match bias.track_op() {
            false => None,
            true => Some(Tensor::from_vec(column_sums(dz), bias.shape(), bias.device())?),
        };
        Ok((dx, dw, db))
    }
}

impl Dense {
    /// The gradient before f, from the output and its gradient.
    fn before(&self, y: &[f32], gradient: &[f32]) -> Vec<f32> {
        let factor = match self.0 {
            Follow::Nothing => return gradient.to_vec(),
            Follow::Relu => 1.0,
            Follow::ReluDropout { keep, .. } => 1.0 / keep,
        };
        let mut dz = vec![0.0; y.len()];
        const CHUNK: usize = 1 << 15;
        dz.par_chunks_mut(CHUNK).zip(y.par_chunks(CHUNK)).zip(gradient.par_chunks(CHUNK)).for_each(
            |((dz, y), g)| {
                vectorised(
                    #[inline(always)]
                    || {
                        for ((dz, &y), &g) in dz.iter_mut().zip(y).zip(g) {
                            *dz = if y > 0.0 { factor * g } else { 0.0 };
                        }
                    },
                )
            },
        );
        dz
    }
}

/// y + b for every row, and max(0, ·) of it if asked for.
#[inline(always)]
fn add_bias(y: &mut [f32], bias: &[f32], relu: bool) {
    let floor = if relu { 0.0 } else { f32::NEG_INFINITY };
    for row in y.chunks_exact_mut(bias.len()) {
        for (y, &b) in row.iter_mut().zip(bias) {
            let z = *y + b;
            // Written so that NaN stays NaN: a diverged training must show.
            *y = if z < floor { floor } else { z };
        }
    }
}

/// dz·Wᵀ.
fn input_gradient(dz: Matrix, weight: Matrix) -> Vec<f32> {
    let inputs = weight.rows();
    let mut dx = vec![0.0; dz.rows() * inputs];
    let task = task_rows(dz.rows());
    dx.par_chunks_mut((task * inputs).max(1)).enumerate().for_each(|(i, dx)| {
        let rows = dx.len() / inputs;
        let dz = dz.rows_from(i * task, rows);
        multiply(MatrixMut::new(dx, rows, inputs, inputs), Write::Over, 1.0, dz, weight.transposed());
    });
    dx
}

/// The sum of every column.
fn column_sums(dz: Matrix) -> Vec<f32> {
    let columns = dz.columns();
    let mut sums = vec![0.0; dz.rows().div_ceil(BLOCK_ROWS) * columns];
    sums.par_chunks_mut(columns.max(1)).enumerate().for_each(|(block, sums)| {
        for row in block * BLOCK_ROWS..dz.rows().min((block + 1) * BLOCK_ROWS) {
            sums.iter_mut().zip(dz.row(row)).for_each(|(sum, dz)| *sum += dz);
        }
    });
    sum_rows(&sums, columns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::ops::fixtures::{assert_close, gradients, leaf};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn values_and_gradients_are_those_of_plain_candle(
            rows in prop::sample::select(vec![1usize, 5, 256, 300, 530]), inputs in 1usize..40, outputs in 1usize..20,
            kind in 0..3, constant_input: bool, first_row in 0usize..600,
        ) {
            let follow = match kind {
                0 => Follow::Nothing,
                1 => Follow::Relu,
                _ => Follow::ReluDropout { keep: 0.7, seed: 5, first_row },
            };
            let (x, w, b) = (leaf("x", (rows, inputs)), leaf("w", (inputs, outputs)), leaf("b", outputs));
            let input = if constant_input { x.as_tensor().detach() } else { x.as_tensor().clone() };
            let run = |dense: fn(&Tensor, &Tensor, &Tensor, Follow) -> Result<Tensor>| {
                gradients(&dense(&input, &w, &b, follow).unwrap(), &[&x, &w, &b])
            };
            let (ours, candles) = (run(dense), run(plain));
            assert_close(&ours, &candles, if constant_input { &[1] } else { &[] });
        }
    }

    #[test]
    fn dropout_keeps_the_mean_and_the_stated_share_and_every_block_differs() {
        let draw = |block| {
            let mut values = vec![1.0; 20_000];
            drop_some(&mut values, 0.75, 3, block, 0);
            values
        };
        let values = draw(0);
        let zeros = values.iter().filter(|&&v| v == 0.0).count() as f64 / 2e4;
        // Five standard deviations of a share over 20,000 draws.
        assert!((zeros - 0.25).abs() < 0.0154, "{zeros}");
        assert!(values.iter().all(|&v| v == 0.0 || (v - 4.0 / 3.0).abs() < 1e-6));
        assert_eq!(values, draw(0));
        assert_ne!(values, draw(1));
    }

    #[test]
    fn shards_drop_what_the_batch_drops() {
        let (rows, columns) = (600, 7);
        let draw = |rows: usize, first_row| {
            let mut values = vec![1.0; rows * columns];
            drop_rows(&mut values, columns, 0.5, 3, first_row);
            values
        };
        let whole = draw(rows, 0);
        for cut in [1, 255, 256, 257, 300, 513] {
            assert_eq!([draw(cut, 0), draw(rows - cut, cut)].concat(), whole, "cut at row {cut}");
        }
    }
}
