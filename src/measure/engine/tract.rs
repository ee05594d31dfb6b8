//! tract: pure Rust, on the CPU, one thread per session.
//!
//! A session holds several plans of the same model. Where candidate counts are known beforehand, the symbol `candidates`
//! is replaced by a count *before* optimising, because tract picks its kernels by size: one such plan per bucket, made at
//! loading. A request is padded to the next bucket with rows of zeros, which every table has, and their scores are cut.
//! Any other count runs on a plan that keeps the symbol; it is made at loading when it is asked for or nothing is known,
//! else at its first use.
//!
//! tract may panic on a model or an id that it does not expect. Both calls into it end in an error then: a measuring
//! process that dies would take along what it has measured.

use super::{Engine, InputTensor, Inputs, LOAD_FIX, RUN_FIX, Session, SessionOptions, TensorData, bucket_of};
use crate::{
    base::{
        Error, Result,
        names::{EngineName, Provider, TractPlan},
        panics,
    },
    export::signature::CANDIDATES,
};
use std::{collections::HashMap, path::Path};
use tract_onnx::{
    prelude::*,
    tract_hir::internal::{DimLike, TypedSimpleState, bail, format_err},
};

/// The engine.
pub(super) struct Tract;

impl Engine for Tract {
    fn name(&self) -> EngineName {
        EngineName::Tract
    }

    fn version(&self) -> String {
        locked_version(include_str!("../../../Cargo.lock"))
    }

    fn load(&self, model: &Path, options: &SessionOptions) -> Result<Box<dyn Session>> {
        if options.provider != Provider::Cpu {
            return Err(Error::usage(
                format!("tract does not run on {}", options.provider),
                "use --engine onnxruntime for it",
            ));
        }
        if options.threads != 1 {
            return Err(Error::usage(
                format!("tract runs on one thread in this build, not {}", options.threads),
                "use --threads 1, or --engine onnxruntime",
            ));
        }
        let buckets = match options.settings.tract().plan {
            TractPlan::Symbolic => Vec::new(),
            TractPlan::Auto | TractPlan::Bucketed => options.known_counts().buckets(),
        };
        let failed = |e: TractError| self.error(format!("load {}", model.display()), LOAD_FIX, e);
        Ok(Box::new(caught(|| TractSession::new(model, &buckets)).map_err(failed)?))
    }
}

impl Tract {
    fn error(&self, action: String, fix: &str, error: TractError) -> Error {
        Error::engine(format!("tract {}", self.version()), action, fix, format!("{error:#}"))
    }
}

/// The version that this program was built with: tract does not tell it at run time.
fn locked_version(lock: &str) -> String {
    let after = lock.split_once("name = \"tract-onnx\"\nversion = \"").map_or("", |(_, after)| after);
    after.split('"').next().unwrap_or_default().to_owned()
}

/// Calls into tract; a panic is an error. What `work` was changing must not be used afterwards.
fn caught<T>(work: impl FnOnce() -> TractResult<T>) -> TractResult<T> {
    panics::caught(work).unwrap_or_else(|text| Err(format_err!("tract panicked: {text}")))
}

struct Input {
    name: String,
    /// Whether it has a row per candidate, and not one for the request.
    per_candidate: bool,
}

struct TractSession {
    /// Simplified, with the symbol still in it.
    model: TypedModel,
    /// In the model's order.
    inputs: Vec<Input>,
    /// Plans for one candidate count each, ascending.
    buckets: Vec<(usize, TypedSimpleState)>,
    /// The plan for any count.
    any: Option<TypedSimpleState>,
    /// A run panicked: what it left of the plans is unknown.
    broken: bool,
}

impl TractSession {
    fn new(path: &Path, buckets: &[usize]) -> TractResult<Self> {
        let model = tract_onnx::onnx()
            .with_ignore_value_info(true)
            .with_ignore_output_shapes(true)
            .model_for_path(path)?
            .into_typed()?
            .into_decluttered()?;
        let input = |outlet: &OutletId| {
            let rows = model.outlet_fact(*outlet)?.shape.first().cloned();
            let per_candidate = rows.is_some_and(|rows| rows.to_usize().is_err());
            Ok(Input { name: model.node(outlet.node).name.clone(), per_candidate })
        };
        let inputs = model.input_outlets()?.iter().map(input).collect::<TractResult<_>>()?;
        let mut session = Self { model, inputs, buckets: Vec::new(), any: None, broken: false };
        for &bucket in buckets {
            session.buckets.push((bucket, session.plan(Some(bucket))?));
        }
        if buckets.is_empty() {
            session.any = Some(session.plan(None)?);
        }
        Ok(session)
    }

    fn plan(&self, candidates: Option<usize>) -> TractResult<TypedSimpleState> {
        let mut model = self.model.clone();
        if let (Some(count), Some(symbol)) = (candidates, model.symbols.get(CANDIDATES)) {
            model = model.set_symbols(&HashMap::from([(symbol, count.to_dim())]))?;
        }
        model.into_optimized()?.into_runnable()?.spawn()
    }

