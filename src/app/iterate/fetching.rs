//! Measured prices of fetching, which a run pays instead of those that the schema declares.

use super::Run;
use crate::{
    base::Result,
    price::fetch_table::{FetchTable, SCHEMA_VERSION},
};

/// The measured prices, from the run's folder.
const GIVEN: &str = "tables/fetch.json";

impl Run<'_> {
    /// Reads the prices of fetching that the experiment names, and from the second start on the run's own copy of them. Writes
    /// nothing.
    pub(super) fn read_fetch_table(&self) -> Result<Option<FetchTable>> {
        match self.experiment.fetch_prices_path() {
            None => Ok(None),
            Some(path) => match self.journal.recall_document(GIVEN, SCHEMA_VERSION)? {
                Some(known) => Ok(Some(known)),
                None => FetchTable::load(&path).map(Some),
            },
        }
    }

    /// Refuses prices of another host, before anything of the run is there.
    pub(super) fn check_fetch_table(&self) -> Result<()> {
        let (Some(path), Some(table)) = (self.experiment.fetch_prices_path(), &self.fetch_table) else {
            return Ok(());
        };
        table.check_host(&path, &self.meter.context(self.settings.target.engine)?.host)
    }

    /// Keeps the measured prices in the run, where there are any: it goes on with the same ones.
    pub(super) fn keep_fetch_table(&self) -> Result<()> {
        let Some(table) = &self.fetch_table else { return Ok(()) };
        self.journal.remember_document(GIVEN, SCHEMA_VERSION, || Ok(table.clone())).map(|_| ())
    }
}
