//! What a model file is looked through for before any engine sees it: an engine trusts what it loads, and a hostile or
//! broken file could make it read other files, allocate without end, or end the process.
//!
//! The pass needs memory in proportion to the file alone. In this order:
//!
//! 1. a regular file, not larger than protobuf allows;
//! 2. its messages end where they say, are nested and counted within limits (`wire`), and decode;
//! 3. every tensor has the data that its dimensions ask for, inside the file or in a file of the model's own folder, where no
//!    byte is read twice (`tensor`);
//! 4. the graph is complete and has no cycle, and no shape that stands in the file is absurd, nor are all of them together
//!    (`graph`, `sizes`, `sums`).
//!
//! Refused as well, because nothing in the file bounds what they take: loops, functions, and operators of domains that no
//! engine has. What the pass cannot see are sizes that only a run computes, such as the outer product of two long vectors.

mod graph;
mod sizes;
mod sums;
mod tensor;
mod wire;

use crate::base::{Error, Result, error::Place, fsio};
use prost::Message;
use std::path::Path;
use sums::Sums;
use tract_onnx::pb::ModelProto;

/// What a file may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Messages, names and texts in it: each takes some hundred bytes of memory when it is decoded, and as few as two in the
    /// file.
    pub records: usize,
    /// Elements of a tensor that the graph makes or takes, as far as its shape stands in the file, and of all together that it
    /// makes from such shapes.
    pub elements: u64,
    /// Bytes of all constants in other files.
    pub external_bytes: u64,
}

impl Limits {
    /// Protobuf's 2 GB, a million records, 2²⁸ elements (1 GiB of numbers), and 64 GiB in other files.
    pub const STANDARD: Self = Self {
        file_bytes: super::encode::LARGEST_BYTES,
        records: 1 << 20,
        elements: 1 << 28,
        external_bytes: 1 << 36,
    };
}

/// What to do about a file that is broken, or that nobody wrote in good faith.
const AS_WRITTEN: &str =
    "give the file as its exporter wrote it; `autofas-bench export` writes models that are accepted";
/// About what an exporter may well have written.
const INLINED: &str =
    "inline them with `onnx.inliner.inline_local_functions` of Python's onnx, and give the result";
const NO_LOOPS: &str = "export the model without loops: torch.onnx unrolls what has a fixed number of steps when it traces, instead of scripting";
const STANDARD_OPERATORS: &str =
    "export the model with ONNX's own operators, or replace this one before it is exported";
const NO_SIZES: &str = "export the model with the sizes of one request, or simplify it first, for which there is Python's onnxsim";
const IN_ONE_PIECE: &str =
    "save the model again with `onnx.save` of Python's onnx, which writes each tensor whole";
const OWN_DATA: &str = "save the model again with `onnx.save(…, save_as_external_data=True)`, which gives every constant bytes of its own";
const SMALLER: &str =
    "keep large constants in a file beside it, with `onnx.save(…, save_as_external_data=True)`";

/// Where in which file something was found; errors begin here.
#[derive(Debug, Clone, Copy)]
struct Found<'a> {
    path: &'a Path,
    limits: &'a Limits,
    sums: &'a Sums,
}

impl Found<'_> {
    fn wrong(&self, place: Place, problem: impl Into<String>) -> Error {
        Error::input(self.path, place, problem, AS_WRITTEN)
    }

    /// About a node or a tensor.
    fn at(&self, name: &str, problem: impl Into<String>) -> Error {
        self.at_with(name, problem, AS_WRITTEN)
    }

    /// About a node or a tensor of a file that may be as its exporter wrote it.
    fn at_with(&self, name: &str, problem: impl Into<String>, fix: &str) -> Error {
        Error::input(self.path, Place::field(name), problem, fix)
    }

    /// Counts elements that the graph makes by itself.
    fn count(&self, name: &str, elements: f64) -> Result<()> {
        let (sum, limit) = (self.sums.add_elements(elements), self.limits.elements);
        if sum <= limit as f64 {
            return Ok(());
        }
        let problem = format!(
            "with it, what the graph makes by itself comes to {sum:e} elements, and {limit} are accepted"
        );
        Err(self.at_with(name, problem, NO_SIZES))
    }
}

/// Reads a model after it was found harmless.
///
/// Anything else is an [`Error::Input`] that names the node or tensor.
pub fn read(path: &Path, limits: &Limits) -> Result<ModelProto> {
    let sums = Sums::default();
    let found = Found { path, limits, sums: &sums };
    let bytes = fsio::read_regular(path, limits.file_bytes, SMALLER)?;
    wire::check(&bytes, found)?;
    let model = ModelProto::decode(&*bytes)
        .map_err(|e| found.wrong(Place::whole(), format!("not an ONNX model ({e})")))?;
    drop(bytes);
    if !model.functions.is_empty() {
        let problem = "the model has functions of its own, which have to be inlined";
        return Err(Error::input(path, Place::whole(), problem, INLINED));
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

#[cfg(test)]
mod tests;
