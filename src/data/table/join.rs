//! One column out of the pieces of several files, whose writers need not have agreed on its type.

use super::{Part, RawColumn};
use crate::base::{Error, Result, error::Place};
use arrow::{
    array::{Array, ArrayRef, new_null_array},
    compute::{cast, concat},
    datatypes::DataType,
    error::ArrowError,
};
use std::path::{Path, PathBuf};

/// Singles hold every whole number up to this one.
const EXACT_IN_SINGLES: u64 = 1 << 24;
/// Doubles hold every whole number up to this one.
const EXACT_IN_DOUBLES: u64 = 1 << 53;

const FIX: &str = "write the column with one type in all files";

/// Joins the pieces of a column, one per part, where [`Seen`] allows it.
///
/// A piece without any value takes the type of the others. Integers in one file and floats in another become floats,
/// since writers turn integers into floats where a value is missing; integers and their digits as text become text,
/// since identifiers without sign fit into 64 bits in one file and not in the next.
pub(super) fn join(mut pieces: Vec<RawColumn>, name: &str, parts: &[Part]) -> Result<RawColumn> {
    if pieces.len() == 1 {
        return Ok(pieces.remove(0));
    }
    let mut seen = Seen::default();
    pieces.iter().zip(parts).try_for_each(|(piece, part)| seen.check(piece, name, &part.file))?;
    let target = seen.common_type().unwrap_or_else(|| pieces[0].as_array().data_type().clone());
    let arrow = |e: ArrowError| Error::input(&parts[0].file, Place::field(name), e.to_string(), FIX);
    let arrays: Vec<ArrayRef> = pieces
        .iter()
        .map(|piece| match is_absent(piece) {
            true => Ok(new_null_array(&target, piece.len())),
            false => cast(piece.as_array(), &target),
        })
        .collect::<Result<_, _>>()
        .map_err(arrow)?;
    let views: Vec<&dyn Array> = arrays.iter().map(|a| &**a).collect();
    let joined = concat(&views).map_err(arrow)?;
    Ok(RawColumn::from_array(&joined).expect("the pieces had one of the five types"))
}

/// What the pieces of a column held so far. It decides for those that are joined and for those that are read one after the other, so
/// that a value means the same both ways.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Every type, in the order of their coming.
    types: Vec<Typed>,
    /// Not every value was a whole number, written as one.
    beyond_whole: bool,
    /// The largest of all integers, without its sign, and its file.
    largest: Option<(u64, PathBuf)>,
}

/// A type with the first file that has it.
#[derive(Debug)]
struct Typed {
    data_type: DataType,
    name: &'static str,
    file: PathBuf,
}

impl Seen {
    /// Refuses a piece whose values would mean something else together with those before it: text beside numbers, integers that would
    /// lose digits beside floats, and singles beside doubles, whose text for the same number is another.
    pub(super) fn check(&mut self, piece: &RawColumn, name: &str, file: &Path) -> Result<()> {
        if is_absent(piece) {
            return Ok(());
        }
        let data_type = piece.as_array().data_type();
        if !self.has(data_type) {
            let (data_type, file) = (data_type.clone(), file.to_owned());
            self.types.push(Typed { data_type, name: piece.type_name(), file });
        }
        self.beyond_whole = self.beyond_whole || !is_whole(piece);
        let largest = largest(piece);
        if largest > self.largest.as_ref().map(|(known, _)| *known) {
            self.largest = largest.map(|largest| (largest, file.to_owned()));
        }
        if self.types.len() == 1 || !self.beyond_whole {
            return Ok(());
        }
        self.check_types(name)?;
        self.check_digits(name)
    }

    /// The type that holds every value; none where there is no value.
    fn common_type(&self) -> Option<DataType> {
        match &self.types[..] {
            [] => None,
            [only] => Some(only.data_type.clone()),
            _ if !self.beyond_whole => Some(DataType::LargeUtf8),
            _ if self.has(&DataType::Float64) => Some(DataType::Float64),
            _ => Some(DataType::Float32),
        }
    }

    fn has(&self, data_type: &DataType) -> bool {
        self.types.iter().any(|known| known.data_type == *data_type)
    }

    fn check_types(&self, name: &str) -> Result<()> {
        let joins = |a: &DataType, b: &DataType| {
            a.is_numeric() && b.is_numeric() && !(a.is_floating() && b.is_floating())
        };
        for (at, here) in self.types.iter().enumerate() {
            let odd = self.types[..at].iter().find(|there| !joins(&here.data_type, &there.data_type));
            if let Some(there) = odd {
                let problem = format!("{} here, but {} in {}", here.name, there.name, there.file.display());
                return Err(Error::input(&here.file, Place::field(name), problem, FIX));
            }
        }
        Ok(())
    }

