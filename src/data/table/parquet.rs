//! Parquet files, the columns in parallel.

use super::{
    RawColumn, chunks,
    guarded::{Batches, Bounded, caught},
    missing_column,
};
use crate::base::{Error, Result, error::Place};
use arrow::{
    array::{Array, ArrayRef, LargeStringArray, new_empty_array},
    compute::{CastOptions, cast_with_options, concat},
    datatypes::{DataType, Field, TimeUnit},
    error::ArrowError,
};
use parquet::{
    arrow::{
        ProjectionMask,
        arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReaderBuilder},
    },
    file::reader::Length,
};
use rayon::prelude::*;
use std::{fs::File, path::Path, sync::Arc};

/// Rows that are decoded at once.
const BATCH_ROWS: usize = 1 << 16;

/// Some columns of a file.
pub(super) struct Columns<'a> {
    file: &'a Path,
    names: &'a [&'a str],
    metadata: ArrowReaderMetadata,
    /// Of each column, in the file's schema.
    roots: Vec<usize>,
}

/// The columns piece by piece.
pub(super) struct Pieces<'a> {
    columns: Columns<'a>,
    readers: Vec<Batches>,
}

/// What becomes of whole numbers that need not fit into 64 bits with a sign.
#[derive(Clone, Copy)]
enum Wide {
    /// Integers where all of them fit, else text with the same digits.
    Narrowed,
    /// Text: a piece cannot know whether those of the next one fit.
    Text,
}

/// All columns of a file.
pub(super) fn names(file: &Path) -> Result<Vec<String>> {
    let fields = metadata(file)?;
    Ok(fields.schema().fields().iter().map(|field| field.name().clone()).collect())
}

/// The columns whose type is one that [`normalise`] takes.
pub(super) fn usable(file: &Path) -> Result<Vec<String>> {
    let fields = metadata(file)?;
    let fields = fields.schema().fields().iter();
    let usable = fields.filter(|field| normalise(new_empty_array(field.data_type()), Wide::Text).is_ok());
    Ok(usable.map(|field| field.name().clone()).collect())
}

fn metadata(file: &Path) -> Result<ArrowReaderMetadata> {
    let opened = open(file)?;
    let bytes = opened.len();
    let metadata =
        caught(|| ArrowReaderMetadata::load(&opened, Default::default())).map_err(|e| unreadable(file, e))?;
    chunks::check(metadata.metadata(), bytes).map_err(|e| unreadable(file, e))?;
    Ok(metadata)
}

impl<'a> Columns<'a> {
    /// `names` in the order asked for.
    pub(super) fn open(file: &'a Path, names: &'a [&'a str]) -> Result<Self> {
        let metadata = metadata(file)?;
        let fields = metadata.schema().fields();
        let root = |name: &&str| {
            fields.iter().position(|field| field.name() == name).ok_or_else(|| {
                missing_column(file, name, &fields.iter().map(|f| f.name().as_str()).collect::<Vec<_>>())
            })
        };
        let roots = names.iter().map(root).collect::<Result<_>>()?;
        Ok(Self { file, names, metadata, roots })
    }

    /// Reads all rows, the columns in parallel.
    pub(super) fn read(&self) -> Result<Vec<RawColumn>> {
        let read = (0..self.roots.len()).into_par_iter().map(|column| self.read_column(column));
        let read: Vec<_> = read.collect::<Result<_>>()?;
        self.check_rows(read.iter())?;
        Ok(read)
    }

    /// Pages decide how many rows come, and those of one column need not agree with another's.
    fn check_rows<'c>(&self, mut read: impl Iterator<Item = &'c RawColumn> + Clone) -> Result<()> {
        let rows = read.clone().next().map_or(0, RawColumn::len);
        match read.position(|column| column.len() != rows) {
            Some(other) => Err(self.uneven(other)),
            None => Ok(()),
        }
    }

    fn uneven(&self, column: usize) -> Error {
        let problem = format!("the column has another number of rows than `{}`", self.names[0]);
        Error::input(self.file, Place::field(self.names[column]), problem, "write the file again")
    }

    /// Reads `rows` at a time, the columns in parallel.
    pub(super) fn pieces(self, rows: usize) -> Result<Pieces<'a>> {
        let readers = self.roots.iter().map(|&root| self.reader(root, rows)).collect::<Result<_>>()?;
        Ok(Pieces { readers, columns: self })
    }

    fn read_column(&self, column: usize) -> Result<RawColumn> {
        let root = self.roots[column];
        let mut pieces = Vec::new();
        for batch in self.reader(root, BATCH_ROWS)? {
            let batch = batch.map_err(|e| unreadable(self.file, e))?;
            pieces.push(Arc::clone(batch.column(0)));
        }
        let array = if pieces.is_empty() {
            new_empty_array(self.metadata.schema().field(root).data_type())
        } else {
            concat(&pieces.iter().map(|a| &**a).collect::<Vec<_>>()).map_err(|e| unreadable(self.file, e))?
        };
        self.normalise(column, array, Wide::Narrowed)
    }

    /// Each column opens the file anew: duplicated handles would share one position.
    fn reader(&self, root: usize, rows: usize) -> Result<Batches> {
        let builder =
            ParquetRecordBatchReaderBuilder::new_with_metadata(open(self.file)?, self.metadata.clone());
        let mask = ProjectionMask::roots(builder.parquet_schema(), [root]);
        let again = open(self.file)?;
        let reader = caught(|| {
            chunks::check_dictionaries(again, self.metadata.metadata(), |column| column == root)?;
            builder.with_projection(mask).with_batch_size(rows).build()
        });
        reader.map(Batches::of).map_err(|e| unreadable(self.file, e))
    }

    fn normalise(&self, column: usize, array: ArrayRef, wide: Wide) -> Result<RawColumn> {
        normalise(array, wide).map_err(|e| {
            let data_type = self.metadata.schema().field(self.roots[column]).data_type();
            let problem = format!("values of type {data_type} cannot be used ({e})");
            let fix = "write the column as integers, floats, text, dates or a list of these";
            Error::input(self.file, Place::field(self.names[column]), problem, fix)
        })
    }
}

