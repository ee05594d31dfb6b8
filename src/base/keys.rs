//! Names that users write: TOML whose unknown keys are answered with the nearest known one, and the same courtesy for
//! columns and values.

use super::{
    Error, Result,
    error::{Place, Spot},
};
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

/// Reads `text` (the content of `path`) as TOML. The error names the line and the key and, for an unknown key or value,
/// the nearest known one; the type must deny unknown fields.
pub fn parse_toml<T: DeserializeOwned>(text: &str, path: &Path) -> Result<T> {
    toml::from_str(text).map_err(|error| {
        // What is no TOML at all belongs to no key.
        if text.parse::<toml::Table>().is_err() {
            return toml_syntax(text, path, &error);
        }
        misread(error.message(), dotted_key(&error), spot_of(text, &error), path)
    })
}

/// The error for a text that is not TOML.
pub fn toml_syntax(text: &str, path: &Path, error: &toml::de::Error) -> Error {
    let problem = format!("not valid TOML ({})", error.message().trim().replace('\n', " "));
    let fix = "mend this line: every key once, then `=` and a value; text in quotes, lists in [ ]";
    Error::input(path, Place { field: None, spot: spot_of(text, error) }, problem, fix)
}

fn spot_of(text: &str, error: &toml::de::Error) -> Option<Spot> {
    error.span().map(|span| line_of(text, span.start))
}

/// Reads parsed JSON (the content of `path`) with the same courtesy.
pub fn from_json<T: DeserializeOwned>(json: serde_json::Value, path: &Path) -> Result<T> {
    serde_json::from_value(json).map_err(|error| misread(&error.to_string(), None, None, path))
}

/// The error for a sound document that does not hold what is asked for. `key` is what was being read.
fn misread(message: &str, key: Option<String>, spot: Option<Spot>, path: &Path) -> Error {
    let message = message.trim().replace('\n', " ");
    if let Some((what, name, known)) = unknown_name(&message) {
        let place = Place { field: Some(name.to_owned()), spot };
        return Error::input(path, place, format!("unknown {what}"), suggestion(name, &known));
    }
    if let Some(missing) = message.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) {
        let field = key.map_or_else(|| missing.to_owned(), |table| format!("{table}.{missing}"));
        let place = Place { field: Some(field), spot };
        return Error::input(path, place, "this key is missing", format!("add `{missing}` with its value"));
    }
    let fix = what_to_write(&message);
    Error::input(path, Place { field: key, spot }, message, fix)
}

/// The fix for a value of another type, where serde's message says which one it expects.
pub fn what_to_write(message: &str) -> String {
    match message.trim_end().rsplit_once("expected ") {
        Some((_, wanted)) => format!("write {}", in_words(wanted)),
        None => "write a value of the kind that this key takes".to_owned(),
    }
}

/// The key that was being read. toml keeps it to itself but for a message without the document, which ends with it.
fn dotted_key(error: &toml::de::Error) -> Option<String> {
    let mut bare = error.clone();
    bare.set_input(None);
    let text = bare.to_string();
    let key = text.trim_end().rsplit_once("in `")?.1.strip_suffix('`')?;
    Some(key.to_owned())
}

/// What serde expects, in the words of somebody who writes a file.
fn in_words(wanted: &str) -> &str {
    match wanted {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number such as 1",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a string" => "text in quotes",
        "a boolean" => "true or false",
        "a sequence" => "a list in [ ]",
        "a map" => "a table",
        table if table.starts_with("struct ") => "a table",
        other => other,
    }
}

/// The line of a byte offset.
pub fn line_of(text: &str, offset: usize) -> Spot {
    let before = &text.as_bytes()[..offset.min(text.len())];
    Spot::Line(1 + before.iter().filter(|&&byte| byte == b'\n').count() as u64)
}

/// The value that is none of an enum's, and those that are, where that is what serde says.
pub fn unknown_value(message: &str) -> Option<(&str, Vec<&str>)> {
    unknown_name(message).filter(|(what, ..)| *what == "value").map(|(_, name, known)| (name, known))
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
        #[serde(default)]
        inner: Option<Inner>,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Inner {
        names: Vec<String>,
        #[serde(default)]
        share: f64,
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
            "s.toml, `widht`, line 2: unknown key; did you mean `width`?"
        );
    }

    #[test]
    fn an_unknown_value_is_answered_with_the_nearest_value() {
        let text = message("width = 1\nkind = \"iten\"");
        assert_eq!(text, "s.toml, `iten`, line 2: unknown value; did you mean `item`?");
    }

    #[test]
    fn a_wrong_type_names_its_line_and_key_and_what_to_write() {
        for (text, place, fix) in [
            ("\n\nwidth = \"a\"", "`width`, line 3: invalid type: string \"a\"", "a whole number such as 1"),
            ("width = -1", "`width`, line 1: invalid value: integer `-1`", "a whole number such as 1"),
            ("width = 1\n[inner]\nnames = 3", "`inner.names`, line 3: ", "a list in [ ]"),
            ("width = 1\n[inner]\nnames = [\n\"a\",\n3,\n]", "`inner.names`, line 5: ", "text in quotes"),
            ("width = 1\ninner = { names = [], share = \"x\" }", "`inner.share`, line 2: ", "a number"),
            ("width = 1\ninner = 3", "`inner`, line 2: ", "a table"),
        ] {
            let found = message(text);
            assert!(found.starts_with(&format!("s.toml, {place}")), "{text}: {found}");
            assert!(found.ends_with(&format!("; write {fix}")), "{text}: {found}");
        }
    }

    #[test]
    fn a_missing_key_is_named_with_its_table() {
        let text = message("width = 1\n[inner]\nshare = 1.0");
        assert_eq!(text, "s.toml, `inner.names`, line 2: this key is missing; add `names` with its value");
        assert!(
            message("").contains("`width`") && message("").ends_with("add `width` with its value"),
            "{}",
            message("")
        );
    }

    #[test]
    fn what_is_no_toml_is_a_matter_of_its_line_and_of_no_key() {
        for text in ["\nwidth = = 1", "\nwidth = a", "width = 1\nwidth = 2"] {
            let found = message(text);
            assert!(found.starts_with("s.toml, line 2: not valid TOML ("), "{found}");
            assert!(found.contains("; mend this line: "), "{found}");
        }
    }

    #[test]
    fn json_is_answered_as_toml_is() {
        let read = |json| from_json::<Settings>(json, Path::new("s.json")).unwrap_err().to_string();
        assert_eq!(
            read(serde_json::json!({"width": 1, "knid": "item"})),
            "s.json, `knid`: unknown key; did you mean `kind`?"
        );
        assert!(read(serde_json::json!({})).contains("`width`: this key is missing"));
    }

    #[test]
    fn nothing_similar_lists_what_is_known() {
        assert_eq!(suggestion("zzz", &["alpha", "beta"]), "known are alpha, beta");
        assert_eq!(nearest("User_ID", ["video_id", "user_id"]), Some("user_id"));
    }
}
