//! Times as whole numbers: what the column holds, or ms since 1970 where it holds dates as text.

use crate::base::Result;
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

/// A whole number as it is; a date (`2024-05-31`), with or without a time of day (`T12:00:00`, fractions of seconds, a
/// final `Z`), as ms since 1970.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let (date, clock) = match text.split_once(['T', ' ']) {
        Some((date, clock)) => (date, Some(clock)),
        None => (text, None),
    };
    let [year, month, day] = fields(date, '-')?;
    let sound = (1..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=days_of_month(year, month)).contains(&day);
    let start = sound.then(|| days_since_1970(year, month, day) * DAY_MS)?;
    Some(start + clock.map_or(Some(0), clock_ms)?)
}

fn clock_ms(clock: &str) -> Option<i64> {
    let clock = clock.strip_suffix('Z').unwrap_or(clock);
    let (whole, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let [hour, minute, second] = fields(whole, ':')?;
    let sound = (0..24).contains(&hour) && (0..60).contains(&minute) && (0..=60).contains(&second);
    let digits = fraction.bytes().all(|b| b.is_ascii_digit());
    let padded: String = fraction.chars().chain("000".chars()).take(3).collect();
    (sound && digits).then_some(((hour * 60 + minute) * 60 + second) * 1000 + padded.parse::<i64>().ok()?)
}

fn fields(text: &str, separator: char) -> Option<[i64; 3]> {
    let numbers: Option<Vec<i64>> = text
        .split(separator)
        .map(|part| part.parse().ok().filter(|_| part.bytes().all(|b| b.is_ascii_digit())))
        .collect();
    numbers?.try_into().ok()
}

fn days_of_month(year: i64, month: i64) -> i64 {
    let next = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    days_since_1970(next.0, next.1, 1) - days_since_1970(year, month, 1)
}

/// Days from 1970-01-01 in the Gregorian calendar: years are counted from March, so that leap days come last, and 400
/// of them have 146,097 days.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn dates_are_milliseconds_since_1970_and_numbers_stay() {
        assert_eq!(parse("20220503"), Some(20_220_503));
        assert_eq!(parse("-5"), Some(-5));
        assert_eq!(parse("1970-01-01"), Some(0));
        // `date -ud 2000-02-29T12:34:56 +%s` and `date -ud 2022-05-03 +%s`.
        assert_eq!(parse("2000-02-29T12:34:56.7Z"), Some(951_827_696_700));
        assert_eq!(parse("2022-05-03 00:00:00"), Some(1_651_536_000_000));
        assert_eq!(parse("1969-12-31"), Some(-86_400_000));
    }

    #[test]
    fn every_month_has_its_own_last_day() {
        for last in ["2022-02-28", "2024-02-29", "2000-02-29", "2022-04-30", "2022-12-31"] {
            assert!(parse(last).is_some(), "{last}");
        }
        for beyond in ["2022-02-29", "2022-02-31", "1900-02-29", "2022-04-31", "2022-12-32", "2022-01-00"] {
            assert_eq!(parse(beyond), None, "{beyond}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in ["", "yesterday", "2022-13-01", "2022-05", "2022-05-03T25:00:00", "3.5", "2022-+5-03"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
