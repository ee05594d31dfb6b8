//! Arrivals as a production system wrote them down: a CSV file with a column of times, in ascending order.

use super::{arrivals::Schedule, timestamp};
use crate::base::{Error, Result, error::Place};
use csv::StringRecord;
use std::path::Path;

/// Reads the first `requests` arrivals, as offsets from the first one, with the column `candidates` when it is named.
pub(super) fn read(file: &Path, time: &str, candidates: Option<&str>, requests: usize) -> Result<Schedule> {
    let table = Table { file };
    let mut reader = csv::Reader::from_path(file).map_err(|e| {
        let fix = "name a readable CSV file with a header";
        table.broken(Place::whole(), format!("cannot be opened ({e})"), fix)
    })?;
    let header = reader.headers().map_err(|e| {
        table.broken(Place::whole(), format!("has no readable header ({e})"), "add a header line")
    })?;
    let time_index = table.column(header, time)?;
    let count_index = candidates.map(|name| table.column(header, name)).transpose()?;
    let (mut times, mut counts) = (Vec::new(), Vec::new());
    for (record, row) in reader.records().take(requests).zip(1..) {
        let record = record.map_err(|e| {
            let problem = format!("not a row of the header's columns ({e})");
            table.broken(Place::row(row), problem, "mend the row")
        })?;
        times.push(table.time(&record[time_index], Place::cell(time, row), times.last().copied())?);
        if let (Some(index), Some(name)) = (count_index, candidates) {
            counts.push(table.count(&record[index], Place::cell(name, row))?);
        }
    }
    let &first = times.first().ok_or_else(|| {
        table.broken(Place::whole(), "no arrivals".to_owned(), "record at least one request")
    })?;
    Ok(Schedule {
        offsets_us: times.into_iter().map(|at| at.abs_diff(first)).collect(),
        candidates: count_index.map(|_| counts),
    })
}

struct Table<'a> {
    file: &'a Path,
}

impl Table<'_> {
    fn broken(&self, place: Place, problem: String, fix: &str) -> Error {
        Error::input(self.file, place, problem, fix)
    }

    fn column(&self, header: &StringRecord, name: &str) -> Result<usize> {
        header.iter().position(|h| h.trim() == name).ok_or_else(|| {
            let known: Vec<_> = header.iter().collect();
            let problem = format!("no such column; there are {}", known.join(", "));
            self.broken(Place::field(name), problem, "name one of them")
        })
    }

    /// Microseconds of a cell that does not lie before `last`.
    fn time(&self, text: &str, place: Place, last: Option<i64>) -> Result<i64> {
        let Some(at) = timestamp::parse_us(text) else {
            let fix = "write it as 2023-11-16 18:17:03.97996 or as seconds";
            return Err(self.broken(place, format!("`{text}` is not a time"), fix));
        };
        if last.is_some_and(|last| at < last) {
            return Err(self.broken(
                place,
                "earlier than the row before".to_owned(),
                "sort the file by time",
            ));
        }
        Ok(at)
    }

    fn count(&self, text: &str, place: Place) -> Result<u64> {
        text.trim().parse().map_err(|_| {
            self.broken(place, format!("`{text}` is not a number of candidates"), "write a whole number")
        })
    }
}
