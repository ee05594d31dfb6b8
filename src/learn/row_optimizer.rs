//! Adagrad and Adam for the rows of embedding tables: only rows that a batch touched are read, moved and written.
//!
//! A row's moments and its decay rest while it is not touched, as in PyTorch's Adagrad on sparse gradients and SparseAdam. So a step
//! costs what the batch touched, whatever the table holds.

use super::{
    Learn,
    checkpoint::{self, Values},
    optimizer::{BETA1, BETA2, EPSILON},
    settings::RowRule,
};
use crate::base::Result;
use candle_core::{CpuStorage, InplaceOp1, Layout, Tensor};
use rayon::prelude::*;
use std::borrow::Cow;

/// The gradient of some rows of a table.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RowGradient {
    /// Ascending, each once.
    pub rows: Vec<u32>,
    /// `rows × width`.
    pub values: Vec<f32>,
}

impl RowGradient {
    /// Sums the contributions to every row. A pair is (row, position); `add` adds what the position contributes.
    ///
    /// Positions of a row are added in ascending order.
    pub fn merge(
        pairs: impl Iterator<Item = (u32, u32)>,
        width: usize,
        mut add: impl FnMut(u32, &mut [f32]),
    ) -> Self {
        let mut keys: Vec<u64> =
            pairs.map(|(row, position)| u64::from(row) << 32 | u64::from(position)).collect();
        keys.sort_unstable();
        let mut gradient = Self::default();
        for same in keys.chunk_by(|a, b| a >> 32 == b >> 32) {
            gradient.rows.push((same[0] >> 32) as u32);
            let start = gradient.values.len();
            gradient.values.resize(start + width, 0.0);
            for key in same {
                add(*key as u32, &mut gradient.values[start..]);
            }
        }
        gradient
    }
}

/// Keeps Adagrad's quotient finite; that of PyTorch.
const ADAGRAD_EPSILON: f32 = 1e-10;

/// The rule over one table `[rows, width]`.
pub struct RowOptimizer {
    table: Tensor,
    rule: RowRule,
    width: usize,
    learning_rate: f64,
    weight_decay: f64,
    /// Adam's mean of gradients; Adagrad has none.
    first: Vec<f32>,
    /// Adam's mean of their squares, Adagrad's sum of them.
    second: Vec<f32>,
    steps: i32,
}

impl RowOptimizer {
    /// Zero moments. `weight_decay` is decoupled, a share of the step size.
    pub fn new(table: &Tensor, rule: RowRule, learning_rate: f64, weight_decay: f64) -> Result<Self> {
        let (_, width) = super::dimensions(table)?;
        let zeros = |needed| vec![0.0; if needed { table.elem_count() } else { 0 }];
        Ok(Self {
            table: table.clone(),
            rule,
            width,
            learning_rate,
            weight_decay,
            first: zeros(rule == RowRule::Adam),
            second: zeros(true),
            steps: 0,
        })
    }

    /// One step for the rows of `gradient`.
    pub fn step(&mut self, gradient: &RowGradient) -> Result<()> {
        self.steps += 1;
        let bias = |beta: f32| 1.0 - f64::from(beta).powi(self.steps);
        let correction = match self.rule {
            RowRule::Adagrad => 1.0,
            RowRule::Adam => bias(BETA2).sqrt() / bias(BETA1),
        };
        let update = Update {
            gradient,
            rule: self.rule,
            width: self.width,
            step_size: (self.learning_rate * correction) as f32,
            decay: (1.0 - self.learning_rate * self.weight_decay) as f32,
            moments: std::sync::Mutex::new((&mut self.first, &mut self.second)),
        };
        self.table.inplace_op1(&update).learn("update embeddings")
    }

    /// Moments and step count, for a checkpoint.
    pub fn state(&self) -> [(&'static str, Values<'_>); 3] {
        [
            ("steps", Values::Counts(Cow::Owned(vec![self.steps as u32]))),
            ("first", Values::Numbers(&self.first)),
            ("second", Values::Numbers(&self.second)),
        ]
    }

    /// Goes back to the state that a checkpoint holds under `name`.
    pub fn resume(&mut self, from: &checkpoint::Part, name: &str) -> Result<()> {
        self.steps = from.counts(&format!("{name}.steps"), 1)?[0] as i32;
        self.first = from.numbers(&format!("{name}.first"), self.first.len())?;
        self.second = from.numbers(&format!("{name}.second"), self.second.len())?;
        Ok(())
    }
}

struct Update<'a> {
    gradient: &'a RowGradient,
    rule: RowRule,
    width: usize,
    /// η of Adagrad, η·√(1 − β₂ᵗ) / (1 − β₁ᵗ) of Adam.
    step_size: f32,
    /// 1 − η·decay.
    decay: f32,
    /// candle hands an operation out as shared.
    moments: std::sync::Mutex<(&'a mut Vec<f32>, &'a mut Vec<f32>)>,
}

/// Rows that follow each other in a table, for one task.
struct Part<'a> {
    /// The table's row that the slices begin with.
    base: u32,
    rows: &'a [u32],
    gradient: &'a [f32],
    weights: &'a mut [f32],
    first: &'a mut [f32],
    second: &'a mut [f32],
}

