//! Numbers as tables have them.

/// With so many places. What rounds to nothing has no sign.
pub(in crate::app) fn fixed(value: f64, places: usize) -> String {
    let text = format!("{value:.places$}");
    if is_nothing(&text) { text.trim_start_matches('-').to_owned() } else { text }
}

/// The same with its sign.
pub(in crate::app) fn signed(value: f64, places: usize) -> String {
    let text = fixed(value, places);
    if value > 0.0 && !is_nothing(&text) { format!("+{text}") } else { text }
}

fn is_nothing(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'-' | b'.' | b'0'))
}

/// A whole number, its thousands apart.
pub(in crate::app) fn grouped(value: usize) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A probability, which is never 0.
pub(in crate::app) fn probability(p: f64) -> String {
    if p < 0.001 { "< 0.001".to_owned() } else { format!("{p:.3}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rounds_to_nothing_has_no_sign() {
        assert_eq!(
            [-0.00004, 0.00004, -0.00006, 0.0].map(|v| fixed(v, 4)),
            ["0.0000", "0.0000", "-0.0001", "0.0000"]
        );
        assert_eq!(
            [-0.00004, 0.00004, 0.00006, -1.0].map(|v| signed(v, 4)),
            ["0.0000", "0.0000", "+0.0001", "-1.0000"]
        );
        assert_eq!((fixed(-0.4, 0), signed(12.0, 0)), ("0".to_owned(), "+12".to_owned()));
    }

    #[test]
    fn thousands_stand_apart_and_no_probability_is_nothing() {
        let written = [0, 999, 1000, 154_071, 1_234_567].map(grouped);
        assert_eq!(written, ["0", "999", "1,000", "154,071", "1,234,567"]);
        assert_eq!([0.0, 0.0009, 0.001, 0.25].map(probability), ["< 0.001", "< 0.001", "0.001", "0.250"]);
    }
}
