//! Folders: what is in them, and what of it goes.

use super::TEMPORARY;
use crate::base::{Error, Result};
use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// Creates a folder and its parents.
pub fn create_dir(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(|e| Error::io(path, "create", e))
}

/// What a folder holds, in the order of names, without what is still being written; nothing where there is no folder.
pub fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let io = |e| Error::io(folder, "list", e);
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(io(e)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(io)?;
        if !is_temporary(&entry.file_name()) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// What [`list`] finds, by names alone.
pub fn list_names(folder: &Path) -> Result<Vec<String>> {
    let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(list(folder)?.iter().map(name).collect())
}

fn is_temporary(name: &OsStr) -> bool {
    name.to_string_lossy().starts_with(TEMPORARY)
}

/// A folder among the system's temporary ones, gone with the value.
pub fn temporary_folder() -> Result<TempDir> {
    tempfile::tempdir().map_err(|e| Error::io(std::env::temp_dir(), "create a folder in", e))
}

/// A folder in `parent` for what gets its name there when it is whole; gone with the value. [`sweep`] removes what a killed program
/// left of it.
pub fn temporary_folder_in(parent: &Path) -> Result<TempDir> {
    let made = tempfile::Builder::new().prefix(TEMPORARY).tempdir_in(parent);
    made.map_err(|e| Error::io(parent, "create a folder in", e))
}

/// Fills a new folder and gives it the name `folder`, in the place of one that is there, which stays until the new one is whole.
pub fn replace_dir(folder: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let parent = super::folder_of(folder);
    create_dir(parent)?;
    let draft = temporary_folder_in(parent)?;
    // A temporary folder is private, one below it has the rights of any new one.
    let (new, old) = (draft.path().join("new"), draft.path().join("old"));
    create_dir(&new)?;
    fill(&new)?;
    // Systems rename no folder over one that holds something.
    match fs::rename(folder, &old) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(Error::io(folder, "rename", e)),
        _ => {}
    }
    fs::rename(&new, folder).map_err(|e| {
        let _ = fs::rename(&old, folder);
        Error::io(folder, "rename into", e)
    })
}

/// Removes what writes that were killed have left in `folder` and the folders below it. Nobody may be writing there.
pub fn sweep(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(|e| Error::io(folder, "list", e))? {
        let entry = entry.map_err(|e| Error::io(folder, "list", e))?;
        let path = entry.path();
        // A link is neither followed nor ours.
        let kind = entry.file_type().map_err(|e| Error::io(&path, "look at", e))?;
        let temporary = is_temporary(&entry.file_name());
        match (kind.is_dir(), temporary) {
            (true, true) => remove_dir(&path)?,
            (true, false) => sweep(&path)?,
            (false, true) if kind.is_file() => remove(&path)?,
            _ => {}
        }
    }
    Ok(())
}

/// Removes a file; one that is not there is fine.
pub fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io(path, "remove", e)),
        _ => Ok(()),
    }
}

/// Removes a folder with everything in it; one that is not there is fine.
pub fn remove_dir(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io(path, "remove", e)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fsio::write;

    #[test]
    fn what_killed_writes_left_is_swept_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a/b");
        create_dir(&inner).unwrap();
        for name in [".autofas-tmp-x1", ".tmp-of-another", "whole.json"] {
            write(&inner.join(name), b"1").unwrap();
        }
        write(&inner.join(".autofas-tmp-folder/half.onnx"), b"1").unwrap();
        sweep(folder.path()).unwrap();
        let mut left: Vec<_> = fs::read_dir(inner).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [".tmp-of-another", "whole.json"]);
    }

    #[test]
    fn a_folder_is_replaced_when_the_new_one_is_whole_and_left_alone_before() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("run");
        let fill = |name: &'static str| move |new: &Path| write(&new.join(name), b"1");
        replace_dir(&folder, fill("first")).unwrap();
        let failed = replace_dir(&folder, |new| {
            fill("half")(new)?;
            Err(Error::usage("no more", "make room"))
        });
        assert!(failed.is_err());
        assert_eq!(list_names(&folder).unwrap(), ["first"]);
        replace_dir(&folder, fill("second")).unwrap();
        assert_eq!(list_names(&folder).unwrap(), ["second"]);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_list_is_sorted_and_has_nothing_that_is_still_being_written() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.json", "a.json", ".autofas-tmp-x1", "c/d.json"] {
            write(&folder.path().join(name), b"1").unwrap();
        }
        assert_eq!(list_names(folder.path()).unwrap(), ["a.json", "b.json", "c"]);
        assert_eq!(list(folder.path()).unwrap()[0], folder.path().join("a.json"));
        assert!(list(&folder.path().join("none")).unwrap().is_empty());
        let text = list(&folder.path().join("a.json")).unwrap_err().to_string();
        assert!(text.contains("cannot list") && text.contains("a.json"), "{text}");
    }
}
