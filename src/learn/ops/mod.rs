//! The custom operations of training: where plain candle makes too many passes over memory, one operation makes one.
//!
//! | file | computes |
//! | --- | --- |
//! | [`matrix`] | strided matrices, and how their rows are divided among threads |
//! | [`product`](mod@product) | their products |
//! | [`dense`](mod@dense) | relu(x·W + b) with dropout |
//! | [`mix`](mod@mix) | a Mixop: Σ_j π_j·relu(X_j·W_j + b_j) over all entries, merged with what the zero operator passes on |
//! | [`gate`](mod@gate) | masks over embeddings |
//!
//! Each has a backward pass of its own that leaves out the gradients that nobody asks for, and runs as plain candle on
//! devices other than the CPU.
//!
//! No sum depends on the number of threads: rows are summed in blocks of [`matrix::BLOCK_ROWS`] whose sums are added in
//! order, and [`product::multiply`] sums over the inner dimension in one order whichever rows a thread takes. So on one
//! machine the same seed gives the same bytes with any number of threads.

pub mod dense;
#[cfg(test)]
mod fixtures;
pub mod gate;
pub mod matrix;
pub mod mix;
pub mod product;

use candle_core::{CpuStorage, Layout, Result, Storage, Tensor};
use matrix::Matrix;

/// The numbers of a CPU storage.
fn floats(storage: &CpuStorage) -> Result<&[f32]> {
    match storage {
        CpuStorage::F32(values) => Ok(values),
        _ => candle_core::bail!("training uses 32-bit floats"),
    }
}

/// A matrix whose rows are contiguous.
fn matrix<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<Matrix<'a>> {
    let (rows, columns) = layout.shape().dims2()?;
    let [row_stride, 1] = *layout.stride() else {
        candle_core::bail!("the rows of a matrix are not contiguous")
    };
    Ok(Matrix::new(&floats(storage)?[layout.start_offset()..], rows, columns, row_stride))
}

/// A contiguous tensor of any shape.
fn vector<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&floats(storage)?[start..end]),
        None => candle_core::bail!("a vector is not contiguous"),
    }
}

/// Runs `compute` on a tensor's numbers.
fn with_storage<T>(tensor: &Tensor, compute: impl FnOnce(&CpuStorage, &Layout) -> Result<T>) -> Result<T> {
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => compute(storage, layout),
        _ => candle_core::bail!("the tensor is not in main memory"),
    }
}

/// The tensor itself when its rows are contiguous, else a copy whose rows are.
fn with_contiguous_rows(x: &Tensor) -> Result<Tensor> {
    if x.layout().stride().last() == Some(&1) { Ok(x.clone()) } else { x.contiguous() }
}

/// Runs `compute` on the numbers of contiguous tensors.
pub(super) fn with_all<T>(tensors: &[&Tensor], compute: impl FnOnce(&[&[f32]]) -> Result<T>) -> Result<T> {
    let guards: Vec<_> = tensors.iter().map(|tensor| tensor.storage_and_layout()).collect();
    let slices: Vec<&[f32]> = guards
        .iter()
        .map(|(storage, layout)| match &**storage {
            Storage::Cpu(storage) => vector(storage, layout),
            _ => candle_core::bail!("the tensor is not in main memory"),
        })
        .collect::<Result<_>>()?;
    compute(&slices)
}
