//! ONNX Runtime, loaded at run time.
//!
//! Both engines keep the default treatment of denormal numbers: Rust code must not run with another one, so it cannot
//! be switched for tract, and `session.set_denormal_as_zero` stays off to match. Spinning is off, since it would take
//! cores from the other threads of a measurement. A provider other than the CPU is used by every node or loading fails.

use super::{Engine, Inputs, LOAD_FIX, RUN_FIX, Session, SessionOptions, TensorData};
use crate::base::{
    Error, Result,
    names::{EngineName, Provider},
};
use ort::{
    environment::Environment,
    ep::{self, ExecutionProvider},
    session::{SessionInputValue, SessionInputs, builder::GraphOptimizationLevel},
    value::TensorRef,
};
use std::{
    ffi::CStr,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

const FIX: &str =
    "run ./scripts/setup-runtime, which fetches it with pip, or set ORT_DYLIB_PATH to the library";

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
            let path = library()?;
            let unusable = |e: &dyn std::fmt::Display| {
                Error::usage(format!("cannot load ONNX Runtime from {} ({e})", path.display()), FIX)
            };
            let builder = ort::init_from(&path).map_err(|e| unusable(&e))?;
            let environment = builder.with_telemetry(false).build().map_err(|e| unusable(&e))?;
            let version = version_of(&path).map_err(|e| unusable(&e))?;
            *loaded = Some((environment, version));
        }
        match &*loaded {
            Some((environment, version)) => {
                Ok(Self { environment: environment.clone(), version: version.clone() })
            }
            None => Err(Error::usage("ONNX Runtime is not loaded", FIX)),
        }
    }

    fn session(&self, model: &Path, options: &SessionOptions) -> Result<ort::session::Session, ort::Error> {
        let mut builder = ort::session::Session::builder(&self.environment)?
            .with_intra_threads(options.threads)?
            .with_inter_threads(1)?
            .with_parallel_execution(false)?
            .with_intra_op_spinning(false)?
            .with_inter_op_spinning(false)?
            .with_optimization_level(GraphOptimizationLevel::All)?;
        let provider = match options.provider {
            Provider::Cpu => None,
            // TF32 keeps 10 bits of each factor: such scores do not agree with the reference.
            Provider::Cuda => Some(ep::CUDA::default().with_tf32(false).build()),
            Provider::TensorRt => Some(ep::TensorRT::default().build()),
        };
        if let Some(provider) = provider {
            builder = builder
                .with_execution_providers([provider.error_on_failure()])?
                .with_disable_cpu_fallback()?;
        }
        builder.commit_from_file(model)
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
        let built_in = |provider: &Provider| match provider {
            Provider::Cpu => true,
            Provider::Cuda => ep::CUDA::is_available().unwrap_or(false),
            Provider::TensorRt => ep::TensorRT::is_available().unwrap_or(false),
        };
        Provider::ALL.iter().copied().filter(built_in).collect()
    }

    fn load(&self, model: &Path, options: &SessionOptions) -> Result<Box<dyn Session>> {
        let engine = format!("ONNX Runtime {} ({})", self.version, options.provider);
        match self.session(model, options) {
            Ok(session) => Ok(Box::new(OnnxRuntimeSession { session, engine })),
            Err(e) => {
                Err(Error::engine(engine, format!("load {}", model.display()), LOAD_FIX, e.to_string()))
            }
        }
    }
}

/// Where the library is: `ORT_DYLIB_PATH`, else `.runtime/onnxruntime/` under `AUTOFAS_BENCH_HOME`, the current folder or
/// one of its parents.
fn library() -> Result<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    find(set("ORT_DYLIB_PATH"), set("AUTOFAS_BENCH_HOME"), &std::env::current_dir().unwrap_or_default())
}

fn find(named: Option<PathBuf>, home: Option<PathBuf>, here: &Path) -> Result<PathBuf> {
    if let Some(path) = named {
        return path.canonicalize().map_err(|e| {
            Error::usage(format!("ORT_DYLIB_PATH names {}, which cannot be read ({e})", path.display()), FIX)
        });
    }
    let mut folders = home.iter().map(PathBuf::as_path).chain(here.ancestors());
    folders.find_map(|folder| library_in(&folder.join(".runtime/onnxruntime"))).ok_or_else(|| {
        let problem = format!(
            "the ONNX Runtime library is not in .runtime/onnxruntime of {} or a folder above it",
            here.display()
        );
        Error::usage(problem, FIX)
    })
}

fn library_in(folder: &Path) -> Option<PathBuf> {
    let name = format!("{}onnxruntime{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let mut found: Vec<_> = std::fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.file_name().is_some_and(|file| file.to_string_lossy().starts_with(&name)))
        .collect();
    // The plain name sorts first; among versioned names the order is at least the same everywhere.
    found.sort();
    found.first()?.canonicalize().ok()
}

/// What the library says about itself. The file's name may say anything.
fn version_of(path: &Path) -> std::result::Result<String, libloading::Error> {
    // SAFETY: `ort` has loaded this very library, so its initialisers have run; the C API declares this symbol and
    // that both pointers stay valid while the library is loaded, which it is until the process ends.
    unsafe {
        let library = libloading::Library::new(path)?;
        let base = library.get::<unsafe extern "C" fn() -> *const ort::sys::OrtApiBase>(b"OrtGetApiBase")?();
        Ok(CStr::from_ptr(((*base).GetVersionString)()).to_string_lossy().into_owned())
    }
}

struct OnnxRuntimeSession {
    session: ort::session::Session,
    engine: String,
}

impl OnnxRuntimeSession {
    fn scores(&mut self, inputs: &Inputs, scores: &mut Vec<f32>) -> Result<(), ort::Error> {
        let mut values: Vec<(std::borrow::Cow<'_, str>, SessionInputValue<'_>)> =
            Vec::with_capacity(inputs.tensors.len());
        for tensor in &inputs.tensors {
            // Borrowed, not copied.
            let value = match &tensor.data {
                TensorData::I64(ids) => TensorRef::from_array_view((tensor.shape, &ids[..]))?.into(),
                TensorData::F32(numbers) => TensorRef::from_array_view((tensor.shape, &numbers[..]))?.into(),
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_names_the_script_that_fetches_it() {
        let empty = tempfile::tempdir().unwrap();
        let named = Some(empty.path().join("libnone.so"));
        for found in [find(None, Some(empty.path().into()), empty.path()), find(named, None, empty.path())] {
            let text = found.unwrap_err().to_string();
            assert!(text.contains("./scripts/setup-runtime") && text.contains("pip"), "{text}");
        }
    }

    #[test]
    fn the_library_is_found_above_the_current_folder_unless_home_has_one() {
        let (home, tree) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let place = |folder: &Path| {
            let folder = folder.join(".runtime/onnxruntime");
            std::fs::create_dir_all(&folder).unwrap();
            let name = format!("{}onnxruntime{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
            let path = folder.join(name + ".1.2.3");
            std::fs::write(&path, b"").unwrap();
            path.canonicalize().unwrap()
        };
        let below = tree.path().join("a/b");
        std::fs::create_dir_all(&below).unwrap();
        let above = place(tree.path());
        assert_eq!(find(None, Some(home.path().into()), &below).unwrap(), above);
        let at_home = place(home.path());
        assert_eq!(find(None, Some(home.path().into()), &below).unwrap(), at_home);
    }
}
