//! A package as a model of a repository of NVIDIA's Triton Inference Server:
//!
//! ```text
//! REPOSITORY/NAME/  config.pbtxt
//!                   1/model.onnx, 2/model.onnx, …   versions, the newest of which are served
//!                   warmup/INPUT.bin                the package's test request, raw little-endian
//!                   autofas/                        everything else of the package of the newest version
//! ```
//!
//! Triton looks only into folders that are called by a number; `autofas/` is for those who feed the model.

use super::{
    companions::TestVectors,
    signature::{ElementType, Rows, Signature},
};
use crate::base::{Error, Result, fsio};
use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

/// The file of a model's folder that Triton reads.
pub const CONFIG: &str = "config.pbtxt";
/// Where the rest of the package goes.
pub const COMPANIONS: &str = "autofas";
/// Where requests for warming up lie, by Triton's rule.
const WARM_UP: &str = "warmup";
const MODEL: &str = "model.onnx";

/// Fails unless Triton takes `name` for a model, and a path for no other folder.
pub fn check_name(name: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    if name.chars().all(plain) && name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Ok(());
    }
    Err(Error::usage(
        format!("a model cannot be called `{name}`"),
        "give a name of letters, digits, `_`, `-` and `.` that begins with a letter or digit",
    ))
}

/// Adds the package in the folder `package`, which it takes apart, to `repository` as the next version of the model `name`:
/// the path of the new ONNX file. The folder has to lie on the same disk, so that a server sees a version whole or not at all.
pub fn add(
    repository: &Path,
    name: &str,
    package: &Path,
    signature: &Signature,
    vectors: &TestVectors,
) -> Result<PathBuf> {
    check_name(name)?;
    let folder = repository.join(name);
    fsio::create_dir(&folder)?;
    let version = folder.join(next_version(&folder)?.to_string());
    for (tensor, spec) in vectors.inputs.iter().zip(&signature.tensors) {
        let values = tensor.values.bytes(spec.element);
        fsio::write(&folder.join(WARM_UP).join(format!("{}.bin", tensor.name)), &values)?;
    }
    fsio::write(&folder.join(CONFIG), config(name, signature, vectors).as_bytes())?;
    let draft = package.join(".version");
    fsio::create_dir(&draft)?;
    let rename =
        |from: &Path, to: &Path| std::fs::rename(from, to).map_err(|e| Error::io(to, "rename into", e));
    // Constants may lie in files beside the graph, which begin with its name.
    for entry in std::fs::read_dir(package).map_err(|e| Error::io(package, "list", e))?.flatten() {
        if entry.file_name().to_string_lossy().starts_with(MODEL) {
            rename(&entry.path(), &draft.join(entry.file_name()))?;
        }
    }
    rename(&draft, &version)?;
    let companions = folder.join(COMPANIONS);
    fsio::remove_dir(&companions)?;
    rename(package, &companions)?;
    Ok(version.join(MODEL))
}

/// One more than the highest that is there.
fn next_version(folder: &Path) -> Result<u64> {
    let listed = std::fs::read_dir(folder).map_err(|e| Error::io(folder, "list", e))?;
    let versions = listed.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u64>().ok());
    Ok(versions.max().unwrap_or(0) + 1)
}

fn data_type(element: ElementType) -> &'static str {
    match element {
        ElementType::I64 => "TYPE_INT64",
        ElementType::F32 => "TYPE_FP32",
        ElementType::F16 => "TYPE_FP16",
        ElementType::I8 => "TYPE_INT8",
    }
}

/// The text of `config.pbtxt`, by Triton's `model_config.proto`.
fn config(name: &str, signature: &Signature, vectors: &TestVectors) -> String {
    let mut text = format!(
        "# Layout {}; the columns of every input are in {COMPANIONS}/signature.json.\n\
         name: \"{name}\"\n\
         backend: \"onnxruntime\"\n\
         # A request is a batch already: all candidates of one user. Dynamic batching stays off, because it would join the\n\
         # candidates of several users, whose own inputs have one row; so the shapes below are whole.\n\
         max_batch_size: 0\n",
        signature.layout
    );
    for spec in &signature.tensors {
        let rows = if spec.rows == Rows::One { 1 } else { -1 };
        let (element, columns) = (data_type(spec.element), spec.columns());
        let _ = writeln!(
            text,
            "input {{\n  name: \"{}\"\n  data_type: {element}\n  dims: [ {rows}, {columns} ]\n}}",
            spec.name
        );
    }
    text.push_str(
        "output {\n  name: \"scores\"\n  data_type: TYPE_FP32\n  dims: [ -1 ]\n}\n\
         # One request on one thread: the engine that its latency was measured with.\n\
         instance_group { count: 1 kind: KIND_CPU }\n\
         parameters { key: \"intra_op_thread_count\" value { string_value: \"1\" } }\n\
         parameters { key: \"inter_op_thread_count\" value { string_value: \"1\" } }\n\
         # The version before stays loaded, so that one can go back to it.\n\
         version_policy { latest { num_versions: 2 } }\n",
    );
    let _ = writeln!(
        text,
        "model_warmup {{\n  name: \"{} candidates\"\n  batch_size: 1\n  count: 10",
        vectors.scores.len()
    );
    for (spec, tensor) in signature.tensors.iter().zip(&vectors.inputs) {
        let ([rows, columns], name) = (tensor.shape, &tensor.name);
        let _ = writeln!(
            text,
            "  inputs {{\n    key: \"{name}\"\n    value {{ data_type: {} dims: [ {rows}, {columns} ] input_data_file: \
             \"{name}.bin\" }}\n  }}",
            data_type(spec.element)
        );
    }
    text.push_str("}\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_count_on_and_names_stay_inside_the_repository() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(next_version(folder.path()).unwrap(), 1);
        for name in ["1", "9", "10", "warmup", "0x"] {
            fsio::create_dir(&folder.path().join(name)).unwrap();
        }
        assert_eq!(next_version(folder.path()).unwrap(), 11);
        for name in ["pre_ranker", "a-1.b"] {
            check_name(name).unwrap();
        }
        for name in ["", ".", "..", "../a", "a/b", "a\"b", "-a"] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
