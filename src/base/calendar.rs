//! Written dates and times of day, in whole numbers so that no digit is lost; and the time of day that it is.

use std::time::{Duration, SystemTime};

/// The time of day, as what has passed since 1970-01-01 in UTC; zero of a clock that stands before. It may jump, forwards and back:
/// files tell by it when they were written, and everything that is measured or waited for goes by
/// [`Instant`](std::time::Instant), which does not.
pub fn now_since_1970() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// Days from 1970-01-01 to a date of the Gregorian calendar such as `2024-05-31`. None for what is no date.
pub fn days_since_1970(date: &str) -> Option<i64> {
    let [year, month, day] = fields(date, '-')?;
    let sound = (1..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=days_of_month(year, month)).contains(&day);
    sound.then(|| days(year, month, day))
}

/// Microseconds since midnight in UTC of a time such as `18:17:03.97996`; further digits are rounded. A final `Z`, or how far a
/// zone is ahead of UTC (`+09:00`, `+0900`, `-03`), may follow: with a zone the result may lie outside of the day. None for what is
/// no time of day.
pub fn clock_us(clock: &str) -> Option<i64> {
    let (clock, ahead_us) = match clock.find(['+', '-']) {
        Some(at) => (&clock[..at], zone_us(&clock[at..])?),
        None => (clock.strip_suffix('Z').unwrap_or(clock), 0),
    };
    let (whole, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let [hour, minute, second] = fields(whole, ':')?;
    // 60: the leap second.
    let sound = (0..24).contains(&hour) && (0..60).contains(&minute) && (0..=60).contains(&second);
    let us = fraction_us(fraction)?;
    sound.then_some(((hour * 60 + minute) * 60 + second) * 1_000_000 + us - ahead_us)
}

/// How far a zone such as `+09:00`, `-0330` or `+01` is ahead of UTC. No place on Earth is further ahead than 14 hours, and what
/// programs write keeps below 24.
fn zone_us(zone: &str) -> Option<i64> {
    let (sign, zone) = if let Some(rest) = zone.strip_prefix('-') { (-1, rest) } else { (1, &zone[1..]) };
    let (hours, minutes) = match (zone.split_once(':'), zone.len()) {
        (Some(parts), 5) => parts,
        (None, 4) if zone.is_ascii() => zone.split_at(2),
        (None, 2) => (zone, "00"),
        _ => return None,
    };
    let (hours, minutes) = (digits(hours)?, digits(minutes)?);
    ((0..24).contains(&hours) && (0..60).contains(&minutes))
        .then_some(sign * (hours * 60 + minutes) * 60_000_000)
}

/// Microseconds of decimal seconds such as `-12.5`; further digits are rounded away from 0 from the half on.
pub fn seconds_us(text: &str) -> Option<i64> {
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let us = digits(whole)?.checked_mul(1_000_000)?.checked_add(fraction_us(fraction)?)?;
    Some(sign * us)
}

/// Microseconds of the digits behind a decimal point.
fn fraction_us(fraction: &str) -> Option<i64> {
    let all = fraction.as_bytes();
    if !all.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let us = (0..6).fold(0, |us, place| us * 10 + all.get(place).map_or(0, |digit| i64::from(digit - b'0')));
    Some(us + i64::from(all.get(6).is_some_and(|&digit| digit >= b'5')))
}

fn digits(text: &str) -> Option<i64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

fn fields(text: &str, separator: char) -> Option<[i64; 3]> {
    let numbers: Option<Vec<i64>> = text.split(separator).map(digits).collect();
    numbers?.try_into().ok()
}

fn days_of_month(year: i64, month: i64) -> i64 {
    let next = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    days(next.0, next.1, 1) - days(year, month, 1)
}

/// Years are counted from March, so that leap days come last, and 400 of them have 146,097 days.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// A time of seconds since 1970-01-01 UTC as `2024-05-31 18:17:03 UTC`.
pub fn utc_text(unix_s: u64) -> String {
    let (day, second) = ((unix_s / 86_400) as i64, unix_s % 86_400);
    // Years begin in March, so that the leap day is a year's last; eras are of 400 years.
    let shifted = day + 719_468;
    let of_era = shifted.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let (of_month, month) = (of_year - (153 * month + 2) / 5 + 1, (month + 2) % 12 + 1);
    let year = year + 400 * shifted.div_euclid(146_097) + i64::from(month <= 2);
    let [hour, minute, second] = [second / 3600, second / 60 % 60, second % 60];
    format!("{year:04}-{month:02}-{of_month:02} {hour:02}:{minute:02}:{second:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_become_the_date_that_they_were_counted_from() {
        for (unix_s, expected) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_700_000_000, "2023-11-14 22:13:20 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(utc_text(unix_s), expected);
        }
        for day in (0..80_000).step_by(13) {
            let text = utc_text(day * 86_400);
            assert_eq!(days_since_1970(&text[..10]), Some(day as i64), "{text}");
        }
    }

    #[test]
    fn dates_count_from_1970_through_leap_days() {
        // `echo $(( $(date -ud DATE +%s) / 86400 ))`.
        for (date, expected) in [
            ("1970-01-01", 0),
            ("1969-12-31", -1),
            ("2000-03-01", 11_017),
            ("2022-05-03", 19_115),
            ("1900-01-01", -25_567),
        ] {
            assert_eq!(days_since_1970(date), Some(expected), "{date}");
        }
        assert_eq!(days_since_1970("2024-02-29").unwrap() + 1, days_since_1970("2024-03-01").unwrap());
    }

    #[test]
    fn every_month_has_its_own_last_day() {
        for last in ["2022-02-28", "2024-02-29", "2000-02-29", "2022-04-30", "2022-12-31"] {
            assert!(days_since_1970(last).is_some(), "{last}");
        }
        for beyond in [
            "2022-02-29",
            "2022-02-31",
            "1900-02-29",
            "2022-04-31",
            "2022-12-32",
            "2022-01-00",
            "2023-13-01",
            "2022-05",
            "2022-+5-03",
            "0000-01-01",
        ] {
            assert_eq!(days_since_1970(beyond), None, "{beyond}");
        }
    }

    #[test]
    fn clocks_are_read_to_the_microsecond() {
        assert_eq!(clock_us("00:00:00"), Some(0));
        assert_eq!(clock_us("18:17:03.9799604Z"), Some(65_823_979_960));
        assert_eq!(clock_us("18:17:03.9799605"), Some(65_823_979_961));
        for broken in
            ["", "25:00:00", "10:60:00", "10:00:61", "10:00", "10:00:00.x", "10:00:00ZZ", "-1:00:00"]
        {
            assert_eq!(clock_us(broken), None, "{broken}");
        }
    }

    #[test]
    fn a_zone_ahead_of_utc_had_its_noon_before() {
        let noon = 12 * 3_600_000_000;
        for (clock, hours) in [
            ("12:00:00+00:00", 0.0),
            ("12:00:00+09:00", -9.0),
            ("12:00:00+0900", -9.0),
            ("12:00:00-03", 3.0),
            ("12:00:00.000-03:30", 3.5),
            ("12:00:00+14:00", -14.0),
        ] {
            assert_eq!(clock_us(clock), Some(noon + (hours * 3.6e9) as i64), "{clock}");
        }
        for broken in
            ["12:00:00+", "12:00:00+9", "12:00:00+24:00", "12:00:00+09:60", "12:00:00+09:00Z", "12:00:00+é9"]
        {
            assert_eq!(clock_us(broken), None, "{broken}");
        }
    }

    #[test]
    fn seconds_keep_their_sign_and_round_at_the_seventh_digit() {
        assert_eq!(seconds_us("12.0000015"), Some(12_000_002));
        assert_eq!(seconds_us("-0.5"), Some(-500_000));
        for broken in ["", "-", ".", "1.2.3", "noon", "9223372036854775807"] {
            assert_eq!(seconds_us(broken), None, "{broken}");
        }
    }
}
