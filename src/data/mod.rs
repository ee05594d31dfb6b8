//! What comes in: the schema, reading CSV and Parquet, encoders, encoded data sets, splits, batches, and a synthetic
//! log with planted truth. No tensors.
//!
//! The way of the data: [`schema::Schema`] says what the columns mean, [`table::RawTable`] holds them as they stand in the
//! files, [`split::SplitSettings`] divides the rows, [`encode::Encoders`] are fitted on the training rows, and
//! [`dataset::Dataset`] is what networks and requests are made from. [`load`] does all of it.

pub mod batches;
pub mod dataset;
pub mod encode;
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

/// Reads, splits and encodes the file or folder at `path`. `seed` is the split's.
pub fn load(schema: &Schema, path: &Path, settings: &SplitSettings, seed: u64) -> Result<Loaded> {
    load_table(schema, &RawTable::read(path, &settings.columns(schema))?, settings, seed)
}

/// [`load`] for a table that is in memory already.
pub fn load_table(schema: &Schema, table: &RawTable, settings: &SplitSettings, seed: u64) -> Result<Loaded> {
    let split = settings.split(schema, table, seed)?;
    let encoders = Encoders::fit(schema, table, &split.train)?;
    Ok(Loaded { dataset: encoders.encode(schema, table)?, split, encoders })
}

/// Reads and encodes the file or folder at `path` with encoders of an earlier run.
pub fn load_with(schema: &Schema, path: &Path, encoders: &Encoders) -> Result<Dataset> {
    encoders.encode(schema, &RawTable::read(path, &schema.columns())?)
}
