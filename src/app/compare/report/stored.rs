//! Reading what trainings left.

use crate::{
    app::{
        compare::{
            SCHEMA_VERSION,
            result::{GuideTime, Setup, Training, TrialLog},
        },
        iterate::Journal,
    },
    base::{Error, Result, error::Place},
};
use std::path::Path;

/// All results of a comparison.
pub(super) struct Stored {
    pub(super) setup: Setup,
    /// By system, budget and seed.
    pub(super) trainings: Vec<Training>,
    pub(super) trials: Vec<TrialLog>,
    /// Seconds of all teachers.
    pub(super) guides_s: f64,
}

impl Stored {
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let journal = Journal::followed(folder);
        let setup = journal.recall_document("setup.json", SCHEMA_VERSION)?.ok_or_else(|| {
            Error::input(
                folder,
                Place::whole(),
                "holds no comparison: setup.json is not there",
                "name the --out of `compare`, or run it first",
            )
        })?;
        let (mut trainings, mut guides_s) = (Vec::<Training>::new(), 0.0);
        for seed in names(&folder.join("results"))? {
            for file in names(&folder.join("results").join(&seed))? {
                let name = format!("results/{seed}/{file}");
                if file == "guide.json" {
                    guides_s += journal.recall::<GuideTime>(&name)?.map_or(0.0, |guide| guide.seconds);
                } else {
                    trainings.extend(journal.recall::<Training>(&name)?);
                }
            }
        }
        trainings.sort_by(|a, b| {
            let budgets = a.budget_ms.unwrap_or(0.0).total_cmp(&b.budget_ms.unwrap_or(0.0));
            a.system.cmp(&b.system).then(budgets).then(a.seed.cmp(&b.seed))
        });
        let mut trials = Vec::<TrialLog>::new();
        for file in names(&folder.join("trials"))?.iter().filter(|file| file.ends_with(".json")) {
            trials.extend(journal.recall::<TrialLog>(&format!("trials/{file}"))?);
        }
        trials.sort_by_key(|log| log.system);
        Ok(Self { setup, trainings, trials, guides_s })
    }
}

/// What a folder holds, in the order of names; nothing where there is none.
fn names(folder: &Path) -> Result<Vec<String>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let entries = std::fs::read_dir(folder).map_err(|e| Error::io(folder, "list", e))?;
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        let entry = entry.map_err(|e| Error::io(folder, "list", e))?;
        Ok(entry.file_name().to_string_lossy().into_owned())
    };
    let mut names = entries.map(name).collect::<Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}
