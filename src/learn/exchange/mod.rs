//! How several processes (ranks) train as one: data-parallel, every batch divided among them.
//!
//! All ranks hold the same parameters and draw the same masks, dropout and order of rows. Each computes what its shard of a
//! batch ([`crate::data::shard`]) adds to the gradient of the batch's loss; the sum over the ranks is the gradient that one
//! process computes from the whole batch, up to rounding. Every rank applies it, so the parameters stay the same without
//! ever being sent.
//!
//! Sums are made in the order of the ranks and are the same bytes everywhere. [`Alone`] is one process: nothing is copied
//! or sent. `Ranks` (with the feature `mpi`) sends over MPI.

mod launcher;
#[cfg(feature = "mpi")]
mod mpi;
#[cfg(feature = "mpi")]
mod ranks;

#[cfg(feature = "mpi")]
pub use ranks::Ranks;

use super::{Learn, params::Params, row_optimizer::RowGradient, values};
use crate::{
    base::{Error, Result, hash},
    data::shard::Place,
};
use candle_core::{Device, Tensor, Var, backprop::GradStore};
use serde::{Serialize, de::DeserializeOwned};

/// The processes that train together, seen from one of them. Every rank must make the same calls in the same order.
pub trait Exchange: std::fmt::Debug + Sync {
    /// Which of how many this is.
    fn place(&self) -> Place;
    /// Adds up the numbers of all ranks, in the order of the ranks; all get the same bytes.
    fn sum(&self, values: &mut Vec<f32>);
    /// The numbers of all ranks one after the other.
    fn gather_floats(&self, own: Vec<f32>) -> Vec<f32>;
    /// The numbers of all ranks one after the other.
    fn gather_counts(&self, own: Vec<u32>) -> Vec<u32>;
    /// What rank 0 has, for all. The others wait without keeping a processor busy, for as long as it takes.
    fn broadcast(&self, own: Option<Vec<u8>>) -> Vec<u8>;
    /// Ends all ranks at once with this exit code. Returns where there is no other.
    fn abort(&self, code: i32);

    /// Whether this is rank 0, which writes files and speaks.
    fn leads(&self) -> bool {
        self.place().rank == 0
    }
}

/// The only process.
#[derive(Debug, Clone, Copy)]
pub struct Alone;

impl Exchange for Alone {
    fn place(&self) -> Place {
        Place::ALONE
    }

    fn sum(&self, _: &mut Vec<f32>) {}

    fn gather_floats(&self, own: Vec<f32>) -> Vec<f32> {
        own
    }

    fn gather_counts(&self, own: Vec<u32>) -> Vec<u32> {
        own
    }

    fn broadcast(&self, own: Option<Vec<u8>>) -> Vec<u8> {
        own.unwrap_or_default()
    }

    fn abort(&self, _: i32) {}
}

/// The ranks of the job that this process was started in: those of `mpirun` or `srun`, with the feature `mpi`; else this
/// process by itself. May be called once, and never in a process that only measures.
pub fn join() -> Result<Box<dyn Exchange>> {
    match launcher::launched(|name| std::env::var(name).ok()) {
        false => Ok(Box::new(Alone)),
        #[cfg(feature = "mpi")]
        true => Ok(Box::new(Ranks::join()?)),
        #[cfg(not(feature = "mpi"))]
        true => Err(Error::usage(
            "this program was started several times by an MPI launcher (mpirun, srun), and was built without MPI",
            "build it with `--features mpi`, or start it once and without the launcher",
        )),
    }
}

/// What `compute` gives on rank 0, for all ranks; the others wait for it. An error of rank 0 ends it alone: its caller must
/// [`Exchange::abort`].
pub fn by_leader<T: Serialize + DeserializeOwned>(
    ranks: &dyn Exchange,
    compute: impl FnOnce() -> Result<T>,
) -> Result<T> {
    if ranks.place().size == 1 {
        return compute();
    }
    if ranks.leads() {
        let value = compute()?;
        let json = serde_json::to_vec(&value).map_err(|e| Error::learn("tell the other ranks", e))?;
        ranks.broadcast(Some(json));
        return Ok(value);
    }
    serde_json::from_slice(&ranks.broadcast(None)).map_err(|e| Error::learn("hear from rank 0", e))
}

/// Makes the gradients of `vars`, and `losses`, those of all ranks together.
///
/// They travel as one array: one number per parameter that tells whether it has a gradient (a partition's layers have none
/// on a rank without rows of it), the losses, and the gradients in the order of the parameters.
pub fn sum_gradients<'v>(
    ranks: &dyn Exchange,
    gradients: &mut GradStore,
    vars: impl Iterator<Item = &'v Var>,
    losses: &mut [f64],
) -> Result<()> {
    if ranks.place().size == 1 {
        return Ok(());
    }
    let vars: Vec<&Var> = vars.collect();
    let count: usize = vars.iter().map(|var| var.elem_count()).sum();
    let mut all = Vec::with_capacity(vars.len() + losses.len() + count);
    all.extend(vars.iter().map(|var| f32::from(u8::from(gradients.get(var).is_some()))));
    all.extend(losses.iter().map(|&loss| loss as f32));
    for var in &vars {
        match gradients.get(var) {
            Some(gradient) => {
                let gradient =
                    gradient.to_device(&Device::Cpu).and_then(|g| g.contiguous()).learn("read a gradient")?;
                super::ops::with_all(&[&gradient], |numbers| {
                    all.extend_from_slice(numbers[0]);
                    Ok(())
                })
                .learn("read a gradient")?;
            }
            None => all.resize(all.len() + var.elem_count(), 0.0),
        }
    }
    ranks.sum(&mut all);
    let (present, rest) = all.split_at(vars.len());
    let (summed, mut rest) = rest.split_at(losses.len());
    losses.iter_mut().zip(summed).for_each(|(loss, &sum)| *loss = f64::from(sum));
    for (var, &present) in vars.iter().zip(present) {
        let (own, later) = rest.split_at(var.elem_count());
        rest = later;
        if present > 0.0 {
            let sum = Tensor::from_slice(own, var.shape(), var.device()).learn("write a gradient")?;
            gradients.insert(var, sum);
        }
    }
    Ok(())
}

