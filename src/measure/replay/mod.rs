//! Recorded traffic, issued against a system under test in open loop. Knows no model and no data set: a [`Workload`]
//! turns request numbers into inputs, and [`Session`](crate::measure::engine::Session)s answer them.
//!
//! [`arrivals`] draws when requests come and [`make::ListLength`] how much they ask for, [`make`] joins that with the users and items of
//! a log into a [`trace`], [`issue`] runs it against a [`clock`], and the [`recorder`] keeps what happened.

pub mod arrivals;
pub mod buckets;
mod check;
pub mod clock;
#[cfg(test)]
pub(crate) mod examples;
pub mod forecast;
pub mod issue;
mod list_length;
pub mod make;
pub(crate) mod popularity;
mod recorded;
pub mod recorder;
pub mod simulate;
pub mod slo;
pub mod summary;
pub mod timestamp;
pub mod trace;
pub mod trace_file;
mod unique;
pub mod work;
pub mod work_model;

use crate::{
    base::Result,
    measure::{engine::Inputs, store::FetchCounts},
};

/// What each request asks. Called from several threads while the clock runs, so everything that is not part of
/// serving a request is done beforehand.
pub trait Workload: Sync {
    /// Number of requests.
    fn requests(&self) -> usize;
    /// Number of candidates of a request.
    fn candidates(&self, request: usize) -> usize;
    /// Buffers for [`Workload::prepare`].
    fn inputs(&self) -> Inputs;
    /// Assembles the inputs of a request into `inputs`, whose buffers are reused.
    fn prepare(&self, request: usize, inputs: &mut Inputs) -> Result<()>;

    /// What one worker fetches the rest of the inputs with, from a feature store; none where [`Workload::prepare`] leaves no rest.
    fn fetcher(&self) -> Result<Option<Box<dyn Fetcher + '_>>> {
        Ok(None)
    }
}

/// One worker's way to a feature store.
pub trait Fetcher: Send {
    /// Fetches what is stored for a request into `inputs`, which [`Workload::prepare`] has filled for it.
    fn fetch(&mut self, request: usize, inputs: &mut Inputs, counts: &mut FetchCounts) -> Result<()>;
}
