//! A package as a model of a repository of NVIDIA's Triton Inference Server:
//!
//! ```text
//! REPOSITORY/NAME/  config.pbtxt
//!                   1/, 2/, …        versions, the newest of which are served: the whole package, whose model.onnx Triton loads
//!                   warmup/          the newest version's test request, raw little-endian: VERSION.INPUT.bin
//! ```
//!
//! Triton looks only into folders that are called by a number, and there only at `model.onnx` and its data. The rest of each
//! version is for those who feed the model, and beside it as in any package, so that going back is going back with everything.

use super::{
    companions::{README, TestVectors},
    model,
    signature::{ElementType, Rows, Signature},
};
use crate::base::{Error, Result, error::Place, fsio};
use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

/// The file of a model's folder that Triton reads.
pub const CONFIG: &str = "config.pbtxt";
/// Where requests for warming up lie, by Triton's rule.
const WARM_UP: &str = "warmup";
const MODEL: &str = "model.onnx";

/// A request to a server, in Python.
const CLIENT: &str = include_str!("../../scripts/client_triton.py");

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

/// Adds the package in the folder `package`, which it takes, to `repository` as the next version of the model `name`: the path
/// of the new ONNX file. The folder has to lie on the same disk, so that a server sees a version whole or not at all.
///
/// A version whose inputs are not those of the one before is refused before anything is changed: the server keeps both under one
/// description of the inputs.
pub fn add(
    repository: &Path,
    name: &str,
    package: &Path,
    signature: &Signature,
    vectors: &TestVectors,
) -> Result<PathBuf> {
    check_name(name)?;
    fsio::create_dir(repository)?;
    let folder = repository.join(name);
    let newest = newest_version(&folder)?;
    if let Some(newest) = newest {
        check_same_inputs(name, &folder.join(newest.to_string()).join(MODEL), signature)?;
    }
    let version = newest.unwrap_or(0) + 1;
    let readme = package.join(README);
    let text = fsio::read_text(&readme)? + &how_to_ask(name);
    fsio::write(&readme, text.as_bytes())?;
    // Files of the newest version alone: what the description before names stays until there is another.
    let prefix = format!("{version}.");
    let warm_up = |input: &str| format!("{prefix}{input}.bin");
    let describe = |folder: &Path| -> Result<()> {
        for (tensor, spec) in vectors.inputs.iter().zip(&signature.tensors) {
            let values = tensor.values.bytes(spec.element);
            fsio::write(&folder.join(WARM_UP).join(warm_up(&tensor.name)), &values)?;
        }
        fsio::write(&folder.join(CONFIG), config(name, signature, vectors, &warm_up).as_bytes())
    };
    let rename =
        |from: &Path, to: &Path| std::fs::rename(from, to).map_err(|e| Error::io(to, "rename into", e));
    match newest {
        // The description is right for the new version already, but for its warm-up.
        Some(_) => {
            rename(package, &folder.join(version.to_string()))?;
            describe(&folder)?;
            remove_other_warm_ups(&folder.join(WARM_UP), &prefix)?;
        }
        None if folder.exists() => {
            describe(&folder)?;
            rename(package, &folder.join(version.to_string()))?;
        }
        // A model is there with its description or not at all.
        None => {
            let draft = package.with_extension("model");
            fsio::create_dir(&draft)?;
            describe(&draft)?;
            rename(package, &draft.join(version.to_string()))?;
            rename(&draft, &folder)?;
        }
    }
    Ok(folder.join(version.to_string()).join(MODEL))
}

/// Fails unless the model `before` takes these inputs.
fn check_same_inputs(name: &str, before: &Path, signature: &Signature) -> Result<()> {
    let known = model::read_signature(before)?.0;
    if known == *signature {
        return Ok(());
    }
    let problem = format!(
        "the versions of `{name}` take other inputs ({}) than this one ({})",
        known.layout, signature.layout
    );
    Err(Error::input(before, Place::whole(), problem, "use another --name"))
}

/// Removes the warm-up requests of other versions, whose names do not begin as this one's.
fn remove_other_warm_ups(folder: &Path, prefix: &str) -> Result<()> {
    for name in fsio::list_names(folder)? {
        if !name.starts_with(prefix) {
            fsio::remove(&folder.join(name))?;
        }
    }
    Ok(())
}

/// The highest version that is there.
fn newest_version(folder: &Path) -> Result<Option<u64>> {
    Ok(fsio::list_names(folder)?.iter().filter_map(|name| name.parse().ok()).max())
}

/// What the README of a version says besides.
fn how_to_ask(name: &str) -> String {
    format!(
        "\n## In Triton\n\nThis folder is a version of the model `{name}` of a model repository: `tritonserver --model-repository=REPOSITORY` serves\n\
         it. Triton reads `../config.pbtxt` and `model.onnx`; everything else here is for whoever feeds it. A request to a server\n\
         (`pip install tritonclient[http]`), from this folder:\n\n```python\n{}```\n",
        CLIENT.replace("\"pre_ranker\"", &format!("\"{name}\""))
    )
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
fn config(
    name: &str,
    signature: &Signature,
    vectors: &TestVectors,
    warm_up: &dyn Fn(&str) -> String,
) -> String {
    let mut text = format!(
        "# Layout {}; the columns of every input are in signature.json of each version.\n\
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
             \"{}\" }}\n  }}",
            data_type(spec.element),
            warm_up(name)
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
        assert_eq!(newest_version(&folder.path().join("gone")).unwrap(), None);
        assert_eq!(newest_version(folder.path()).unwrap(), None);
        for name in ["1", "9", "10", "warmup", "0x"] {
            fsio::create_dir(&folder.path().join(name)).unwrap();
        }
        assert_eq!(newest_version(folder.path()).unwrap(), Some(10));
        for name in ["pre_ranker", "a-1.b"] {
            check_name(name).unwrap();
        }
        for name in ["", ".", "..", "../a", "a/b", "a\"b", "-a"] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
