//! Python's own tools on an exported package: `scripts/check_onnx.py`.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

pub const FIX: &str = "run ./scripts/test, which sets Python up, or set AUTOFAS_BENCH_PYTHON to a Python with numpy, onnx and onnxruntime";

/// What the ONNX checker and Python's onnxruntime say about a package folder.
pub fn check_onnx(package: &Path) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python =
        std::env::var_os("AUTOFAS_BENCH_PYTHON").map_or_else(|| root.join(".venv/bin/python"), PathBuf::from);
    Command::new(&python)
        .arg(root.join("scripts/check_onnx.py"))
        .arg(package)
        .output()
        .unwrap_or_else(|e| panic!("cannot start {} ({e}); {FIX}", python.display()))
}
