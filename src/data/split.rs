//! Which rows are trained on and which are validated on. Decided on raw columns, because encoders are fitted on the
//! training rows only.

use super::{dataset::Split, schema::Schema, table::RawTable, time};
use crate::base::{
    Error, Result,
    check::{self, Checked, Violation},
    rng::{self, Generator},
};
use rand::RngExt;
use serde::{Deserialize, Serialize};

/// How rows are divided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "lowercase", deny_unknown_fields)]
pub enum SplitSettings {
    /// Training rows come before validation rows.
    ///
    /// Give either a fraction or at least one bound. With one bound the other part is everything beyond it; rows between
    /// two bounds, and after `valid_until`, belong to neither part.
    Time {
        /// Column that orders the rows; the schema's time column when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        column: Option<String>,
        /// Rows up to this time, included, are trained on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        train_until: Option<Moment>,
        /// Rows from this time on are validated on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        valid_from: Option<Moment>,
        /// Rows up to this time, included, are validated on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        valid_until: Option<Moment>,
        /// This share of the rows, the latest, is validated on. Rows of equal time stay together, on the validation side.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        valid_fraction: Option<f64>,
    },
    /// A seeded random choice.
    Shuffle {
        /// Share of the rows that is validated on.
        valid_fraction: f64,
    },
}

/// A point in time, in the units of the column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Moment {
    /// As the column's numbers count.
    Number(i64),
    /// A date, for columns that hold dates: `2024-05-31` or `2024-05-31T12:00:00`.
    Date(String),
}

impl SplitSettings {
    /// The columns that an encoded data set and this split are made from, each once.
    pub fn columns<'a>(&'a self, schema: &'a Schema) -> Vec<&'a str> {
        let mut columns = schema.columns();
        if let Some(column) = self.column(schema).filter(|column| !columns.contains(column)) {
            columns.push(column);
        }
        columns
    }

    /// The column that orders the rows.
    fn column<'a>(&'a self, schema: &'a Schema) -> Option<&'a str> {
        match self {
            Self::Time { column, .. } => column.as_deref().or(schema.time.as_deref()),
            Self::Shuffle { .. } => None,
        }
    }

    /// Refuses what no data could be divided by, before any is read.
    pub fn check(&self) -> Checked {
        let fraction = |share: f64| check::inside("valid_fraction", share);
        match self {
            Self::Shuffle { valid_fraction } => fraction(*valid_fraction),
            Self::Time {
                valid_fraction: Some(share),
                train_until: None,
                valid_from: None,
                valid_until: None,
                ..
            } => fraction(*share),
            Self::Time {
                valid_fraction: None,
                train_until: until,
                valid_from: from,
                valid_until: end,
                ..
            } if until.is_some() || from.is_some() => {
                let time =
                    |key, moment: &Option<Moment>| moment.as_ref().map(|moment| moment.time(key)).transpose();
                let (until, from) = (time("train_until", until)?, time("valid_from", from)?);
                let later = until.zip(from).is_none_or(|(until, from)| until < from);
                let problem = "the training rows reach into the validation rows";
                check::ensure(later, "valid_from", problem, "let it be later than `train_until`")?;
                let begins = from.or(until.map(|until| until.saturating_add(1)));
                let ends = begins.zip(time("valid_until", end)?).is_none_or(|(begins, end)| begins <= end);
                let problem = "the validation rows end before they begin";
                check::ensure(ends, "valid_until", problem, "let it be later than the other bounds")
            }
            Self::Time { .. } => check::ensure(
                false,
                "valid_fraction",
                "a split by time needs either bounds or a fraction",
                "give `train_until`, `valid_from` or both together with `by`, or only `valid_fraction`",
            ),
        }
    }

    /// Divides the rows of `table`. Both parts are in ascending order and not empty; `seed` matters to the shuffle only.
    pub fn split(&self, schema: &Schema, table: &RawTable, seed: u64) -> Result<Split> {
        let mut divider = self.divider(schema, table, seed)?;
        let (mut train, mut valid) = (Vec::new(), Vec::new());
        divider.divide(table, |part, row| part.of(&mut train, &mut valid).push(row))?;
        neither_empty(train.len(), valid.len(), table.rows())?;
        Ok(Split { train: train.into(), valid: valid.into() })
    }

