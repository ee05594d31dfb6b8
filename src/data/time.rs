//! Times as whole numbers: what the column holds, or ms since 1970 where it holds dates as text.

use crate::base::{Result, calendar};
use crate::data::table::{RawColumn, RawTable};

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// The time of every row. A missing time is an error.
pub(crate) fn times(table: &RawTable, column: &str) -> Result<Vec<i64>> {
    let raw = table.column(column)?;
    let array = raw.as_array();
    let whole = |x: f64| (x.fract() == 0.0 && x.abs() < 9e15).then_some(x as i64);
    (0..table.rows())
        .map(|row| {
            let time = match raw {
                _ if array.is_null(row) => None,
                RawColumn::Ints(a) => Some(a.value(row)),
                RawColumn::Singles(a) => whole(f64::from(a.value(row))),
                RawColumn::Doubles(a) => whole(a.value(row)),
                RawColumn::Text(a) => parse(a.value(row)),
                RawColumn::Lists(_) => None,
            };
            time.ok_or_else(|| {
                let fix = "give every row a whole number or a date such as 2024-05-31 or 2024-05-31T12:00:00";
                table.cell_error(column, row, "no time can be read here", fix)
            })
        })
        .collect()
}

/// A whole number as it is, also with a fraction of zeros; a date (`2024-05-31`), with or without a time of day (`T12:00:00`, fractions of seconds, a
/// final `Z` or a zone such as `+09:00`), as ms since 1970.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let text = text.trim();
    let without_zeros =
        text.split_once('.').filter(|(_, rest)| !rest.is_empty() && rest.bytes().all(|b| b == b'0'));
    if let Ok(number) = without_zeros.map_or(text, |(whole, _)| whole).parse() {
        return Some(number);
    }
    let (date, clock) = match text.split_once(['T', ' ']) {
        Some((date, clock)) => (date, Some(clock)),
        None => (text, None),
    };
    let day = calendar::days_since_1970(date)?;
    // A zone can put the time before the day begins in UTC: rounded down like the times after it.
    Some(day * DAY_MS + clock.map_or(Some(0), calendar::clock_us)?.div_euclid(1000))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn dates_are_milliseconds_since_1970_and_numbers_stay() {
        assert_eq!(parse("20220503"), Some(20_220_503));
        assert_eq!(parse("-5"), Some(-5));
        // As writers of CSV put a column of floats.
        assert_eq!(parse("1700000000000.0"), Some(1_700_000_000_000));
        assert_eq!(parse("-5.00"), Some(-5));
        assert_eq!(parse("1970-01-01"), Some(0));
        // `date -ud 2000-02-29T12:34:56 +%s` and `date -ud 2022-05-03 +%s`.
        assert_eq!(parse("2000-02-29T12:34:56.7Z"), Some(951_827_696_700));
        assert_eq!(parse("2022-05-03 00:00:00"), Some(1_651_536_000_000));
        assert_eq!(parse("1969-12-31"), Some(-86_400_000));
        // As pandas writes them; `date -ud "2019-11-24 00:00:34+00:00" +%s`, the same instant in Tokyo, and a zone that goes a
        // millisecond back over the day's begin.
        assert_eq!(parse("2019-11-24 00:00:34.762830+00:00"), Some(1_574_553_634_762));
        assert_eq!(parse("2019-11-24T09:00:34.762830+09:00"), Some(1_574_553_634_762));
        assert_eq!(parse("1970-01-01 00:59:59.9995+01:00"), Some(-1));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "yesterday",
            "2022-02-31",
            "2022-13-01",
            "2022-05",
            "2022-05-03T25:00:00",
            "3.5",
            "3.",
            "3.0.0",
            ".0",
            "2022-+5-03",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
