//! Workloads made by hand, for tests.

use super::Workload;
use crate::{
    base::Result,
    measure::engine::{InputTensor, Inputs, TensorData},
};

/// One request per count.
pub(crate) struct Counts(pub Vec<usize>);

impl Workload for Counts {
    fn requests(&self) -> usize {
        self.0.len()
    }
    fn candidates(&self, request: usize) -> usize {
        self.0[request]
    }
    fn inputs(&self) -> Inputs {
        let x = InputTensor { name: "x".into(), shape: [0, 1], data: TensorData::F32(Vec::new()) };
        Inputs { candidates: 0, tensors: vec![x] }
    }
    fn prepare(&self, request: usize, inputs: &mut Inputs) -> Result<()> {
        inputs.candidates = self.0[request];
        inputs.tensors[0].shape[0] = inputs.candidates;
        Ok(())
    }
}
