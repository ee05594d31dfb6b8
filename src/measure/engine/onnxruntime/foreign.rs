//! A model that this program did not export: inputs of several number types, an output by name.

use super::OnnxRuntime;
use crate::{
    base::{Error, Result},
    measure::engine::{RUN_FIX, SessionOptions},
};
use ort::{
    session::{SessionInputValue, SessionInputs},
    value::{Outlet, Tensor, TensorElementType, ValueType},
};
use std::{borrow::Cow, path::Path};

/// What to do where such a model does not load.
const LOAD_FIX: &str =
    "see whether Python's onnxruntime loads it, and export it again from where it was trained";

/// The numbers of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberType {
    /// float
    F32,
    /// double
    F64,
    /// int32
    I32,
    /// int64
    I64,
}

/// An input as the model declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignInput {
    /// Name in the graph.
    pub name: String,
    /// None where it takes something else than numbers.
    pub numbers: Option<NumberType>,
    /// Sizes; none where any will do.
    pub dims: Vec<Option<usize>>,
}

impl ForeignInput {
    /// Zeros of the shape that the model declares, with `rows` where it takes any size: something to time a model with of which nothing
    /// else is known.
    pub fn zeros(&self, rows: usize) -> (Vec<usize>, ForeignValues) {
        let shape: Vec<usize> = self.dims.iter().map(|dim| dim.unwrap_or(rows)).collect();
        let count = shape.iter().product();
        let values = match self.numbers {
            Some(NumberType::F32) | None => ForeignValues::F32(vec![0.0; count]),
            Some(NumberType::F64) => ForeignValues::F64(vec![0.0; count]),
            Some(NumberType::I32) => ForeignValues::I32(vec![0; count]),
            Some(NumberType::I64) => ForeignValues::I64(vec![0; count]),
        };
        (shape, values)
    }
}

/// The values of one input.
#[derive(Debug, Clone, PartialEq)]
pub enum ForeignValues {
    /// float
    F32(Vec<f32>),
    /// double
    F64(Vec<f64>),
    /// int32
    I32(Vec<i32>),
    /// int64
    I64(Vec<i64>),
}

/// A loaded model.
pub struct ForeignModel {
    session: ort::session::Session,
    engine: String,
    inputs: Vec<ForeignInput>,
}

impl ForeignModel {
    /// Loads a model that [`crate::export::check`] has found harmless, on one thread of the processor.
    pub fn load(path: &Path) -> Result<Self> {
        let runtime = OnnxRuntime::load()?;
        let engine = format!("ONNX Runtime {}", runtime.version);
        let session = runtime
            .session(path, &SessionOptions::PLAIN)
            .map_err(|e| Error::engine(engine.clone(), format!("load {}", path.display()), LOAD_FIX, e))?;
        let inputs = session.inputs().iter().map(declared).collect();
        Ok(Self { session, engine, inputs })
    }

    /// What it takes, in its own order.
    pub fn inputs(&self) -> &[ForeignInput] {
        &self.inputs
    }

    /// Names of what it gives.
    pub fn outputs(&self) -> Vec<&str> {
        self.session.outputs().iter().map(Outlet::name).collect()
    }

    /// Runs with a shape and values per input, in its own order: shape and numbers of the output of that name.
    pub fn run(
        &mut self,
        inputs: Vec<(Vec<usize>, ForeignValues)>,
        output: &str,
    ) -> Result<(Vec<i64>, Vec<f32>)> {
        let Self { session, engine, inputs: declared } = self;
        let ran = || -> Result<_, ort::Error> {
            let mut values: Vec<(Cow<'_, str>, SessionInputValue<'_>)> = Vec::with_capacity(inputs.len());
            for (input, (shape, numbers)) in declared.iter().zip(inputs) {
                let value = match numbers {
                    ForeignValues::F32(numbers) => Tensor::from_array((shape, numbers))?.into(),
                    ForeignValues::F64(numbers) => Tensor::from_array((shape, numbers))?.into(),
                    ForeignValues::I32(numbers) => Tensor::from_array((shape, numbers))?.into(),
                    ForeignValues::I64(numbers) => Tensor::from_array((shape, numbers))?.into(),
                };
                values.push((input.name.as_str().into(), value));
            }
            let outputs = session.run(SessionInputs::<0>::ValueMap(values))?;
            let value =
                outputs.get(output).ok_or_else(|| ort::Error::new(format!("no output `{output}`")))?;
            if let Ok((shape, numbers)) = value.try_extract_tensor::<f32>() {
                return Ok((shape.to_vec(), numbers.to_vec()));
            }
            let (shape, numbers) = value.try_extract_tensor::<f64>()?;
            Ok((shape.to_vec(), numbers.iter().map(|&number| number as f32).collect()))
        };
        ran().map_err(|e| Error::engine(engine.clone(), "run", RUN_FIX, e.to_string()))
    }
}

fn declared(outlet: &Outlet) -> ForeignInput {
    let (numbers, dims) = match outlet.dtype() {
        ValueType::Tensor { ty, shape, .. } => {
            let numbers = match ty {
                TensorElementType::Float32 => Some(NumberType::F32),
                TensorElementType::Float64 => Some(NumberType::F64),
                TensorElementType::Int32 => Some(NumberType::I32),
                TensorElementType::Int64 => Some(NumberType::I64),
                _ => None,
            };
            (numbers, shape.iter().map(|&size| usize::try_from(size).ok()).collect())
        }
        _ => (None, Vec::new()),
    };
    ForeignInput { name: outlet.name().to_owned(), numbers, dims }
}