    fn scores(&mut self, inputs: &Inputs, scores: &mut Vec<f32>) -> TractResult<()> {
        let given = inputs.tensors.iter().map(|tensor| &tensor.name);
        if !given.eq(self.inputs.iter().map(|input| &input.name)) {
            let names: Vec<_> = self.inputs.iter().map(|input| &input.name).collect();
            bail!("the model takes the inputs {names:?} in this order");
        }
        let place = bucket_of(&self.buckets, |(end, _)| *end, inputs.candidates);
        if place.is_none() && self.any.is_none() {
            self.any = Some(self.plan(None)?);
        }
        let (rows, state) = match (place, &mut self.any) {
            (Some(place), _) => {
                let (bucket, state) = &mut self.buckets[place];
                (*bucket, state)
            }
            (None, Some(state)) => (inputs.candidates, state),
            (None, None) => bail!("no plan for {} candidates", inputs.candidates),
        };
        let values = (inputs.tensors.iter().zip(&self.inputs))
            .map(|(tensor, input)| value(tensor, if input.per_candidate { rows } else { tensor.shape[0] }))
            .collect::<TractResult<_>>()?;
        let outputs = state.run(values)?;
        let plain = outputs[0].try_as_plain_ram()?;
        let found = plain.as_slice::<f32>()?;
        // Cut by rows, an output that has others than the inputs would lose scores without a word.
        let shape = outputs[0].shape();
        if shape.first() != Some(&rows) {
            bail!("an output of the shape {shape:?} for {rows} candidates: it has to have a row for each");
        }
        scores.clear();
        scores.extend_from_slice(&found[..found.len() / rows.max(1) * inputs.candidates]);
        Ok(())
    }
}

/// A tensor as tract takes it, with zeros behind its own rows up to `rows`.
fn value(input: &InputTensor, rows: usize) -> TractResult<TValue> {
    Ok(match &input.data {
        TensorData::I64(values) => padded(input.shape, values, rows)?,
        TensorData::F32(values) => padded(input.shape, values, rows)?,
        TensorData::F16(values) => padded(input.shape, values, rows)?,
        TensorData::I8(values) => padded(input.shape, values, rows)?,
    }
    .into_tvalue())
}

fn padded<T: Datum + Copy>(shape: [usize; 2], values: &[T], rows: usize) -> TractResult<Tensor> {
    if rows == shape[0] {
        return Tensor::from_shape(&shape, values);
    }
    let mut tensor = Tensor::zero_dt(T::datum_type(), &[rows, shape[1]])?;
    let mut plain = tensor.try_as_plain_ram_mut()?;
    match plain.as_slice_mut::<T>()?.get_mut(..values.len()) {
        Some(own) => own.copy_from_slice(values),
        None => bail!("{} values do not fit {rows} rows of {}", values.len(), shape[1]),
    }
    Ok(tensor)
}

impl Session for TractSession {
    fn run(&mut self, inputs: &Inputs, scores: &mut Vec<f32>) -> Result<()> {
        let failed = |e| Tract.error("run".to_owned(), RUN_FIX, e);
        if self.broken {
            return Err(failed(format_err!("tract panicked in an earlier run of this session")));
        }
        self.broken = true;
        let done = caught(|| Ok(self.scores(inputs, scores)));
        self.broken = done.is_err();
        done.and_then(|ran| ran).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_one_in_the_lock_file() {
        let lock = "[[package]]\nname = \"tract-onnx\"\nversion = \"1.2.3\"\n[[package]]\nname = \"x\"\nversion = \"9\"\n";
        assert_eq!(locked_version(lock), "1.2.3");
        assert!(Tract.version().starts_with("0."), "{}", Tract.version());
    }

    #[test]
    fn options_that_tract_does_not_have_are_refused() {
        let plain = SessionOptions::PLAIN;
        for options in [
            SessionOptions { provider: Provider::Cuda, ..plain.clone() },
            SessionOptions { threads: 2, ..plain },
        ] {
            let refused = Tract.load(Path::new("any.onnx"), &options).map(|_| ());
            assert!(matches!(refused, Err(Error::Usage { .. })));
        }
    }

    #[test]
    fn zeros_follow_the_rows_of_a_padded_tensor() {
        let tensor = padded([2, 2], &[1i64, 2, 3, 4], 3).unwrap();
        assert_eq!(tensor.shape(), [3, 2]);
        assert_eq!(tensor.try_as_plain_ram().unwrap().as_slice::<i64>().unwrap(), [1, 2, 3, 4, 0, 0]);
        assert!(padded([2, 2], &[1f32; 4], 1).is_err());
    }

    #[test]
    fn a_panic_becomes_an_error_with_its_words() {
        for panic in [|| -> TractResult<()> { panic!("index {}", 7) }, || panic!("index 7")] {
            let error = caught(panic).unwrap_err().to_string();
            assert!(error.contains("panicked: index 7"), "{error}");
        }
        assert_eq!(caught(|| Ok(3)).unwrap(), 3);
    }
}
