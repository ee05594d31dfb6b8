//! What the timed runs are asked: requests of a trace, or random values where there is no data that the inputs stand for.

use crate::{
    base::{Result, rng},
    export::signature::{ElementType, Rows, Signature, TensorSpec},
    measure::{
        engine::{Engine, InputTensor, Inputs, SessionOptions, TensorData},
        replay::Workload,
        service::ServiceModel,
        traced::{DataFiles, TracedData},
        workload::TraceWorkload,
    },
};
use half::f16;
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

/// Different random requests: more than a cache could keep the embedding rows of.
const RANDOM: u64 = 64;

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

    /// Requests with `candidates` candidates each, in the same order for every engine.
    pub(super) fn asker<'s>(
        &'s self,
        model: &'s ServiceModel,
        candidates: usize,
        engine: &dyn Engine,
        options: &SessionOptions,
    ) -> Result<Asker<'s>> {
        let signature = &model.signature;
        let content = match self {
            Self::Random { seed } => Content::Random { signature, seed: *seed },
            Self::Trace(traced) => {
                let lookups = traced.lookups(engine, &model.path, signature, options)?;
                Content::Traced(traced.workload(signature, &lookups)?)
            }
        };
        Ok(Asker { content, candidates, turn: 0, inputs: Inputs::default() })
    }
}

enum Content<'s> {
    Random { signature: &'s Signature, seed: u64 },
    Traced(TraceWorkload<'s>),
}

/// Asks one model request after request. The order goes on from visit to visit, and its beginning is spread over the whole
/// trace: a slow model that is asked a few dozen requests and a fast one that is asked hundreds get the same mix.
pub(super) struct Asker<'s> {
    content: Content<'s>,
    candidates: usize,
    turn: usize,
    /// Assembled right before it is asked, as in a replay; never while the clock runs.
    inputs: Inputs,
}

impl Asker<'_> {
    /// The next request.
    pub(super) fn next(&mut self) -> &Inputs {
        let (turn, candidates) = (self.turn, self.candidates);
        self.turn += 1;
        match &self.content {
            // Where there are numbers alone, as in a dense layer, any do as well as any others.
            Content::Random { signature, .. } if turn > 0 && !has_ids(signature) => {}
            Content::Random { signature, seed } => {
                self.inputs = random_inputs(signature, candidates, seed.wrapping_add(turn as u64 % RANDOM));
            }
            Content::Traced(workload) => {
                let request = spread(turn, workload.requests());
                workload.prepare_as(request, candidates, &mut self.inputs);
            }
        }
        &self.inputs
    }
}

fn has_ids(signature: &Signature) -> bool {
    signature.tensors.iter().any(|tensor| tensor.element == ElementType::I64)
}

/// The request of a turn, of so many: steps of the golden ratio around the trace, whose first k lie evenly for any k.
pub(crate) fn spread(turn: usize, requests: usize) -> usize {
    const GOLDEN: f64 = 0.618_033_988_749_895;
    ((turn as f64 * GOLDEN).fract() * requests as f64) as usize
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
        ElementType::F16 => {
            let values = rng::uniforms(rows * spec.columns(), 1.0, generator);
            TensorData::F16(values.into_iter().map(f16::from_f32).collect())
        }
        ElementType::I8 => {
            let draw = |_| generator.random_range(-127..=127);
            TensorData::I8((0..rows * spec.columns()).map(draw).collect())
        }
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

#[cfg(test)]
mod tests {
    use super::spread;
    use std::collections::BTreeSet;

    #[test]
    fn the_first_turns_lie_evenly_over_the_trace_and_many_differ() {
        for turns in [8, 24, 30, 64, 240] {
            let mut asked: Vec<usize> = (0..turns).map(|turn| spread(turn, 500)).collect();
            asked.sort_unstable();
            let widest = asked.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
            assert!(widest <= 2 * 500 / turns + 1, "{turns} turns leave {widest} requests out");
        }
        let different: BTreeSet<usize> = (0..64).map(|turn| spread(turn, 500)).collect();
        assert_eq!(different.len(), 64);
        assert_eq!((spread(0, 1), spread(7, 1)), (0, 0));
    }
}
