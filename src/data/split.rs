//! Which rows are trained on and which are validated on. Decided on raw columns, because encoders are fitted on the
//! training rows only.

use super::{dataset::Split, schema::Schema, table::RawTable, time};
use crate::base::{
    Error, Result,
    check::{self, Checked, Violation},
    rng,
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
                let time = |key, moment: &Option<Moment>| {
                    let time = moment.as_ref().map(Moment::time).transpose();
                    time.map_err(|_| Violation {
                        key,
                        problem: "this is no time".to_owned(),
                        fix: "write a number or a date such as 2024-05-31".to_owned(),
                    })
                };
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
        let split = match self {
            Self::Shuffle { valid_fraction } => {
                shuffled(table.rows(), share(*valid_fraction)?, seed, "split")
            }
            Self::Time { train_until, valid_from, valid_until, valid_fraction, .. } => {
                let column = self.column(schema).ok_or_else(|| {
                    Error::usage(
                        "a split by time without a time column",
                        "name one as `time` in the schema or as `column` in the split, or split by = \"shuffle\"",
                    )
                })?;
                let times = time::times(table, column)?;
                match (valid_fraction, train_until, valid_from, valid_until) {
                    (Some(fraction), None, None, None) => latest(&times, share(*fraction)?),
                    (None, until, from, end) if until.is_some() || from.is_some() => {
                        let bounds = Bounds::new(until.as_ref(), from.as_ref(), end.as_ref())?;
                        divide(times.iter().map(|&time| bounds.part(time)))
                    }
                    _ => {
                        return Err(Error::usage(
                            "a split by time needs either bounds or a fraction",
                            "give `train_until`, `valid_from` or both, or only `valid_fraction`",
                        ));
                    }
                }
            }
        };
        for (rows, part) in [(&split.train, "training"), (&split.valid, "validation")] {
            if rows.is_empty() {
                return Err(Error::usage(
                    format!("the split leaves no {part} rows of {}", table.rows()),
                    "move the bounds of the split, or change its fraction",
                ));
            }
        }
        Ok(split)
    }
}

/// Takes a `share` of the training rows out of `split`, drawn by seed: the latest rows are the ones that a network
/// which must score tomorrow can least do without. Returns the smaller split and the rows taken, in ascending order;
/// both hold at least one row.
pub fn hold_out(split: &Split, share: f64, seed: u64) -> Result<(Split, Vec<u32>)> {
    let rows = &split.train;
    let share = self::share(share)?;
    let parts = shuffled(rows.len(), share, seed, "held out");
    let of = |places: Vec<u32>| places.into_iter().map(|place| rows[place as usize]).collect::<Vec<_>>();
    let (train, held_out) = (of(parts.train), of(parts.valid));
    if train.is_empty() || held_out.is_empty() {
        return Err(Error::usage(
            format!("{} training rows cannot be divided", rows.len()),
            "give more rows, or hold none out",
        ));
    }
    Ok((Split { train, valid: split.valid.clone() }, held_out))
}

/// The two sides of a split.
#[derive(Clone, Copy)]
enum Part {
    Train,
    Valid,
}

struct Bounds {
    train_until: i64,
    valid_from: i64,
    valid_until: i64,
}

