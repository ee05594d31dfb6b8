//! Columns as they stand in the user's files, before anything is encoded.
//!
//! A data set is a Parquet file, a CSV or TSV file (plain or `.gz`), or a folder of files of one of these formats, which
//! are read in the order of their names as one. Only the columns that are asked for are read. CSV knows text only, so
//! what a cell means is decided later, by the feature that reads it; that gives the same result for both formats.

pub(crate) mod chunks;
mod csv;
pub mod guarded;
mod join;
mod lines;
mod parquet;
mod stream;

use super::encoded::is_encoded;
use crate::base::{
    Error, Result,
    error::{Place, Spot},
    fsio, keys,
};
use arrow::{
    array::{
        Array, ArrayRef, AsArray, Float32Array, Float64Array, Int64Array, LargeListArray, LargeStringArray,
    },
    datatypes::DataType,
};
use lines::RowLines;
use std::path::{Path, PathBuf};
pub use stream::{PIECE_ROWS, TableFiles};

/// One column. Missing values are nulls; a NaN counts as missing too.
#[derive(Debug, Clone, PartialEq)]
pub enum RawColumn {
    /// Integers and booleans; dates and timestamps in ms since 1970.
    Ints(Int64Array),
    /// Single precision: kept apart, because its shortest decimal text differs from the double's.
    Singles(Float32Array),
    /// Double precision and decimals.
    Doubles(Float64Array),
    /// Text; all columns of a CSV file.
    Text(LargeStringArray),
    /// Lists, each value as text.
    Lists(LargeListArray),
}

/// One file of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    file: PathBuf,
    /// Rows of the file before it.
    first_row: usize,
    rows: usize,
    /// On which line each row begins, where the file has lines.
    lines: Option<RowLines>,
}

impl Part {
    /// What a row of it is called in messages.
    fn spot(&self, row: usize) -> Spot {
        let row = self.first_row + row;
        match &self.lines {
            Some(lines) => Spot::Line(lines.of(row)),
            None => Spot::Row(row as u64 + 1),
        }
    }
}

/// Some columns of a data set.
#[derive(Debug, Clone)]
pub struct RawTable {
    parts: Vec<Part>,
    columns: Vec<(String, RawColumn)>,
}

impl RawTable {
    /// Reads `columns` of the file or folder at `path`.
    pub fn read(path: &Path, columns: &[&str]) -> Result<Self> {
        let each = Format::files(path)?.into_iter().map(|file| Self::of_file(file, columns));
        let tables: Vec<Self> = each.collect::<Result<_>>()?;
        if tables.iter().all(|table| table.rows() == 0) {
            return Err(no_rows(path));
        }
        Self::joined(tables)
    }

    /// The rows of one file, of which there may be none.
    fn of_file((file, format): (PathBuf, Format), columns: &[&str]) -> Result<Self> {
        let (read, lines) = match format {
            Format::Parquet => (parquet::Columns::open(&file, columns)?.read()?, None),
            Format::Separated { delimiter } => {
                let mut rows = csv::Rows::open(&file, delimiter, columns)?;
                let read = rows.next(usize::MAX)?;
                let none = || columns.iter().map(|_| RawColumn::no_text()).collect();
                (read.unwrap_or_else(none), Some(rows.take_lines()))
            }
        };
        let rows = read.first().map_or(0, RawColumn::len);
        let columns = columns.iter().map(|&name| name.to_owned()).zip(read).collect();
        Ok(Self { parts: vec![Part { file, first_row: 0, rows, lines }], columns })
    }

    /// The rows of tables that have the same columns, of which there is at least one.
    fn joined(tables: Vec<Self>) -> Result<Self> {
        let parts: Vec<Part> = tables.iter().flat_map(|table| table.parts.clone()).collect();
        let names: Vec<String> = tables[0].columns.iter().map(|(name, _)| name.clone()).collect();
        let mut columns: Vec<Vec<RawColumn>> = names.iter().map(|_| Vec::new()).collect();
        for table in tables {
            columns.iter_mut().zip(table.columns).for_each(|(pieces, (_, column))| pieces.push(column));
        }
        let join = |(name, pieces): (String, Vec<RawColumn>)| {
            let column = join::join(pieces, &name, &parts)?;
            Ok((name, column))
        };
        let columns = names.into_iter().zip(columns).map(join).collect::<Result<_>>()?;
        Ok(Self { parts, columns })
    }

