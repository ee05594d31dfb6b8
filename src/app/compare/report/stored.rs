//! Reading what trainings left.

use crate::{
    app::{
        compare::{
            SCHEMA_VERSION,
            pace::spent_s,
            result::{Guided, Setup, Training, TrialLog},
            scene::TABLE,
            trials::GUIDE,
        },
        iterate::Journal,
    },
    base::{Error, Result, error::Place, fsio},
};
use std::{collections::BTreeMap, path::Path};

/// All results of a comparison.
pub(super) struct Stored {
    pub(super) setup: Setup,
    /// By system, budget and seed.
    pub(super) trainings: Vec<Training>,
    pub(super) trials: Vec<TrialLog>,
    /// The teachers of every seed.
    pub(super) guides: BTreeMap<u32, Guided>,
    /// Seconds of the teachers that guided trials, and of the table's probes.
    pub(super) trial_guide_s: f64,
    pub(super) table_s: f64,
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
        let (mut trainings, mut guides) = (Vec::<Training>::new(), BTreeMap::new());
        for seed in fsio::list_names(&folder.join("results"))? {
            for file in fsio::list_names(&folder.join("results").join(&seed))? {
                let name = format!("results/{seed}/{file}");
                if file == GUIDE {
                    let guide = journal.recall::<Guided>(&name)?;
                    guides.extend(seed.parse().ok().zip(guide));
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
        let trial_guide_s =
            journal.recall::<Guided>(&format!("trials/{GUIDE}"))?.map_or(0.0, |guide| guide.seconds);
        let of_systems = |file: &&String| file.ends_with(".json") && *file != GUIDE;
        for file in fsio::list_names(&folder.join("trials"))?.iter().filter(of_systems) {
            trials.extend(journal.recall::<TrialLog>(&format!("trials/{file}"))?);
        }
        trials.sort_by_key(|log| log.system);
        let table_s = spent_s(&journal, TABLE)?;
        Ok(Self { setup, trainings, trials, guides, trial_guide_s, table_s })
    }
}