impl Bounds {
    fn new(until: Option<&Moment>, from: Option<&Moment>, end: Option<&Moment>) -> Result<Self> {
        let until = until.map(Moment::time).transpose()?;
        let from = from.map(Moment::time).transpose()?;
        let bounds = Self {
            train_until: until.or(from.map(|t| t.saturating_sub(1))).unwrap_or(i64::MIN),
            valid_from: from.or(until.map(|t| t.saturating_add(1))).unwrap_or(i64::MAX),
            valid_until: end.map(Moment::time).transpose()?.unwrap_or(i64::MAX),
        };
        if bounds.train_until >= bounds.valid_from {
            return Err(Error::usage(
                "the training rows reach into the validation rows",
                "let `valid_from` be later than `train_until`",
            ));
        }
        Ok(bounds)
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
    fn time(&self) -> Result<i64> {
        match self {
            Self::Number(number) => Ok(*number),
            Self::Date(text) => time::parse(text).ok_or_else(|| {
                Error::usage(format!("`{text}` is no time"), "write a number or a date such as 2024-05-31")
            }),
        }
    }
}

fn share(fraction: f64) -> Result<f64> {
    if fraction > 0.0 && fraction < 1.0 {
        return Ok(fraction);
    }
    Err(Error::usage(
        format!("{fraction} is no share of the rows"),
        "give a `valid_fraction` between 0 and 1",
    ))
}

fn divide(parts: impl Iterator<Item = Option<Part>>) -> Split {
    let mut split = Split::default();
    for (row, part) in (0..).zip(parts) {
        match part {
            Some(Part::Train) => split.train.push(row),
            Some(Part::Valid) => split.valid.push(row),
            None => {}
        }
    }
    split
}

/// How many of `rows` a share is: at least one.
fn count(rows: usize, share: f64) -> usize {
    ((rows as f64 * share).round() as usize).max(1)
}

fn latest(times: &[i64], share: f64) -> Split {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let border = sorted[sorted.len() - count(sorted.len(), share)];
    divide(times.iter().map(|&time| Some(if time < border { Part::Train } else { Part::Valid })))
}

fn shuffled(rows: usize, share: f64, seed: u64, purpose: &str) -> Split {
    let mut order: Vec<u32> = (0..rows as u32).collect();
    rng::shuffle(&mut order, &mut rng::generator(seed, purpose));
    let mut valid = order[..count(rows, share)].to_vec();
    let mut train = order.split_off(valid.len());
    valid.sort_unstable();
    train.sort_unstable();
    Split { train, valid }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::table::RawColumn;
    use arrow::array::Int64Array;
    use std::path::Path;

    fn table(dates: &[i64]) -> RawTable {
        let column = RawColumn::Ints(Int64Array::from(dates.to_vec()));
        RawTable::from_columns(Path::new("d.csv"), vec![("date".to_owned(), column)])
    }

    fn schema() -> Schema {
        let text = "[data]\nlabel = \"y\"\ntime = \"date\"\n[[feature]]\nname = \"a\"\nkind = \"item\"\n\
            type = \"categorical\"\nfetch_ms = 1";
        Schema::parse(text, Path::new("s.toml")).unwrap()
    }

    fn split(settings: &str, dates: &[i64]) -> Result<Split> {
        let settings: SplitSettings = crate::base::keys::parse_toml(settings, Path::new("e.toml"))?;
        settings.split(&schema(), &table(dates), 1)
    }

    const DATES: [i64; 6] = [20220505, 20220503, 20220501, 20220504, 20220503, 20220506];

    #[test]
    fn both_bounds_leave_out_what_lies_beyond() {
        let text = "by = \"time\"\ncolumn = \"date\"\ntrain_until = 20220503\nvalid_from = 20220504\nvalid_until = 20220505";
        let found = split(text, &DATES).unwrap();
        assert_eq!(found, Split { train: vec![1, 2, 4], valid: vec![0, 3] });
    }

    #[test]
    fn one_bound_divides_everything() {
        let until = split("by = \"time\"\ntrain_until = 20220503", &DATES).unwrap();
        assert_eq!(until, Split { train: vec![1, 2, 4], valid: vec![0, 3, 5] });
        assert_eq!(split("by = \"time\"\nvalid_from = 20220504", &DATES).unwrap(), until);
    }

    #[test]
    fn bounds_may_be_dates_where_the_column_counts_milliseconds() {
        let day = 86_400_000;
        let found = split("by = \"time\"\nvalid_from = \"1970-01-03\"", &[0, 2 * day, 2 * day - 1]).unwrap();
        assert_eq!(found, Split { train: vec![0, 2], valid: vec![1] });
    }

    #[test]
    fn a_fraction_takes_the_latest_rows_and_keeps_equal_times_together() {
        let found = split("by = \"time\"\nvalid_fraction = 0.34", &DATES).unwrap();
        assert_eq!(found.valid, [0, 5]);
        let tied = split("by = \"time\"\nvalid_fraction = 0.25", &[1, 2, 2, 2]).unwrap();
        assert_eq!(tied.valid, [1, 2, 3]);
    }

    #[test]
    fn a_shuffle_repeats_by_seed_and_keeps_every_row_once() {
        let settings = SplitSettings::Shuffle { valid_fraction: 0.3 };
        let table = table(&[0; 1000]);
        let of = |seed| settings.split(&schema(), &table, seed).unwrap();
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
        assert_eq!(of(1).valid.len(), 300);
        let mut all = [of(1).train, of(1).valid].concat();
        all.sort_unstable();
        assert_eq!(all, (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn rows_are_held_out_by_seed_and_none_is_lost() {
        let split = Split { train: (0..8).map(|i| 2 * i).collect(), valid: vec![1, 3] };
        let (rest, held_out) = hold_out(&split, 0.25, 1).unwrap();
        assert_eq!((rest.train.len(), rest.valid.as_slice(), held_out.len()), (6, &[1, 3][..], 2));
        let mut all = [rest.train, held_out.clone()].concat();
        all.sort_unstable();
        assert_eq!(all, split.train);
        assert_eq!(hold_out(&split, 0.25, 1).unwrap().1, held_out);
        assert!((2..20).any(|seed| hold_out(&split, 0.25, seed).unwrap().1 != held_out));
        let one = Split { train: vec![0], valid: vec![1] };
        assert!(hold_out(&one, 0.5, 1).unwrap_err().to_string().contains("hold none out"));
    }

    #[test]
    fn rows_are_held_out_by_draws_of_their_own() {
        let shuffle = SplitSettings::Shuffle { valid_fraction: 0.25 };
        let divided = shuffle.split(&schema(), &table(&[0; 40]), 1).unwrap();
        let every = Split { train: (0..40).collect(), valid: vec![] };
        assert_ne!(hold_out(&every, 0.25, 1).unwrap().1, divided.valid);
    }

    #[test]
    fn a_split_reads_its_column_beside_those_of_the_schema_once() {
        let columns = |text: &str| {
            let settings: SplitSettings = crate::base::keys::parse_toml(text, Path::new("e.toml")).unwrap();
            settings.columns(&schema()).into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(columns("by = \"time\"\nvalid_fraction = 0.1"), ["y", "a", "date"]);
        assert_eq!(columns("by = \"time\"\ncolumn = \"day\"\nvalid_fraction = 0.1"), ["y", "a", "day"]);
        assert_eq!(columns("by = \"time\"\ncolumn = \"a\"\nvalid_fraction = 0.1"), ["y", "a"]);
        assert_eq!(columns("by = \"shuffle\"\nvalid_fraction = 0.1"), ["y", "a"]);
    }

    #[test]
    fn a_time_that_cannot_be_read_is_named_with_its_row() {
        let texts = arrow::array::LargeStringArray::from(vec!["11", "soon"]);
        let table =
            RawTable::from_columns(Path::new("d.csv"), vec![("date".to_owned(), RawColumn::Text(texts))]);
        let settings: SplitSettings =
            crate::base::keys::parse_toml("by = \"time\"\nvalid_fraction = 0.5", Path::new("e.toml"))
                .unwrap();
        let text = settings.split(&schema(), &table, 1).unwrap_err().to_string();
        assert!(text.contains("d.csv, `date`, row 2: no time can be read here"), "{text}");
    }

    #[test]
    fn settings_that_no_data_could_fit_are_refused_by_key_before_any_is_read() {
        let check = |text: &str| {
            let settings: SplitSettings = crate::base::keys::parse_toml(text, Path::new("e.toml")).unwrap();
            settings.check().map_err(|violation| violation.key)
        };
        for (text, key) in [
            ("by = \"shuffle\"\nvalid_fraction = 1.0", "valid_fraction"),
            ("by = \"time\"\nvalid_fraction = 0.0", "valid_fraction"),
            ("by = \"time\"", "valid_fraction"),
            ("by = \"time\"\nvalid_until = 5", "valid_fraction"),
            ("by = \"time\"\ntrain_until = 1\nvalid_fraction = 0.1", "valid_fraction"),
            ("by = \"time\"\ntrain_until = 4\nvalid_from = 4", "valid_from"),
            ("by = \"time\"\ntrain_until = \"soon\"", "train_until"),
            ("by = \"time\"\nvalid_from = \"2024-02-31\"", "valid_from"),
            ("by = \"time\"\ntrain_until = 4\nvalid_until = 4", "valid_until"),
            ("by = \"time\"\nvalid_from = 4\nvalid_until = 3", "valid_until"),
        ] {
            assert_eq!(check(text), Err(key), "{text}");
        }
        for text in [
            "by = \"shuffle\"\nvalid_fraction = 0.5",
            "by = \"time\"\nvalid_fraction = 0.5",
            "by = \"time\"\ntrain_until = 4",
            "by = \"time\"\nvalid_from = \"2024-02-29\"",
            "by = \"time\"\ntrain_until = 4\nvalid_from = 5\nvalid_until = 5",
        ] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn settings_that_make_no_sense_are_refused_with_a_fix() {
        for (text, fix) in [
            ("by = \"time\"", "valid_fraction"),
            ("by = \"time\"\ntrain_until = 20220504\nvalid_from = 20220504", "later than"),
            ("by = \"time\"\ntrain_until = 1\nvalid_fraction = 0.1", "only `valid_fraction`"),
            ("by = \"time\"\ntrain_until = 1", "move the bounds"),
            ("by = \"time\"\nvalid_from = \"soon\"", "a date such as"),
            ("by = \"shuffle\"\nvalid_fraction = 1.5", "between 0 and 1"),
            ("by = \"shuffle\"\nvalid_fractoin = 0.5", "did you mean `valid_fraction`"),
            ("by = \"tme\"", "did you mean `time`"),
        ] {
            let message = split(text, &DATES).unwrap_err().to_string();
            assert!(message.contains(fix), "{text}: {message}");
        }
    }
}
