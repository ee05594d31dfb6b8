//! Which rows are trained on and which are validated on. Decided on raw columns, because encoders are fitted on the
//! training rows only.

mod divider;
mod hold_out;
mod selection;

pub(super) use divider::{AllRows, neither_empty};
pub use hold_out::{HoldOut, hold_out};

use super::{dataset::Split, schema::Schema, table::RawTable, time};
use crate::base::{
    Result,
    check::{self, Checked, Violation},
};
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
        schema.columns_and(self.column(schema))
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

#[cfg(test)]
mod tests;
