//! Parquet files, the columns in parallel.

use super::{RawColumn, missing_column};
use crate::base::{Error, Result, error::Place};
use arrow::{
    array::{Array, ArrayRef, LargeStringArray, new_empty_array},
    compute::{CastOptions, cast_with_options, concat},
    datatypes::{DataType, Field, TimeUnit},
    error::ArrowError,
};
use parquet::arrow::{
    ProjectionMask,
    arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReaderBuilder},
};
use rayon::prelude::*;
use std::{fs::File, path::Path, sync::Arc};

/// Rows that are decoded at once.
const BATCH_ROWS: usize = 1 << 16;

/// Reads `columns` in the order asked for.
pub(super) fn read(file: &Path, columns: &[&str]) -> Result<Vec<RawColumn>> {
    let metadata =
        ArrowReaderMetadata::load(&open(file)?, Default::default()).map_err(|e| unreadable(file, e))?;
    let fields = metadata.schema().fields();
    let roots = columns
        .iter()
        .map(|name| {
            fields.iter().position(|field| field.name() == name).ok_or_else(|| {
                missing_column(file, name, &fields.iter().map(|f| f.name().as_str()).collect::<Vec<_>>())
            })
        })
        .collect::<Result<Vec<_>>>()?;
    roots.par_iter().zip(columns).map(|(&root, name)| column(file, &metadata, root, name)).collect()
}

fn open(file: &Path) -> Result<File> {
    File::open(file).map_err(|e| Error::io(file, "read", e))
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

/// Each column opens the file anew: duplicated handles would share one position.
fn column(file: &Path, metadata: &ArrowReaderMetadata, root: usize, name: &str) -> Result<RawColumn> {
    let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(open(file)?, metadata.clone());
    let mask = ProjectionMask::roots(builder.parquet_schema(), [root]);
    let reader =
        builder.with_projection(mask).with_batch_size(BATCH_ROWS).build().map_err(|e| unreadable(file, e))?;
    let mut pieces = Vec::new();
    for batch in reader {
        let batch = batch.map_err(|e| unreadable(file, e))?;
        pieces.push(Arc::clone(batch.column(0)));
    }
    let field = metadata.schema().field(root);
    let array = if pieces.is_empty() {
        new_empty_array(field.data_type())
    } else {
        concat(&pieces.iter().map(|a| &**a).collect::<Vec<_>>()).map_err(|e| unreadable(file, e))?
    };
    normalise(array).map_err(|e| {
        let problem = format!("values of type {} cannot be used ({e})", field.data_type());
        let fix = "write the column as integers, floats, text, dates or a list of these";
        Error::input(file, Place::field(name), problem, fix)
    })
}

/// Brings an array to one of the types of [`RawColumn`]. Casts are strict: a value that does not fit is an error.
fn normalise(array: ArrayRef) -> Result<RawColumn, ArrowError> {
    let to = |array: &dyn Array, target: &DataType| {
        cast_with_options(array, target, &CastOptions { safe: false, ..Default::default() })
    };
    let normal = match array.data_type() {
        DataType::Null => Arc::new(LargeStringArray::new_null(array.len())),
        // Identifiers: columns whose values fit are integers, the others text with the same digits.
        t if is_wide_integer(t) => {
            to(&array, &DataType::Int64).or_else(|_| to(&array, &DataType::LargeUtf8))?
        }
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
        DataType::Dictionary(_, value) => return normalise(to(&array, value)?),
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