    /// A table made in memory; `file` stands in messages. All columns have the same length.
    pub fn from_columns(file: &Path, columns: Vec<(String, RawColumn)>) -> Self {
        let rows = columns.first().map_or(0, |(_, column)| column.len());
        debug_assert!(columns.iter().all(|(_, column)| column.len() == rows));
        Self { parts: vec![Part { file: file.to_owned(), first_row: 0, rows, lines: None }], columns }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.parts.iter().map(|part| part.rows).sum()
    }

    /// All columns with their names.
    pub fn columns(&self) -> &[(String, RawColumn)] {
        &self.columns
    }

    /// The column of a name.
    pub fn column(&self, name: &str) -> Result<&RawColumn> {
        self.columns.iter().find(|(n, _)| n == name).map(|(_, column)| column).ok_or_else(|| {
            let known: Vec<&str> = self.columns.iter().map(|(n, _)| n.as_str()).collect();
            missing_column(&self.parts[0].file, name, &known)
        })
    }

    /// An error about a cell, in the words of the file that it came from: the line on which its row begins, or the row where a file
    /// has no lines.
    pub fn cell_error(
        &self,
        column: &str,
        row: usize,
        problem: impl Into<String>,
        fix: impl Into<String>,
    ) -> Error {
        let mut row_in_file = row;
        for part in &self.parts {
            if row_in_file < part.rows {
                let place = Place::cell(column, part.spot(row_in_file));
                return Error::input(&part.file, place, problem, fix);
            }
            row_in_file -= part.rows;
        }
        self.column_error(column, problem, fix)
    }

    /// An error about a row, in the words of the file that it came from.
    pub fn row_error(&self, row: usize, problem: impl Into<String>, fix: impl Into<String>) -> Error {
        let mut row_in_file = row;
        for part in &self.parts {
            if row_in_file < part.rows {
                return Error::input(&part.file, part.spot(row_in_file).into(), problem, fix);
            }
            row_in_file -= part.rows;
        }
        Error::input(&self.parts[0].file, Place::whole(), problem, fix)
    }

    /// An error about a whole column.
    pub fn column_error(&self, column: &str, problem: impl Into<String>, fix: impl Into<String>) -> Error {
        Error::input(&self.parts[0].file, Place::field(column), problem, fix)
    }
}

impl RawColumn {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.as_array().len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Text without rows.
    fn no_text() -> Self {
        Self::Text(LargeStringArray::new_null(0))
    }

    /// What it holds, for messages.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Ints(_) => "integers",
            Self::Singles(_) => "numbers of single precision",
            Self::Doubles(_) => "numbers",
            Self::Text(_) => "text",
            Self::Lists(_) => "lists",
        }
    }

    /// The arrow array.
    pub fn as_array(&self) -> &dyn Array {
        match self {
            Self::Ints(a) => a,
            Self::Singles(a) => a,
            Self::Doubles(a) => a,
            Self::Text(a) => a,
            Self::Lists(a) => a,
        }
    }

    /// Wraps an array that has one of the five types already.
    fn from_array(array: &ArrayRef) -> Option<Self> {
        Some(match array.data_type() {
            DataType::Int64 => Self::Ints(array.as_primitive().clone()),
            DataType::Float32 => Self::Singles(array.as_primitive().clone()),
            DataType::Float64 => Self::Doubles(array.as_primitive().clone()),
            DataType::LargeUtf8 => Self::Text(array.as_string().clone()),
            DataType::LargeList(_) => Self::Lists(array.as_list().clone()),
            _ => return None,
        })
    }
}

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Parquet,
    Separated { delimiter: u8 },
}

