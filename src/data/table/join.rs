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

/// Doubles hold every whole number up to this one.
const LARGEST_EXACT: u64 = 1 << 53;

const FIX: &str = "write the column with one type in all files";

/// Joins the pieces of a column, one per part.
///
/// A piece without any value takes the type of the others. Integers in one file and floats in another become doubles,
/// since writers turn integers into floats where a value is missing; integers and their digits as text become text,
/// since identifiers without sign fit into 64 bits in one file and not in the next.
pub(super) fn join(mut pieces: Vec<RawColumn>, name: &str, parts: &[Part]) -> Result<RawColumn> {
    if pieces.len() == 1 {
        return Ok(pieces.remove(0));
    }
    let target = common_type(&pieces, name, parts)?;
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

/// The type that holds every value of all pieces.
fn common_type(pieces: &[RawColumn], name: &str, parts: &[Part]) -> Result<DataType> {
    let mut present: Vec<usize> = (0..pieces.len()).filter(|&i| !is_absent(&pieces[i])).collect();
    if present.is_empty() {
        present.push(0);
    }
    let type_of = |i: usize| pieces[i].as_array().data_type();
    let first = present[0];
    let all = |fits: &dyn Fn(&RawColumn) -> bool| present.iter().all(|&i| fits(&pieces[i]));
    if present.iter().all(|&i| type_of(i) == type_of(first)) {
        return Ok(type_of(first).clone());
    }
    if all(&is_whole) {
        return Ok(DataType::LargeUtf8);
    }
    if all(&is_numeric) {
        return match present.iter().find(|&&i| is_beyond_doubles(&pieces[i])) {
            None => Ok(DataType::Float64),
            Some(&i) => Err(loses_digits(&parts[i].file, name)),
        };
    }
    let alike =
        |i: usize| type_of(i) == type_of(first) || is_numeric(&pieces[i]) && is_numeric(&pieces[first]);
    let odd = present.iter().copied().find(|&i| !alike(i)).expect("neither all of one type nor all numbers");
    Err(mixed(&parts[odd].file, name, pieces[odd].type_name(), pieces[first].type_name(), &parts[first].file))
}

/// What the pieces of a column held so far, where they are not kept to be joined.
#[derive(Debug, Default)]
pub(super) struct Seen {
    first: Option<(DataType, &'static str, PathBuf)>,
    /// Every value was a whole number, written as one.
    whole: bool,
    floats: bool,
    beyond_doubles: bool,
}

impl Seen {
    /// Refuses a piece whose values would mean something else if it were joined with those before it: text beside numbers,
    /// integers that would lose digits beside floats, and singles beside doubles, which write the same number otherwise.
    pub(super) fn check(&mut self, piece: &RawColumn, name: &str, file: &Path) -> Result<()> {
        if is_absent(piece) {
            return Ok(());
        }
        let data_type = piece.as_array().data_type();
        let Some((first, first_name, first_file)) = &self.first else {
            self.first = Some((data_type.clone(), piece.type_name(), file.to_owned()));
            self.whole = is_whole(piece);
            return self.note(piece, name, file);
        };
        self.whole = self.whole && is_whole(piece);
        let one_precision = !(first.is_floating() && data_type.is_floating());
        let numbers = is_numeric(piece) && first.is_numeric() && one_precision;
        if data_type != first && !numbers && !self.whole {
            return Err(mixed(file, name, piece.type_name(), first_name, first_file));
        }
        self.note(piece, name, file)
    }

    fn note(&mut self, piece: &RawColumn, name: &str, file: &Path) -> Result<()> {
        self.floats |= piece.as_array().data_type().is_floating();
        self.beyond_doubles |= is_beyond_doubles(piece);
        if self.floats && self.beyond_doubles { Err(loses_digits(file, name)) } else { Ok(()) }
    }
}

fn mixed(file: &Path, name: &str, here: &str, there: &str, first: &Path) -> Error {
    Error::input(file, Place::field(name), format!("{here} here, but {there} in {}", first.display()), FIX)
}

fn loses_digits(file: &Path, name: &str) -> Error {
    Error::input(
        file,
        Place::field(name),
        "integers beyond 2^53, which would lose digits beside the floats of another file",
        "write the column as integers or as text in all files",
    )
}

/// Whether every value is missing.
fn is_absent(piece: &RawColumn) -> bool {
    match piece {
        RawColumn::Singles(a) => a.iter().flatten().all(f32::is_nan),
        RawColumn::Doubles(a) => a.iter().flatten().all(f64::is_nan),
        _ => piece.as_array().null_count() == piece.len(),
    }
}

fn is_numeric(piece: &RawColumn) -> bool {
    matches!(piece, RawColumn::Ints(_) | RawColumn::Singles(_) | RawColumn::Doubles(_))
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

fn is_beyond_doubles(piece: &RawColumn) -> bool {
    matches!(piece, RawColumn::Ints(a) if a.iter().flatten().any(|v| v.unsigned_abs() > LARGEST_EXACT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Float32Array, Float64Array, Int64Array, LargeStringArray};

    fn seen(pieces: &[RawColumn]) -> Result<()> {
        let mut seen = Seen::default();
        pieces.iter().try_for_each(|piece| seen.check(piece, "x", Path::new("f.parquet")))
    }

    #[test]
    fn pieces_are_refused_where_joining_them_would_change_a_value() {
        let ints = || RawColumn::Ints(Int64Array::from(vec![1, 2]));
        let large = || RawColumn::Ints(Int64Array::from(vec![(1 << 53) + 1]));
        let singles = || RawColumn::Singles(Float32Array::from(vec![0.1]));
        let doubles = || RawColumn::Doubles(Float64Array::from(vec![0.1]));
        let text = |text: &str| RawColumn::Text(LargeStringArray::from(vec![text]));
        let absent = || RawColumn::Text(LargeStringArray::new_null(3));
        for sound in [
            vec![ints(), singles(), absent()],
            vec![absent(), doubles(), ints()],
            vec![ints(), text("18446744073709551615"), large()],
            vec![text("7"), ints(), text("8")],
            vec![text("a"), text("7")],
        ] {
            assert!(seen(&sound).is_ok(), "{sound:?}");
        }
        for unsound in [
            vec![singles(), doubles()],
            vec![large(), ints(), doubles()],
            vec![doubles(), large()],
            vec![ints(), text("a")],
            vec![text("a"), ints()],
            vec![text("007"), ints()],
        ] {
            assert!(seen(&unsound).is_err(), "{unsound:?}");
        }
    }
}
