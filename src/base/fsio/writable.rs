//! Whether something could be written to a place: asked before hours are spent on what goes there, and by dry runs.

use super::target::Target;
use crate::base::{Error, Result};
use std::{fs, io::ErrorKind, path::Path};

/// Fails where a file could not be written, or would take the place of something that is no file. Leaves nothing behind.
pub fn check_file(path: &Path) -> Result<()> {
    let names_a_folder = path.file_name().is_none() || path.as_os_str().as_encoded_bytes().ends_with(b"/");
    match Target::of(path)? {
        Target::Sink => return Ok(()),
        Target::File(file) if file.is_dir() || names_a_folder && !file.exists() => {
            return Err(Error::io(path, "write", ErrorKind::IsADirectory.into()));
        }
        Target::File(_) => {}
    }
    check_folder(path.parent().unwrap_or(Path::new("")))
}

/// Fails where files could not be written into a folder, which is made when it is missing. Leaves nothing behind.
pub fn check_folder(path: &Path) -> Result<()> {
    let first_there = path.ancestors().find(|above| above.as_os_str().is_empty() || above.exists());
    let there = first_there.filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !there.is_dir() {
        return Err(Error::io(there, "create a folder at", ErrorKind::NotADirectory.into()));
    }
    // Rights alone do not tell of file systems that are read-only or full. This file has no name, where the system can do that.
    tempfile::tempfile_in(there).map(drop).map_err(|e| Error::io(there, "write into", e))
}

/// Fails where something is in the place of a folder that is made as a whole, or it could not be made there.
pub fn check_free(folder: &Path) -> Result<()> {
    let taken = match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) => error.kind() != ErrorKind::NotFound,
    };
    if taken {
        let problem = format!("{} is not an empty folder", folder.display());
        return Err(Error::usage(problem, "name another --out, or remove it"));
    }
    check_folder(folder)
}

/// Removes a folder that was made for what then was not written; one that has something in it stays.
pub fn remove_if_empty(folder: &Path) {
    let _ = fs::remove_dir(folder);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_written_is_refused_and_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("a.json"), "1").unwrap();
        let said = |checked: Result<()>| checked.unwrap_err().to_string();
        for name in ["", "new/", "a.json/.."] {
            let text = said(check_file(&at(name)));
            assert!(text.contains("name a file in it") || text.contains("a file is where"), "{name}: {text}");
        }
        for name in ["a.json/b.json", "a.json/b/c.json"] {
            let text = said(check_file(&at(name)));
            assert!(text.contains("a.json; a file is where a folder should be"), "{text}");
        }
        assert!(said(check_folder(&at("a.json"))).contains("a file is where a folder should be"));
        for name in ["a.json", "b.json", "new/b.json"] {
            check_file(&at(name)).unwrap();
        }
        for name in ["", "new", "new/and/newer"] {
            check_folder(&at(name)).unwrap();
        }
        check_folder(Path::new("")).unwrap();
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["a.json"]);
        #[cfg(target_os = "linux")]
        {
            check_file(Path::new("/dev/null")).unwrap();
            // Nobody, root included, makes files there.
            assert!(said(check_folder(Path::new("/proc/new"))).contains("/proc"));
        }
    }
}
