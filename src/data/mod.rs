//! What comes in: the schema, reading CSV and Parquet, encoders, encoded data sets, splits, batches, and a synthetic
//! log with planted truth. No tensors.
//!
//! The way of the data: [`schema::Schema`] says what the columns mean, [`table::RawTable`] holds them as they stand in the
//! files, [`split::SplitSettings`] divides the rows, [`encode::Encoders`] are fitted on the training rows, and
//! [`dataset::Dataset`] is what networks and requests are made from. [`load`] does all of it in memory; [`encoded`] does it
//! piece by piece into a folder, which [`load`] maps.

pub mod batches;
pub mod column;
mod combined;
pub mod dataset;
pub(crate) mod distinct;
pub mod draft;
pub mod drift;
pub mod encode;
pub mod encoded;
pub mod growing;
pub mod ids;
pub mod inspect;
pub mod lists;
mod rows_hash;
pub mod schema;
pub mod shard;
pub mod split;
pub mod synth;
pub mod table;
mod time;
pub mod unseen;

use crate::base::Result;
use dataset::{Dataset, Split};
use encode::Encoders;
use schema::Schema;
use split::SplitSettings;
use std::path::Path;
use table::{RawTable, TableFiles};

/// A data set, ready for training.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// All rows, encoded.
    pub dataset: Dataset,
    /// Which of them are trained on and validated on.
    pub split: Split,
    /// Fitted on the training rows.
    pub encoders: Encoders,
}

/// Reads, splits and encodes the file or folder at `path`, or maps what [`encoded::write`] made of it. `seed` is the split's.
pub fn load(schema: &Schema, path: &Path, settings: &SplitSettings, seed: u64) -> Result<Loaded> {
    if encoded::is_encoded(path) {
        return encoded::open(path, schema, settings, seed);
    }
    load_table(schema, &RawTable::read(path, &settings.columns(schema))?, settings, seed)
}

/// [`load`] for a table that is in memory already.
pub fn load_table(schema: &Schema, table: &RawTable, settings: &SplitSettings, seed: u64) -> Result<Loaded> {
    let split = settings.split(schema, table, seed)?;
    let encoders = Encoders::fit(schema, table, &split.train)?;
    Ok(Loaded { dataset: encoders.encode(schema, table)?, split, encoders })
}

/// Reads and encodes the file or folder at `path` with encoders of an earlier run, or maps what was encoded with them.
pub fn load_with(schema: &Schema, path: &Path, encoders: &Encoders) -> Result<Dataset> {
    if encoded::is_encoded(path) {
        return encoded::map(path, schema, encoders);
    }
    encoders.encode(schema, &RawTable::read(path, &schema.columns())?)
}

/// Hands all rows of the file or folder at `path`, encoded with encoders of an earlier run, to `take`, some ten thousand at a
/// time and in their order: a data set, and the numbers of its rows that come next.
pub fn each_piece(
    schema: &Schema,
    path: &Path,
    encoders: &Encoders,
    mut take: impl FnMut(&Dataset, &[u32]) -> Result<()>,
) -> Result<()> {
    if encoded::is_encoded(path) {
        let dataset = encoded::map(path, schema, encoders)?;
        let (end, step) = (dataset.rows(), table::PIECE_ROWS);
        let mut pieces = (0..end).step_by(step).map(|row| row as u32..end.min(row + step) as u32);
        return pieces.try_for_each(|rows| take(&dataset, &rows.collect::<Vec<_>>()));
    }
    TableFiles::find(path)?.each_piece(&schema.columns(), |piece| {
        let rows: Vec<u32> = (0..piece.rows() as u32).collect();
        take(&encoders.encode(schema, piece)?, &rows)
    })
}

/// [`load_with`], and which of the rows `settings` trains on and validates on.
pub fn load_divided(
    schema: &Schema,
    path: &Path,
    encoders: &Encoders,
    settings: &SplitSettings,
    seed: u64,
) -> Result<(Dataset, Split)> {
    if encoded::is_encoded(path) {
        return Ok((encoded::map(path, schema, encoders)?, encoded::split(path, settings, seed)?));
    }
    let table = RawTable::read(path, &settings.columns(schema))?;
    Ok((encoders.encode(schema, &table)?, settings.split(schema, &table, seed)?))
}
