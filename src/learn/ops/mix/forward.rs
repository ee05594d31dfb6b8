//! Forward: every operator's output, and which ReLUs were open.

use super::{
    super::{matrix::*, product::*},
    Scene,
    open::{Bit, add_open},
};
use rayon::prelude::*;

impl Scene<'_> {
    /// The output, and which ReLUs were open.
    pub(super) fn forward(&self) -> (Vec<f32>, Vec<u8>) {
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
}
