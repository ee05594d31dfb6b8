//! One checkpoint as a safetensors file: named tensors, and JSON in the file's own metadata for the rest.
//!
//! It is written as a stream: neither the parameters nor the moments are copied as a whole.

use crate::base::{Error, Result, error::Place, fsio, hash};
use candle_core::{CpuStorage, DType, Device, Storage, Tensor};
use safetensors::{
    Dtype, SafeTensors,
    tensor::{Metadata, TensorInfo},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::{
    borrow::Cow,
    collections::HashMap,
    io,
    path::{Path, PathBuf},
};

/// Version of the files that this program reads and writes.
const SCHEMA_VERSION: u32 = 1;
/// Key of the JSON inside the file's metadata.
const DESCRIPTION: &str = "autofas.checkpoint";
/// Bytes of a number or a count.
const BYTES: usize = 4;

/// One named list of numbers.
#[derive(Debug, Clone)]
pub enum Values<'a> {
    /// A parameter: a handle, whose numbers are read when they are written.
    Tensor(Tensor),
    /// Numbers beside the parameters, such as moments.
    Numbers(&'a [f32]),
    /// Counts, such as the steps that each row of a table has seen.
    Counts(Cow<'a, [u32]>),
}

/// What a part of a training (parameters, an optimiser) has to keep, each list under a name of its own.
pub type State<'a> = Vec<(String, Values<'a>)>;

/// What the tensors do not say.
#[derive(Debug, Serialize, Deserialize)]
struct Description {
    schema_version: u32,
    /// Tells the training from others.
    training: String,
    /// Of all tensors, in the order of the file: a damaged file must not be taken for a good one.
    sha256: String,
    /// Where the training stands, in its own words.
    position: Value,
}

/// The state of a training, ready to be written.
#[derive(Debug)]
pub struct Contents<'a> {
    steps: u64,
    position: Value,
    tensors: State<'a>,
}

impl<'a> Contents<'a> {
    /// After so many steps; `position` is whatever the training needs beside its tensors.
    pub fn at(steps: u64, position: &impl Serialize) -> Self {
        let position = serde_json::to_value(position).expect("plain data");
        Self { steps, position, tensors: Vec::new() }
    }

    /// Adds a part under its name.
    #[must_use]
    pub fn with(mut self, part: &str, state: State<'a>) -> Self {
        self.tensors.extend(state.into_iter().map(|(name, values)| (format!("{part}/{name}"), values)));
        self
    }

    pub(super) fn steps(&self) -> u64 {
        self.steps
    }

    /// Writes the file atomically.
    pub(super) fn write(&self, path: &Path, training: &str) -> Result<()> {
        let mut hasher = Sha256::new();
        self.each_chunk(&mut |bytes| {
            hasher.update(bytes);
            Ok(())
        })
        .map_err(|e| Error::io(path, "write", e))?;
        let header = self.header(training, hash::hex(&hasher.finalize()))?;
        fsio::write_with(path, |out| {
            out.write_all(&(header.len() as u64).to_le_bytes())?;
            out.write_all(&header)?;
            self.each_chunk(&mut |bytes| out.write_all(bytes))
        })
    }

    fn each_chunk(&self, sink: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        self.tensors.iter().try_for_each(|(_, values)| values.each_chunk(sink))
    }

    fn header(&self, training: &str, sha256: String) -> Result<Vec<u8>> {
        let description = Description {
            schema_version: SCHEMA_VERSION,
            training: training.to_owned(),
            sha256,
            position: self.position.clone(),
        };
        let json = serde_json::to_string(&description).expect("plain data");
        let mut from = 0;
        let infos = self.tensors.iter().map(|(name, values)| {
            let (dtype, shape) = values.layout();
            let data_offsets = (from, from + shape.iter().product::<usize>() * BYTES);
            from = data_offsets.1;
            (name.clone(), TensorInfo { dtype, shape, data_offsets })
        });
        let metadata = Metadata::new(Some(HashMap::from([(DESCRIPTION.to_owned(), json)])), infos.collect())
            .map_err(|e| Error::learn("describe a checkpoint", e))?;
        let mut header = serde_json::to_vec(&metadata).expect("plain data");
        // The format aligns its tensors to 8 bytes.
        header.resize(header.len().next_multiple_of(8), b' ');
        Ok(header)
    }
}

