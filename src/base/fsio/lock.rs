//! Only one process at a time works on a folder, or on a file: by locks, which the system takes from a process that is killed.

use super::create_dir;
use crate::base::{Error, Result};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Opens a file and locks it for as long as the result lives, or its process: only one works on `what` at a time.
pub fn lock(path: &Path, what: &str) -> Result<fs::File> {
    let file = fs::File::open(path).map_err(|e| Error::io(path, "open", e))?;
    try_lock(&file, || (format!("{what} of {}", path.display()), "folder"))?;
    Ok(file)
}

/// Fails where another process has locked the file, which is what the first text says; the second is what --out names.
fn try_lock(file: &fs::File, named: impl FnOnce() -> (String, &'static str)) -> Result<()> {
    match file.try_lock() {
        Err(fs::TryLockError::WouldBlock) => {
            let (what, other) = named();
            Err(Error::usage(
                format!("another process is working on {what}"),
                format!("wait for it to end, or name another {other} with --out"),
            ))
        }
        // Some file systems know no locks.
        Ok(()) | Err(fs::TryLockError::Error(_)) => Ok(()),
    }
}

/// A result that one process works on: see [`claim`].
#[derive(Debug)]
pub struct Claim {
    /// Locked until it is closed, after the path is gone.
    _file: fs::File,
    path: PathBuf,
}

/// Keeps other processes from the work on `result`, a file that need not be there yet, for as long as the claim lives, or its
/// process.
///
/// What is locked is a file beside it: a result that is replaced would take the lock of the file before it along. It is gone with
/// the claim; one that a killed process left is taken over.
pub fn claim(result: &Path) -> Result<Claim> {
    let name = result.file_name().unwrap_or_default().to_string_lossy();
    let path = result.with_file_name(format!("{name}.lock"));
    result.parent().map_or(Ok(()), create_dir)?;
    loop {
        let file = fs::File::options().create(true).append(true).open(&path);
        let file = file.map_err(|e| Error::io(&path, "create", e))?;
        try_lock(&file, || (result.display().to_string(), "file"))?;
        // Else it belonged to somebody who was done and removed it between both steps.
        if is_at(&file, &path) {
            return Ok(Claim { _file: file, path });
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // One that stays is taken over by the next.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(unix)]
fn is_at(file: &fs::File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    matches!((file.metadata(), fs::metadata(path)), (Ok(a), Ok(b)) if (a.dev(), a.ino()) == (b.dev(), b.ino()))
}

#[cfg(not(unix))]
fn is_at(_: &fs::File, path: &Path) -> bool {
    path.exists()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fsio::write;

    #[test]
    fn a_result_is_claimed_once_at_a_time_and_nothing_stays_of_a_claim() {
        let folder = tempfile::tempdir().unwrap();
        let (result, other) = (folder.path().join("a/t.json"), folder.path().join("a/u.json"));
        // As a killed process leaves it.
        write(&folder.path().join("a/t.json.lock"), b"").unwrap();
        let first = claim(&result).unwrap();
        write(&result, b"1").unwrap();
        write(&result, b"2").unwrap();
        let text = claim(&result).unwrap_err().to_string();
        assert!(
            text.contains("another process is working on") && text.contains("another file with --out"),
            "{text}"
        );
        drop((first, claim(&other).unwrap()));
        drop(claim(&result).unwrap());
        assert_eq!(fs::read_dir(folder.path().join("a")).unwrap().count(), 1);
    }
}