    /// What divides the rows of `rows` when they come by in their order.
    pub(super) fn divider(&self, schema: &Schema, rows: &impl AllRows, seed: u64) -> Result<Divider> {
        self.check()?;
        let column = self.column(schema);
        let rule = match self {
            Self::Shuffle { valid_fraction } => {
                Rule::Draw(Box::new(Selection::new(rows.count()?, *valid_fraction, seed, "split")))
            }
            Self::Time { train_until, valid_from, valid_until, valid_fraction, .. } => {
                let column = column.ok_or_else(|| {
                    Error::usage(
                        "a split by time without a time column",
                        "name one as `time` in the schema or as `column` in the split, or split by = \"shuffle\"",
                    )
                })?;
                Rule::Time(match valid_fraction {
                    Some(fraction) => Bounds::from(border(rows.times(column)?, *fraction)),
                    None => Bounds::new(train_until.as_ref(), valid_from.as_ref(), valid_until.as_ref())?,
                })
            }
        };
        Ok(Divider { rule, column: column.map(str::to_owned), passed: 0 })
    }
}

/// What a split may have to know of all rows before it can divide the first.
pub(super) trait AllRows {
    /// How many there are.
    fn count(&self) -> Result<usize>;
    /// Their times.
    fn times(&self, column: &str) -> Result<Vec<i64>>;
}

impl AllRows for RawTable {
    fn count(&self) -> Result<usize> {
        Ok(self.rows())
    }

    fn times(&self, column: &str) -> Result<Vec<i64>> {
        time::times(self, column)
    }
}

/// Divides rows that come in their order, some at a time.
pub(super) struct Divider {
    rule: Rule,
    column: Option<String>,
    /// Rows that have come by.
    passed: u32,
}

enum Rule {
    Time(Bounds),
    Draw(Box<Selection>),
}

impl Divider {
    /// Gives every row of the next piece that belongs to a part to `take`, with its number among all rows.
    pub(super) fn divide(&mut self, piece: &RawTable, mut take: impl FnMut(Part, u32)) -> Result<()> {
        let too_many = || Error::usage("more than 4,294,967,295 rows", "encode fewer of them");
        let next = u32::try_from(piece.rows()).ok().and_then(|rows| self.passed.checked_add(rows));
        let next = next.ok_or_else(too_many)?;
        let rows = self.passed..next;
        match (&mut self.rule, &self.column) {
            (Rule::Time(bounds), Some(column)) => {
                let times = time::times(piece, column)?;
                for (row, time) in rows.zip(times) {
                    if let Some(part) = bounds.part(time) {
                        take(part, row);
                    }
                }
            }
            (Rule::Time(_), None) => unreachable!("a split by time has a column"),
            (Rule::Draw(valid), _) => {
                if piece.rows() > valid.left {
                    return Err(changed());
                }
                rows.for_each(|row| take(if valid.chooses() { Part::Valid } else { Part::Train }, row));
            }
        }
        self.passed = next;
        Ok(())
    }

    /// Fails when fewer rows came by than were counted.
    pub(super) fn finish(self) -> Result<()> {
        match self.rule {
            Rule::Draw(selection) if selection.left > 0 => Err(changed()),
            _ => Ok(()),
        }
    }
}

fn changed() -> Error {
    Error::usage("the data changed while they were read", "read them again when nobody writes to them")
}

/// An error when a part is empty.
pub(super) fn neither_empty(train: usize, valid: usize, rows: usize) -> Result<()> {
    for (count, part) in [(train, "training"), (valid, "validation")] {
        if count == 0 {
            return Err(Error::usage(
                format!("the split leaves no {part} rows of {rows}"),
                "move the bounds of the split, or change its fraction",
            ));
        }
    }
    Ok(())
}

/// Takes a `share` of `rows` (training rows, ascending) out, drawn by seed and not by time: the latest rows are the ones that
/// a network which must score tomorrow can least do without. Both parts hold at least one row.
pub fn hold_out(rows: &[u32], share: f64, seed: u64) -> Result<HoldOut<'_>> {
    check::inside("held_out", share)?;
    let selection = Selection::new(rows.len(), share, seed, "held out");
    if selection.wanted >= rows.len() {
        return Err(Error::usage(
            format!("{} training rows cannot be divided", rows.len()),
            "give more rows, or hold none out",
        ));
    }
    Ok(HoldOut { rows, selection })
}

