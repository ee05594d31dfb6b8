//! The run directory: every finished step leaves a file, and a step whose file is there is not run again.
//!
//! That makes resuming the same as running: [`Journal::remember`] returns the stored result or computes and stores it.
//! Files are renamed into place, so a killed run has whole files or none. Inside a training, checkpoints take over
//! ([`Journal::remember_training`]). Between two steps the journal looks whether somebody has asked to stop.

mod settings;

use crate::{
    base::{Error, Result, fsio, stop::Stop},
    learn::{
        checkpoint::{CheckpointSettings, Keeper},
        exchange::{Exchange, by_leader},
    },
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

/// The resolved experiment, by which a run is recognised.
const CONFIG: &str = "config.toml";
/// The folder of all checkpoints; gone at the end of a run.
const CHECKPOINTS: &str = "checkpoints";
/// Version of the results of steps.
const SCHEMA_VERSION: u32 = 6;

/// What can be done about a file of another version.
const GO_ON: &str = "go on with the program that began the run, or start a new run with another --out";

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
    checkpoints: CheckpointSettings,
    stop: Stop,
    /// Whether another rank does all the writing.
    follows: bool,
    /// Locked as long as somebody works here; the system unlocks what a killed process held.
    lock: Arc<OnceLock<File>>,
}

impl Journal {
    /// The folder of an experiment whose resolved text is `config`. Nothing is read before [`Journal::open`], and nothing written before
    /// [`Journal::begin`].
    pub fn of(folder: &Path, config: String) -> Self {
        Self {
            folder: folder.to_owned(),
            config,
            checkpoints: CheckpointSettings::default(),
            stop: Stop::never(),
            follows: false,
            lock: Arc::default(),
        }
    }

    /// The run directory of another rank, which does all the writing.
    pub fn followed(folder: &Path) -> Self {
        Self { follows: true, ..Self::of(folder, String::new()) }
    }

    /// This one, where trainings save their state as `checkpoints` say, and a request to `stop` ends the work.
    pub fn saving(self, checkpoints: CheckpointSettings, stop: Stop) -> Self {
        Self { checkpoints, stop, ..self }
    }

    /// Opens the folder for work.
    ///
    /// Fails when it holds another experiment, or any run at all under [`Existing::Refuse`], or a run that
    /// another process is working on.
    pub fn open(self, existing: Existing) -> Result<Self> {
        let journal = self.look(existing)?;
        if !journal.follows && journal.path(CONFIG).exists() {
            fsio::sweep(&journal.folder)?;
        }
        Ok(journal)
    }

    /// [`Journal::open`] for who looks and leaves everything as it is, remains of a killed run included.
    pub fn look(self, existing: Existing) -> Result<Self> {
        let path = self.path(CONFIG);
        if self.follows || !path.exists() {
            return Ok(self);
        }
        if existing == Existing::Refuse {
            return Err(Error::usage(
                format!("{} already holds a run", self.folder.display()),
                "continue it with --resume, or name another folder with --out",
            ));
        }
        settings::check_same(&path, &fsio::read_text(&path)?, &self.config)?;
        self.lock()?;
        Ok(self)
    }

    /// A journal of part of this run's work in a folder below it.
    pub fn inside(&self, folder: &str) -> Self {
        Self { folder: self.folder.join(folder), ..self.clone() }
    }

    /// Makes the folder that of this run, once everything that could be wrong with the experiment was looked at.
    pub fn begin(&self) -> Result<()> {
        // A run that was there when the folder was opened was locked then, and so is one that has begun.
        if self.lock.get().is_none() && !fsio::write_new(&self.path(CONFIG), self.config.as_bytes())? {
            return Err(Error::usage(
                format!("another process has begun a run in {} meanwhile", self.folder.display()),
                "name another folder with --out",
            ));
        }
        self.lock()
    }

    /// The request that ends the work.
    pub fn stop(&self) -> &Stop {
        &self.stop
    }

    /// Keeps other processes out of the run.
    fn lock(&self) -> Result<()> {
        if self.lock.get().is_none() {
            let _ = self.lock.set(fsio::lock(&self.path(CONFIG), "the run")?);
        }
        Ok(())
    }

