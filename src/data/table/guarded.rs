//! Batches of a Parquet file. The library takes much of a page on trust and ends the thread where it finds it otherwise; here that is an error.

use crate::base::panics;
use arrow::{array::RecordBatch, error::ArrowError};
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

/// What a reader gives, up to its first panic.
pub struct Batches(Option<ParquetRecordBatchReader>);

impl Batches {
    /// All of `reader`.
    pub fn of(reader: ParquetRecordBatchReader) -> Self {
        Self(Some(reader))
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let reader = self.0.as_mut()?;
        panics::caught(|| reader.next()).unwrap_or_else(|text| {
            self.0 = None;
            Some(Err(ArrowError::ParquetError(format!("a page does not hold what it says: {text}"))))
        })
    }
}
