//! An embedded store as a folder: `store.json` says what it is, beside the file with its rows.
//!
//! The folder is written under a temporary name and renamed when it is whole. Whoever opens it first compares the file's length
//! and hash with what `store.json` says: a reader of mapped pages would not survive damaged ones.

use super::{
    contents::{Rows, news},
    lmdb::{self, LmdbStore},
    manifest::{LOAD_AGAIN, Manifest},
};
use crate::base::{Error, Result, error::Place, fsio, hash, progress::Progress};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The file that says what the folder is.
pub const MANIFEST: &str = "store.json";
/// The file with the rows.
const ROWS: &str = "rows.mdb";
/// Content of `store.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredFolder {
    /// Version of this form.
    pub schema_version: u32,
    /// Length of the file with the rows.
    pub file_bytes: u64,
    /// SHA-256 of it.
    pub file_sha256: String,
    /// What the rows are.
    pub content: Manifest,
}

impl StoredFolder {
    /// Reads and checks `store.json` of a folder, and that the file with the rows has its length.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(MANIFEST);
        if folder.is_dir() && !path.exists() {
            let problem = format!("it holds no {MANIFEST}, so it is no store");
            return Err(Error::input(folder, Place::whole(), problem, "fill one with `store load`"));
        }
        let stored: Self = fsio::read_json(&path)?;
        stored.content.check(&path)?;
        let rows = folder.join(ROWS);
        let found = std::fs::metadata(&rows).map_err(|e| Error::io(&rows, "read", e))?.len();
        if found != stored.file_bytes {
            let problem = format!("{found} bytes where {} belong", stored.file_bytes);
            return Err(Error::input(&rows, Place::whole(), problem, LOAD_AGAIN));
        }
        Ok(stored)
    }
}

/// Writes all rows of `source` into a new folder.
///
/// Fails when there is something at `folder` already.
pub fn write(folder: &Path, source: &dyn Rows, progress: &dyn Progress) -> Result<()> {
    let taken = match std::fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    };
    if taken {
        let problem = format!("{} is not an empty folder", folder.display());
        return Err(Error::usage(problem, "name another --out, or remove it"));
    }
    let parent = match folder.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fsio::create_dir(parent)?;
    let draft = tempfile::Builder::new()
        .prefix(fsio::TEMPORARY)
        .tempdir_in(parent)
        .map_err(|e| Error::io(parent, "create a folder in", e))?;
    let content = source.manifest().clone();
    let rows = draft.path().join(ROWS);
    lmdb::fill(&rows, source, news(&content, progress))?;
    let file_bytes = std::fs::metadata(&rows).map_err(|e| Error::io(&rows, "read", e))?.len();
    let file_sha256 = hash::sha256_file(&rows)?;
    let stored = StoredFolder { schema_version: 1, file_bytes, file_sha256, content };
    fsio::write_json(&draft.path().join(MANIFEST), &stored)?;
    readable(draft.path())?;
    let draft = draft.keep();
    std::fs::rename(&draft, folder).map_err(|e| {
        // Nobody would look for it there.
        let _ = fsio::remove_dir(&draft);
        Error::io(folder, "rename into", e)
    })
}

/// Gives a temporary folder, which is private by default, the rights of any new one.
fn readable(folder: &Path) -> Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let io = |e| Error::io(folder, "change the rights of", e);
        let like = folder.join("rights");
        std::fs::create_dir(&like).map_err(io)?;
        let mode = std::fs::metadata(&like).map_err(io)?.permissions().mode();
        std::fs::remove_dir(&like).map_err(io)?;
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(mode)).map_err(io)?;
    }
    Ok(())
}

/// Opens a folder that [`write()`] has written.
pub fn open(folder: &Path) -> Result<LmdbStore> {
    let mut stored = StoredFolder::read(folder)?;
    stored.content.place = folder.display().to_string();
    let rows: PathBuf = folder.join(ROWS);
    if hash::sha256_file(&rows)? != stored.file_sha256 {
        let problem = format!("its content is not the one that {MANIFEST} tells of");
        return Err(Error::input(&rows, Place::whole(), problem, LOAD_AGAIN));
    }
    LmdbStore::open(&rows, stored.content)
}
