//! Traces as files: Parquet (`.parquet`) or JSON lines (`.jsonl`), one request per row.
//!
//! Columns: `arrival_us` i64, `request` u64, `user` u64, `candidates` list of u64. The header (version, number of
//! requests, origin) is the first line of a `.jsonl` file and the metadata `autofas.trace` of a Parquet file.

use super::trace::{Origin, Request, SCHEMA_VERSION, Trace};
use crate::base::{Error, Result, error::Place, fsio};
use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, ListBuilder, RecordBatch, UInt64Array, UInt64Builder},
    compute::{CastOptions, cast_with_options},
    datatypes::{DataType, Field, Int64Type, Schema, UInt64Type},
};
use parquet::{
    arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder},
    basic::{Compression, ZstdLevel},
    file::properties::WriterProperties,
};
use serde::{Deserialize, Serialize};
use std::{path::Path, sync::Arc};

const METADATA_KEY: &str = "autofas.trace";
const FIX: &str = "make the trace again with `trace make`";
/// Requests per record batch: bounds the memory beside the trace itself.
const BATCH: usize = 4096;

#[derive(Serialize, Deserialize)]
struct Header {
    schema_version: u32,
    requests: usize,
    #[serde(flatten)]
    origin: Origin,
}

/// A request as it stands in a JSON line; signed, so that a negative time is seen as one.
#[derive(Deserialize)]
struct Line {
    arrival_us: i64,
    request: u64,
    user: u64,
    candidates: Vec<u64>,
}

#[derive(Clone, Copy)]
enum Format {
    Parquet,
    JsonLines,
}

impl Format {
    fn of(path: &Path) -> Result<Self> {
        match path.extension().and_then(|e| e.to_str()) {
            Some("parquet") => Ok(Self::Parquet),
            Some("jsonl") => Ok(Self::JsonLines),
            _ => Err(Error::input(
                path,
                Place::whole(),
                "the name tells no trace format",
                "let it end in .parquet or .jsonl",
            )),
        }
    }
}

/// Writes a trace in the format that the file's name tells.
pub fn write(path: &Path, trace: &Trace) -> Result<()> {
    trace.check(path, 1)?;
    match Format::of(path)? {
        Format::Parquet => {
            let bytes = to_parquet(trace).map_err(|e| Error::io(path, "encode", std::io::Error::other(e)))?;
            fsio::write(path, &bytes)
        }
        Format::JsonLines => fsio::write_with(path, |out| {
            serde_json::to_writer(&mut *out, &header(trace))?;
            for r in &trace.requests {
                out.write_all(b"\n")?;
                let line = serde_json::json!({
                    "arrival_us": r.arrival_us, "request": r.id, "user": r.user, "candidates": r.candidates
                });
                serde_json::to_writer(&mut *out, &line)?;
            }
            out.write_all(b"\n")
        }),
    }
}

/// Reads a trace and checks it: complete, sorted, no negative times, no request without candidates.
pub fn read(path: &Path) -> Result<Trace> {
    let (header, requests, first_row) = match Format::of(path)? {
        Format::Parquet => from_parquet(path)?,
        Format::JsonLines => from_json_lines(path)?,
    };
    if header.schema_version != SCHEMA_VERSION {
        return Err(broken(
            path,
            Place::field("schema_version"),
            format!("version {} where this program reads {SCHEMA_VERSION}", header.schema_version),
        ));
    }
    let trace = Trace { origin: header.origin, requests };
    trace.check(path, first_row)?;
    if trace.requests.len() != header.requests {
        return Err(broken(
            path,
            Place::row(first_row + trace.requests.len() as u64),
            format!("the file ends after {} of {} requests", trace.requests.len(), header.requests),
        ));
    }
    Ok(trace)
}

fn header(trace: &Trace) -> Header {
    let origin = trace.origin.clone();
    Header { schema_version: SCHEMA_VERSION, requests: trace.requests.len(), origin }
}

fn broken(path: &Path, place: Place, problem: impl Into<String>) -> Error {
    Error::input(path, place, problem, FIX)
}

fn arrival(path: &Path, row: u64, us: i64) -> Result<u64> {
    u64::try_from(us)
        .map_err(|_| broken(path, Place::cell("arrival_us", row), format!("{us} lies before the trace")))
}

