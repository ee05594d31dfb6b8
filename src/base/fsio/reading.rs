//! Reading whole files.

use crate::base::{Error, Result, error::Place};
use serde::{Deserialize, de::DeserializeOwned};
use std::{fs, io::Read, path::Path};

/// The largest JSON file that is read.
const LARGEST_JSON: u64 = 1 << 31;

/// Reads JSON from a regular file; a syntax or type error names the file and the line.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    parse(path, &json_bytes(path)?, "write it again with the program of this version")
}

/// Reads JSON whose `schema_version` is `version`; `fix` says what to do about anything else.
///
/// The version comes first: another one has other fields, and an unknown or missing field would be all that is said.
pub fn read_versioned<T: DeserializeOwned>(path: &Path, version: u32, fix: &str) -> Result<T> {
    #[derive(Deserialize)]
    struct Versioned {
        schema_version: Option<serde_json::Value>,
    }
    let bytes = json_bytes(path)?;
    let found = parse::<Versioned>(path, &bytes, fix)?.schema_version;
    if found == Some(version.into()) {
        return parse(path, &bytes, fix);
    }
    let found = found.map_or("missing".to_owned(), |found| found.to_string());
    let problem = format!("is {found}, this program reads {version}");
    Err(Error::input(path, Place::field("schema_version"), problem, fix))
}

fn json_bytes(path: &Path) -> Result<Vec<u8>> {
    read_regular(path, LARGEST_JSON, "give a file as this program writes it")
}

fn parse<T: DeserializeOwned>(path: &Path, bytes: &[u8], fix: &str) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|e| {
        let problem = format!("not the JSON expected here ({e})");
        Error::input(path, Place::line(e.line() as u64), problem, fix)
    })
}

/// Reads a whole file.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|e| Error::io(path, "read", e))
}

/// Reads a whole file that others may have put there: a regular one, or a link to one, of at most `limit` bytes. A device
/// would give bytes without end, and a pipe none. `fix` says what to do about a larger one.
pub fn read_regular(path: &Path, limit: u64, fix: &str) -> Result<Vec<u8>> {
    let io = |e| Error::io(path, "read", e);
    // Looked at before it is opened: opening a pipe would wait for its writer.
    let about = fs::metadata(path).map_err(io)?;
    if about.is_dir() {
        return Err(io(std::io::ErrorKind::IsADirectory.into()));
    }
    if !about.is_file() {
        let fix = "copy what it gives into a file, and name that";
        return Err(Error::input(path, Place::whole(), "this is no regular file", fix));
    }
    let too_large = || {
        let problem = format!("the file is larger than the {limit} bytes that readers accept");
        Err(Error::input(path, Place::whole(), problem, fix))
    };
    if about.len() > limit {
        return too_large();
    }
    let mut bytes = Vec::with_capacity(about.len() as usize);
    // It may grow meanwhile.
    fs::File::open(path).map_err(io)?.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > limit { too_large() } else { Ok(bytes) }
}

/// Reads a whole text file.
pub fn read_text(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|e| Error::io(path, "read", e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fsio::write;

    #[test]
    fn a_regular_file_is_read_up_to_its_limit_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bin");
        write(&path, b"1234").unwrap();
        assert_eq!(read_regular(&path, 4, "").unwrap(), b"1234");
        let text = read_regular(&path, 3, "shorten it").unwrap_err().to_string();
        assert!(text.ends_with("a.bin: the file is larger than the 3 bytes that readers accept; shorten it"));
        assert!(read_regular(folder.path(), 9, "").unwrap_err().to_string().contains("this is a folder"));
        #[cfg(unix)]
        {
            let link = folder.path().join("link");
            std::os::unix::fs::symlink("a.bin", &link).unwrap();
            assert_eq!(read_regular(&link, 4, "").unwrap(), b"1234");
            fs::remove_file(&link).unwrap();
            std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
            for text in [
                read_regular(&link, u64::MAX, "").unwrap_err().to_string(),
                read_json::<serde_json::Value>(&link).unwrap_err().to_string(),
            ] {
                assert!(text.contains("this is no regular file"), "{text}");
            }
        }
    }

    #[test]
    fn a_json_error_names_file_and_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.json");
        write(&path, b"{\n\"a\": }").unwrap();
        let text = read_json::<serde_json::Value>(&path).unwrap_err().to_string();
        assert!(text.contains("t.json, line 2"), "{text}");
    }

    #[test]
    fn a_version_is_looked_at_before_fields_that_another_one_may_not_have() {
        #[derive(Debug, PartialEq, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File {
            schema_version: u32,
            a: u32,
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.json");
        let read = |text: &str| {
            write(&path, text.as_bytes()).unwrap();
            read_versioned::<File>(&path, 2, "make it again").map_err(|e| e.to_string())
        };
        assert_eq!(read(r#"{"schema_version": 2, "a": 1}"#), Ok(File { schema_version: 2, a: 1 }));
        for (text, said) in [
            (
                r#"{"schema_version": 3, "b": 1}"#,
                "f.json, `schema_version`: is 3, this program reads 2; make it again",
            ),
            (r#"{"a": 1}"#, "f.json, `schema_version`: is missing, this program reads 2; make it again"),
            (
                r#"{"schema_version": "2", "a": 1}"#,
                "`schema_version`: is \"2\", this program reads 2; make it again",
            ),
            (
                "{\n\"schema_version\": 2, \"b\": 1}",
                "f.json, line 2: not the JSON expected here (unknown field `b`",
            ),
            ("[]", "f.json, line 1: not the JSON expected here"),
        ] {
            let refused = read(text).unwrap_err();
            assert!(refused.contains(said) && refused.ends_with("; make it again"), "{refused}");
        }
    }
}
