//! What comes in: the schema, reading CSV and Parquet, encoders, encoded data sets, splits, batches, and a synthetic
//! log with planted truth. No tensors.
//!
//! The way of the data: [`schema::Schema`] says what the columns mean, [`table::RawTable`] holds them as they stand in the
//! files, [`split::SplitSettings`] divides the rows, [`encode::Encoders`] are fitted on the training rows, and
//! [`dataset::Dataset`] is what networks and requests are made from. [`load`] does all of it in memory; [`encoded`] does it
//! piece by piece into a folder, which [`load`] maps.

pub mod batches;
pub mod column;
pub mod dataset;
pub mod distinct;
pub mod encode;
pub mod encoded;
pub mod growing;
pub mod ids;
pub mod inspect;
pub mod schema;
pub mod shard;
pub mod split;
pub mod synth;
pub mod table;
mod time;

use crate::base::Result;
use dataset::{Dataset, Split};
use encode::Encoders;
use schema::Schema;
use split::SplitSettings;
use std::path::Path;
use table::RawTable;

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