fn from_json_lines(path: &Path) -> Result<(Header, Vec<Request>, u64)> {
    let text = fsio::read_text(path)?;
    let mut lines = text.lines().zip(1u64..);
    let (first, _) = lines.next().ok_or_else(|| broken(path, Place::whole(), "the file is empty"))?;
    let header = serde_json::from_str(first)
        .map_err(|e| broken(path, Place::row(1), format!("not the header of a trace ({e})")))?;
    let requests = lines.map(|(line, row)| {
        let line: Line = serde_json::from_str(line)
            .map_err(|e| broken(path, Place::row(row), format!("not a request ({e})")))?;
        let arrival_us = arrival(path, row, line.arrival_us)?;
        Ok(Request { arrival_us, id: line.request, user: line.user, candidates: line.candidates })
    });
    Ok((header, requests.collect::<Result<_>>()?, 2))
}

fn candidates_type() -> DataType {
    DataType::List(Arc::new(Field::new("item", DataType::UInt64, false)))
}

fn to_parquet(trace: &Trace) -> parquet::errors::Result<Vec<u8>> {
    let fields = vec![
        Field::new("arrival_us", DataType::Int64, false),
        Field::new("request", DataType::UInt64, false),
        Field::new("user", DataType::UInt64, false),
        Field::new("candidates", candidates_type(), false),
    ];
    let header = serde_json::to_string(&header(trace))
        .map_err(|e| parquet::errors::ParquetError::General(e.to_string()))?;
    let schema = Arc::new(Schema::new_with_metadata(fields, [(METADATA_KEY.to_owned(), header)]));
    let properties =
        WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?)).build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, schema.clone(), Some(properties))?;
    for part in trace.requests.chunks(BATCH) {
        let mut candidates =
            ListBuilder::new(UInt64Builder::new()).with_field(Field::new("item", DataType::UInt64, false));
        for request in part {
            candidates.values().append_slice(&request.candidates);
            candidates.append(true);
        }
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(part.iter().map(|r| r.arrival_us as i64))),
            Arc::new(UInt64Array::from_iter_values(part.iter().map(|r| r.id))),
            Arc::new(UInt64Array::from_iter_values(part.iter().map(|r| r.user))),
            Arc::new(candidates.finish()),
        ];
        writer.write(&RecordBatch::try_new(schema.clone(), columns)?)?;
    }
    writer.close()?;
    Ok(bytes)
}

fn from_parquet(path: &Path) -> Result<(Header, Vec<Request>, u64)> {
    let unreadable =
        |e: &dyn std::fmt::Display| broken(path, Place::whole(), format!("not a whole Parquet file ({e})"));
    let file = std::fs::File::open(path).map_err(|e| Error::io(path, "read", e))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| unreadable(&e))?;
    let text = builder
        .schema()
        .metadata()
        .get(METADATA_KEY)
        .ok_or_else(|| broken(path, Place::field(METADATA_KEY), "the file has no header of a trace"))?;
    let header = serde_json::from_str(text)
        .map_err(|e| broken(path, Place::field(METADATA_KEY), format!("not the header of a trace ({e})")))?;
    let mut requests = Vec::new();
    for batch in builder.with_batch_size(BATCH).build().map_err(|e| unreadable(&e))? {
        append(path, &batch.map_err(|e| unreadable(&e))?, &mut requests)?;
    }
    Ok((header, requests, 1))
}

fn append(path: &Path, batch: &RecordBatch, requests: &mut Vec<Request>) -> Result<()> {
    let arrivals = column(path, batch, "arrival_us", &DataType::Int64)?;
    let ids = column(path, batch, "request", &DataType::UInt64)?;
    let users = column(path, batch, "user", &DataType::UInt64)?;
    let lists = column(path, batch, "candidates", &candidates_type())?;
    let (arrivals, ids) = (arrivals.as_primitive::<Int64Type>(), ids.as_primitive::<UInt64Type>());
    let (users, lists) = (users.as_primitive::<UInt64Type>(), lists.as_list::<i32>());
    for i in 0..batch.num_rows() {
        let row = requests.len() as u64 + 1;
        requests.push(Request {
            arrival_us: arrival(path, row, arrivals.value(i))?,
            id: ids.value(i),
            user: users.value(i),
            candidates: lists.value(i).as_primitive::<UInt64Type>().values().to_vec(),
        });
    }
    Ok(())
}

