//! Python's own tools on what this program writes, and programs that make what it reads.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

pub const FIX: &str = "run ./scripts/test, which sets Python up, or set AUTOFAS_BENCH_PYTHON to a Python with numpy, onnx and onnxruntime";

/// What a program of this repository does with these arguments.
pub fn python(program: &str, arguments: &[&str]) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    run_python(root, &root.join(program), arguments)
}

/// What any program does in a folder.
pub fn run_python(folder: &Path, program: &Path, arguments: &[&str]) -> Output {
    let own = || Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python");
    let python = std::env::var_os("AUTOFAS_BENCH_PYTHON").map_or_else(own, PathBuf::from);
    Command::new(&python)
        .current_dir(folder)
        .arg(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|e| panic!("cannot start {} ({e}); {FIX}", python.display()))
}

/// What the ONNX checker and Python's onnxruntime say about a package folder: `scripts/check_onnx.py`.
pub fn check_onnx(package: &Path) -> Output {
    python("scripts/check_onnx.py", &[package.to_str().expect("a folder of a test has a plain name")])
}
