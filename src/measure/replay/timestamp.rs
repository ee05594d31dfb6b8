//! Reads written times to the microsecond, in whole numbers so that no digit is lost.

/// Microseconds of a written time: `2023-11-16 18:17:03.9799600`, with `T` for the blank and a final `Z` also
/// allowed (since 1970-01-01, read as UTC); or a plain number of seconds. Further digits are rounded to the nearest.
pub fn parse_us(text: &str) -> Option<i64> {
    let text = text.trim();
    match text.split_once([' ', 'T']) {
        None => seconds_us(text),
        Some((date, time)) => {
            let time = time.trim_end_matches('Z');
            let (hours, rest) = time.split_once(':')?;
            let (minutes, seconds) = rest.split_once(':')?;
            let (hours, minutes) = (bounded(hours, 23)?, bounded(minutes, 59)?);
            let seconds_us = seconds_us(seconds).filter(|us| (0..61_000_000).contains(us))?;
            let minutes = (days(date)? * 24 + hours) * 60 + minutes;
            Some(minutes * 60_000_000 + seconds_us)
        }
    }
}

fn bounded(text: &str, max: i64) -> Option<i64> {
    text.parse().ok().filter(|value| (0..=max).contains(value))
}

/// Decimal seconds in microseconds.
fn seconds_us(text: &str) -> Option<i64> {
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    let mut micros = 0;
    for place in 0..6 {
        micros = micros * 10 + i64::from(fraction.as_bytes().get(place).map_or(0, |b| b - b'0'));
    }
    let round_up = fraction.as_bytes().get(6).is_some_and(|&b| b >= b'5');
    let us = whole.parse::<i64>().ok()?.checked_mul(1_000_000)?.checked_add(micros + i64::from(round_up))?;
    Some(sign * us)
}

/// Days from 1970-01-01 to a date of the Gregorian calendar, counted in years that begin in March.
fn days(date: &str) -> Option<i64> {
    let mut parts = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if !(0..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=length).contains(&day) {
        return None;
    }
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * month + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_count_from_1970_through_leap_days() {
        assert_eq!(days("1970-01-01"), Some(0));
        assert_eq!(days("2000-03-01"), Some(11_017));
        assert_eq!(days("2024-02-29").unwrap() + 1, days("2024-03-01").unwrap());
        assert_eq!(days("2023-02-29"), None);
        assert_eq!(days("2023-13-01"), None);
    }

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