    fn check_digits(&self, name: &str) -> Result<()> {
        let (exact, limit) = match self.has(&DataType::Float32) {
            true => (EXACT_IN_SINGLES, "2^24, which would lose digits beside the floats of single precision"),
            false => (EXACT_IN_DOUBLES, "2^53, which would lose digits beside the floats"),
        };
        match &self.largest {
            Some((largest, file)) if *largest > exact => {
                let problem = format!("integers beyond {limit} of another file");
                let fix = "write the column as integers or as text in all files";
                Err(Error::input(file, Place::field(name), problem, fix))
            }
            _ => Ok(()),
        }
    }
}

/// Whether every value is missing.
fn is_absent(piece: &RawColumn) -> bool {
    match piece {
        RawColumn::Singles(a) => a.iter().flatten().all(f32::is_nan),
        RawColumn::Doubles(a) => a.iter().flatten().all(f64::is_nan),
        _ => piece.as_array().null_count() == piece.len(),
    }
}

/// Integers, or the digits of integers.
fn is_whole(piece: &RawColumn) -> bool {
    match piece {
        RawColumn::Ints(_) => true,
        RawColumn::Text(a) => a.iter().flatten().all(|text| {
            let digits = text.strip_prefix('-').unwrap_or(text);
            !digits.is_empty()
                && digits.bytes().all(|b| b.is_ascii_digit())
                && (digits == "0" || !digits.starts_with('0'))
        }),
        _ => false,
    }
}

/// The largest integer without its sign.
fn largest(piece: &RawColumn) -> Option<u64> {
    match piece {
        RawColumn::Ints(a) => a.iter().flatten().map(i64::unsigned_abs).max(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Float32Array, Float64Array, Int64Array, LargeStringArray};

    /// The type of all pieces together, whichever way they are read.
    fn seen(pieces: Vec<RawColumn>) -> Result<DataType> {
        let file = PathBuf::from("f.parquet");
        let mut seen = Seen::default();
        let one_by_one = pieces.iter().try_for_each(|piece| seen.check(piece, "x", &file));
        let parts: Vec<Part> = pieces
            .iter()
            .map(|piece| Part { file: file.clone(), first_row: 0, rows: piece.len(), lines: None })
            .collect();
        let joined = join(pieces, "x", &parts);
        assert_eq!(joined.is_ok(), one_by_one.is_ok(), "{joined:?}, {one_by_one:?}");
        joined.map(|joined| joined.as_array().data_type().clone())
    }

    #[test]
    fn pieces_are_refused_where_a_value_would_mean_something_else_and_both_ways_the_same() {
        let ints = || RawColumn::Ints(Int64Array::from(vec![1, -(1 << 24)]));
        let long = || RawColumn::Ints(Int64Array::from(vec![-(1 << 24) - 1]));
        let large = || RawColumn::Ints(Int64Array::from(vec![(1 << 53) + 1]));
        let singles = || RawColumn::Singles(Float32Array::from(vec![0.1]));
        let doubles = || RawColumn::Doubles(Float64Array::from(vec![0.1]));
        let text = |text: &str| RawColumn::Text(LargeStringArray::from(vec![text]));
        let absent = || RawColumn::Text(LargeStringArray::new_null(3));
        for (sound, together) in [
            (vec![ints(), singles(), absent()], DataType::Float32),
            (vec![absent(), doubles(), long()], DataType::Float64),
            (vec![ints(), text("18446744073709551615"), large()], DataType::LargeUtf8),
            (vec![text("7"), ints(), text("8")], DataType::LargeUtf8),
            (vec![text("a"), text("7")], DataType::LargeUtf8),
        ] {
            assert_eq!(seen(sound).unwrap(), together);
        }
        for (unsound, said) in [
            (vec![singles(), doubles()], "numbers here, but numbers of single precision in"),
            (vec![doubles(), ints(), singles()], "numbers of single precision here, but numbers in"),
            (vec![ints(), long(), singles()], "integers beyond 2^24"),
            (vec![large(), ints(), doubles()], "integers beyond 2^53"),
            (vec![doubles(), large()], "integers beyond 2^53"),
            (vec![ints(), text("a")], "text here, but integers in"),
            (vec![text("a"), ints()], "integers here, but text in"),
            (vec![text("007"), ints()], "integers here, but text in"),
            (vec![text("7"), ints(), text("a")], "integers here, but text in"),
        ] {
            let refused = seen(unsound).unwrap_err().to_string();
            assert!(refused.contains(said), "{refused}");
        }
    }
}
