//! Arrivals as a production system wrote them down: a CSV file with a column of times, in ascending order.

use super::{arrivals::Schedule, timestamp};
use crate::{
    base::{
        Error, Result,
        error::{Place, Spot},
    },
    data::{column::Column, growing::Growing},
};
use csv::StringRecord;
use std::path::Path;

/// What a file holds.
pub(super) struct Recording {
    /// From the first arrival, in µs; at least one.
    offsets_us: Column<u64>,
    candidates: Option<Column<u64>>,
}

/// Reads the first `requests` arrivals, with the column `candidates` when it is named.
pub(super) fn read(file: &Path, time: &str, candidates: Option<&str>, requests: usize) -> Result<Recording> {
    let table = Table { file };
    let mut reader = csv::Reader::from_path(file).map_err(|e| {
        let fix = "name a readable CSV file with a header";
        table.broken(Place::whole(), format!("cannot be opened ({e})"), fix)
    })?;
    let header = reader.headers().map_err(|e| {
        table.broken(Place::whole(), format!("has no readable header ({e})"), "add a header line")
    })?;
    let time_index = table.column(header, time)?;
    let count_column =
        candidates.map(|name| table.column(header, name).map(|index| (index, name))).transpose()?;
    let (mut offsets_us, mut counts) = (Growing::default(), Growing::default());
    let (mut first, mut last) = (None, None);
    let mut record = StringRecord::new();
    for row in 1..=requests as u64 {
        let read = reader.read_record(&mut record).map_err(|e| {
            let problem = format!("not a row of the header's columns ({e})");
            table.broken(Place::row(row), problem, "mend the row")
        })?;
        if !read {
            break;
        }
        let at = table.time(&record[time_index], Place::cell(time, Spot::Row(row)), last)?;
        offsets_us.push(at.abs_diff(*first.get_or_insert(at)))?;
        last = Some(at);
        if let Some((index, name)) = count_column {
            counts.push(table.count(&record[index], Place::cell(name, Spot::Row(row)))?)?;
        }
    }
    if first.is_none() {
        let fix = "record at least one request";
        return Err(table.broken(Place::whole(), "no arrivals".to_owned(), fix));
    }
    let candidates = count_column.map(|_| counts.finish()).transpose()?;
    Ok(Recording { offsets_us: offsets_us.finish()?, candidates })
}

impl Recording {
    /// As many arrivals as `requests`: from the first again when they are used up, as often as needed. One repetition begins one
    /// mean gap after the last arrival of the one before, so that neither rate nor bursts change.
    pub(super) fn repeated(self, file: &Path, requests: usize) -> Result<Schedule> {
        let recorded = self.offsets_us.len();
        if recorded >= requests {
            return Ok(Schedule {
                offsets_us: self.offsets_us,
                candidates: self.candidates,
                notes: Vec::new(),
            });
        }
        let span_us = self.offsets_us[recorded - 1];
        if span_us == 0 {
            return Err(Error::input(
                file,
                Place::whole(),
                format!("{recorded} arrivals at one moment do not say when {requests} come"),
                format!("record more, or want {recorded} requests"),
            ));
        }
        let mean_gap_us = (span_us as f64 / (recorded - 1) as f64).round() as u64;
        let period_us = span_us.saturating_add(mean_gap_us);
        let mut offsets_us = Growing::default();
        for i in 0..requests {
            let begin_us = period_us.saturating_mul((i / recorded) as u64);
            offsets_us.push(begin_us.saturating_add(self.offsets_us[i % recorded]))?;
        }
        let again = |counts: Column<u64>| {
            let mut candidates = Growing::default();
            (0..requests).try_for_each(|i| candidates.push(counts[i % recorded]))?;
            candidates.finish()
        };
        let notes = vec![format!(
            "the {recorded} recorded arrivals come {:.2} times, every {:.3} s as recorded (their span and one mean gap)",
            requests as f64 / recorded as f64,
            period_us as f64 / 1e6
        )];
        let candidates = self.candidates.map(again).transpose()?;
        Ok(Schedule { offsets_us: offsets_us.finish()?, candidates, notes })
    }
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
