//! What is trained: the teacher, the supernet, and the networks derived from it. The only room that uses candle.
//!
//! | file | holds |
//! | --- | --- |
//! | [`params`], [`optimizer`], [`row_optimizer`] | named seeded tensors; AdamW; Adagrad or Adam over the touched rows of a table |
//! | [`device`](mod@device) | where networks are trained |
//! | [`ops`] | custom operations: where the time of training goes |
//! | [`checkpoint`] | the state in the middle of a training, saved and gone on from |
//! | [`embedding`], [`mask`], [`mlp`], [`mixop`], [`paths`] | the pieces of both networks, and what a step draws |
//! | [`teacher`], [`supernet`], [`student`] | the three networks |
//! | [`losses`], [`price_term`] | equations (1)–(8) as terms of a loss; the order within lists |
//! | [`exchange`] | how several processes train as one |
//! | [`train`], [`search`], [`derive`](mod@derive) | how they are trained, and the choice that comes out |
//! | [`importance`], [`baseline`] | what each feature is worth; comparison systems |
//! | [`network`], [`metrics`] | a trained network as plain data; what it is worth |

pub mod baseline;
pub mod checkpoint;
pub mod derive;
pub mod device;
pub mod embedding;
pub mod exchange;
#[cfg(test)]
mod fixtures;
pub mod importance;
pub mod losses;
pub mod mask;
pub mod metrics;
pub mod mixop;
pub mod mlp;
pub mod network;
mod network_file;
pub mod ops;
pub mod optimizer;
pub mod params;
pub mod paths;
pub mod price_term;
#[cfg(test)]
mod reference;
pub mod row_optimizer;
pub mod search;
pub mod settings;
pub mod student;
pub mod supernet;
pub mod teacher;
#[cfg(test)]
mod threads;
pub mod train;

use crate::base::{Error, Result};
use candle_core::Tensor;
use device::device;

/// Turns candle's errors into ours, with what was being computed.
trait Learn<T> {
    fn learn(self, action: &str) -> Result<T>;
}

impl<T> Learn<T> for candle_core::Result<T> {
    fn learn(self, action: &str) -> Result<T> {
        self.map_err(|e| Error::learn(action, e))
    }
}

/// All values of a tensor, row after row.
fn values(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.flatten_all().and_then(|t| t.to_vec1()).learn("read values")
}

/// The only value of a tensor.
fn scalar(tensor: &Tensor) -> Result<f64> {
    Ok(f64::from(values(tensor)?[0]))
}

/// A scalar with the given `value` whose gradient by each tensor is the given one: value + Σ ⟨gradient, x − x₀⟩.
fn linear_term(value: f64, parts: &[(&Tensor, &[f64])]) -> Result<Tensor> {
    let compute = || {
        let mut sum = Tensor::new(value as f32, device())?;
        for (x, gradient) in parts {
            let gradient: Vec<f32> = gradient.iter().map(|&g| g as f32).collect();
            let gradient = Tensor::from_vec(gradient, x.shape(), x.device())?;
            sum = (sum + ((*x - x.detach())? * gradient)?.sum_all()?)?;
        }
        Ok(sum)
    };
    compute().learn("add the latency to the loss")
}

/// Rows and columns of a matrix.
fn dimensions(tensor: &Tensor) -> Result<(usize, usize)> {
    tensor.dims2().learn("read a shape")
}
