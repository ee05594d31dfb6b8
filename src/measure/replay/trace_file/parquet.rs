//! Traces as Parquet, row group by row group.

use super::{Header, arrival, broken};
use crate::{
    base::{
        Error, Result,
        error::{Place, Spot},
        fsio,
    },
    data::table::{
        chunks,
        guarded::{Batches, Bounded, caught},
    },
    measure::replay::trace::Request,
};
use arrow::{
    array::{
        Array, ArrayRef, AsArray, Int64Builder, ListArray, ListBuilder, PrimitiveArray, RecordBatch,
        UInt64Array, UInt64Builder,
    },
    compute::{CastOptions, cast_with_options, take},
    datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, UInt64Type},
    error::ArrowError,
};
use parquet::{
    arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder},
    basic::{Compression, Encoding, ZstdLevel},
    errors::ParquetError,
    file::{
        properties::{EnabledStatistics, WriterProperties},
        reader::Length,
    },
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

const METADATA_KEY: &str = "autofas.trace";
/// Requests of a batch at most.
const BATCH: usize = 2048;
/// Candidates of a batch: a batch of requests is as small as their lists are long.
const BATCH_CANDIDATES: usize = 1 << 16;
/// What a row group holds at least, but for the last. The writer keeps a row group in memory, packed, until it is full, a few
/// megabytes at the most; and both who writes and who reads keep something about each until the end.
const GROUP: usize = 1 << 17;
/// As [`GROUP`], in candidates.
const GROUP_CANDIDATES: usize = 1 << 20;

fn candidate_field() -> Field {
    Field::new("item", DataType::UInt64, false)
}

fn candidates_type() -> DataType {
    DataType::List(Arc::new(candidate_field()))
}

pub(super) fn write(
    path: &Path,
    header: String,
    mut requests: impl Iterator<Item = Result<Request>>,
) -> Result<()> {
    let failed = |e: ParquetError| Error::io(path, "write", std::io::Error::other(e));
    let fields = vec![
        Field::new("arrival_us", DataType::Int64, false),
        Field::new("request", DataType::UInt64, false),
        Field::new("user", DataType::UInt64, false),
        Field::new("candidates", candidates_type(), false),
    ];
    let schema: SchemaRef = Arc::new(Schema::new_with_metadata(fields, [(METADATA_KEY.to_owned(), header)]));
    let mut properties = WriterProperties::builder();
    // Their values hardly ever come twice: dictionaries of them would be as long as the columns, in the memory of who writes and who reads.
    for column in ["arrival_us", "request"] {
        properties = properties
            .set_column_dictionary_enabled(column.into(), false)
            .set_column_encoding(column.into(), Encoding::DELTA_BINARY_PACKED);
    }
    let properties = properties
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3).map_err(failed)?))
        // They are kept in memory until the end of the file, by who writes it and by who reads it, and nobody asks for them.
        .set_statistics_enabled(EnabledStatistics::None)
        // A page is unpacked as a whole, so that short pages need as much memory in a long file as in a short one.
        .set_data_page_row_count_limit(BATCH)
        .set_offset_index_disabled(true)
        .build();
    fsio::write_made(path, |out| {
        let mut writer = ArrowWriter::try_new(out, schema.clone(), Some(properties)).map_err(failed)?;
        let (mut batch, mut ungrouped) = (Batch::new(), 0);
        loop {
            let request = requests.next().transpose()?;
            let last = request.is_none();
            request.iter().for_each(|request| batch.push(request));
            if last || batch.is_full() {
                ungrouped += batch.candidates;
                writer.write(&batch.take(&schema).map_err(|e| failed(e.into()))?).map_err(failed)?;
            }
            if writer.in_progress_rows() >= GROUP || ungrouped >= GROUP_CANDIDATES {
                writer.flush().map_err(failed)?;
                ungrouped = 0;
            }
            if last {
                return writer.close().map(|_| ()).map_err(failed);
            }
        }
    })
}

/// Requests that are not written yet.
struct Batch {
    arrivals: Int64Builder,
    ids: UInt64Builder,
    users: UInt64Builder,
    lists: ListBuilder<UInt64Builder>,
    requests: usize,
    candidates: usize,
}

impl Batch {
    fn new() -> Self {
        Self {
            arrivals: Int64Builder::new(),
            ids: UInt64Builder::new(),
            users: UInt64Builder::new(),
            lists: ListBuilder::new(UInt64Builder::new()).with_field(candidate_field()),
            requests: 0,
            candidates: 0,
        }
    }

    fn push(&mut self, request: &Request) {
        // Later ones than a signed number can hold were refused.
        self.arrivals.append_value(request.arrival_us as i64);
        self.ids.append_value(request.id);
        self.users.append_value(request.user);
        self.lists.values().append_slice(&request.candidates);
        self.lists.append(true);
        self.requests += 1;
        self.candidates += request.candidates.len();
    }

    fn is_full(&self) -> bool {
        self.requests >= BATCH || self.candidates >= BATCH_CANDIDATES
    }

    fn take(&mut self, schema: &SchemaRef) -> std::result::Result<RecordBatch, ArrowError> {
        (self.requests, self.candidates) = (0, 0);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.arrivals.finish()),
            Arc::new(self.ids.finish()),
            Arc::new(self.users.finish()),
            Arc::new(self.lists.finish()),
        ];
        RecordBatch::try_new(schema.clone(), columns)
    }
}