/// A column without nulls, in the type that is read; other integer types are converted where every value fits.
fn column(path: &Path, batch: &RecordBatch, name: &str, wanted: &DataType) -> Result<ArrayRef> {
    let array = batch
        .column_by_name(name)
        .ok_or_else(|| broken(path, Place::field(name), "the column is missing"))?;
    if array.null_count() > 0 {
        return Err(broken(path, Place::field(name), "the column has nulls"));
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(array, wanted, &options)
        .map_err(|e| broken(path, Place::field(name), format!("the column cannot be read ({e})")))
}

#[cfg(test)]
mod tests {
    use super::{super::trace::examples::trace, *};

    fn files(folder: &Path) -> [std::path::PathBuf; 2] {
        [folder.join("t.parquet"), folder.join("t.jsonl")]
    }

    #[test]
    fn a_trace_reads_back_identical_in_both_formats() {
        let folder = tempfile::tempdir().unwrap();
        let arrivals: Vec<u64> = (0..5000).map(|i| i / 3 * 1_000_003).collect();
        let mut original = trace(&arrivals, 3);
        original.requests[17].candidates.push(u64::MAX);
        for path in files(folder.path()) {
            write(&path, &original).unwrap();
            assert_eq!(read(&path).unwrap(), original, "{}", path.display());
        }
    }

    #[test]
    fn unsorted_empty_and_far_too_late_requests_are_not_even_written() {
        let folder = tempfile::tempdir().unwrap();
        for path in files(folder.path()) {
            let unsorted = write(&path, &trace(&[0, 9, 8], 1)).unwrap_err().to_string();
            assert!(unsorted.contains("`arrival_us`, row 3") && unsorted.contains("sort"), "{unsorted}");
            let empty = write(&path, &trace(&[0], 0)).unwrap_err().to_string();
            assert!(empty.contains("`candidates`, row 1"), "{empty}");
            // What a file's signed column cannot hold would read back as a negative time.
            let late = write(&path, &trace(&[0, 1, i64::MAX as u64 + 1], 1)).unwrap_err().to_string();
            assert!(late.contains("`arrival_us`, row 3") && late.contains("63 bits"), "{late}");
            assert!(!path.exists());
        }
    }

    #[test]
    fn wrong_lines_are_named_with_their_row() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.jsonl");
        write(&path, &trace(&[100, 200, 300], 2)).unwrap();
        let text = fsio::read_text(&path).unwrap();
        for (from, to, expected) in [
            ("\"arrival_us\":200", "\"arrival_us\":-200", "row 3: -200 lies before"),
            ("\"arrival_us\":200", "\"arrival_us\":99", "row 3: arrives before"),
            ("\"arrival_us\":300", "\"arrival_us\":x", "row 4: not a request"),
            ("\"requests\":3", "\"requests\":4", "row 5: the file ends after 3 of 4"),
            ("\"schema_version\":2", "\"schema_version\":9", "version 9"),
        ] {
            assert!(text.contains(from), "{text}");
            fsio::write(&path, text.replace(from, to).as_bytes()).unwrap();
            let message = read(&path).unwrap_err().to_string();
            assert!(message.contains(expected) && message.contains("t.jsonl"), "{message}");
        }
        fsio::write(&path, &text.as_bytes()[..text.len() - 20]).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("row 4: not a request"));
    }

    #[test]
    fn a_negative_time_in_parquet_is_named_with_its_row() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.parquet");
        // As another program may write it.
        let bytes = to_parquet(&trace(&[0, 1, u64::MAX], 1)).unwrap();
        fsio::write(&path, &bytes).unwrap();
        let message = read(&path).unwrap_err().to_string();
        assert!(message.contains("`arrival_us`, row 3: -1 lies before"), "{message}");
    }

    #[test]
    fn a_cut_parquet_file_and_an_unknown_format_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.parquet");
        write(&path, &trace(&[0, 1], 1)).unwrap();
        let bytes = fsio::read(&path).unwrap();
        fsio::write(&path, &bytes[..bytes.len() - 9]).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("not a whole Parquet file"));
        assert!(read(&folder.path().join("t.csv")).unwrap_err().to_string().contains(".jsonl"));
    }
}