impl Format {
    const NAMES: &str = ".parquet, .csv, .tsv, .csv.gz or .tsv.gz";

    fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.to_lowercase();
        let name = name.strip_suffix(".gz").filter(|n| !n.ends_with(".parquet")).unwrap_or(&name);
        match name.rsplit_once('.')?.1 {
            "parquet" => Some(Self::Parquet),
            "csv" => Some(Self::Separated { delimiter: b',' }),
            "tsv" => Some(Self::Separated { delimiter: b'\t' }),
            _ => None,
        }
    }

    /// The file at `path`, or the files of the folder sorted by name. Names that begin with `.` or `_` are what systems
    /// and writers leave beside the data (`_SUCCESS`, `._day.csv`, half-written parts); everything else there is data, or
    /// a mistake that must not end as missing rows.
    fn files(path: &Path) -> Result<Vec<(PathBuf, Self)>> {
        let io = |e| Error::io(path, "read", e);
        if !std::fs::metadata(path).map_err(io)?.is_dir() {
            let unknown = || {
                let problem = "this is no kind of data file that can be read";
                Error::input(path, Place::whole(), problem, format!("give a file named {}", Self::NAMES))
            };
            return Ok(vec![(path.to_owned(), Self::of(path).ok_or_else(unknown)?)]);
        }
        if is_encoded(path) {
            let fix = "give the data that they were made from";
            return Err(Error::input(path, Place::whole(), "these data are encoded already", fix));
        }
        let is_data = |name: &String| !name.starts_with(['.', '_']);
        let names = fsio::list_names(path)?.into_iter().filter(is_data);
        let files = names.map(|name| Self::listed(path.join(name))).collect::<Result<Vec<_>>>()?;
        let Some((_, first)) = files.first() else {
            let fix = format!("put files named {} into it", Self::NAMES);
            return Err(Error::input(path, Place::whole(), "the folder holds no data files", fix));
        };
        if let Some((odd, _)) = files.iter().find(|(_, format)| format != first) {
            let fix = "keep one format in a folder";
            return Err(Error::input(
                odd,
                Place::whole(),
                "of another format than the folder's first file",
                fix,
            ));
        }
        Ok(files)
    }

    /// A folder's entry with its format.
    fn listed(file: PathBuf) -> Result<(PathBuf, Self)> {
        if file.is_dir() {
            let problem = "a folder among data files, which is not looked into";
            let fix = "move its files beside the others, or begin its name with `_`";
            return Err(Error::input(file, Place::whole(), problem, fix));
        }
        Self::of(&file).map(|format| (file.clone(), format)).ok_or_else(|| {
            let problem = "this is no kind of data file that can be read";
            let fix = format!("name it {}, move it away, or begin its name with `_`", Self::NAMES);
            Error::input(&file, Place::whole(), problem, fix)
        })
    }
}

/// The columns of the file at `path`, or of the first file of the folder, in their order.
pub fn names(path: &Path) -> Result<Vec<String>> {
    let files = Format::files(path)?;
    let (file, format) = &files[0];
    match format {
        Format::Parquet => parquet::names(file),
        Format::Separated { delimiter } => csv::names(file, *delimiter),
    }
}

/// Those of [`names`] whose values are of a type that can be read.
pub fn usable(path: &Path) -> Result<Vec<String>> {
    match &Format::files(path)?[0] {
        (file, Format::Parquet) => parquet::usable(file),
        (file, Format::Separated { delimiter }) => csv::names(file, *delimiter),
    }
}

/// The error for data without rows.
fn no_rows(path: &Path) -> Error {
    Error::input(path, Place::whole(), "there are no rows", "give a file with at least one row")
}

/// The error for a column that a file lacks.
fn missing_column(file: &Path, name: &str, known: &[&str]) -> Error {
    Error::input(file, Place::field(name), "there is no such column", keys::suggestion(name, known))
}

#[cfg(test)]
mod tests;
