//! Where ONNX Runtime's library is, and which version it says it is.

use super::FIX;
use crate::base::{Error, Result};
use std::{
    ffi::CStr,
    path::{Path, PathBuf},
};

/// Where the library is: `ORT_DYLIB_PATH`, else `.runtime/onnxruntime/` under `AUTOFAS_BENCH_HOME`, the current folder or
/// one of its parents, or one of those of the program, which lies in `target/release` of the repository where it was built.
pub(super) fn library() -> Result<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let here = std::env::current_dir().unwrap_or_default();
    let program = std::env::current_exe().unwrap_or_default();
    find(set("ORT_DYLIB_PATH"), set("AUTOFAS_BENCH_HOME"), &here, &program)
}

fn find(named: Option<PathBuf>, home: Option<PathBuf>, here: &Path, program: &Path) -> Result<PathBuf> {
    if let Some(path) = named {
        return path.canonicalize().map_err(|e| {
            Error::usage(format!("ORT_DYLIB_PATH names {}, which cannot be read ({e})", path.display()), FIX)
        });
    }
    let above = here.ancestors().chain(program.ancestors().skip(1));
    let mut folders = home.iter().map(PathBuf::as_path).chain(above);
    folders.find_map(|folder| library_in(&folder.join(".runtime/onnxruntime"))).ok_or_else(|| {
        let problem = format!(
            "the ONNX Runtime library is not in .runtime/onnxruntime of {} or of {}, or of a folder above them",
            here.display(),
            program.parent().unwrap_or(program).display()
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
pub(super) fn version_of(path: &Path) -> std::result::Result<String, libloading::Error> {
    // SAFETY: `ort` has loaded this very library, so its initialisers have run; the C API declares this symbol and
    // that both pointers stay valid while the library is loaded, which it is until the process ends.
    unsafe {
        let library = libloading::Library::new(path)?;
        let base = library.get::<unsafe extern "C" fn() -> *const ort::sys::OrtApiBase>(b"OrtGetApiBase")?();
        Ok(CStr::from_ptr(((*base).GetVersionString)()).to_string_lossy().into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_names_the_script_that_fetches_it() {
        let empty = tempfile::tempdir().unwrap();
        let named = Some(empty.path().join("libnone.so"));
        let (here, program) = (empty.path(), empty.path().join("program"));
        for found in [find(None, Some(here.into()), here, &program), find(named, None, here, &program)] {
            let text = found.unwrap_err().to_string();
            assert!(text.contains("./scripts/setup-runtime") && text.contains("pip"), "{text}");
        }
    }

    #[test]
    fn the_library_is_found_above_the_current_folder_or_the_program_unless_home_has_one() {
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
        let (home_path, elsewhere) = (Some(home.path().to_owned()), Path::new("/nowhere"));
        for (here, program) in [(&*below, elsewhere), (elsewhere, &below.join("program"))] {
            assert_eq!(find(None, home_path.clone(), here, program).unwrap(), above);
        }
        let at_home = place(home.path());
        assert_eq!(find(None, home_path, &below, elsewhere).unwrap(), at_home);
    }
}
