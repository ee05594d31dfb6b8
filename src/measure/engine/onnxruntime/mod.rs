//! ONNX Runtime, loaded at run time.
//!
//! Both engines keep numbers below the normal range as they are: Rust code must not run with another treatment of them, so
//! it cannot be switched for tract, and `session.set_denormal_as_zero` stays off to match. A provider other than the CPU is
//! used by every node or loading fails with the nodes that others would run.

mod assignment;
mod bound;
mod foreign;
mod library;
mod tensorrt;

use super::{
    Engine, Inputs, LOAD_FIX, OnnxRuntimeSettings, Parts, RUN_FIX, Session, SessionOptions, TensorData,
};
use crate::{
    base::{
        Error, Result,
        names::{EngineName, GraphOptimization, IoBinding, Provider, Switch},
    },
    export,
};
pub use foreign::{ForeignInput, ForeignModel, ForeignValues, NumberType};

use bound::{Bound, Memory};
use ort::{
    environment::Environment,
    ep::{self, ExecutionProvider, ExecutionProviderDispatch},
    session::{
        SessionInputValue, SessionInputs,
        builder::{GraphOptimizationLevel, SessionBuilder},
    },
    value::TensorRef,
};
use std::{
    path::Path,
    sync::{Mutex, PoisonError},
};

const FIX: &str =
    "run ./scripts/setup-runtime, which fetches it with pip, or set ORT_DYLIB_PATH to the library";
/// What to do without a library for the device.
const DEVICE_FIX: &str = "run ./scripts/gpu on a machine with an NVIDIA GPU, which fetches a library that has it, set \
                          ORT_DYLIB_PATH to such a library, or use --provider cpu";

/// What to do where a model does not load on a device.
const DEVICE_LOAD_FIX: &str = "use --provider cpu, or: where nodes are named, export the network as fp32 or fp16 (CUDA does not take \
                               all nodes of int8); where a library is, run it through ./scripts/gpu, which fetches what \
                               the provider loads (`nvidia-smi` has to show a device)";

/// The engine. ONNX Runtime allows one environment per process; all sessions share it.
pub(super) struct OnnxRuntime {
    environment: Environment,
    version: String,
}

static LOADED: Mutex<Option<(Environment, String)>> = Mutex::new(None);

impl OnnxRuntime {
    /// Finds and loads the library on the first call.
    pub(super) fn load() -> Result<Self> {
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if loaded.is_none() {
            let path = library::library()?;
            let unusable = |e: &dyn std::fmt::Display| {
                Error::usage(format!("cannot load ONNX Runtime from {} ({e})", path.display()), FIX)
            };
            let builder = ort::init_from(&path).map_err(|e| unusable(&e))?;
            let environment = builder.with_telemetry(false).build().map_err(|e| unusable(&e))?;
            let version = library::version_of(&path).map_err(|e| unusable(&e))?;
            *loaded = Some((environment, version));
        }
        match &*loaded {
            Some((environment, version)) => {
                Ok(Self { environment: environment.clone(), version: version.clone() })
            }
            None => Err(Error::usage("ONNX Runtime is not loaded", FIX)),
        }
    }

    /// Loads a graph every node of which runs where it was asked to.
    fn session(&self, model: &Path, options: &SessionOptions) -> Result<ort::session::Session, String> {
        let words = |e: ort::Error| e.to_string();
        let builder = || self.builder(model, options);
        if options.provider == Provider::Cpu {
            return builder()?.commit_from_file(model).map_err(words);
        }
        let mut strict = builder()?.with_disable_cpu_fallback().map_err(|e| e.to_string())?;
        let loaded = strict.commit_from_file(model);
        let nodes = match &loaded {
            Ok(session) => assignment::assigned(session).map_err(words)?,
            // Refused as a whole; which nodes it is about shows a session that may fall back, which nobody runs.
            Err(refusal) => {
                let lax = builder()?.commit_from_file(model).map_err(|_| refusal.to_string())?;
                assignment::assigned(&lax).map_err(words)?
            }
        };
        assignment::elsewhere(&nodes, provider_name(options.provider))?;
        loaded.map_err(words)
    }

    fn builder(&self, model: &Path, options: &SessionOptions) -> Result<SessionBuilder, String> {
        let providers = providers(model, options)?;
        let built = || {
            let settings = &options.settings.onnxruntime();
            ort::session::Session::builder(&self.environment)?
                .with_intra_threads(options.threads)?
                .with_inter_threads(1)?
                .with_parallel_execution(false)?
                .with_intra_op_spinning(settings.spinning == Switch::On)?
                .with_inter_op_spinning(false)?
                .with_config_entry("session.set_denormal_as_zero", "0")?
                .with_config_entry(assignment::RECORD, "1")?
                .with_memory_pattern(settings.memory_pattern == Switch::On)?
                .with_optimization_level(level(settings.graph_optimization))?
                .with_execution_providers(providers)
                .map_err(ort::Error::from)
        };
        built().map_err(|e: ort::Error| e.to_string())
    }
}

