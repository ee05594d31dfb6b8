//! The run directory: every finished step leaves a file, and a step whose file is there is not run again.
//!
//! That makes resuming the same as running: [`Journal::remember`] returns the stored result or computes and stores it.
//! Files are renamed into place, so a killed run has whole files or none.

use crate::{
    base::{Error, Result, error::Place, fsio},
    learn::exchange::{Exchange, by_leader},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::path::{Path, PathBuf};

/// The resolved experiment, by which a run is recognised.
const CONFIG: &str = "config.toml";

/// Whether an existing run directory may be continued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It is an error.
    Refuse,
    /// Finished steps are kept.
    Resume,
}

/// A run directory.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Journal {
    folder: PathBuf,
}

impl Journal {
    /// Opens `folder` for an experiment whose resolved text is `config`.
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
        } else {
            fsio::write(&path, config.as_bytes())?;
        }
        Ok(Self { folder: folder.to_owned() })
    }

    /// A path inside the run.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// [`Journal::remember`] for a step that all ranks take part in: they find the stored result or none, and rank 0 stores
    /// what comes out.
    pub fn remember_together<T: Serialize + DeserializeOwned>(
        &self,
        ranks: &dyn Exchange,
        name: &str,
        compute: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let path = self.path(name);
        let stored =
            by_leader(ranks, || if path.exists() { fsio::read_json(&path).map(Some) } else { Ok(None) })?;
        if let Some(value) = stored {
            return Ok(value);
        }
        let value = compute()?;
        if ranks.leads() {
            fsio::write_json(&path, &value)?;
        }
        Ok(value)
    }

    /// The stored result of a step, or its result now, stored as JSON under `name`.
    pub fn remember<T: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        compute: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let path = self.path(name);
        if path.exists() {
            return fsio::read_json(&path);
        }
        let value = compute()?;
        fsio::write_json(&path, &value)?;
        Ok(value)
    }
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
    fn an_existing_run_is_refused_unless_resumed_with_the_same_settings() {
        let folder = tempfile::tempdir().unwrap();
        Journal::open(folder.path(), "a = 1 # default", Existing::Refuse).unwrap();
        let again = |config, existing| Journal::open(folder.path(), config, existing);
        assert!(again("a = 1", Existing::Refuse).unwrap_err().to_string().contains("--resume"));
        assert!(again("a = 2", Existing::Resume).unwrap_err().to_string().contains("config.toml"));
        again("a = 1 # file", Existing::Resume).unwrap();
    }
}
