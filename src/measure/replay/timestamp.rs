//! Reads written times to the microsecond.

use crate::base::calendar;

/// Microseconds of a day.
const DAY_US: i64 = 86_400_000_000;

/// Microseconds of a written time: `2023-11-16 18:17:03.9799600`, with `T` for the blank and a final `Z` also
/// allowed (since 1970-01-01, read as UTC); or a plain number of seconds. Further digits are rounded to the nearest.
pub fn parse_us(text: &str) -> Option<i64> {
    let text = text.trim();
    match text.split_once([' ', 'T']) {
        None => calendar::seconds_us(text),
        Some((date, clock)) => Some(calendar::days_since_1970(date)? * DAY_US + calendar::clock_us(clock)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_times_are_read_to_the_microsecond() {
        // `date -u -d '2023-11-16 18:17:03' +%s` prints 1700158623.
        assert_eq!(parse_us("2023-11-16 18:17:03.9799600"), Some(1_700_158_623_979_960));
        assert_eq!(parse_us("2023-11-16T18:17:03Z"), Some(1_700_158_623_000_000));
        assert_eq!(parse_us("12.0000015"), Some(12_000_002));
        assert_eq!(parse_us("-0.5"), Some(-500_000));
        for broken in ["", "noon", "2023-11-16", "2023-11-16 25:00:00", "2023-11-16 10:00", "1.2.3"] {
            assert_eq!(parse_us(broken), None, "{broken}");
        }
    }
}
