//! What the steps of a run left last, for those who ask about its networks afterwards: prices, and the search that found a
//! network. Nothing is measured, so the machine may be another one.

use super::{
    FIRST_ROUND,
    fetching::{kept, paid_for_features},
    journal::Journal,
    probed::GIVEN_TABLE,
    searcher::{Searched, budget_folder, outcome_file, round_folder, subnet_file},
};
use crate::{
    app::config::Settings,
    base::{Error, Result, error::Place, fsio, names::EngineName},
    data::schema::Schema,
    learn::search::SearchOutcome,
    price::{
        feature::FeaturePrices,
        table::{LatencyTable, TableContext},
    },
    space::SearchSpace,
};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// The last prices of a run.
pub(in crate::app) struct LastPrices {
    /// The table that the last round corrected; of a run without rounds the one that its search paid with.
    pub(in crate::app) table: LatencyTable,
    /// The circumstances of the target's engine there.
    pub(in crate::app) context: TableContext,
    /// What the run paid for features.
    pub(in crate::app) features: FeaturePrices,
}

/// Of whatever a file says, the circumstances of what was measured.
#[derive(Deserialize)]
struct Circumstances {
    context: TableContext,
}

/// A search, and what it thought of the features.
pub(in crate::app) struct FoundBy {
    /// Its file, from the run's folder.
    pub(in crate::app) file: String,
    /// θ of every feature of the space.
    pub(in crate::app) theta: Vec<f64>,
}

impl LastPrices {
    /// Those of the run in `folder`, whose networks are of `space`.
    ///
    /// Fails where nothing was searched, as in the folder of a network that was only trained again.
    pub(in crate::app) fn of(
        folder: &Path,
        settings: &Settings,
        schema: &Schema,
        space: &SearchSpace,
    ) -> Result<Self> {
        let journal = Journal::followed(folder);
        let table = LatencyTable::load(&last_table(&journal)?)?;
        let context = circumstances(&journal, settings.target.engine)?;
        let features = paid_for_features(schema, space, settings, kept(&journal)?.as_ref())?;
        Ok(Self { table, context, features })
    }
}

/// The table of the highest version.
fn last_table(journal: &Journal) -> Result<PathBuf> {
    let folder = journal.path("tables");
    let version = |name: &String| name.strip_prefix('v')?.strip_suffix(".json")?.parse::<u32>().ok();
    let last = fsio::list_names(&folder)?.iter().filter_map(version).max();
    let given = journal.path(GIVEN_TABLE);
    match last {
        Some(version) => Ok(folder.join(format!("v{version}.json"))),
        None if given.exists() => Ok(given),
        None => Err(Error::input(
            &folder,
            Place::whole(),
            "there is no latency table, so layers have no price",
            "name the folder that `iterate` or `search` wrote",
        )),
    }
}

/// Where and how `engine` was measured: all measurements of a run are of the same circumstances.
fn circumstances(journal: &Journal, engine: EngineName) -> Result<TableContext> {
    let files = [
        format!("{}/measured/{engine}.json", round_folder(FIRST_ROUND)),
        format!("tables/probed/{engine}.json"),
        "budgets/service.json".to_owned(),
    ];
    for file in &files {
        if let Some(Circumstances { context }) = journal.recall(file)? {
            return Ok(context);
        }
    }
    Err(Error::input(
        journal.path(&files[0]),
        Place::whole(),
        format!("{engine} was not measured yet, so which prices of the table count is not known"),
        "finish the run with --resume",
    ))
}

/// The last search of the run in `folder` that found the network `id`; none where it came to be otherwise.
pub(in crate::app) fn found_by(folder: &Path, space: &SearchSpace, id: &str) -> Result<Option<FoundBy>> {
    let journal = Journal::followed(folder);
    let mut last = None;
    for search_folder in [round_folder as fn(usize) -> String, budget_folder] {
        for folder in (FIRST_ROUND..).map(search_folder) {
            let (choice, file) = (subnet_file(&folder), outcome_file(&folder));
            let Some(Searched { subnet, .. }) = journal.recall(&choice)? else { break };
            space.verify(&subnet, &journal.path(&choice))?;
            if subnet.id(space) != id {
                continue;
            }
            let Some(SearchOutcome { theta, .. }) = journal.recall(&file)? else { continue };
            if theta.len() != space.features.len() {
                let problem = format!("has {} values for {} features", theta.len(), space.features.len());
                let fix = "restore the file, or search again";
                return Err(Error::input(journal.path(&file), Place::field("theta"), problem, fix));
            }
            last = Some(FoundBy { file, theta });
        }
    }
    Ok(last)
}
