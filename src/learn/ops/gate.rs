//! Masks over embeddings as one operation: every feature's columns times its gate.

use super::{matrix, matrix::*, with_contiguous_rows, with_storage};
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};
use rayon::prelude::*;
use std::{ops::Range, sync::Arc};

/// Which columns of the input belong to which feature.
#[derive(Debug, Clone)]
pub struct Columns {
    /// The columns of each feature, in the order of the gates.
    ranges: Arc<[Range<usize>]>,
}

impl Columns {
    /// The columns of each feature, in the order of the gates.
    pub fn new(ranges: Vec<Range<usize>>) -> Self {
        Self { ranges: ranges.into() }
    }

    /// The value of its feature at every column.
    fn spread(&self, gates: &[f32], width: usize) -> Vec<f32> {
        let mut row = vec![0.0; width];
        for (range, &gate) in self.ranges.iter().zip(gates) {
            row[range.clone()].fill(gate);
        }
        row
    }
}

/// Embeddings `[rows, width]` times gates `[1, features]`, or `[rows, features]` for gates of their own in every row:
/// `[rows, width]`.
pub fn gate(embedded: &Tensor, gates: &Tensor, columns: &Columns) -> Result<Tensor> {
    if !embedded.device().is_cpu() {
        return plain(embedded, gates, columns);
    }
    with_contiguous_rows(embedded)?.apply_op2(&with_contiguous_rows(gates)?, Gate(columns.clone()))
}

/// The same in candle's own operations.
fn plain(embedded: &Tensor, gates: &Tensor, columns: &Columns) -> Result<Tensor> {
    let width = embedded.dim(1)?;
    let features = columns.ranges.len();
    let unit = |feature: usize| {
        let gates: Vec<f32> = (0..features).map(|f| f32::from(u8::from(f == feature))).collect();
        columns.spread(&gates, width)
    };
    let ones: Vec<f32> = (0..features).flat_map(unit).collect();
    embedded.broadcast_mul(&gates.matmul(&Tensor::from_vec(ones, (features, width), embedded.device())?)?)
}

struct Gate(Columns);

impl CustomOp2 for Gate {
    fn name(&self) -> &'static str {
        "gate"
    }

    fn cpu_fwd(
        &self,
        embedded: &CpuStorage,
        embedded_layout: &Layout,
        gates: &CpuStorage,
        gates_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let masked = self.times(matrix(embedded, embedded_layout)?, matrix(gates, gates_layout)?)?;
        Ok((CpuStorage::F32(masked), embedded_layout.shape().clone()))
    }

    fn bwd(
        &self,
        embedded: &Tensor,
        gates: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient.contiguous()?;
        let by_embedded = match embedded.track_op() {
            false => None,
            true => {
                let values = with_storage(&gradient, |g, g_layout| {
                    with_storage(gates, |gates, layout| {
                        self.times(matrix(g, g_layout)?, matrix(gates, layout)?)
                    })
                })?;
                Some(Tensor::from_vec(values, embedded.shape(), embedded.device())?)
            }
        };
        let by_gates = match gates.track_op() {
            false => None,
            true => {
                let shared = gates.dim(0)? == 1;
                let values = with_storage(&gradient, |g, g_layout| {
                    with_storage(embedded, |e, layout| {
                        Ok(self.products(matrix(e, layout)?, matrix(g, g_layout)?, shared))
                    })
                })?;
                Some(Tensor::from_vec(values, gates.shape(), gates.device())?)
            }
        };
        Ok((by_embedded, by_gates))
    }
}

impl Gate {
    fn times(&self, x: Matrix, gates: Matrix) -> Result<Vec<f32>> {
        let (rows, width) = (x.rows(), x.columns());
        if gates.columns() != self.0.ranges.len() || (gates.rows() != 1 && gates.rows() != rows) {
            candle_core::bail!("gates {}×{} do not fit {rows} rows", gates.rows(), gates.columns());
        }
        let shared = (gates.rows() == 1).then(|| self.0.spread(gates.row(0), width));
        let mut out = vec![0.0; rows * width];
        out.par_chunks_mut((BLOCK_ROWS * width).max(1)).enumerate().for_each(|(block, out)| {
            for (i, out) in out.chunks_exact_mut(width).enumerate() {
                let row = block * BLOCK_ROWS + i;
                let own;
                let factors = match &shared {
                    Some(factors) => factors,
                    None => {
                        own = self.0.spread(gates.row(row), width);
                        &own
                    }
                };
                for ((out, x), factor) in out.iter_mut().zip(x.row(row)).zip(factors) {
                    *out = x * factor;
                }
            }
        });
        Ok(out)
    }

    /// Σ over a feature's columns of x·g: per row, or summed over the rows when they share their gates.
    fn products(&self, x: Matrix, gradient: Matrix, shared: bool) -> Vec<f32> {
        let (rows, features) = (x.rows(), self.0.ranges.len());
        let per_row = |row: usize| {
            let (x, g) = (x.row(row), gradient.row(row));
            self.0.ranges.iter().map(move |range| {
                x[range.clone()].iter().zip(&g[range.clone()]).map(|(x, g)| x * g).sum::<f32>()
            })
        };
        let per_task = if shared { 1 } else { BLOCK_ROWS };
        let mut out = vec![0.0; if shared { rows.div_ceil(BLOCK_ROWS) } else { rows } * features];
        out.par_chunks_mut((per_task * features).max(1)).enumerate().for_each(|(block, out)| {
            for row in block * BLOCK_ROWS..rows.min((block + 1) * BLOCK_ROWS) {
                let place = if shared { 0 } else { row - block * BLOCK_ROWS };
                let out = &mut out[place * features..][..features];
                out.iter_mut().zip(per_row(row)).for_each(|(out, product)| *out += product);
            }
        });
        if shared { sum_rows(&out, features) } else { out }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::ops::fixtures::{assert_close, gradients, leaf};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(30))]
        #[test]
        fn values_and_gradients_are_those_of_plain_candle(
            rows in prop::sample::select(vec![1usize, 7, 256, 600]), widths in prop::collection::vec(1usize..6, 1..7),
            constant: bool, own_gates: bool,
        ) {
            // Features stand in another order than their columns.
            let mut end = widths.iter().sum();
            let width = end;
            let ranges = widths.iter().map(|w| { end -= w; end..end + w }).collect();
            let columns = Columns::new(ranges);
            let gates = leaf("gates", (if own_gates { rows } else { 1 }, widths.len()));
            let x = leaf("x", (rows, width));
            let input = if constant { x.as_tensor().detach() } else { x.as_tensor().clone() };
            let run = |gate: fn(&Tensor, &Tensor, &Columns) -> Result<Tensor>| {
                gradients(&gate(&input, &gates, &columns).unwrap(), &[&x, &gates])
            };
            let (ours, candles) = (run(gate), run(plain));
            assert_close(&ours, &candles, if constant { &[1] } else { &[] });
        }
    }
}
