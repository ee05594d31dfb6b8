//! Files that are whole or not there: everything is written to a temporary name in the same folder and renamed.

use super::{Error, Result, error::Place};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    fs,
    io::{BufWriter, Write},
    path::Path,
};

/// Writes a file through `fill`; readers see the old content or the new, never a part.
///
/// The parent folder is created when it is missing. The data reaches the disk before the rename.
pub fn write_with(path: &Path, fill: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<()> {
    let folder = match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    create_dir(folder)?;
    let io = |e| Error::io(path, "write", e);
    let mut temporary = tempfile::Builder::new().prefix(".tmp-").tempfile_in(folder).map_err(io)?;
    {
        let mut buffered = BufWriter::new(temporary.as_file_mut());
        fill(&mut buffered).and_then(|()| buffered.flush()).map_err(io)?;
    }
    temporary.as_file().sync_data().map_err(io)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // Temporary files are private; results are not.
        fs::set_permissions(temporary.path(), fs::Permissions::from_mode(0o644)).map_err(io)?;
    }
    temporary.persist(path).map_err(|e| Error::io(path, "rename into", e.error))?;
    Ok(())
}

/// Writes `bytes` atomically.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    write_with(path, |out| out.write_all(bytes))
}

/// Writes `value` atomically as indented JSON with a final newline.
pub fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    write_with(path, |out| {
        serde_json::to_writer_pretty(&mut *out, value)?;
        out.write_all(b"\n")
    })
}

/// Reads JSON; a syntax or type error names the file and the line.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    serde_json::from_slice(&read(path)?).map_err(|e| {
        Error::input(
            path,
            Place::row(e.line() as u64),
            format!("not the JSON expected here ({e})"),
            "write it again with the program of this version",
        )
    })
}

/// Reads a whole file.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|e| Error::io(path, "read", e))
}

/// Reads a whole text file.
pub fn read_text(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|e| Error::io(path, "read", e))
}

/// Creates a folder and its parents.
pub fn create_dir(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(|e| Error::io(path, "create", e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_no_litter() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        write(&path, b"old").unwrap();
        let failed = write_with(&path, |out| {
            out.write_all(b"half of the new")?;
            Err(std::io::Error::other("disk full"))
        });
        assert!(failed.unwrap_err().to_string().contains("a.txt"));
        assert_eq!(read_text(&path).unwrap(), "old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_json_error_names_file_and_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.json");
        write(&path, b"{\n\"a\": }").unwrap();
        let text = read_json::<serde_json::Value>(&path).unwrap_err().to_string();
        assert!(text.contains("t.json, row 2"), "{text}");
    }
}