impl InplaceOp1 for Update<'_> {
    fn name(&self) -> &'static str {
        "row_optimizer"
    }

    fn cpu_fwd(&self, table: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        let CpuStorage::F32(table) = table else { candle_core::bail!("tables are 32-bit floats") };
        let Some((start, end)) = layout.contiguous_offsets() else {
            candle_core::bail!("a table is contiguous")
        };
        let mut moments = self.moments.lock().expect("no other step is running");
        let (first, second) = &mut *moments;
        self.parts(&mut table[start..end], first, second).into_par_iter().for_each(|part| self.apply(part));
        Ok(())
    }
}

impl<'a> Update<'a> {
    /// Divides the touched rows among the threads.
    fn parts<'t>(
        &'t self,
        mut weights: &'t mut [f32],
        mut first: &'t mut [f32],
        mut second: &'t mut [f32],
    ) -> Vec<Part<'t>> {
        // Large enough that a part outweighs the cost of handing it to a thread.
        const LEAST_ROWS: usize = 256;
        let RowGradient { rows, values } = self.gradient;
        let size = rows.len().div_ceil(rayon::current_num_threads()).max(LEAST_ROWS);
        let mut base = 0;
        let mut parts = Vec::new();
        for (rows, gradient) in rows.chunks(size).zip(values.chunks(size * self.width)) {
            let end = rows[rows.len() - 1] + 1;
            let count = (end - base) as usize * self.width;
            let take = |rest: &mut &'t mut [f32]| {
                // Of a moment that the rule does not have, nothing.
                let count = count.min(rest.len());
                let (taken, left) = std::mem::take(rest).split_at_mut(count);
                *rest = left;
                taken
            };
            let (weights, first, second) = (take(&mut weights), take(&mut first), take(&mut second));
            parts.push(Part { base, rows, gradient, weights, first, second });
            base = end;
        }
        parts
    }

    fn apply(&self, part: Part) {
        let Part { base, rows, gradient, weights, first, second } = part;
        for (&row, gradient) in rows.iter().zip(gradient.chunks_exact(self.width)) {
            let start = (row - base) as usize * self.width;
            let place = start..start + self.width;
            let moved = weights[place.clone()].iter_mut().zip(gradient).zip(&mut second[place.clone()]);
            match self.rule {
                RowRule::Adagrad => moved.for_each(|((w, &g), sum)| {
                    *sum += g * g;
                    *w = *w * self.decay - self.step_size * g / (sum.sqrt() + ADAGRAD_EPSILON);
                }),
                RowRule::Adam => moved.zip(&mut first[place]).for_each(|(((w, &g), v), m)| {
                    *m += (1.0 - BETA1) * (g - *m);
                    *v += (1.0 - BETA2) * (g * g - *v);
                    *w = *w * self.decay - self.step_size * *m / (v.sqrt() + EPSILON);
                }),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{base::rng, learn::values};
    use candle_core::Device;

    #[test]
    fn repeated_rows_are_summed_in_order() {
        let pairs = [(7, 0), (2, 1), (7, 2), (2, 3), (9, 4)];
        let parts = [[1.0, 10.0], [2.0, 20.0], [4.0, 40.0], [8.0, 80.0], [16.0, 160.0]];
        let gradient = RowGradient::merge(pairs.into_iter(), 2, |position, sum| {
            sum.iter_mut().zip(parts[position as usize]).for_each(|(sum, part)| *sum += part);
        });
        assert_eq!(gradient.rows, [2, 7, 9]);
        assert_eq!(gradient.values, [10.0, 100.0, 5.0, 50.0, 16.0, 160.0]);
    }

    /// Random touched rows and gradients of a table of 5,000 rows.
    fn draw(step: u64) -> RowGradient {
        let mut rng = rng::generator(step, "rows");
        let mut rows: Vec<u32> = (0..5000).collect();
        rng::shuffle(&mut rows, &mut rng);
        rows.truncate(1500);
        rows.sort_unstable();
        RowGradient { values: rng::normals(rows.len() * 3, 1.0, &mut rng), rows }
    }

    const RULES: [RowRule; 2] = [RowRule::Adagrad, RowRule::Adam];

    fn after(rule: RowRule, steps: u64, threads: usize) -> Vec<f32> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let start = rng::normals(15_000, 1.0, &mut rng::generator(1, "start"));
        let table = Tensor::from_vec(start, (5000, 3), &Device::Cpu).unwrap();
        let mut optimizer = RowOptimizer::new(&table, rule, 0.01, 0.1).unwrap();
        pool.install(|| (0..steps).for_each(|step| optimizer.step(&draw(step)).unwrap()));
        values(&table).unwrap()
    }

    #[test]
    fn only_touched_rows_move() {
        for rule in RULES {
            let start = after(rule, 0, 1);
            let moved = after(rule, 1, 2);
            let touched = draw(0).rows;
            for row in 0..5000 {
                let same = start[row * 3..][..3] == moved[row * 3..][..3];
                assert_eq!(same, touched.binary_search(&(row as u32)).is_err(), "{rule:?}, row {row}");
            }
        }
    }

    #[test]
    fn the_number_of_threads_changes_no_byte() {
        for rule in RULES {
            assert!(after(rule, 3, 1) == after(rule, 3, 4), "{rule:?}");
        }
    }
}
