//! An embedded store as a folder: `store.json` says what it is, beside the file with its rows.
//!
//! The folder is written under a temporary name and renamed when it is whole; a lock says that somebody is at it, so that the next
//! who fills a folder beside it removes what a program that died has left. Whoever opens it first compares the file's length
//! and hash with what `store.json` says: a reader of mapped pages would not survive damaged ones.

use super::{
    contents::{Rows, news},
    lmdb::{self, LmdbStore},
    manifest::{LOAD_AGAIN, Manifest},
};
use crate::base::{Error, Result, error::Place, fsio, hash, progress::Progress, stop::Stop};
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    path::{Path, PathBuf},
};

/// The file that says what the folder is.
pub const MANIFEST: &str = "store.json";
/// The file with the rows.
const ROWS: &str = "rows.mdb";
/// Version of [`StoredFolder`].
const SCHEMA_VERSION: u32 = 1;
/// How the names of folders begin that are being filled.
const DRAFT: &str = ".autofas-tmp-store-";

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
        let stored: Self = fsio::read_versioned(&path, SCHEMA_VERSION, LOAD_AGAIN)?;
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
/// Fails when there is something at `folder` already, and when somebody asks to stop; nothing is left then.
pub fn write(folder: &Path, source: &dyn Rows, progress: &dyn Progress, stop: &Stop) -> Result<()> {
    fsio::check_free(folder)?;
    let parent = match folder.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fsio::create_dir(parent)?;
    let (draft, _lock) = draft_in(parent)?;
    let content = source.manifest().clone();
    let rows = draft.path().join(ROWS);
    lmdb::fill(&rows, source, news(&content, progress, stop))?;
    let file_bytes = std::fs::metadata(&rows).map_err(|e| Error::io(&rows, "read", e))?.len();
    let file_sha256 = hash::sha256_file(&rows)?;
    let stored = StoredFolder { schema_version: SCHEMA_VERSION, file_bytes, file_sha256, content };
    fsio::write_json(&draft.path().join(MANIFEST), &stored)?;
    readable(draft.path())?;
    stop.check()?;
    let draft = draft.keep();
    std::fs::rename(&draft, folder).map_err(|e| {
        // Nobody would look for it there.
        let _ = fsio::remove_dir(&draft);
        Error::io(folder, "rename into", e)
    })
}

/// A temporary folder in `parent` with its lock, after those are gone that nobody holds any more.
fn draft_in(parent: &Path) -> Result<(tempfile::TempDir, Option<File>)> {
    let io = |e| Error::io(parent, "create a folder in", e);
    // Between making a folder and locking it nobody else may look. Some file systems know no locks: there nothing is removed.
    let alone = File::open(parent).and_then(|folder| folder.lock().map(|()| folder)).ok();
    if alone.is_some() {
        for entry in std::fs::read_dir(parent).map_err(io)? {
            let entry = entry.map_err(io)?;
            let draft = entry.file_name().to_string_lossy().starts_with(DRAFT);
            let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let dead = || File::open(entry.path()).is_ok_and(|folder| folder.try_lock().is_ok());
            if draft && is_dir && dead() {
                fsio::remove_dir(&entry.path())?;
            }
        }
    }
    let draft = tempfile::Builder::new().prefix(DRAFT).tempdir_in(parent).map_err(io)?;
    let lock =
        File::open(draft.path()).and_then(|folder| folder.try_lock().map(|()| folder).map_err(Into::into));
    Ok((draft, lock.ok()))
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
