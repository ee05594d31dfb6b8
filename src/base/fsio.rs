//! Files that are whole or not there: everything is written to a temporary name in the same folder and renamed. What a
//! killed program leaves are temporary names, which [`sweep`] removes.

mod lock;
mod writable;

pub use lock::{Claim, claim, lock};
pub use writable::{check_file, check_folder, remove_if_empty};

use super::{Error, Result, error::Place};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    fs,
    io::{BufWriter, Read, Write},
    path::Path,
    sync::OnceLock,
};
use tempfile::NamedTempFile;

/// How the names of unfinished files and folders begin; [`sweep`] removes them.
pub const TEMPORARY: &str = ".autofas-tmp-";

/// Where a write stands.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The temporary file is there and empty.
    Begun,
    /// Everything is in the temporary file, which has not been synchronised.
    Filled,
    /// The file has its name.
    Renamed,
}

/// Sees every write at every moment: for tests that end their process in the middle of one.
#[doc(hidden)]
pub static WATCH: OnceLock<fn(&Path, Moment)> = OnceLock::new();

fn at(moment: Moment, path: &Path) {
    if let Some(watch) = WATCH.get() {
        watch(path, moment);
    }
}

/// Writes a file through `fill`; readers see the old content or the new, never a part.
///
/// The parent folder is created when it is missing. The data reaches the disk before the rename.
pub fn write_with(
    path: &Path,
    fill: impl FnOnce(&mut (dyn Write + Send)) -> std::io::Result<()>,
) -> Result<()> {
    write_made(path, |out| fill(out).map_err(|e| Error::io(path, "write", e)))
}

/// Like [`write_with`], for content that is made while it is written: whatever its making fails with, no file is left.
pub fn write_made(path: &Path, fill: impl FnOnce(&mut (dyn Write + Send)) -> Result<()>) -> Result<()> {
    let renamed = |temporary: NamedTempFile| match temporary.persist(path) {
        Ok(_) => Ok(()),
        Err(e) => Err(Error::io(path, "rename into", e.error)),
    };
    write_named(path, fill, renamed)
}

/// Writes a file that is not there yet; false where it is, also when somebody else writes it at the same moment.
pub fn write_new(path: &Path, bytes: &[u8]) -> Result<bool> {
    let fill = |out: &mut (dyn Write + Send)| out.write_all(bytes).map_err(|e| Error::io(path, "write", e));
    write_named(path, fill, |temporary| match temporary.persist_noclobber(path) {
        Ok(_) => Ok(true),
        Err(e) if e.error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(_) if path.exists() => Ok(false),
        // Some file systems cannot rename like that, and there two at the same moment may both write.
        Err(e) => match e.file.persist(path) {
            Ok(_) => Ok(true),
            Err(e) => Err(Error::io(path, "rename into", e.error)),
        },
    })
}

/// Fills a temporary file beside `path`, which `name` gives its name.
fn write_named<T>(
    path: &Path,
    fill: impl FnOnce(&mut (dyn Write + Send)) -> Result<()>,
    name: impl FnOnce(NamedTempFile) -> Result<T>,
) -> Result<T> {
    let folder = match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    create_dir(folder)?;
    let io = |e| Error::io(path, "write", e);
    let mut temporary = temporary_files().tempfile_in(folder).map_err(io)?;
    at(Moment::Begun, path);
    {
        let mut buffered = BufWriter::new(temporary.as_file_mut());
        fill(&mut buffered)?;
        buffered.flush().map_err(io)?;
    }
    at(Moment::Filled, path);
    temporary.as_file().sync_data().map_err(io)?;
    let named = name(temporary)?;
    #[cfg(unix)]
    {
        // The new name too must survive a power cut; file systems that cannot promise that for a folder say so.
        let _ = fs::File::open(folder).and_then(|folder| folder.sync_all());
    }
    at(Moment::Renamed, path);
    Ok(named)
}

