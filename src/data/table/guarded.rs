//! The Parquet library on files of others. It takes much of a file on trust, and ends the thread or reads on without an end where it finds it
//! otherwise; here that is an error.

use crate::base::panics;
use arrow::{array::RecordBatch, error::ArrowError};
use parquet::{
    arrow::arrow_reader::ParquetRecordBatchReader,
    errors::{ParquetError, Result},
    file::reader::{ChunkReader, Length},
};
use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
};

/// What the library gives; its panic is an error as well.
pub fn caught<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    panics::caught(work).unwrap_or_else(|text| Err(ParquetError::General(unkept(&text))))
}

fn unkept(panic: &str) -> String {
    format!("a page does not hold what it says: {panic}")
}

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
            Some(Err(ArrowError::ParquetError(unkept(&text))))
        })
    }
}

/// A file that is not read beyond its end. The library skips fields that it does not know without asking whether they were there: a list that
/// announces 2^31 of them would take hours.
pub struct Bounded(pub File);

/// A part of the file, in which to read on at the end is an error.
pub struct UpToEnd(File);

impl Length for Bounded {
    fn len(&self) -> u64 {
        self.0.len()
    }
}

impl ChunkReader for Bounded {
    type T = BufReader<UpToEnd>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        let mut file = self.0.try_clone()?;
        file.seek(SeekFrom::Start(start))?;
        Ok(BufReader::new(UpToEnd(file)))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<bytes::Bytes> {
        self.0.get_bytes(start, length)
    }
}

impl Read for UpToEnd {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 if !buffer.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
            read => Ok(read),
        }
    }
}
