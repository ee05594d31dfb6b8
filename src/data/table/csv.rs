//! CSV and TSV, plain or gzip. Every column is text; empty cells are missing.

use super::{
    RawColumn,
    lines::{BadQuote, RowLines, Scanned},
    missing_column,
};
use crate::base::{Error, Result, error::Place};
use arrow::array::LargeStringBuilder;
use std::{fs::File, io::Read, path::Path};

/// Some columns of a file, row after row.
pub(super) struct Rows<'a> {
    file: &'a Path,
    reader: Reader,
    /// Place of each column in a row.
    wanted: Vec<usize>,
    passed: usize,
}

type Reader = csv::Reader<Scanned<Box<dyn Read>>>;

/// All columns of a file.
pub(super) fn names(file: &Path, delimiter: u8) -> Result<Vec<String>> {
    Ok(begin(file, delimiter)?.1.iter().map(str::to_owned).collect())
}

/// A reader behind the header, and the header.
fn begin(file: &Path, delimiter: u8) -> Result<(Reader, csv::StringRecord)> {
    let source = Scanned::new(open(file)?, delimiter);
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(source);
    let headers = reader.headers().map_err(|e| error(file, 1, &e))?.clone();
    if headers.is_empty() {
        let fix = "give a file with a header and rows";
        return Err(Error::input(file, Place::whole(), "the file is empty", fix));
    }
    Ok((reader, headers))
}

impl<'a> Rows<'a> {
    /// `columns` in the order asked for.
    pub(super) fn open(file: &'a Path, delimiter: u8, columns: &[&str]) -> Result<Self> {
        let (reader, headers) = begin(file, delimiter)?;
        let wanted =
            columns.iter().map(|name| find(file, delimiter, &headers, name)).collect::<Result<_>>()?;
        Ok(Self { file, reader, wanted, passed: 0 })
    }

    /// At most `limit` of the rows that are left, none of them at the end.
    pub(super) fn next(&mut self, limit: usize) -> Result<Option<Vec<RawColumn>>> {
        let mut builders: Vec<LargeStringBuilder> =
            self.wanted.iter().map(|_| LargeStringBuilder::new()).collect();
        let mut record = csv::StringRecord::new();
        let begin = self.passed;
        while self.passed - begin < limit {
            match self.reader.read_record(&mut record) {
                Ok(true) => self.passed += 1,
                Ok(false) => break,
                Err(e) => return Err(error(self.file, self.reader.get_ref().line_of(self.passed), &e)),
            }
            for (builder, &index) in builders.iter_mut().zip(&self.wanted) {
                match &record[index] {
                    "" => builder.append_null(),
                    text => builder.append_value(text),
                }
            }
        }
        let ended = self.passed - begin < limit;
        if let Some(quote) = self.reader.get_ref().bad_quote().filter(|_| ended) {
            return Err(quote_error(self.file, quote));
        }
        if self.passed == begin {
            return Ok(None);
        }
        Ok(Some(builders.iter_mut().map(|builder| RawColumn::Text(builder.finish())).collect()))
    }

    /// The lines of the rows that were read since this was asked before.
    pub(super) fn take_lines(&mut self) -> RowLines {
        self.reader.get_mut().take_before(self.passed)
    }
}

fn open(file: &Path) -> Result<Box<dyn Read>> {
    let plain = File::open(file).map_err(|e| Error::io(file, "read", e))?;
    let zipped = file.extension().is_some_and(|e| e.eq_ignore_ascii_case("gz"));
    Ok(if zipped { Box::new(flate2::read::MultiGzDecoder::new(plain)) } else { Box::new(plain) })
}

fn find(file: &Path, delimiter: u8, headers: &csv::StringRecord, name: &str) -> Result<usize> {
    let mut places = headers.iter().enumerate().filter(|(_, header)| *header == name);
    match (places.next(), places.next()) {
        (Some((index, _)), None) => Ok(index),
        (Some(_), Some(_)) => {
            let fix = "give each column its own name";
            Err(Error::input(file, Place::field(name), "the header names this column twice", fix))
        }
        (None, _) => Err(otherwise_separated(file, delimiter, headers)
            .unwrap_or_else(|| missing_column(file, name, &headers.iter().collect::<Vec<_>>()))),
    }
}

/// What separates columns, in words.
const SEPARATORS: [(char, &str); 4] = [(',', "commas"), ('\t', "tabs"), (';', "semicolons"), ('|', "`|`")];

/// The error for a header that another character than `delimiter` separates, which makes one column of it.
fn otherwise_separated(file: &Path, delimiter: u8, headers: &csv::StringRecord) -> Option<Error> {
    let header = headers.get(0).filter(|_| headers.len() == 1)?;
    // The delimiter may stand in a quoted name.
    let others = SEPARATORS.iter().filter(|(separator, _)| *separator != char::from(delimiter));
    let count = |separator: char| header.matches(separator).count();
    let (separator, found) = others.max_by_key(|(separator, _)| count(*separator))?;
    if count(*separator) == 0 {
        return None;
    }
    let (wanted, ending) = if delimiter == b'\t' { ("tabs", "tsv") } else { ("commas", "csv") };
    let renamed = match (delimiter, separator) {
        (b',', '\t') => "name it .tsv, or ",
        (b'\t', ',') => "name it .csv, or ",
        _ => "",
    };
    let problem = format!(
        "the file seems to be separated by {found}: its header is one column; a .{ending} file has {wanted} between columns"
    );
    Some(Error::input(
        file,
        Place::line(1),
        problem,
        format!("{renamed}write it with {wanted}, or as Parquet"),
    ))
}

fn quote_error(file: &Path, quote: BadQuote) -> Error {
    let (line, problem) = match quote {
        BadQuote::Open { line } => (line, "a quote opens here and never closes"),
        BadQuote::Early { line } => (line, "a quote opens here and closes before its value ends"),
    };
    Error::input(
        file,
        Place::line(line),
        problem,
        "close it at the value's end, or double a quote that belongs to it",
    )
}

fn error(file: &Path, line: u64, error: &csv::Error) -> Error {
    let place = Place::line(line);
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => Error::input(
            file,
            place,
            format!("{len} values where the header has {expected_len}"),
            "quote values that contain the separator or a line break, or complete the row",
        ),
        csv::ErrorKind::Utf8 { .. } => {
            Error::input(file, place, "the row is not UTF-8 text", "convert the file to UTF-8")
        }
        _ => Error::input(file, place, format!("cannot be read ({error})"), "check that the file is whole"),
    }
}
