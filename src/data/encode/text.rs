//! One written form for every value, so that 3 in an integer column, 3.0 in a float column and "3" or "3.0" in a CSV file
//! are the same category.
//!
//! Rules: surrounding blanks do not count; empty text, `NaN`, `nan`, `null`, `NULL` and `\N` are missing; `true` and `false`
//! (also `True`, `TRUE`, …) are 1 and 0; a decimal number without leading zeros is written without exponent and without a
//! fraction of zeros; everything else, such as `007`, stays as it is.

use std::borrow::Cow;

/// The written form of a text value; none when missing.
pub fn canonical(text: &str) -> Option<Cow<'_, str>> {
    let text = text.trim();
    Some(match text {
        "" | "NaN" | "nan" | "null" | "NULL" | "\\N" => return None,
        "true" | "True" | "TRUE" => "1".into(),
        "false" | "False" | "FALSE" => "0".into(),
        _ => match Decimal::of(text) {
            Some(decimal) => decimal.canonical(text),
            None => text.into(),
        },
    })
}

/// The written form of a single; none for NaN.
pub fn canonical_single(value: f32) -> Option<String> {
    // Rust writes floats without exponent and with the fewest digits that read back; only the sign of 0 is in the way.
    (!value.is_nan()).then(|| if value == 0.0 { "0".to_owned() } else { value.to_string() })
}

/// The written form of a double; none for NaN.
pub fn canonical_double(value: f64) -> Option<String> {
    (!value.is_nan()).then(|| if value == 0.0 { "0".to_owned() } else { value.to_string() })
}

/// A number in decimal notation, taken apart.
struct Decimal<'a> {
    integer: &'a str,
    fraction: &'a str,
    has_exponent: bool,
}

impl<'a> Decimal<'a> {
    /// None for anything but `-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?`.
    fn of(text: &'a str) -> Option<Self> {
        // Most text is no number, and most numbers show it in the first byte.
        if !text.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
            return None;
        }
        let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
        let (mantissa, exponent) = match text.find(['e', 'E']) {
            Some(at) => (&text[..at], Some(&text[at + 1..])),
            None => (text, None),
        };
        let (integer, fraction) = match mantissa.split_once('.') {
            Some((integer, fraction)) if digits(fraction) => (integer, fraction),
            Some(_) => return None,
            None => (mantissa, ""),
        };
        let magnitude = integer.strip_prefix('-').unwrap_or(integer);
        let sound = digits(magnitude)
            && (magnitude == "0" || !magnitude.starts_with('0'))
            && exponent.is_none_or(|e| digits(e.strip_prefix(['+', '-']).unwrap_or(e)));
        sound.then_some(Self { integer, fraction, has_exponent: exponent.is_some() })
    }

    /// Whole numbers of any length keep their digits; a double has only 15.
    fn canonical(&self, text: &'a str) -> Cow<'a, str> {
        if !self.has_exponent && self.fraction.bytes().all(|b| b == b'0') {
            return if self.integer == "-0" { "0".into() } else { self.integer.into() };
        }
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => canonical_double(value).map_or(text.into(), Cow::Owned),
            _ => text.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_have_one_written_form() {
        for (text, expected) in [
            ("3", "3"),
            ("3.0", "3"),
            (" 3.00 ", "3"),
            ("3e0", "3"),
            ("-0.0", "0"),
            ("0.50", "0.5"),
            ("1e-7", "0.0000001"),
            ("12345678901234567890123", "12345678901234567890123"),
            ("1e999", "1e999"),
            ("true", "1"),
            ("False", "0"),
        ] {
            assert_eq!(canonical(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_only_looks_like_a_number_stays() {
        for text in ["007", "1.2.3", "3.", ".5", "+3", "1e", "-", "0x1F", "2022-05-03", "3,5", "True story"] {
            assert_eq!(canonical(text).as_deref(), Some(text));
        }
    }

    #[test]
    fn missing_has_six_forms() {
        for text in ["", "  ", "NaN", "nan", "null", "NULL", "\\N"] {
            assert_eq!(canonical(text), None, "{text:?}");
        }
        assert_eq!(canonical_single(f32::NAN), None);
        assert_eq!(canonical("NA").as_deref(), Some("NA"));
    }

    proptest! {
        #[test]
        fn text_and_number_columns_agree(single in any::<f32>(), double in any::<f64>(), integer in any::<i64>()) {
            prop_assume!(single.is_finite() && double.is_finite());
            let from_text = |t: String| canonical(&t).map(Cow::into_owned);
            prop_assert_eq!(from_text(format!("{single:?}")), canonical_single(single));
            prop_assert_eq!(from_text(format!("{double:?}")), canonical_double(double));
            prop_assert_eq!(from_text(format!("{double:e}")), canonical_double(double));
            prop_assert_eq!(from_text(format!("{integer}.0")), Some(integer.to_string()));
        }
    }
}