/// How temporary files are made. They are private by default; results have the rights of any new file, which the system
/// takes from the user's umask.
fn temporary_files() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder
}

/// Removes what writes that were killed have left in `folder` and the folders below it. Nobody may be writing there.
pub fn sweep(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(|e| Error::io(folder, "list", e))? {
        let entry = entry.map_err(|e| Error::io(folder, "list", e))?;
        let path = entry.path();
        // A link is neither followed nor ours.
        let kind = entry.file_type().map_err(|e| Error::io(&path, "look at", e))?;
        let temporary = entry.file_name().to_string_lossy().starts_with(TEMPORARY);
        match (kind.is_dir(), temporary) {
            (true, true) => remove_dir(&path)?,
            (true, false) => sweep(&path)?,
            (false, true) if kind.is_file() => remove(&path)?,
            _ => {}
        }
    }
    Ok(())
}

/// Gives the file `from`, which is never changed but replaced as all files here, the further name `to`. Nothing happens where `from`
/// is not there, or `to` is.
pub fn link(from: &Path, to: &Path) -> Result<()> {
    if !from.exists() || to.exists() {
        return Ok(());
    }
    to.parent().map_or(Ok(()), create_dir)?;
    // Some file systems know no links.
    match fs::hard_link(from, to) {
        Ok(()) => Ok(()),
        Err(_) => write(to, &read(from)?),
    }
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

/// The largest JSON file that is read.
const LARGEST_JSON: u64 = 1 << 31;

/// Reads JSON from a regular file; a syntax or type error names the file and the line.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = read_regular(path, LARGEST_JSON, "give a file as this program writes it")?;
    serde_json::from_slice(&bytes).map_err(|e| {
        Error::input(
            path,
            Place::line(e.line() as u64),
            format!("not the JSON expected here ({e})"),
            "write it again with the program of this version",
        )
    })
}

/// The `schema_version` that a JSON file states. To be read before the file itself: another version has other fields, and a
/// missing field would be all that is said.
pub fn read_version(path: &Path) -> Result<u32> {
    #[derive(Deserialize)]
    struct Versioned {
        schema_version: u32,
    }
    Ok(read_json::<Versioned>(path)?.schema_version)
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
    fn a_new_file_takes_no_others_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b.txt");
        assert!(write_new(&path, b"first").unwrap());
        assert!(!write_new(&path, b"second").unwrap());
        assert_eq!(read_text(&path).unwrap(), "first");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    /// A umask belongs to a whole process, so the test runs itself again under another one.
    #[cfg(unix)]
    #[test]
    fn a_file_has_the_rights_that_the_umask_leaves() {
        use std::os::unix::fs::PermissionsExt;
        const FOLDER: &str = "AUTOFAS_TEST_UMASK_FOLDER";
        if let Some(folder) = std::env::var_os(FOLDER) {
            write(&Path::new(&folder).join("a.txt"), b"1").unwrap();
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        for (umask, mode) in [("027", 0o640), ("002", 0o664)] {
            let ended = std::process::Command::new("sh")
                .args(["-c", "umask $1; exec \"$0\" --exact base::fsio::tests::a_file_has_the_rights_that_the_umask_leaves"])
                .arg(std::env::current_exe().unwrap())
                .arg(umask)
                .env(FOLDER, folder.path())
                .output()
                .unwrap();
            assert!(ended.status.success(), "{ended:?}");
            let found = fs::metadata(folder.path().join("a.txt")).unwrap().permissions().mode();
            assert_eq!(found & 0o777, mode, "umask {umask}");
        }
    }

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
    fn a_file_where_a_folder_should_be_is_named_with_the_way_out() {
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join("run"), b"").unwrap();
        let text = write(&folder.path().join("run/a.txt"), b"1").unwrap_err().to_string();
        assert!(text.contains("run") && text.contains("name another folder"), "{text}");
    }

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
}
