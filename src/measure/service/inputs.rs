//! What the timed runs are asked: requests of a trace, or random values where there is no data that the inputs stand for.

use crate::{
    base::{Result, rng},
    export::signature::{ElementType, Rows, Signature, TensorSpec},
    measure::{
        engine::{InputTensor, Inputs, TensorData},
        replay::Workload,
        traced::{DataFiles, TracedData},
    },
};
use rand::RngExt;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Where inputs come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Requests {
    /// Random ids below the signature's cardinalities and numbers in [-1, 1): for probes, whose inputs are nobody's.
    Random,
    /// Requests of a trace with the values of the data: users, items and pairs as often as the log has them. A list that
    /// is shorter than the measured number of candidates begins again, a longer one is cut.
    Trace {
        /// The trace.
        trace: PathBuf,
        /// Data that its keys belong to.
        data: DataFiles,
    },
}

/// Different random requests per model, so that a run does not always find its embedding rows in the nearest cache.
const RANDOM: u64 = 3;
/// Different requests of a trace per model.
const TRACED: usize = 8;

/// [`Requests`], ready to be assembled.
pub(super) enum Source {
    Random { seed: u64 },
    Trace(Box<TracedData>),
}

impl Source {
    pub(super) fn open(requests: &Requests, seed: u64) -> Result<Self> {
        Ok(match requests {
            Requests::Random => Self::Random { seed },
            Requests::Trace { trace, data } => Self::Trace(Box::new(TracedData::load(trace, data)?)),
        })
    }

    /// Inputs of some requests with `candidates` candidates each, the same for every engine.
    pub(super) fn inputs(&self, signature: &Signature, candidates: usize) -> Result<Vec<Inputs>> {
        match self {
            Self::Random { seed } => {
                let ids = signature.tensors.iter().any(|tensor| tensor.element == ElementType::I64);
                let count = if ids { RANDOM } else { 1 };
                let of = |i| random_inputs(signature, candidates, seed.wrapping_add(i));
                Ok((0..count).map(of).collect())
            }
            Self::Trace(traced) => {
                let workload = traced.workload(signature)?;
                let count = workload.requests().min(TRACED);
                let of = |i| workload.inputs_of(i * workload.requests() / count, candidates);
                Ok((0..count).map(of).collect())
            }
        }
    }
}

/// Inputs of one request with random content: ids below the cardinality, numbers in [-1, 1).
pub fn random_inputs(signature: &Signature, candidates: usize, seed: u64) -> Inputs {
    let mut generator = rng::generator(seed, "service inputs");
    let tensors = signature
        .tensors
        .iter()
        .map(|spec| {
            let rows = match spec.rows {
                Rows::One => 1,
                Rows::Candidates => candidates,
            };
            let shape = [rows, spec.columns()];
            InputTensor { name: spec.name.clone(), shape, data: random_data(spec, rows, &mut generator) }
        })
        .collect();
    Inputs { candidates, tensors }
}

fn random_data(spec: &TensorSpec, rows: usize, generator: &mut rng::Generator) -> TensorData {
    match spec.element {
        // `uniforms` draws multiples of 2⁻²³, so the only value below the normal range is 0 itself.
        ElementType::F32 => TensorData::F32(rng::uniforms(rows * spec.columns(), 1.0, generator)),
        ElementType::I64 => {
            let bounds: Vec<i64> = spec
                .fields
                .iter()
                .flat_map(|field| std::iter::repeat_n(i64::from(field.cardinality.max(1)), field.columns))
                .collect();
            let draw = |_| bounds.iter().map(|&bound| generator.random_range(0..bound)).collect::<Vec<_>>();
            TensorData::I64((0..rows).flat_map(draw).collect())
        }
    }
}
