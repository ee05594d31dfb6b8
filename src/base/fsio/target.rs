//! Where what is written to a path ends up.

use crate::base::{Error, Result, error::Place};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// As many links as the systems themselves follow.
const MOST_LINKS: usize = 40;

/// What stands at a path that is written to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// The path of a regular file that is there or not: where links lead.
    File(PathBuf),
    /// A terminal, a pipe, `/dev/null`: it is never replaced.
    Sink,
}

impl Target {
    /// Follows `path`. Fails where there is something that a file can neither replace nor be written into.
    pub(super) fn of(path: &Path) -> Result<Self> {
        let mut file = path.to_owned();
        for _ in 0..MOST_LINKS {
            let Ok(next) = fs::read_link(&file) else { return Self::at(path, file) };
            let folder = file.with_file_name("");
            // A file that a process holds open, as behind /dev/stdout: what it is called would be a new one.
            if fs::canonicalize(&folder).is_ok_and(|folder| folder.starts_with("/proc")) {
                return Ok(Self::Sink);
            }
            file = folder.join(next);
        }
        let fix = "name a regular file";
        Err(Error::input(path, Place::whole(), "this is a link that leads to itself", fix))
    }

    /// What is at `file`, which is no link.
    fn at(path: &Path, file: PathBuf) -> Result<Self> {
        match fs::metadata(&file) {
            // A folder is refused by the system, in words of its own.
            Ok(about) if about.is_file() || about.is_dir() => Ok(Self::File(file)),
            Ok(about) if takes_bytes(&about) => Ok(Self::Sink),
            Ok(_) => {
                let problem = "this is neither a file nor what takes one";
                Err(Error::input(path, Place::whole(), problem, "name a regular file"))
            }
            // So is one below a file.
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Ok(Self::File(file))
            }
            Err(e) => Err(Error::io(path, "look at", e)),
        }
    }
}

/// Whether bytes that are written there go on to somebody. Those of a disk would be its content.
#[cfg(unix)]
fn takes_bytes(about: &fs::Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt;
    about.file_type().is_char_device() || about.file_type().is_fifo()
}

#[cfg(not(unix))]
fn takes_bytes(_: &fs::Metadata) -> bool {
    false
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::base::fsio::{read_text, write};
    use std::{io::Read, os::unix::fs::symlink};

    #[test]
    fn a_link_stays_and_the_file_that_it_leads_to_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("far")).unwrap();
        write(&at("far/a.txt"), b"old").unwrap();
        symlink("far/a.txt", at("near")).unwrap();
        symlink(at("near"), at("nearer")).unwrap();
        symlink("far/b.txt", at("nothing yet")).unwrap();
        for (link, file) in [("nearer", "far/a.txt"), ("nothing yet", "far/b.txt")] {
            write(&at(link), b"new").unwrap();
            assert!(fs::symlink_metadata(at(link)).unwrap().is_symlink(), "{link}");
            assert_eq!(read_text(&at(file)).unwrap(), "new");
        }
        assert_eq!(fs::read_dir(at("far")).unwrap().count(), 2);
        symlink("round", at("round")).unwrap();
        let text = write(&at("round"), b"new").unwrap_err().to_string();
        assert!(text.contains("round: this is a link that leads to itself; name a regular file"), "{text}");
    }

    #[test]
    fn what_takes_bytes_gets_them_and_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        // Open at both ends, so that nobody waits for the other one.
        let mut reader = fs::File::options().read(true).write(true).open(&pipe).unwrap();
        write(&pipe, b"all of it").unwrap();
        assert!(!fs::metadata(&pipe).unwrap().is_file(), "it was replaced");
        let mut taken = [0; 9];
        reader.read_exact(&mut taken).unwrap();
        assert_eq!(&taken, b"all of it");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let socket = folder.path().join("socket");
        let _bound = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let text = write(&socket, b"1").unwrap_err().to_string();
        assert!(text.contains("socket: this is neither a file nor what takes one; name a regular"), "{text}");
        for sink in ["/dev/null", "/dev/stdout", "/dev/fd/1"] {
            assert_eq!(Target::of(Path::new(sink)).unwrap(), Target::Sink, "{sink}");
        }
    }
}