impl Values<'_> {
    fn layout(&self) -> (Dtype, Vec<usize>) {
        match self {
            Self::Tensor(tensor) => (Dtype::F32, tensor.dims().to_vec()),
            Self::Numbers(numbers) => (Dtype::F32, vec![numbers.len()]),
            Self::Counts(counts) => (Dtype::U32, vec![counts.len()]),
        }
    }

    /// All numbers as little-endian bytes, some at a time.
    fn each_chunk(&self, sink: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        match self {
            Self::Numbers(numbers) => chunks(numbers, f32::to_le_bytes, sink),
            Self::Counts(counts) => chunks(counts, u32::to_le_bytes, sink),
            Self::Tensor(tensor) => {
                let (storage, layout) = tensor.storage_and_layout();
                match (&*storage, layout.contiguous_offsets()) {
                    (Storage::Cpu(CpuStorage::F32(numbers)), Some((from, to))) => {
                        chunks(&numbers[from..to], f32::to_le_bytes, sink)
                    }
                    // On another device, or a view: copied first.
                    _ => {
                        let copied = tensor.flatten_all().and_then(|t| t.to_dtype(DType::F32)?.to_vec1());
                        chunks(&copied.map_err(io::Error::other)?, f32::to_le_bytes, sink)
                    }
                }
            }
        }
    }
}

fn chunks<T: Copy>(
    values: &[T],
    bytes: fn(T) -> [u8; BYTES],
    sink: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(1 << 16);
    for chunk in values.chunks((1 << 16) / BYTES) {
        buffer.clear();
        buffer.extend(chunk.iter().flat_map(|&value| bytes(value)));
        sink(&buffer)?;
    }
    Ok(())
}

/// A checkpoint that was read.
#[derive(Debug)]
pub struct Stored {
    path: PathBuf,
    description: Description,
    tensors: HashMap<String, Tensor>,
}

impl Stored {
    /// Reads a file whole and checks it; what is wrong comes back in words.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        Self::of(path, &std::fs::read(path).map_err(|e| e.to_string())?)
    }

    /// Reads the content of the file at `path`.
    pub(super) fn of(path: &Path, bytes: &[u8]) -> Result<Self, String> {
        let (length, metadata) = SafeTensors::read_metadata(bytes).map_err(|e| e.to_string())?;
        let json = metadata.metadata().as_ref().and_then(|m| m.get(DESCRIPTION));
        let description: Description =
            serde_json::from_str(json.ok_or("it has no description")?).map_err(|e| e.to_string())?;
        if description.schema_version != SCHEMA_VERSION {
            let version = description.schema_version;
            return Err(format!("it has version {version}, this program reads {SCHEMA_VERSION}"));
        }
        if bytes.get(8 + length..).map(hash::sha256).as_ref() != Some(&description.sha256) {
            return Err("its content is damaged".to_owned());
        }
        let tensors =
            candle_core::safetensors::load_buffer(bytes, &Device::Cpu).map_err(|e| e.to_string())?;
        Ok(Self { path: path.to_owned(), description, tensors })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn training(&self) -> &str {
        &self.description.training
    }

    /// Where the training stood, as it was given to [`Contents::at`].
    pub fn position<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_value(self.description.position.clone())
            .map_err(|e| self.wrong("position", e.to_string()))
    }

    /// What was added under this name.
    pub fn part<'s>(&'s self, name: &'s str) -> Part<'s> {
        Part { stored: self, name }
    }

    fn wrong(&self, field: &str, problem: impl Into<String>) -> Error {
        unusable(&self.path, Place::field(field), problem)
    }
}

/// An error about the checkpoint at `path`.
pub(super) fn unusable(path: &Path, place: Place, problem: impl Into<String>) -> Error {
    let folder = path.parent().unwrap_or(Path::new("."));
    let fix = format!("remove {}; what it was kept for begins again", folder.display());
    Error::input(path, place, problem, fix)
}

/// One part of a checkpoint.
#[derive(Debug, Clone, Copy)]
pub struct Part<'s> {
    stored: &'s Stored,
    name: &'s str,
}

impl<'s> Part<'s> {
    /// The tensor called `name`, which must have this shape.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<&'s Tensor> {
        let name = format!("{}/{name}", self.name);
        let tensor = self
            .stored
            .tensors
            .get(&name)
            .ok_or_else(|| self.stored.wrong(&name, "the tensor is missing"))?;
        if tensor.dims() != shape {
            let problem = format!("the tensor has shape {:?}, not {shape:?}", tensor.dims());
            return Err(self.stored.wrong(&name, problem));
        }
        Ok(tensor)
    }

    /// The list of `count` numbers called `name`.
    pub fn numbers(&self, name: &str, count: usize) -> Result<Vec<f32>> {
        let list = self.tensor(name, &[count])?.to_vec1();
        list.map_err(|e| self.stored.wrong(name, e.to_string()))
    }

    /// The list of `count` counts called `name`.
    pub fn counts(&self, name: &str, count: usize) -> Result<Vec<u32>> {
        let list = self.tensor(name, &[count])?.to_vec1();
        list.map_err(|e| self.stored.wrong(name, e.to_string()))
    }
}