fn level(optimization: GraphOptimization) -> GraphOptimizationLevel {
    match optimization {
        GraphOptimization::Off => GraphOptimizationLevel::Disable,
        GraphOptimization::Basic => GraphOptimizationLevel::Level1,
        GraphOptimization::Extended => GraphOptimizationLevel::Level2,
        GraphOptimization::Layout => GraphOptimizationLevel::Level3,
        GraphOptimization::All => GraphOptimizationLevel::All,
    }
}

/// The provider's name in ONNX Runtime.
fn provider_name(provider: Provider) -> &'static str {
    match provider {
        Provider::Cpu => ep::CPU::NAME,
        Provider::Cuda => ep::CUDA::NAME,
        Provider::TensorRt => ep::TensorRT::NAME,
    }
}

/// What a session is to use, none of it silently left out.
fn providers(model: &Path, options: &SessionOptions) -> Result<Vec<ExecutionProviderDispatch>, String> {
    let settings = &options.settings.onnxruntime();
    let cpu = ep::CPU::default().with_arena_allocator(settings.arena == Switch::On).build();
    let mut providers = vec![cpu.error_on_failure()];
    match options.provider {
        Provider::Cpu => {}
        // TF32 keeps 10 bits of each factor: such scores do not agree with the reference.
        Provider::Cuda => providers.push(ep::CUDA::default().with_tf32(false).build().error_on_failure()),
        Provider::TensorRt => {
            providers.push(tensorrt_provider(model, options, settings)?.build().error_on_failure());
        }
    }
    Ok(providers)
}

fn tensorrt_provider(
    model: &Path,
    options: &SessionOptions,
    settings: &OnnxRuntimeSettings,
) -> Result<ep::TensorRT, String> {
    let mut provider = ep::TensorRT::default();
    if let Some(folder) = &settings.tensorrt_cache {
        std::fs::create_dir_all(folder).map_err(|e| format!("cannot make {}: {e}", folder.display()))?;
        let folder = folder.display();
        provider = provider.with_engine_cache(true).with_engine_cache_path(&folder);
        provider = provider.with_timing_cache(true).with_timing_cache_path(folder);
    }
    let (signature, _) = export::read_signature(model).map_err(|e| e.to_string())?;
    if let Some(profile) = tensorrt::profile(&signature, &options.known_counts()) {
        provider = provider.with_profile_min_shapes(profile.min);
        provider = provider.with_profile_opt_shapes(profile.opt).with_profile_max_shapes(profile.max);
    }
    Ok(provider)
}

/// Whether the loaded library was built with a provider.
fn built_in(provider: Provider) -> bool {
    match provider {
        Provider::Cpu => true,
        Provider::Cuda => ep::CUDA::is_available().unwrap_or(false),
        Provider::TensorRt => ep::TensorRT::is_available().unwrap_or(false),
    }
}

impl Engine for OnnxRuntime {
    fn name(&self) -> EngineName {
        EngineName::OnnxRuntime
    }

    fn version(&self) -> String {
        self.version.clone()
    }

    fn providers(&self) -> Vec<Provider> {
        Provider::ALL.iter().copied().filter(|&provider| built_in(provider)).collect()
    }

    fn load(&self, model: &Path, options: &SessionOptions) -> Result<Box<dyn Session>> {
        let engine = format!("ONNX Runtime {} ({})", self.version, options.provider);
        if !built_in(options.provider) {
            return Err(Error::usage(
                format!("ONNX Runtime {} was built without {}", self.version, options.provider),
                DEVICE_FIX,
            ));
        }
        if options.provider != Provider::TensorRt && options.settings.onnxruntime().tensorrt_cache.is_some() {
            return Err(Error::usage(
                format!("`tensorrt_cache` is of no use on {}: nothing would be kept in it", options.provider),
                "leave that engine option out, or use --provider tensorrt",
            ));
        }
        let fix = if options.provider == Provider::Cpu { LOAD_FIX } else { DEVICE_LOAD_FIX };
        let failed = |e: String| Error::engine(engine.clone(), format!("load {}", model.display()), fix, e);
        let session = self.session(model, options).map_err(failed)?;
        let memory = match (options.settings.onnxruntime().io_binding, options.provider) {
            (IoBinding::Off, _) | (IoBinding::Auto, Provider::Cpu) => None,
            (IoBinding::On, Provider::Cpu) => Some(Memory::Host),
            (IoBinding::Auto | IoBinding::On, Provider::Cuda | Provider::TensorRt) => Some(Memory::Device),
        };
        let bound = memory.map(|memory| Bound::new(&session, memory)).transpose();
        let bound = bound.map_err(|e| failed(e.to_string()))?;
        Ok(Box::new(OnnxRuntimeSession { bound, session, engine }))
    }
}