pub(super) struct Rows {
    path: PathBuf,
    batches: Batches,
    batch: Option<Columns>,
    /// Of the next request in `batch`.
    at: usize,
    /// Of the next request in the file, from 1.
    row: u64,
}

struct Columns {
    arrivals: PrimitiveArray<Int64Type>,
    ids: PrimitiveArray<UInt64Type>,
    users: PrimitiveArray<UInt64Type>,
    lists: ListArray,
}

pub(super) fn open(path: &Path) -> Result<(Header, Rows)> {
    let unreadable =
        |e: ParquetError| broken(path, Place::whole(), format!("not a whole Parquet file ({e})"));
    let file = || std::fs::File::open(path).map(Bounded).map_err(|e| Error::io(path, "read", e));
    let (file, again) = (file()?, file()?);
    let bytes = file.len();
    let builder = caught(|| ParquetRecordBatchReaderBuilder::try_new(file)).map_err(unreadable)?;
    chunks::check(builder.metadata(), bytes).map_err(unreadable)?;
    caught(|| chunks::check_dictionaries(again, builder.metadata(), |_| true)).map_err(unreadable)?;
    let text = builder
        .schema()
        .metadata()
        .get(METADATA_KEY)
        .ok_or_else(|| broken(path, Place::field(METADATA_KEY), "the file has no header of a trace"))?;
    let header = serde_json::from_str(text)
        .map_err(|e| broken(path, Place::field(METADATA_KEY), format!("not the header of a trace ({e})")))?;
    let batch = batch_size(&builder);
    let batches = caught(|| builder.with_batch_size(batch).build()).map(Batches::of).map_err(unreadable)?;
    Ok((header, Rows { path: path.to_owned(), batches, batch: None, at: 0, row: 1 }))
}

/// Requests that are read at once: few where lists are long.
fn batch_size(builder: &ParquetRecordBatchReaderBuilder<Bounded>) -> usize {
    let groups = builder.metadata().row_groups();
    let values =
        groups.iter().flat_map(|group| group.columns().iter().map(|column| column.num_values())).max();
    let rows = groups.iter().map(|group| group.num_rows()).max().unwrap_or(1).max(1);
    let longest_mean = values.unwrap_or(1).max(1) as usize / rows as usize;
    (BATCH_CANDIDATES / longest_mean.max(1)).clamp(1, BATCH)
}

impl Rows {
    fn read(&mut self) -> Option<Result<()>> {
        let (path, row) = (&self.path, self.row);
        let batch = match self.batches.next()? {
            Ok(batch) => batch,
            Err(e) => return Some(Err(broken(path, Place::row(row), format!("cannot be read ({e})")))),
        };
        self.at = 0;
        Some(Columns::of(path, &batch, row).map(|columns| self.batch = Some(columns)))
    }
}

impl Iterator for Rows {
    type Item = Result<Request>;

    fn next(&mut self) -> Option<Result<Request>> {
        loop {
            if let Some(batch) = self.batch.as_ref().filter(|batch| self.at < batch.ids.len()) {
                let request = batch.request(&self.path, self.at, self.row);
                self.at += 1;
                self.row += 1;
                return Some(request);
            }
            if let Err(error) = self.read()? {
                return Some(Err(error));
            }
        }
    }
}

impl Columns {
    /// `row` is that of the batch's first request.
    fn of(path: &Path, batch: &RecordBatch, row: u64) -> Result<Self> {
        let column = |name, wanted| column(path, batch, row, name, &wanted);
        Ok(Self {
            arrivals: column("arrival_us", DataType::Int64)?.as_primitive().clone(),
            ids: column("request", DataType::UInt64)?.as_primitive().clone(),
            users: column("user", DataType::UInt64)?.as_primitive().clone(),
            lists: column("candidates", candidates_type())?.as_list().clone(),
        })
    }

    fn request(&self, path: &Path, at: usize, row: u64) -> Result<Request> {
        let [begin, end] = [at, at + 1].map(|i| self.lists.value_offsets()[i] as usize);
        Ok(Request {
            arrival_us: arrival(path, Spot::Row(row), self.arrivals.value(at))?,
            id: self.ids.value(at),
            user: self.users.value(at),
            candidates: self.lists.values().as_primitive::<UInt64Type>().values()[begin..end].to_vec(),
        })
    }
}

/// A column without nulls, in the type that is read; other integer types are converted where every value fits.
fn column(path: &Path, batch: &RecordBatch, row: u64, name: &str, wanted: &DataType) -> Result<ArrayRef> {
    let array = batch
        .column_by_name(name)
        .ok_or_else(|| broken(path, Place::field(name), "the column is missing"))?;
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let read = |array: &ArrayRef| {
        let array = cast_with_options(array, wanted, &options)?;
        let inner = array.as_list_opt::<i32>().map_or(0, |lists: &ListArray| lists.values().null_count());
        match array.null_count() + inner {
            0 => Ok(array),
            _ => Err(ArrowError::CastError("there is nothing in it".to_owned())),
        }
    };
    read(array).map_err(|whole| {
        // One by one, to say where it is. A slice of lists would bring all lists along.
        let one = |i: usize| read(&take(array, &UInt64Array::from(vec![i as u64]), None)?);
        let single = (0..array.len()).find_map(|i| Some((i, one(i).err()?)));
        let (at, e) = single.unwrap_or((0, whole));
        broken(path, Place::cell(name, Spot::Row(row + at as u64)), format!("cannot be read ({e})"))
    })
}