impl Pieces<'_> {
    /// The next rows; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<Vec<RawColumn>>> {
        let columns = &self.columns;
        let piece = |(column, reader): (usize, &mut Batches)| {
            let Some(batch) = reader.next() else { return Ok(None) };
            let batch = batch.map_err(|e| unreadable(columns.file, e))?;
            columns.normalise(column, Arc::clone(batch.column(0)), Wide::Text).map(Some)
        };
        let read: Vec<_> = self.readers.par_iter_mut().enumerate().map(piece).collect::<Result<_>>()?;
        if let Some(other) = read.iter().position(|piece| piece.is_none() != read[0].is_none()) {
            return Err(columns.uneven(other));
        }
        columns.check_rows(read.iter().flatten())?;
        Ok(read.into_iter().collect())
    }
}

fn open(file: &Path) -> Result<Bounded> {
    File::open(file).map(Bounded).map_err(|e| Error::io(file, "read", e))
}

fn unreadable(file: &Path, error: impl std::fmt::Display) -> Error {
    let words = error.to_string();
    match unknown_codec(&words) {
        Some(codec) => Error::input(
            file,
            Place::whole(),
            format!("compressed with {codec}, which this program does not read"),
            "write the file with snappy, gzip, zstd or lz4, or without compression",
        ),
        None => Error::input(
            file,
            Place::whole(),
            format!("not a readable Parquet file ({words})"),
            "write the file again",
        ),
    }
}

/// The codec that the reader was built without, from its own words: an error of its own kind there is none.
fn unknown_codec(words: &str) -> Option<String> {
    let (_, rest) = words
        .split_once("Disabled feature at compile time: ")
        .or_else(|| words.split_once("The codec type "))?;
    rest.split_whitespace().next().map(str::to_lowercase)
}

/// Brings an array to one of the types of [`RawColumn`]. Casts are strict: a value that does not fit is an error.
fn normalise(array: ArrayRef, wide: Wide) -> Result<RawColumn, ArrowError> {
    let to = |array: &dyn Array, target: &DataType| {
        cast_with_options(array, target, &CastOptions { safe: false, ..Default::default() })
    };
    let normal = match array.data_type() {
        DataType::Null => Arc::new(LargeStringArray::new_null(array.len())),
        t if is_wide_integer(t) => match wide {
            Wide::Narrowed => to(&array, &DataType::Int64).or_else(|_| to(&array, &DataType::LargeUtf8))?,
            Wide::Text => to(&array, &DataType::LargeUtf8)?,
        },
        DataType::Boolean => to(&array, &DataType::Int64)?,
        t if t.is_integer() => to(&array, &DataType::Int64)?,
        DataType::Float16 | DataType::Float32 => to(&array, &DataType::Float32)?,
        t if t.is_floating() || t.is_decimal() => to(&array, &DataType::Float64)?,
        DataType::Date32 | DataType::Date64 => to(&to(&array, &DataType::Date64)?, &DataType::Int64)?,
        DataType::Timestamp(_, zone) => {
            to(&to(&array, &DataType::Timestamp(TimeUnit::Millisecond, zone.clone()))?, &DataType::Int64)?
        }
        DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View
        | DataType::Binary
        | DataType::LargeBinary => to(&array, &DataType::LargeUtf8)?,
        DataType::Dictionary(_, value) => return normalise(to(&array, value)?, wide),
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) => {
            let item = Field::new_list_field(DataType::LargeUtf8, true);
            to(&array, &DataType::LargeList(Arc::new(item)))?
        }
        other => return Err(ArrowError::CastError(format!("no use for {other}"))),
    };
    RawColumn::from_array(&normal).ok_or_else(|| ArrowError::CastError("an unexpected type".to_owned()))
}

/// Whole numbers that need not fit into 64 bits with a sign.
fn is_wide_integer(data_type: &DataType) -> bool {
    use DataType::{Decimal32, Decimal64, Decimal128, Decimal256, UInt64};
    matches!(data_type, UInt64 | Decimal32(_, 0) | Decimal64(_, 0) | Decimal128(_, 0) | Decimal256(_, 0))
}
