//! Rows out of the tables, and gradients back to them, outside candle's graph: its gather has a dense gradient, whose cost
//! grows with the vocabulary instead of the batch.

use super::{EmbeddingBank, Group, Source};
use crate::{
    base::Result,
    data::dataset::Batch,
    learn::{
        Learn,
        device::device,
        ops::{self, matrix::BLOCK_ROWS},
        row_optimizer::RowGradient,
    },
};
use candle_core::{Device, Tensor};
use rayon::prelude::*;

impl EmbeddingBank {
    /// The concatenated input `[rows, width]`, without gradient.
    pub fn lookup(&self, batch: &Batch) -> Result<Tensor> {
        let width = self.width();
        let mut input = vec![0.0; batch.rows() * width];
        let mut column = 0;
        for group in &self.groups {
            let tables = group.tables();
            let fill = |tables: &[&[f32]]| {
                input.par_chunks_mut((BLOCK_ROWS * width).max(1)).enumerate().for_each(|(block, input)| {
                    for (i, input) in input.chunks_exact_mut(width).enumerate() {
                        group.embed(batch, block * BLOCK_ROWS + i, tables, &mut input[column..]);
                    }
                });
                Ok(())
            };
            ops::with_all(&tables, fill).learn("embed a batch")?;
            column += group.members.len() * group.width;
        }
        Tensor::from_vec(input, (batch.rows(), width), device()).learn("embed a batch")
    }

    /// All tables, in the order of their gradients.
    pub fn tables(&self) -> Vec<&Tensor> {
        self.groups.iter().flat_map(Group::tables).collect()
    }

    /// The gradient of every table, from that of the input `[rows, width]`.
    pub fn gradients(&self, batch: &Batch, by_input: &Tensor) -> Result<Vec<RowGradient>> {
        let by_input =
            by_input.to_device(&Device::Cpu).and_then(|g| g.contiguous()).learn("read a gradient")?;
        let width = self.width();
        let compute = |tensors: &[&[f32]]| {
            let mut column = 0;
            let mut gradients = Vec::new();
            for group in &self.groups {
                let by_input = Columns { values: tensors[0], width, column };
                gradients.extend(group.gradients(batch, by_input));
                column += group.members.len() * group.width;
            }
            Ok(gradients)
        };
        ops::with_all(&[&by_input], compute).learn("differentiate embeddings")
    }
}

/// Columns of the input's gradient from one on.
#[derive(Clone, Copy)]
struct Columns<'a> {
    values: &'a [f32],
    width: usize,
    column: usize,
}

impl<'a> Columns<'a> {
    /// `count` columns of a row, after skipping some.
    fn of(&self, row: usize, skipped: usize, count: usize) -> &'a [f32] {
        &self.values[row * self.width + self.column + skipped..][..count]
    }
}

impl Group {
    fn tables(&self) -> Vec<&Tensor> {
        match &self.source {
            Source::Table { table, .. } | Source::Pooled { table, .. } => vec![table],
            Source::Numbers { scale, missing, .. } => vec![scale, missing],
        }
    }

    /// Writes the group's columns of one row to the beginning of `input`.
    fn embed(&self, batch: &Batch, row: usize, tables: &[&[f32]], input: &mut [f32]) {
        let width = self.width;
        match &self.source {
            Source::Table { starts, offsets, .. } => {
                let ids = batch.ids_of(row);
                for ((&start, offset), input) in starts.iter().zip(offsets).zip(input.chunks_exact_mut(width))
                {
                    input.copy_from_slice(&tables[0][(ids[start] + offset) as usize * width..][..width]);
                }
            }
            Source::Pooled { start, length, .. } => {
                let ids = &batch.ids_of(row)[*start..start + length];
                let share = share_of_each(ids);
                for &id in ids.iter().filter(|&&id| id != 0) {
                    add_times(&mut input[..width], share, &tables[0][id as usize * width..][..width]);
                }
            }
            Source::Numbers { indices, .. } => {
                let numbers = batch.numbers_of(row);
                for ((k, &index), input) in indices.iter().enumerate().zip(input.chunks_exact_mut(width)) {
                    let (table, factor) = read_number(numbers[index]);
                    add_times(input, factor, &tables[table][k * width..][..width]);
                }
            }
        }
    }

    fn gradients(&self, batch: &Batch, by_input: Columns) -> Vec<RowGradient> {
        let width = self.width;
        match &self.source {
            Source::Table { starts, offsets, .. } => {
                let features: Vec<RowGradient> = (0..starts.len())
                    .into_par_iter()
                    .map(|k| {
                        let ids = (0..batch.rows()).map(|row| batch.ids_of(row)[starts[k]] + offsets[k]);
                        let positions = ids.zip(0..);
                        RowGradient::merge(positions, width, |row, sum| {
                            add_times(sum, 1.0, by_input.of(row as usize, k * width, width));
                        })
                    })
                    .collect();
                // The rows of a feature come after those of the features before it.
                let mut all = RowGradient::default();
                for RowGradient { rows, values } in features {
                    all.rows.extend(rows);
                    all.values.extend(values);
                }
                vec![all]
            }
            Source::Pooled { start, length, .. } => {
                let lists: Vec<&[u32]> =
                    (0..batch.rows()).map(|row| &batch.ids_of(row)[*start..start + length]).collect();
                let shares: Vec<f32> = lists.iter().map(|ids| share_of_each(ids)).collect();
                let pairs = lists.iter().zip(0..).flat_map(|(ids, row)| ids.iter().map(move |&id| (id, row)));
                vec![RowGradient::merge(pairs.filter(|&(id, _)| id != 0), width, |row, sum| {
                    add_times(sum, shares[row as usize], by_input.of(row as usize, 0, width));
                })]
            }
            Source::Numbers { indices, .. } => {
                let rows: Vec<u32> = (0..indices.len() as u32).collect();
                let mut both = [vec![0.0; rows.len() * width], vec![0.0; rows.len() * width]];
                for row in 0..batch.rows() {
                    let numbers = batch.numbers_of(row);
                    for (k, &index) in indices.iter().enumerate() {
                        let (table, factor) = read_number(numbers[index]);
                        let sum = &mut both[table][k * width..][..width];
                        add_times(sum, factor, by_input.of(row, k * width, width));
                    }
                }
                both.map(|values| RowGradient { rows: rows.clone(), values }).into()
            }
        }
    }
}

/// The weight of each present id in the mean of a list; ids of 0 are padding.
fn share_of_each(ids: &[u32]) -> f32 {
    1.0 / ids.iter().filter(|&&id| id != 0).count().max(1) as f32
}

/// Which table a number is embedded by (0: scale, 1: missing), and by which factor.
fn read_number(x: f32) -> (usize, f32) {
    if x.is_nan() { (1, 1.0) } else { (0, x) }
}

fn add_times(sum: &mut [f32], factor: f32, row: &[f32]) {
    sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += factor * x);
}
