//! Traces as JSON lines.

use super::{Header, arrival, broken};
use crate::{
    base::{
        Error, Result,
        error::{Place, Spot},
        fsio,
    },
    measure::replay::trace::Request,
};
use serde::Deserialize;
use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

/// A request as it stands in a line; signed, so that a negative time is seen as one.
#[derive(Deserialize)]
struct Line {
    arrival_us: i64,
    request: u64,
    user: u64,
    candidates: Vec<u64>,
}

pub(super) fn write(
    path: &Path,
    header: &str,
    requests: impl Iterator<Item = Result<Request>>,
) -> Result<()> {
    let io = |e| Error::io(path, "write", e);
    fsio::write_made(path, |out| {
        writeln!(out, "{header}").map_err(io)?;
        for request in requests {
            serde_json::to_writer(&mut *out, &request?).map_err(|e| io(e.into()))?;
            out.write_all(b"\n").map_err(io)?;
        }
        Ok(())
    })
}

pub(super) struct Rows {
    path: PathBuf,
    lines: BufReader<File>,
    line: Vec<u8>,
    number: u64,
}

pub(super) fn open(path: &Path) -> Result<(Header, Rows)> {
    let file = File::open(path).map_err(|e| Error::io(path, "read", e))?;
    let mut rows = Rows {
        path: path.to_owned(),
        lines: BufReader::with_capacity(1 << 16, file),
        line: Vec::new(),
        number: 0,
    };
    if !rows.read()? {
        return Err(broken(path, Place::whole(), "the file is empty"));
    }
    let header = serde_json::from_slice(&rows.line)
        .map_err(|e| broken(path, Place::line(1), format!("not the header of a trace ({e})")))?;
    Ok((header, rows))
}

impl Rows {
    /// Whether there is another line.
    fn read(&mut self) -> Result<bool> {
        self.line.clear();
        self.number += 1;
        let read = self.lines.read_until(b'\n', &mut self.line);
        read.map(|bytes| bytes > 0).map_err(|e| Error::io(&self.path, "read", e))
    }

    fn request(&self) -> Result<Request> {
        let (path, spot) = (&self.path, Spot::Line(self.number));
        let line: Line = serde_json::from_slice(&self.line)
            .map_err(|e| broken(path, spot.into(), format!("not a request ({e})")))?;
        let arrival_us = arrival(path, spot, line.arrival_us)?;
        Ok(Request { arrival_us, id: line.request, user: line.user, candidates: line.candidates })
    }
}

impl Iterator for Rows {
    type Item = Result<Request>;

    fn next(&mut self) -> Option<Result<Request>> {
        match self.read() {
            Ok(true) => Some(self.request()),
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        }
    }
}