struct OnnxRuntimeSession {
    /// Before the session, because it is dropped first.
    bound: Option<Bound>,
    session: ort::session::Session,
    engine: String,
}

impl OnnxRuntimeSession {
    fn scores(&mut self, inputs: &Inputs, scores: &mut Vec<f32>) -> Result<(), ort::Error> {
        if let Some(bound) = &mut self.bound {
            return bound.run(&mut self.session, inputs, scores);
        }
        let mut values: Vec<(std::borrow::Cow<'_, str>, SessionInputValue<'_>)> =
            Vec::with_capacity(inputs.tensors.len());
        for tensor in &inputs.tensors {
            // Borrowed, not copied.
            let value = match &tensor.data {
                TensorData::I64(ids) => TensorRef::from_array_view((tensor.shape, &ids[..]))?.into(),
                TensorData::F32(numbers) => TensorRef::from_array_view((tensor.shape, &numbers[..]))?.into(),
                TensorData::F16(values) => TensorRef::from_array_view((tensor.shape, &values[..]))?.into(),
                TensorData::I8(values) => TensorRef::from_array_view((tensor.shape, &values[..]))?.into(),
            };
            values.push((tensor.name.as_str().into(), value));
        }
        let outputs = self.session.run(SessionInputs::<0>::ValueMap(values))?;
        let (_, values) = outputs[0].try_extract_tensor::<f32>()?;
        scores.clear();
        scores.extend_from_slice(values);
        Ok(())
    }
}

impl Session for OnnxRuntimeSession {
    fn run(&mut self, inputs: &Inputs, scores: &mut Vec<f32>) -> Result<()> {
        self.scores(inputs, scores).map_err(|e| Error::engine(&self.engine, "run", RUN_FIX, e.to_string()))
    }

    fn parts(&self) -> Option<Parts> {
        self.bound.as_ref().map(|bound| bound.parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::probe;

    fn written(folder: &Path) -> std::path::PathBuf {
        let path = folder.join("probe.onnx");
        probe::layer(8, 4, crate::base::names::Precision::Fp32).unwrap().write(&path).unwrap();
        path
    }

    #[test]
    fn every_node_of_a_session_on_the_processor_is_told_to_run_there() {
        let folder = tempfile::tempdir().unwrap();
        let engine = OnnxRuntime::load().unwrap();
        let session = engine.session(&written(folder.path()), &SessionOptions::PLAIN).unwrap();
        let nodes = assignment::assigned(&session).unwrap();
        assert!(!nodes.is_empty());
        assert!(nodes.iter().all(|node| node.provider == ep::CPU::NAME), "{nodes:?}");
        assert!(nodes.iter().all(|node| !node.operator.is_empty()), "{nodes:?}");
        assert!(assignment::elsewhere(&nodes, ep::CPU::NAME).is_ok());
        let found = assignment::elsewhere(&nodes, ep::CUDA::NAME).unwrap_err();
        assert!(found.contains(&nodes[0].name) && found.contains(ep::CPU::NAME), "{found}");
    }

    #[test]
    fn a_cache_of_tensorrt_is_refused_where_nothing_would_be_kept_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut options = SessionOptions::PLAIN;
        options.settings.onnxruntime.get_or_insert_default().tensorrt_cache = Some("kept".into());
        let engine = OnnxRuntime::load().unwrap();
        let refused = engine.load(&written(folder.path()), &options).map(|_| ()).unwrap_err();
        assert!(matches!(refused, Error::Usage { .. }));
        assert!(refused.to_string().contains("tensorrt_cache"), "{refused}");
    }

    #[test]
    fn a_provider_that_the_library_was_built_without_is_refused_with_the_fix() {
        let folder = tempfile::tempdir().unwrap();
        let engine = OnnxRuntime::load().unwrap();
        for provider in [Provider::Cuda, Provider::TensorRt].into_iter().filter(|&p| !built_in(p)) {
            let options = SessionOptions { provider, ..SessionOptions::PLAIN };
            let refused = engine.load(&written(folder.path()), &options).map(|_| ()).unwrap_err();
            assert!(matches!(refused, Error::Usage { .. }));
            let text = refused.to_string();
            assert!(text.contains(provider.name()) && text.contains("scripts/gpu"), "{text}");
        }
    }
}
