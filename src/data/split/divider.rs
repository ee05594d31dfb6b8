//! Dividing rows that come by in their order, so that not all of them need be in memory.

use super::{
    Moment, SplitSettings,
    selection::{Selection, count},
};
use crate::{
    base::{Error, Result},
    data::{schema::Schema, table::RawTable, time},
};

impl SplitSettings {
    /// What divides the rows of `rows` when they come by in their order.
    pub(in crate::data) fn divider(
        &self,
        schema: &Schema,
        rows: &impl AllRows,
        seed: u64,
    ) -> Result<Divider> {
        self.check()?;
        let column = self.column(schema);
        let rule = match self {
            Self::Shuffle { valid_fraction } => {
                let rows = rows.count()?;
                let wanted = count(rows, *valid_fraction);
                Rule::Draw(Box::new(Selection::new(rows, wanted, seed, "split")))
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
pub(in crate::data) trait AllRows {
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
pub(in crate::data) struct Divider {
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
    pub(in crate::data) fn divide(
        &mut self,
        piece: &RawTable,
        mut take: impl FnMut(Part, u32),
    ) -> Result<()> {
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
                if piece.rows() > valid.left() {
                    return Err(changed());
                }
                rows.for_each(|row| take(if valid.chooses() { Part::Valid } else { Part::Train }, row));
            }
        }
        self.passed = next;
        Ok(())
    }

    /// Fails when fewer rows came by than were counted.
    pub(in crate::data) fn finish(self) -> Result<()> {
        match self.rule {
            Rule::Draw(selection) if selection.left() > 0 => Err(changed()),
            _ => Ok(()),
        }
    }
}

fn changed() -> Error {
    Error::usage("the data changed while they were read", "read them again when nobody writes to them")
}

/// The two sides of a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::data) enum Part {
    Train,
    Valid,
}

impl Part {
    /// Which of the two it is.
    pub(in crate::data) fn of<T>(self, train: T, valid: T) -> T {
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

/// An error when a part is empty.
pub(in crate::data) fn neither_empty(train: usize, valid: usize, rows: usize) -> Result<()> {
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

/// The time from which on a `share` of the rows, the latest, stands.
fn border(mut times: Vec<i64>, share: f64) -> i64 {
    let place = times.len() - count(times.len(), share);
    *times.select_nth_unstable(place).1
}
