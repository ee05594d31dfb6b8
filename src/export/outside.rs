//! Embedding tables beside the graph, for a parameter server or a store: a safetensors file with a matrix per feature, and
//! a manifest that says how a value becomes a vector.

use super::{form::Form, graph::write_floats};
use crate::{
    base::{Error, Result, error::Place, fsio, names::Embeddings},
    learn::network::{Embedding, Network},
};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, io, path::Path};

/// The tables, beside the model.
pub const TABLES: &str = "embeddings.safetensors";
/// What they mean.
pub const MANIFEST: &str = "embeddings.json";
/// Version of the manifest.
const VERSION: u32 = 1;

/// How the ids of a value become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// The row of the one id.
    None,
    /// The mean of the rows of all ids that are not 0; zeros when there are none.
    Mean,
}

/// One table: the matrix of that name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSpec {
    /// The schema's name, and the matrix's.
    pub feature: String,
    /// Ids are below this.
    pub rows: usize,
    /// Numbers of a vector.
    pub width: usize,
    /// How ids become a vector.
    pub pooling: Pooling,
    /// Ids of a value.
    pub length: usize,
}

/// The manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this format.
    pub schema_version: u32,
    /// The file with the tables, beside this one: f32 matrices, one per feature and of its name.
    pub file: String,
    /// All of them.
    pub tables: Vec<TableSpec>,
}

impl Manifest {
    /// Reads and checks the manifest at `path`.
    pub fn load(path: &Path) -> Result<Self> {
        let fix = "export the model again with `autofas-bench export`";
        let wrong = |place: &str, problem: String| Err(Error::input(path, Place::field(place), problem, fix));
        let manifest: Self = fsio::read_versioned(path, VERSION, fix)?;
        if Path::new(&manifest.file).file_name().is_none_or(|name| *name != *manifest.file) {
            return wrong("file", format!("`{}` is not a file beside the manifest", manifest.file));
        }
        match manifest.tables.iter().find(|table| table.rows == 0 || table.width == 0 || table.length == 0) {
            Some(table) => wrong("tables", format!("`{}` has no numbers", table.feature)),
            None => Ok(manifest),
        }
    }
}

/// Tables on their way into a file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tables<'n> {
    specs: Vec<TableSpec>,
    rows: Vec<Cow<'n, [f32]>>,
}

impl<'n> Tables<'n> {
    /// None where they are in the graph, or where there are none.
    pub(super) fn of(network: &'n Network, form: &Form) -> Option<Self> {
        let (mut specs, mut all) = (Vec::new(), Vec::new());
        for input in &network.inputs {
            let (rows, pooling, length) = match &input.embedding {
                Embedding::Table { rows } => (rows, Pooling::None, 1),
                Embedding::Pooled { rows, length } => (rows, Pooling::Mean, *length),
                Embedding::Number { .. } => continue,
            };
            let (feature, width) = (input.feature.clone(), input.width);
            specs.push(TableSpec { feature, rows: rows.len() / width, width, pooling, length });
            all.push(Cow::from(rows));
        }
        let outside = form.embeddings == Embeddings::Outside && !specs.is_empty();
        outside.then_some(Self { specs, rows: all })
    }

    /// The same tables, which are their own.
    pub(super) fn into_owned(self) -> Tables<'static> {
        let rows = self.rows.into_iter().map(|rows| Cow::Owned(rows.into_owned())).collect();
        Tables { specs: self.specs, rows }
    }

    /// Writes both files.
    pub(super) fn write(&self, tables: &Path, manifest: &Path) -> Result<()> {
        fsio::write_with(tables, |out| self.encode(out))?;
        let file = tables.file_name().unwrap_or_default().to_string_lossy().into_owned();
        fsio::write_json(manifest, &Manifest { schema_version: VERSION, file, tables: self.specs.clone() })
    }

    /// The format of safetensors: the length of a JSON header, the header, the numbers.
    fn encode(&self, out: &mut (impl io::Write + ?Sized)) -> io::Result<()> {
        let mut header = serde_json::Map::new();
        let mut end = 0;
        for (spec, rows) in self.specs.iter().zip(&self.rows) {
            let begin = end;
            end += size_of_val(&**rows);
            let shape = [spec.rows, spec.width];
            let entry = serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": [begin, end]});
            header.insert(spec.feature.clone(), entry);
        }
        let mut header = serde_json::to_string(&header)?;
        // The numbers begin at a multiple of their size.
        header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(header.as_bytes())?;
        self.rows.iter().try_for_each(|rows| write_floats(out, rows))
    }
}
