//! tract: pure Rust, on the CPU, one thread per session.
//!
//! A session holds up to two plans of the same model. When the candidate count is known beforehand, the symbol
//! `candidates` is replaced by it *before* optimising, because tract picks its kernels by size. Any other count runs on
//! a plan that keeps the symbol; it is made at loading when no count is known, else at its first use.

use super::{Engine, InputTensor, Inputs, LOAD_FIX, RUN_FIX, Session, SessionOptions, TensorData};
use crate::{
    base::{
        Error, Result,
        names::{EngineName, Provider},
    },
    export::signature::CANDIDATES,
};
use std::{collections::HashMap, path::Path};
use tract_onnx::{
    prelude::*,
    tract_hir::internal::{TypedSimpleState, bail},
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
        let failed = |e: TractError| self.error(format!("load {}", model.display()), LOAD_FIX, e);
        Ok(Box::new(TractSession::new(model, options.candidates_hint).map_err(failed)?))
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

struct TractSession {
    /// Simplified, with the symbol still in it.
    model: TypedModel,
    /// Input names in the model's order.
    inputs: Vec<String>,
    fixed: Option<(usize, TypedSimpleState)>,
    any: Option<TypedSimpleState>,
}

impl TractSession {
    fn new(path: &Path, hint: Option<usize>) -> TractResult<Self> {
        let model = tract_onnx::onnx()
            .with_ignore_value_info(true)
            .with_ignore_output_shapes(true)
            .model_for_path(path)?
            .into_typed()?
            .into_decluttered()?;
        let inputs =
            model.input_outlets()?.iter().map(|outlet| model.node(outlet.node).name.clone()).collect();
        let mut session = Self { model, inputs, fixed: None, any: None };
        match hint {
            Some(candidates) => session.fixed = Some((candidates, session.plan(Some(candidates))?)),
            None => session.any = Some(session.plan(None)?),
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
        if !given.eq(&self.inputs) {
            bail!("the model takes the inputs {:?} in this order", self.inputs);
        }
        let values = inputs.tensors.iter().map(tensor).collect::<TractResult<_>>()?;
        if !matches!(&self.fixed, Some((count, _)) if *count == inputs.candidates) && self.any.is_none() {
            self.any = Some(self.plan(None)?);
        }
        let state = match (&mut self.fixed, &mut self.any) {
            (Some((count, state)), _) if *count == inputs.candidates => state,
            (_, Some(state)) => state,
            _ => bail!("no plan for {} candidates", inputs.candidates),
        };
        let outputs = state.run(values)?;
        scores.clear();
        scores.extend_from_slice(outputs[0].try_as_plain_ram()?.as_slice::<f32>()?);
        Ok(())
    }
}

fn tensor(input: &InputTensor) -> TractResult<TValue> {
    Ok(match &input.data {
        TensorData::I64(values) => Tensor::from_shape(&input.shape, values)?.into_tvalue(),
        TensorData::F32(values) => Tensor::from_shape(&input.shape, values)?.into_tvalue(),
    })
}

impl Session for TractSession {
    fn run(&mut self, inputs: &Inputs, scores: &mut Vec<f32>) -> Result<()> {
        self.scores(inputs, scores).map_err(|e| Tract.error("run".to_owned(), RUN_FIX, e))
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
        let options = |provider, threads| SessionOptions { provider, threads, candidates_hint: None };
        for options in [options(Provider::Cuda, 1), options(Provider::Cpu, 2)] {
            let refused = Tract.load(Path::new("any.onnx"), &options).map(|_| ());
            assert!(matches!(refused, Err(Error::Usage { .. })));
        }
    }
}
