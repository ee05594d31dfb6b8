//! What a run has left in its folder, read back: all of a finished run, and of one that was stopped as much as is there.

use super::{
    DataIdentity, FIRST_ROUND, Pareto, RunPaths, Summary,
    fetching::{kept, paid_for_features},
    journal::Journal,
    measured::EngineCalibration,
    pareto,
    probed::GIVEN_TABLE,
    searcher::{Derived, Searched, budget_folder, derived_file, outcome_file, round_folder, subnet_file},
    summary,
};
use crate::{
    app::config::{Experiment, Settings},
    base::{Error, Result, error::Place, fsio, names::EngineName},
    data::schema::Schema,
    learn::{search::SearchOutcome, train::FitReport},
    measure::environment::Environment,
    price::{
        feature::FeaturePrices,
        table::{LatencyTable, SCHEMA_VERSION},
    },
    space::{SearchSpace, Subnet},
};
use std::{collections::BTreeMap, path::Path};

/// A run, as its files have it.
pub(in crate::app) struct Record {
    journal: Journal,
    pub(in crate::app) settings: Settings,
    pub(in crate::app) schema: Schema,
    pub(in crate::app) space: SearchSpace,
    /// What is paid for features.
    pub(in crate::app) prices: FeaturePrices,
    /// Whether these were measured; declared in the schema otherwise.
    pub(in crate::app) measured_prices: bool,
    pub(in crate::app) data: Option<DataIdentity>,
    pub(in crate::app) paths: Option<RunPaths>,
    pub(in crate::app) environment: Option<Environment>,
    /// Those whose search has ended, in their order.
    pub(in crate::app) rounds: Vec<RoundRecord>,
    /// What the searches of several budgets came to, as far as they have ended, by rising budget.
    pub(in crate::app) budgets: Vec<SearchOutcome>,
    pub(in crate::app) summary: Option<Summary>,
    pub(in crate::app) pareto: Option<Pareto>,
}

/// One round, as far as it came.
pub(in crate::app) struct RoundRecord {
    pub(in crate::app) round: usize,
    pub(in crate::app) outcome: SearchOutcome,
    /// What θ, α and the supernet's weights made of it.
    pub(in crate::app) derived: Subnet,
    pub(in crate::app) searched: Searched,
    /// Canonical id of the network that was found.
    pub(in crate::app) id: String,
    /// How it was trained.
    pub(in crate::app) fit: Option<FitReport>,
    /// How its measurements lie beside the predictions.
    pub(in crate::app) engines: Option<BTreeMap<EngineName, EngineCalibration>>,
}

impl Record {
    /// Reads the run in `folder`.
    ///
    /// Fails when there is none, and when a file is of another version than this program's.
    pub(in crate::app) fn read(folder: &Path) -> Result<Self> {
        let journal = Journal::followed(folder);
        let config = journal.path("config.toml");
        if !config.exists() {
            return Err(Error::input(
                folder,
                Place::whole(),
                "holds no run: config.toml is not there",
                "name the --out of `iterate`, `search` or `compare`",
            ));
        }
        let settings = Experiment::load(&config, &[])?.settings;
        let schema = Schema::load(&journal.path("schema.json"))?;
        let space = SearchSpace::new(schema.features.clone(), settings.space.mixops.clone())?
            .served_in(settings.target.layout);
        let fetching = kept(&journal)?;
        let prices = paid_for_features(&schema, &space, &settings, fetching.as_ref())?;
        let mut rounds = Vec::new();
        while let Some(round) = RoundRecord::read(&journal, &space, FIRST_ROUND + rounds.len())? {
            rounds.push(round);
        }
        let mut budgets = Vec::new();
        while let Some(outcome) = journal.recall(&outcome_file(&budget_folder(1 + budgets.len())))? {
            budgets.push(outcome);
        }
        Ok(Self {
            settings,
            space,
            prices,
            measured_prices: fetching.is_some(),
            data: journal.recall("data.json")?,
            paths: journal.recall_document(RunPaths::FILE, RunPaths::SCHEMA_VERSION)?,
            environment: optional(&journal, "environment.json")?,
            rounds,
            budgets,
            summary: journal.recall_document(summary::FILE, summary::SCHEMA_VERSION)?,
            pareto: journal.recall_document(pareto::FILE, pareto::SCHEMA_VERSION)?,
            schema,
            journal,
        })
    }

    /// The file of the table of that version, from the run's folder, with the table.
    pub(in crate::app) fn table(&self, version: u32) -> Result<Option<(String, LatencyTable)>> {
        for file in [format!("tables/v{version}.json"), GIVEN_TABLE.to_owned()] {
            match self.journal.recall_document::<LatencyTable>(&file, SCHEMA_VERSION)? {
                Some(table) if table.version == version => return Ok(Some((file, table))),
                _ => {}
            }
        }
        Ok(None)
    }

    /// The recommended round of a finished run, the last one of another.
    pub(in crate::app) fn leading(&self) -> Option<&RoundRecord> {
        match &self.summary {
            Some(summary) => self.rounds.iter().find(|round| round.round == summary.winner.round),
            None => self.rounds.last(),
        }
    }
}

/// A file that carries no results of a step.
fn optional<T: serde::de::DeserializeOwned>(journal: &Journal, name: &str) -> Result<Option<T>> {
    let path = journal.path(name);
    if path.exists() { fsio::read_json(&path).map(Some) } else { Ok(None) }
}

impl RoundRecord {
    fn read(journal: &Journal, space: &SearchSpace, round: usize) -> Result<Option<Self>> {
        let folder = round_folder(round);
        let (outcome, subnet) = (outcome_file(&folder), subnet_file(&folder));
        let derived = derived_file(&folder);
        let (Some(outcome), Some(Derived { subnet: first, .. }), Some(searched)) = (
            journal.recall::<SearchOutcome>(&outcome)?,
            journal.recall::<Derived>(&derived)?,
            journal.recall::<Searched>(&subnet)?,
        ) else {
            return Ok(None);
        };
        space.verify(&first, &journal.path(&derived))?;
        space.verify(&searched.subnet, &journal.path(&subnet))?;
        check_strengths(&outcome, space, &journal.path(&outcome_file(&folder)))?;
        let id = searched.subnet.id(space);
        Ok(Some(Self {
            round,
            fit: journal.recall(&format!("networks/{id}/fit.json"))?,
            engines: journal.recall(&format!("{folder}/residuals.json"))?,
            outcome,
            derived: first,
            searched,
            id,
        }))
    }
}

/// One θ per feature, one probability per operator.
fn check_strengths(outcome: &SearchOutcome, space: &SearchSpace, file: &Path) -> Result<()> {
    let operators: Vec<usize> = space.mixops.iter().map(Vec::len).collect();
    let found: Vec<usize> = outcome.probabilities.iter().map(Vec::len).collect();
    if outcome.theta.len() == space.features.len() && operators == found {
        return Ok(());
    }
    let problem = format!(
        "holds {} values of θ and {found:?} probabilities for {} features and {operators:?} operators",
        outcome.theta.len(),
        space.features.len()
    );
    let fix = "restore the file, or remove it and go on with --resume";
    Err(Error::input(file, Place::whole(), problem, fix))
}