    /// Whether a step was finished.
    pub fn has(&self, name: &str) -> bool {
        self.path(name).exists()
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
        self.stop.check()?;
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
        let stored: Stored<T> = fsio::read_versioned(&path, SCHEMA_VERSION, GO_ON)?;
        Ok(Some(stored.result))
    }

    /// [`Journal::remember`] for a document that has a `schema_version` of its own: a table, a report, the summary.
    pub fn remember_document<T: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        version: u32,
        compute: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        if let Some(value) = self.recall_document(name, version)? {
            return Ok(value);
        }
        self.stop.check()?;
        let value = compute()?;
        fsio::write_json(&self.path(name), &value)?;
        Ok(value)
    }

    /// The stored document, if there is one.
    pub fn recall_document<T: DeserializeOwned>(&self, name: &str, version: u32) -> Result<Option<T>> {
        let path = self.path(name);
        if path.exists() { fsio::read_versioned(&path, version, GO_ON).map(Some) } else { Ok(None) }
    }

    /// [`Journal::remember`] for a training of all ranks: the keeper saves its state on the way, until its result is
    /// stored.
    pub fn remember_training<T: Serialize + DeserializeOwned>(
        &self,
        ranks: &dyn Exchange,
        name: &str,
        train: impl FnOnce(&mut Keeper) -> Result<T>,
    ) -> Result<T> {
        let mut keeper = self.keeper(name);
        let value = match by_leader(ranks, || self.recall(name))? {
            Some(result) => result,
            None => {
                self.stop.check()?;
                let result = train(&mut keeper)?;
                if ranks.leads() { self.remember(name, || Ok(result))? } else { result }
            }
        };
        keeper.clear()?;
        Ok(value)
    }

    /// Where the training whose result is called `name` is saved on the way.
    pub fn keeper(&self, name: &str) -> Keeper {
        if self.follows {
            return Keeper::none();
        }
        let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem).replace('/', "-");
        Keeper::new(self.path(CHECKPOINTS).join(stem), self.checkpoints, self.stop.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    fn open(folder: &Path, config: &str, existing: Existing) -> Result<Journal> {
        Journal::of(folder, config.to_owned()).open(existing)
    }

    #[test]
    fn a_step_runs_once() {
        let folder = tempfile::tempdir().unwrap();
        let journal = open(folder.path(), "a = 1", Existing::Refuse).unwrap();
        assert_eq!(journal.remember("x/y.json", || Ok(5)).unwrap(), 5);
        assert_eq!(journal.remember("x/y.json", || Ok(6)).unwrap(), 5);
    }

    #[test]
    fn a_failed_step_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let journal = open(folder.path(), "a = 1", Existing::Refuse).unwrap();
        let failed: Result<u32> = journal.remember("y.json", || Err(Error::usage("broken", "mend it")));
        assert!(failed.is_err());
        assert_eq!(journal.remember("y.json", || Ok(6)).unwrap(), 6);
    }

    #[test]
    fn a_result_of_another_version_is_named_and_documents_keep_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let journal = open(folder.path(), "a = 1", Existing::Refuse).unwrap();
        journal.remember("x.json", || Ok(5)).unwrap();
        let path = folder.path().join("x.json");
        let text = fsio::read_text(&path).unwrap();
        let version = |number: u32| format!("\"schema_version\": {number}");
        fsio::write(&path, text.replace(&version(SCHEMA_VERSION), &version(99)).as_bytes()).unwrap();
        let error = journal.remember("x.json", || Ok(5)).unwrap_err().to_string();
        let said = format!("x.json, `schema_version`: is 99, this program reads {SCHEMA_VERSION}");
        assert!(error.contains(&said), "{error}");

        let document = serde_json::json!({"schema_version": 3, "a": 0.1});
        let stored = journal.remember_document("d.json", 3, || Ok(document.clone())).unwrap();
        assert_eq!(stored, fsio::read_json::<serde_json::Value>(&folder.path().join("d.json")).unwrap());
        let other: Result<serde_json::Value> = journal.remember_document("d.json", 2, || Ok(document));
        assert!(other.unwrap_err().to_string().contains("is 3, this program reads 2"));
    }

    #[test]
    fn a_run_that_never_began_leaves_its_folder_to_another() {
        let folder = tempfile::tempdir().unwrap();
        open(folder.path(), "a = 1", Existing::Refuse).unwrap();
        open(folder.path(), "a = 2", Existing::Refuse).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_existing_run_is_refused_unless_resumed_with_the_same_settings() {
        let folder = tempfile::tempdir().unwrap();
        open(folder.path(), "a = 1 # default", Existing::Refuse).unwrap().begin().unwrap();
        let again = |config, existing| open(folder.path(), config, existing);
        assert!(again("a = 1", Existing::Refuse).unwrap_err().to_string().contains("--resume"));
        assert!(again("a = 2", Existing::Resume).unwrap_err().to_string().contains("config.toml"));
        again("a = 1 # file", Existing::Resume).unwrap();
    }

    #[test]
    fn a_run_may_go_on_with_another_cadence_of_checkpoints() {
        let folder = tempfile::tempdir().unwrap();
        open(folder.path(), "a = 1\n[checkpoints]\nkeep = 2", Existing::Refuse).unwrap().begin().unwrap();
        open(folder.path(), "a = 1\n[checkpoints]\nkeep = 3", Existing::Resume).unwrap();
    }

    #[test]
    fn two_processes_do_not_work_on_one_run() {
        let folder = tempfile::tempdir().unwrap();
        let first = open(folder.path(), "a = 1", Existing::Refuse).unwrap();
        first.begin().unwrap();
        let second = open(folder.path(), "a = 1", Existing::Resume).unwrap_err().to_string();
        assert!(second.contains("another process") && second.contains("--out"), "{second}");
        drop(first);
        open(folder.path(), "a = 1", Existing::Resume).unwrap();
    }

    #[test]
    fn of_processes_that_begin_a_run_at_the_same_moment_one_does() {
        const AT_ONCE: usize = 8;
        for _ in 0..20 {
            let folder = tempfile::tempdir().unwrap();
            let (opened, begun) = (Barrier::new(AT_ONCE), Barrier::new(AT_ONCE));
            let begin = |settings: usize| {
                let journal = open(folder.path(), &format!("a = {settings}"), Existing::Refuse).unwrap();
                opened.wait();
                let result = journal.begin();
                // Nobody's lock is gone before everybody has asked for it.
                begun.wait();
                result.map_err(|error| error.to_string())
            };
            let results: Vec<_> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..AT_ONCE)
                    .map(|at| {
                        scope.spawn({
                            let begin = &begin;
                            move || begin(at)
                        })
                    })
                    .collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            let (begun, refused): (Vec<_>, Vec<_>) =
                results.into_iter().enumerate().partition(|(_, r)| r.is_ok());
            assert_eq!(begun.len(), 1, "{refused:?}");
            let text = fsio::read_text(&folder.path().join(CONFIG)).unwrap();
            assert_eq!(text, format!("a = {}", begun[0].0), "the settings are those of who works there");
            for (_, error) in refused {
                let error = error.unwrap_err();
                assert!(error.contains("another process") && error.contains("--out"), "{error}");
            }
        }
    }

    #[test]
    fn a_request_to_stop_ends_the_run_before_its_next_step() {
        let folder = tempfile::tempdir().unwrap();
        let stop = Stop::new("go on");
        let journal = Journal::of(folder.path(), "a = 1".to_owned())
            .saving(CheckpointSettings::default(), stop.clone())
            .open(Existing::Refuse)
            .unwrap();
        journal.remember("x.json", || Ok(5)).unwrap();
        stop.request(2);
        assert_eq!(journal.remember("x.json", || Ok(6)).unwrap(), 5);
        let stopped = journal.remember("y.json", || Ok(7)).unwrap_err();
        assert!(matches!(stopped, Error::Interrupted { signal: 2, .. }), "{stopped}");
    }
}
