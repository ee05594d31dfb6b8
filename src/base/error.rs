//! The one error type of the library. Every message names the place and the next step; the command line adds nothing
//! but the chain of causes.

use std::path::{Path, PathBuf};

/// What the library's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A cause from another crate (candle, tract, ONNX Runtime, arrow), kept as a chain link without naming its type, so
/// that the lower rooms need not know those crates.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Everything that can go wrong, sorted by who can mend it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused a file operation.
    #[error("cannot {action} {}{}", path.display(), advice(action, source))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// A verb: "read", "write", "rename".
        action: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The content of a user's file is wrong: data, schema, experiment, trace, table.
    #[error("{}{place}: {problem}; {fix}", file.display())]
    Input {
        /// The file.
        file: PathBuf,
        /// Where in the file.
        place: Place,
        /// What is wrong there.
        problem: String,
        /// What the user can do.
        fix: String,
    },
    /// An option or a combination of options makes no sense, independent of any file's content.
    #[error("{problem}; {fix}")]
    Usage {
        /// What is wrong.
        problem: String,
        /// What the user can do.
        fix: String,
    },
    /// The latency table has no entry for what is asked.
    #[error("the latency table has no price for {key}; {fix}")]
    MissingPrice {
        /// The key in words.
        key: String,
        /// The command that measures it.
        fix: String,
    },
    /// A runtime failed to load or run a model.
    #[error("{engine} failed to {action}; {fix}")]
    Engine {
        /// Name and version of the runtime.
        engine: String,
        /// "load model.onnx", "run".
        action: String,
        /// What the user can do.
        fix: String,
        /// The runtime's own words.
        source: Cause,
    },
    /// Training failed.
    #[error("cannot {action}")]
    Learn {
        /// What was being computed.
        action: String,
        /// The tensor library's own words.
        source: Cause,
    },
    /// A stated limit was not met: parity, service-level objective, a regression. The program exits with 3.
    #[error("{limit} is not met: {found}")]
    Limit {
        /// The limit in words.
        limit: String,
        /// What was seen instead.
        found: String,
    },
    /// Something was measured and may not be believed, which says nothing about any limit. The program exits with 4.
    #[error("the result is INVALID: {reasons}")]
    NotValid {
        /// Why, and what can be done.
        reasons: String,
    },
    /// A child process ended without a result.
    #[error("the measuring process for {engine} ended with {status}: {stderr}{}", after_child(*code))]
    Child {
        /// What it was measuring.
        engine: String,
        /// Exit status in words.
        status: String,
        /// Exit code, when it ended by itself.
        code: Option<i32>,
        /// The last lines that it wrote.
        stderr: String,
    },
    /// What a child process said before it ended by itself: it is this very program, so its words are enough.
    #[error("{said}")]
    Said {
        /// The last lines that it wrote.
        said: String,
        /// Its exit code, which means the same as the program's own.
        code: i32,
    },
    /// Somebody asked the program to stop. Where a command goes on from there, the step was finished and its result saved; the
    /// program exits with 128 + the signal's number, as shells report it.
    #[error("stopped by {}{}", signal_name(*signal), going_on(resume))]
    Interrupted {
        /// Number of the signal.
        signal: usize,
        /// The command that goes on; empty where none does.
        resume: String,
    },
}

/// What the user can do about a refusal of the operating system, where that is known.
fn advice(action: &str, source: &std::io::Error) -> &'static str {
    use std::io::ErrorKind as Kind;
    let reads = ["read", "open", "list", "look at"].contains(&action);
    match source.kind() {
        Kind::StorageFull | Kind::QuotaExceeded => "; make room there, then run again",
        Kind::FileTooLarge => "; raise the limit on the size of files (`ulimit -f`), then run again",
        Kind::PermissionDenied if reads => "; ask its owner for the right to read it",
        // The system's own words, which come last, are that it is not UTF-8.
        Kind::InvalidData if reads => "; this is no text: name another file, or save it as UTF-8",
        Kind::PermissionDenied | Kind::ReadOnlyFilesystem => "; name a place that you may write to",
        Kind::NotFound => {
            "; check the path, which counts from the working directory unless it begins with `/`"
        }
        Kind::IsADirectory => "; this is a folder: name a file in it",
        Kind::NotADirectory | Kind::AlreadyExists => {
            "; a file is where a folder should be: remove it, or name another folder"
        }
        _ => "",
    }
}

/// What the user can do about a measuring process without a result. One that ended by itself has said it.
fn after_child(code: Option<i32>) -> &'static str {
    match code {
        Some(_) => "",
        None => {
            "\n(nothing was kept of this measurement: see whether the machine ran out of memory, then run the same \
             command again; a run goes on with --resume)"
        }
    }
}

fn going_on(resume: &str) -> String {
    match resume {
        "" => String::new(),
        resume => format!("; what was done is kept, go on with `{resume}`"),
    }
}

/// The name of a signal that asks to stop.
fn signal_name(signal: usize) -> String {
    match signal {
        2 => "SIGINT".to_owned(),
        15 => "SIGTERM".to_owned(),
        other => format!("signal {other}"),
    }
}