/// The gradients of embedding tables from those of all ranks: what a row got is added in the order of the ranks.
pub fn merge_rows(ranks: &dyn Exchange, own: Vec<RowGradient>) -> Vec<RowGradient> {
    let size = ranks.place().size;
    if size == 1 {
        return own;
    }
    let tables = own.len();
    let counts: Vec<u32> = own.iter().flat_map(|g| [g.rows.len() as u32, g.values.len() as u32]).collect();
    let counts = ranks.gather_counts(counts);
    let rows = ranks.gather_counts(own.iter().flat_map(|g| g.rows.iter().copied()).collect());
    let values = ranks.gather_floats(own.iter().flat_map(|g| g.values.iter().copied()).collect());
    let mut by_table = vec![Vec::new(); tables];
    let (mut row, mut value) = (0, 0);
    for (i, counts) in counts.chunks_exact(2).enumerate() {
        let (rows_end, values_end) = (row + counts[0] as usize, value + counts[1] as usize);
        by_table[i % tables].push((&rows[row..rows_end], &values[value..values_end]));
        (row, value) = (rows_end, values_end);
    }
    by_table.iter().map(|parts| merge(parts)).collect()
}

/// One table's gradient from those of all ranks.
fn merge(parts: &[(&[u32], &[f32])]) -> RowGradient {
    let rows: usize = parts.iter().map(|(rows, _)| rows.len()).sum();
    let numbers: usize = parts.iter().map(|(_, values)| values.len()).sum();
    let width = numbers.checked_div(rows).unwrap_or(0);
    let sources: Vec<&[f32]> =
        parts.iter().flat_map(|(_, values)| values.chunks_exact(width.max(1))).collect();
    let pairs = parts.iter().flat_map(|(rows, _)| rows.iter().copied()).zip(0..);
    RowGradient::merge(pairs, width, |position, sum| {
        sum.iter_mut().zip(sources[position as usize]).for_each(|(sum, x)| *sum += x);
    })
}

/// Gives all ranks the parameters of rank 0.
pub fn share_params(ranks: &dyn Exchange, params: &Params) -> Result<()> {
    if ranks.place().size == 1 {
        return Ok(());
    }
    for (name, var) in params.iter() {
        let own = ranks.leads().then(|| values(var)).transpose()?;
        let bytes = ranks.broadcast(own.map(|own| own.iter().flat_map(|x| x.to_le_bytes()).collect()));
        if !ranks.leads() {
            let numbers = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
            params.set(name, numbers.collect())?;
        }
    }
    Ok(())
}

/// Fails when the ranks' parameters are not the same bytes: on different machines with different instructions, say.
pub fn same_everywhere(ranks: &dyn Exchange, params: &Params) -> Result<()> {
    if ranks.place().size == 1 {
        return Ok(());
    }
    let mut bytes = Vec::new();
    for (_, var) in params.iter() {
        bytes.extend(values(var)?.iter().flat_map(|x| x.to_le_bytes()));
    }
    let digest = hash::sha256(&bytes).into_bytes();
    let own: Vec<u32> = digest.iter().map(|&byte| u32::from(byte)).collect();
    let all = ranks.gather_counts(own.clone());
    match all.chunks_exact(own.len()).position(|digest| *digest != all[..own.len()]) {
        None => Ok(()),
        Some(rank) => Err(Error::usage(
            format!("the parameters of rank {rank} are not those of rank 0"),
            "start every rank from the same build of the program and the same files",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_several_ranks_are_added_row_by_row() {
        let parts: [(&[u32], &[f32]); 3] =
            [(&[1, 4], &[1.0, 2.0, 3.0, 4.0]), (&[], &[]), (&[0, 4], &[5.0, 6.0, 7.0, 8.0])];
        let merged = merge(&parts);
        assert_eq!(merged.rows, [0, 1, 4]);
        assert_eq!(merged.values, [5.0, 6.0, 1.0, 2.0, 10.0, 12.0]);
        assert_eq!(merge(&[(&[], &[]), (&[], &[])]), RowGradient::default());
    }

    #[test]
    fn one_process_is_left_as_it_is() {
        let own = vec![RowGradient { rows: vec![3], values: vec![1.0] }];
        assert_eq!(merge_rows(&Alone, own.clone()), own);
        assert_eq!(by_leader(&Alone, || Ok(5)).unwrap(), 5);
        assert!(Alone.leads());
    }
}
