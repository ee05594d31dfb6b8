//! Names that users write: TOML whose unknown keys are answered with the nearest known one, and the same courtesy for
//! columns and values.

use super::{Error, Result, error::Place};
use serde::de::DeserializeOwned;
use std::path::Path;

/// Below this Jaro–Winkler similarity a suggestion would only puzzle.
const SIMILAR: f64 = 0.7;

/// The known name that is most like `name`, if any is like it at all.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&name, &candidate.to_lowercase()), candidate))
        .filter(|(similarity, _)| *similarity >= SIMILAR)
        // Ties go to the name that stands first.
        .reduce(|best, next| if next.0 > best.0 { next } else { best })
        .map(|(_, candidate)| candidate)
}

/// What to do about an unknown `name`: take the nearest known one, or choose from all.
pub fn suggestion(name: &str, known: &[&str]) -> String {
    match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "remove it".to_owned(),
        None => format!("known are {}", known.join(", ")),
    }
}

/// Reads `text` (the content of `path`) as TOML. The error names the line and, for an unknown key or value, the nearest
/// known one; the type must deny unknown fields.
pub fn parse_toml<T: DeserializeOwned>(text: &str, path: &Path) -> Result<T> {
    toml::from_str(text).map_err(|error| {
        let row = error.span().map(|span| line_of(text, span.start));
        let message = error.message().trim();
        match unknown_name(message) {
            Some((what, name, known)) => Error::input(
                path,
                Place { field: Some(name.to_owned()), row },
                format!("unknown {what}"),
                suggestion(name, &known),
            ),
            None => Error::input(
                path,
                Place { field: None, row },
                message.replace('\n', " "),
                "write the value that the reference shows for this key",
            ),
        }
    })
}

/// One-based line of a byte offset.
pub fn line_of(text: &str, offset: usize) -> u64 {
    1 + text.as_bytes()[..offset.min(text.len())].iter().filter(|&&b| b == b'\n').count() as u64
}

/// Takes serde's own words apart: "unknown field `a`, expected one of `b`, `c`". serde keeps the list of known names to
/// itself, and repeating it by hand for every table would be a second copy.
fn unknown_name(message: &str) -> Option<(&'static str, &str, Vec<&str>)> {
    let what = match message {
        m if m.starts_with("unknown field") => "key",
        m if m.starts_with("unknown variant") => "value",
        _ => return None,
    };
    let mut quoted = message.split('`').skip(1).step_by(2);
    Some((what, quoted.next()?, quoted.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Settings {
        width: usize,
        #[serde(default)]
        kind: Option<Kind>,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        Item,
        Interactive,
    }

    fn message(text: &str) -> String {
        parse_toml::<Settings>(text, Path::new("s.toml")).unwrap_err().to_string()
    }

    #[test]
    fn an_unknown_key_is_answered_with_line_and_nearest_key() {
        assert_eq!(
            message("width = 1\nwidht = 2\n"),
            "s.toml, `widht`, row 2: unknown key; did you mean `width`?"
        );
    }

    #[test]
    fn an_unknown_value_is_answered_with_the_nearest_value() {
        let text = message("width = 1\nkind = \"iten\"");
        assert_eq!(text, "s.toml, `iten`, row 2: unknown value; did you mean `item`?");
    }

    #[test]
    fn a_wrong_type_names_the_line() {
        let text = message("\n\nwidth = \"a\"");
        assert!(text.contains("row 3") && text.contains("string \"a\""), "{text}");
    }

    #[test]
    fn nothing_similar_lists_what_is_known() {
        assert_eq!(suggestion("zzz", &["alpha", "beta"]), "known are alpha, beta");
        assert_eq!(nearest("User_ID", ["video_id", "user_id"]), Some("user_id"));
    }
}
