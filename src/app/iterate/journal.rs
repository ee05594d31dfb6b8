//! The run directory: every finished step leaves a file, and a step whose file is there is not run again.
//!
//! That makes resuming the same as running: [`Journal::remember`] returns the stored result or computes and stores it.
//! Files are renamed into place, so a killed run has whole files or none.

use crate::base::{Error, Result, error::Place, fsio};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::path::{Path, PathBuf};

/// The resolved experiment, by which a run is recognised.
const CONFIG: &str = "config.toml";
/// Version of the results of steps.
const SCHEMA_VERSION: u32 = 1;

/// A step's result as it is stored.
#[derive(Serialize, Deserialize)]
struct Stored<T> {
    schema_version: u32,
    result: T,
}

/// Whether an existing run directory may be continued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It is an error.
    Refuse,
    /// Finished steps are kept.
    Resume,
}

/// A run directory.
#[derive(Debug, Clone)]
pub struct Journal {
    folder: PathBuf,
    config: String,
}

impl Journal {
    /// Opens `folder` for an experiment whose resolved text is `config`. Nothing is written before [`Journal::begin`].
    ///
    /// Fails when the folder holds another experiment, or any run at all under [`Existing::Refuse`].
    pub fn open(folder: &Path, config: &str, existing: Existing) -> Result<Self> {
        let path = folder.join(CONFIG);
        if path.exists() {
            if existing == Existing::Refuse {
                return Err(Error::usage(
                    format!("{} already holds a run", folder.display()),
                    "continue it with --resume, or name another folder with --out",
                ));
            }
            if settings(&fsio::read_text(&path)?) != settings(config) {
                return Err(Error::input(
                    &path,
                    Place::whole(),
                    "the run was started with other settings",
                    "resume it with the same --config and options, or start a new run with another --out",
                ));
            }
        }
        Ok(Self { folder: folder.to_owned(), config: config.to_owned() })
    }

    /// Makes the folder that of this run, once everything that could be wrong with the experiment was looked at.
    pub fn begin(&self) -> Result<()> {
        let path = self.path(CONFIG);
        if path.exists() { Ok(()) } else { fsio::write(&path, self.config.as_bytes()) }
    }

    /// A path inside the run.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The stored result of a step, or its result now, stored as JSON under `name`.
    pub fn remember<T: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        compute: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        if let Some(result) = self.recall(name)? {
            return Ok(result);
        }
        let stored = Stored { schema_version: SCHEMA_VERSION, result: compute()? };
        fsio::write_json(&self.path(name), &stored)?;
        Ok(stored.result)
    }

    /// The stored result of a step, if it was finished.
    pub fn recall<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let path = self.path(name);
        if !path.exists() {
            return Ok(None);
        }
        let stored: Stored<T> = versioned(&path, SCHEMA_VERSION)?;
        Ok(Some(stored.result))
    }

    /// [`Journal::remember`] for a document that has a `schema_version` of its own: a table, a report, the summary.
    pub fn remember_document<T: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        version: u32,
        compute: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let path = self.path(name);
        if path.exists() {
            return versioned(&path, version);
        }
        let value = compute()?;
        fsio::write_json(&path, &value)?;
        Ok(value)
    }
}

/// Reads JSON of this version; another one is named before anything else is looked at.
fn versioned<T: DeserializeOwned>(path: &Path, version: u32) -> Result<T> {
    let wrong = |place: Place, problem: String| {
        let fix = "go on with the program that began the run, or start a new run with another --out";
        Error::input(path, place, problem, fix)
    };
    let json: serde_json::Value = fsio::read_json(path)?;
    let found = json.get("schema_version").and_then(serde_json::Value::as_u64);
    if found != Some(version.into()) {
        let found = found.map_or("missing".to_owned(), |found| found.to_string());
        let problem = format!("is {found}, and this program reads {version}");
        return Err(wrong(Place::field("schema_version"), problem));
    }
    serde_json::from_value(json)
        .map_err(|e| wrong(Place::whole(), format!("not what is expected here ({e})")))
}

/// Settings without the comments that tell where each came from.
fn settings(config: &str) -> Option<toml::Table> {
    config.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_runs_once() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(folder.path(), "a = 1", Existing::Refuse).unwrap();
        assert_eq!(journal.remember("x/y.json", || Ok(5)).unwrap(), 5);
        assert_eq!(journal.remember("x/y.json", || Ok(6)).unwrap(), 5);
    }

    #[test]
    fn a_failed_step_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(folder.path(), "a = 1", Existing::Refuse).unwrap();
        let failed: Result<u32> = journal.remember("y.json", || Err(Error::usage("broken", "mend it")));
        assert!(failed.is_err());
        assert_eq!(journal.remember("y.json", || Ok(6)).unwrap(), 6);
    }

    #[test]
    fn a_result_of_another_version_is_named_and_documents_keep_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(folder.path(), "a = 1", Existing::Refuse).unwrap();
        journal.remember("x.json", || Ok(5)).unwrap();
        let path = folder.path().join("x.json");
        let text = fsio::read_text(&path).unwrap();
        fsio::write(&path, text.replace("\"schema_version\": 1", "\"schema_version\": 9").as_bytes())
            .unwrap();
        let error = journal.remember("x.json", || Ok(5)).unwrap_err().to_string();
        assert!(error.contains("x.json, `schema_version`: is 9, and this program reads 1"), "{error}");

        let document = serde_json::json!({"schema_version": 3, "a": 0.1});
        let stored = journal.remember_document("d.json", 3, || Ok(document.clone())).unwrap();
        assert_eq!(stored, fsio::read_json::<serde_json::Value>(&folder.path().join("d.json")).unwrap());
        let other: Result<serde_json::Value> = journal.remember_document("d.json", 2, || Ok(document));
        assert!(other.unwrap_err().to_string().contains("is 3, and this program reads 2"));
    }

    #[test]
    fn a_run_that_never_began_leaves_its_folder_to_another() {
        let folder = tempfile::tempdir().unwrap();
        Journal::open(folder.path(), "a = 1", Existing::Refuse).unwrap();
        Journal::open(folder.path(), "a = 2", Existing::Refuse).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_existing_run_is_refused_unless_resumed_with_the_same_settings() {
        let folder = tempfile::tempdir().unwrap();
        Journal::open(folder.path(), "a = 1 # default", Existing::Refuse).unwrap().begin().unwrap();
        let again = |config, existing| Journal::open(folder.path(), config, existing);
        assert!(again("a = 1", Existing::Refuse).unwrap_err().to_string().contains("--resume"));
        assert!(again("a = 2", Existing::Resume).unwrap_err().to_string().contains("config.toml"));
        again("a = 1 # file", Existing::Resume).unwrap();
    }
}
