//! Files that are whole or not there: everything is written to a temporary name in the same folder and renamed. What a
//! killed program leaves are temporary names, which [`sweep`] removes.

mod folders;
mod lock;
mod reading;
mod target;
mod writable;

pub use folders::{
    create_dir, list, list_names, remove, remove_dir, replace_dir, sweep, temporary_folder,
    temporary_folder_in,
};
pub use lock::{Claim, claim, lock};
pub use reading::{read, read_json, read_regular, read_text, read_versioned};
pub use writable::{check_file, check_folder, check_free, remove_if_empty};

use super::{Error, Result};
use serde::Serialize;
use std::{
    fs,
    io::{BufWriter, Write},
    path::Path,
    sync::OnceLock,
};
use target::Target;
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
///
/// A link stays, and the file that it leads to is replaced. What takes bytes and keeps none, such as `/dev/null` or a pipe, gets them as
/// they are made.
pub fn write_made(path: &Path, fill: impl FnOnce(&mut (dyn Write + Send)) -> Result<()>) -> Result<()> {
    let file = match Target::of(path)? {
        Target::File(file) => file,
        Target::Sink => return write_through(path, fill),
    };
    let renamed = |temporary: NamedTempFile| match temporary.persist(&file) {
        Ok(_) => Ok(()),
        Err(e) => Err(Error::io(path, "rename into", e.error)),
    };
    write_named(&file, fill, renamed)
}

/// Hands the content to whoever takes it at `path`.
fn write_through(path: &Path, fill: impl FnOnce(&mut (dyn Write + Send)) -> Result<()>) -> Result<()> {
    let io = |e| Error::io(path, "write", e);
    // Behind what is there: a shell may have opened a file for /dev/stdout.
    let mut buffered = BufWriter::new(fs::File::options().append(true).open(path).map_err(io)?);
    fill(&mut buffered)?;
    buffered.flush().map_err(io)
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
    let folder = folder_of(path);
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

/// The folder that a path is in.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
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
    fn a_file_where_a_folder_should_be_is_named_with_the_way_out() {
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join("run"), b"").unwrap();
        let text = write(&folder.path().join("run/a.txt"), b"1").unwrap_err().to_string();
        assert!(text.contains("run") && text.contains("name another folder"), "{text}");
    }
}
