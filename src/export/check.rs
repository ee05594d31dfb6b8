//! What a model file is looked through for before any engine sees it: an engine trusts what it loads, and a hostile or
//! broken file could make it read other files, allocate without end, or end the process.
//!
//! The pass needs memory in proportion to the file alone. In this order:
//!
//! 1. a regular file, not larger than protobuf allows;
//! 2. its messages end where they say, are nested and counted within limits (`wire`), and decode;
//! 3. every tensor has the data that its dimensions ask for, inside the file or in a file of the model's own folder
//!    (`tensor`);
//! 4. the graph is complete and has no cycle, and no shape that stands in the file is absurd (`graph`).
//!
//! Refused as well, because nothing in the file bounds what they take: loops, functions, and operators of domains that no
//! engine has. What the pass cannot see are sizes that only a run computes, such as the outer product of two long vectors.

mod graph;
mod tensor;
mod wire;

use crate::base::{Error, Result, error::Place};
use prost::Message;
use std::{fs::File, io::Read, path::Path};
use tract_onnx::pb::ModelProto;

/// What a file may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Messages, names and texts in it: each takes some hundred bytes of memory when it is decoded, and as few as two in the
    /// file.
    pub records: usize,
    /// Elements of a tensor that the graph makes or takes, as far as its shape stands in the file.
    pub elements: u64,
}

impl Limits {
    /// Protobuf's 2 GB, a million records, and 2²⁸ elements (1 GiB of numbers).
    pub const STANDARD: Self =
        Self { file_bytes: super::encode::LARGEST_BYTES, records: 1 << 20, elements: 1 << 28 };
}

/// Where in which file something was found; errors begin here.
#[derive(Debug, Clone, Copy)]
struct Found<'a> {
    path: &'a Path,
    limits: &'a Limits,
}

impl Found<'_> {
    fn wrong(&self, place: Place, problem: impl Into<String>) -> Error {
        let fix =
            "give the file as its exporter wrote it; `autofas-bench export` writes models that are accepted";
        Error::input(self.path, place, problem, fix)
    }

    /// About a node or a tensor.
    fn at(&self, name: &str, problem: impl Into<String>) -> Error {
        self.wrong(Place::field(name), problem)
    }
}

/// Reads a model after it was found harmless.
///
/// Anything else is an [`Error::Input`] that names the node or tensor.
pub fn read(path: &Path, limits: &Limits) -> Result<ModelProto> {
    let found = Found { path, limits };
    let bytes = bytes(found)?;
    wire::check(&bytes, found)?;
    let model = ModelProto::decode(&*bytes)
        .map_err(|e| found.wrong(Place::whole(), format!("not an ONNX model ({e})")))?;
    drop(bytes);
    if !model.functions.is_empty() {
        return Err(
            found.wrong(Place::whole(), "the model has functions of its own, which have to be inlined")
        );
    }
    match &model.graph {
        Some(_) if model.opset_import.is_empty() => {
            return Err(found.wrong(Place::whole(), "the model names no set of operators"));
        }
        Some(graph) => graph::check(graph, found)?,
        None => return Err(found.wrong(Place::whole(), "the model has no graph")),
    }
    Ok(model)
}

/// The content of a regular file. It is read no further than the limit, even where it grows meanwhile.
fn bytes(found: Found) -> Result<Vec<u8>> {
    let io = |e| Error::io(found.path, "read", e);
    // Looked at before it is opened: opening a pipe would wait for its writer.
    let about = std::fs::metadata(found.path).map_err(io)?;
    if about.is_dir() {
        return Err(io(std::io::ErrorKind::IsADirectory.into()));
    }
    let limit = found.limits.file_bytes;
    let too_large = || {
        found.wrong(Place::whole(), format!("the file is larger than the {limit} bytes that readers accept"))
    };
    match about.is_file() {
        false => Err(found.wrong(Place::whole(), "this is no regular file")),
        true if about.len() > limit => Err(too_large()),
        true => {
            let mut bytes = Vec::with_capacity(about.len() as usize);
            File::open(found.path).map_err(io)?.take(limit + 1).read_to_end(&mut bytes).map_err(io)?;
            if bytes.len() as u64 > limit { Err(too_large()) } else { Ok(bytes) }
        }
    }
}

#[cfg(test)]
mod tests;
