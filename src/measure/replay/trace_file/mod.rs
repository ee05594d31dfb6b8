//! Traces as files: Parquet (`.parquet`) or JSON lines (`.jsonl`), one request per row.
//!
//! Columns: `arrival_us` i64, `request` u64, `user` u64, `candidates` list of u64. The header (version, number of
//! requests, origin) is the first line of a `.jsonl` file and the metadata `autofas.trace` of a Parquet file.
//!
//! Both are written and read piece by piece: a long trace needs no more memory than a short one.

mod json_lines;
mod parquet;

use super::{
    check::Checked,
    trace::{Origin, Request, SCHEMA_VERSION, Trace, TraceBuilder},
};
use crate::base::{
    Error, Result,
    error::{Place, Spot},
};
use serde::{Deserialize, Serialize};
use std::path::Path;

const FIX: &str = "make the trace again with `trace make`";

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    schema_version: u32,
    requests: usize,
    #[serde(flatten)]
    origin: Origin,
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

    /// Where the first request stands.
    fn first(self) -> Spot {
        match self {
            Self::Parquet => Spot::Row(1),
            Self::JsonLines => Spot::Line(2),
        }
    }
}

/// Fails when the name of `path` tells no format that [`write()`] knows.
pub fn check_name(path: &Path) -> Result<()> {
    Format::of(path).map(|_| ())
}

/// Writes a trace of as many `requests` as announced in the format that the file's name tells. Requests that [`TraceReader`] would refuse
/// are not written; errors name the first by its position.
pub fn write(
    path: &Path,
    origin: &Origin,
    announced: usize,
    requests: impl IntoIterator<Item = Request>,
) -> Result<()> {
    let header = Header { schema_version: SCHEMA_VERSION, requests: announced, origin: origin.clone() };
    let header = serde_json::to_string(&header).map_err(|e| Error::io(path, "encode", e.into()))?;
    let checked = Checked::new(requests.into_iter().map(Ok), path.to_owned(), Spot::Row(1), announced);
    match Format::of(path)? {
        Format::Parquet => parquet::write(path, header, checked),
        Format::JsonLines => json_lines::write(path, &header, checked),
    }
}

/// Reads a trace request by request and checks it on the way: complete, sorted, no negative times, no request without candidates,
/// no id twice. The first error, which names file and row, is the last item; what only the end shows is told there.
pub struct TraceReader {
    origin: Origin,
    requests: Checked<Rows>,
}

enum Rows {
    Parquet(Box<parquet::Rows>),
    JsonLines(json_lines::Rows),
}

impl Iterator for Rows {
    type Item = Result<Request>;

    fn next(&mut self) -> Option<Result<Request>> {
        match self {
            Self::Parquet(rows) => rows.next(),
            Self::JsonLines(rows) => rows.next(),
        }
    }
}

impl TraceReader {
    /// Opens the file and reads its header.
    pub fn open(path: &Path) -> Result<Self> {
        let format = Format::of(path)?;
        let (header, rows) = match format {
            Format::Parquet => {
                let (header, rows) = parquet::open(path)?;
                (header, Rows::Parquet(Box::new(rows)))
            }
            Format::JsonLines => {
                let (header, rows) = json_lines::open(path)?;
                (header, Rows::JsonLines(rows))
            }
        };
        if header.schema_version != SCHEMA_VERSION {
            let version = header.schema_version;
            let problem = format!("version {version} where this program reads {SCHEMA_VERSION}");
            return Err(broken(path, Place::field("schema_version"), problem));
        }
        let requests = Checked::new(rows, path.to_owned(), format.first(), header.requests);
        Ok(Self { origin: header.origin, requests })
    }

    /// All of it but users and candidates.
    pub fn trace(mut self) -> Result<Trace> {
        let mut builder = TraceBuilder::default();
        for request in &mut self {
            builder.see(&request?)?;
        }
        builder.finish(self.origin)
    }

    /// From what the trace was made.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }
}

impl Iterator for TraceReader {
    type Item = Result<Request>;

    fn next(&mut self) -> Option<Result<Request>> {
        self.requests.next()
    }
}

fn broken(path: &Path, place: Place, problem: impl Into<String>) -> Error {
    Error::input(path, place, problem, FIX)
}

fn arrival(path: &Path, spot: Spot, us: i64) -> Result<u64> {
    u64::try_from(us)
        .map_err(|_| broken(path, Place::cell("arrival_us", spot), format!("{us} lies before the trace")))
}

#[cfg(test)]
mod tests;