/// See [`hold_out`]. Both parts are given row by row, for neither need fit into the memory.
pub struct HoldOut<'a> {
    rows: &'a [u32],
    selection: Selection,
}

impl<'a> HoldOut<'a> {
    /// The rows that are left.
    pub fn rest(&self) -> impl Iterator<Item = u32> + use<'a> {
        self.part(false)
    }

    /// The rows that are held out.
    pub fn taken(&self) -> impl Iterator<Item = u32> + use<'a> {
        self.part(true)
    }

    fn part(&self, taken: bool) -> impl Iterator<Item = u32> + use<'a> {
        let (rows, mut selection) = (self.rows, self.selection.clone());
        rows.iter().copied().filter(move |_| selection.chooses() == taken)
    }
}

/// A random choice of a number of rows, all choices equally likely, made row by row (Knuth's algorithm S): each of the `left`
/// rows that are still to come is chosen with probability `wanted / left`.
#[derive(Clone)]
struct Selection {
    left: usize,
    wanted: usize,
    rng: Generator,
}

impl Selection {
    fn new(rows: usize, share: f64, seed: u64, purpose: &str) -> Self {
        Self { left: rows, wanted: count(rows, share), rng: rng::generator(seed, purpose) }
    }

    /// Whether the next row is chosen.
    fn chooses(&mut self) -> bool {
        let chosen = self.rng.random_range(0..self.left) < self.wanted;
        self.left -= 1;
        self.wanted -= usize::from(chosen);
        chosen
    }
}

/// The two sides of a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Train,
    Valid,
}

impl Part {
    /// Which of the two it is.
    pub(super) fn of<T>(self, train: T, valid: T) -> T {
        match self {
            Self::Train => train,
            Self::Valid => valid,
        }
    }
}

struct Bounds {
    train_until: i64,
    valid_from: i64,
    valid_until: i64,
}

impl Bounds {
    /// Of settings that were checked.
    fn new(until: Option<&Moment>, from: Option<&Moment>, end: Option<&Moment>) -> Result<Self> {
        let until = until.map(|until| until.time("train_until")).transpose()?;
        let from = from.map(|from| from.time("valid_from")).transpose()?;
        Ok(Self {
            train_until: until.or(from.map(|t| t.saturating_sub(1))).unwrap_or(i64::MIN),
            valid_from: from.or(until.map(|t| t.saturating_add(1))).unwrap_or(i64::MAX),
            valid_until: end.map(|end| end.time("valid_until")).transpose()?.unwrap_or(i64::MAX),
        })
    }

    /// Everything before `border` trains, everything else validates.
    fn from(border: i64) -> Self {
        Self { train_until: border.saturating_sub(1), valid_from: border, valid_until: i64::MAX }
    }

    fn part(&self, time: i64) -> Option<Part> {
        if time <= self.train_until {
            Some(Part::Train)
        } else if (self.valid_from..=self.valid_until).contains(&time) {
            Some(Part::Valid)
        } else {
            None
        }
    }
}

impl Moment {
    /// As the column counts it; `key` is where it was written.
    fn time(&self, key: &'static str) -> Result<i64, Violation> {
        match self {
            Self::Number(number) => Ok(*number),
            Self::Date(text) => time::parse(text).ok_or_else(|| Violation {
                key,
                problem: format!("`{text}` is no time"),
                fix: "write a number or a date such as 2024-05-31".to_owned(),
            }),
        }
    }
}

/// How many of `rows` a share is: at least one.
fn count(rows: usize, share: f64) -> usize {
    ((rows as f64 * share).round() as usize).max(1)
}

/// The time from which on a `share` of the rows, the latest, stands.
fn border(mut times: Vec<i64>, share: f64) -> i64 {
    let place = times.len() - count(times.len(), share);
    *times.select_nth_unstable(place).1
}

#[cfg(test)]
mod tests;