/// Where in a file something is wrong. Prints as a suffix to the file's name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// Column, key or field.
    pub field: Option<String>,
    /// Which of the file's rows or lines.
    pub spot: Option<Spot>,
}

/// One of a file's parts, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spot {
    /// Of a file that has rows but no lines, such as Parquet, or of what is counted without its header.
    Row(u64),
    /// Of a file of text, as an editor counts.
    Line(u64),
}

impl Place {
    /// The whole file.
    pub fn whole() -> Self {
        Self::default()
    }

    /// A column or key.
    pub fn field(name: impl Into<String>) -> Self {
        Self { field: Some(name.into()), spot: None }
    }

    /// A row, from 1.
    pub fn row(row: u64) -> Self {
        Spot::Row(row).into()
    }

    /// A line, from 1.
    pub fn line(line: u64) -> Self {
        Spot::Line(line).into()
    }

    /// A cell: a column at a row or line.
    pub fn cell(name: impl Into<String>, spot: Spot) -> Self {
        Self { field: Some(name.into()), spot: Some(spot) }
    }
}

impl Spot {
    /// The one that is `further` rows or lines below.
    pub fn below(self, further: u64) -> Self {
        match self {
            Self::Row(row) => Self::Row(row + further),
            Self::Line(line) => Self::Line(line + further),
        }
    }
}

impl std::fmt::Display for Spot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Row(row) => write!(f, "row {row}"),
            Self::Line(line) => write!(f, "line {line}"),
        }
    }
}

impl From<Spot> for Place {
    fn from(spot: Spot) -> Self {
        Self { field: None, spot: Some(spot) }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(field) = &self.field {
            write!(f, ", `{field}`")?;
        }
        self.spot.map_or(Ok(()), |spot| write!(f, ", {spot}"))
    }
}

impl Error {
    /// An [`Error::Io`] for `path`.
    pub fn io(path: impl AsRef<Path>, action: &'static str, source: std::io::Error) -> Self {
        Self::Io { path: path.as_ref().to_owned(), action, source }
    }

    /// An [`Error::Input`] for `file` at `place`.
    pub fn input(
        file: impl AsRef<Path>,
        place: Place,
        problem: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self::Input { file: file.as_ref().to_owned(), place, problem: problem.into(), fix: fix.into() }
    }

    /// An [`Error::Usage`].
    pub fn usage(problem: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::Usage { problem: problem.into(), fix: fix.into() }
    }

    /// An [`Error::Engine`].
    pub fn engine(
        engine: impl Into<String>,
        action: impl Into<String>,
        fix: impl Into<String>,
        source: impl Into<Cause>,
    ) -> Self {
        let (engine, action, fix) = (engine.into(), action.into(), fix.into());
        Self::Engine { engine, action, fix, source: source.into() }
    }

    /// Whether a child process crashed, or gave no result in its time: the same may go well another time. One that was killed is
    /// none of these: nearly always the machine ran out of memory, and would again.
    pub fn is_crash(&self) -> bool {
        matches!(self, Self::Child { code: None, status, .. } if !status.contains("SIGKILL"))
    }

    /// This failure of a child process, with that of the one that was started before it for the same.
    pub fn after(mut self, before: &Self) -> Self {
        if let (Self::Child { status, .. }, Self::Child { status: earlier, .. }) = (&mut self, before) {
            *status += &format!(", as one before it with {earlier}");
        }
        self
    }

    /// An [`Error::Learn`].
    pub fn learn(action: impl Into<String>, source: impl Into<Cause>) -> Self {
        Self::Learn { action: action.into(), source: source.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::Error;
    use crate::base::fsio;

    #[test]
    fn a_path_that_is_not_there_or_is_a_folder_is_answered_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let gone = fsio::read(&folder.path().join("gone.toml")).unwrap_err().to_string();
        assert!(gone.contains("cannot read") && gone.contains("gone.toml; check the path"), "{gone}");
        let whole = fsio::read_text(folder.path()).unwrap_err().to_string();
        assert!(whole.ends_with("; this is a folder: name a file in it"), "{whole}");
    }

    #[test]
    fn what_cannot_be_read_is_answered_otherwise_than_what_cannot_be_written() {
        let said = |action| Error::io("a", action, std::io::ErrorKind::PermissionDenied.into()).to_string();
        assert_eq!(said("read"), "cannot read a; ask its owner for the right to read it");
        assert_eq!(said("write"), "cannot write a; name a place that you may write to");
        let folder = tempfile::tempdir().unwrap();
        let binary = folder.path().join("s.toml");
        fsio::write(&binary, &[0xff, 0xfe]).unwrap();
        let text = fsio::read_text(&binary).unwrap_err().to_string();
        assert!(text.ends_with("s.toml; this is no text: name another file, or save it as UTF-8"), "{text}");
    }

    #[test]
    fn who_stops_is_told_of_what_is_kept_only_where_something_goes_on_from_it() {
        let said = |resume: &str| Error::Interrupted { signal: 2, resume: resume.into() }.to_string();
        assert_eq!(said(""), "stopped by SIGINT");
        assert_eq!(said("go on"), "stopped by SIGINT; what was done is kept, go on with `go on`");
    }
}
