//! Measured prices of fetching, which a run pays instead of those that the schema declares.

use super::{Run, journal::Journal};
use crate::{
    app::config::Settings,
    base::Result,
    data::schema::Schema,
    price::{
        feature::FeaturePrices,
        fetch_table::{FetchTable, SCHEMA_VERSION, Serving},
    },
    space::SearchSpace,
};

/// The measured prices, from the run's folder.
pub(super) const GIVEN: &str = "tables/fetch.json";

/// What a run pays for features: the measured prices, or where there are none those that the schema declares.
pub(super) fn paid_for_features(
    schema: &Schema,
    space: &SearchSpace,
    settings: &Settings,
    measured: Option<&FetchTable>,
) -> Result<FeaturePrices> {
    let prices = match measured {
        None => FeaturePrices::declared(schema),
        Some(table) => {
            let (workers, layout) = (settings.traffic.workers, settings.target.layout);
            // What will run between two fetches is yet to be found, so nothing is counted on to stay in the caches.
            let serving = Serving { workers, layout, network_ms: f64::INFINITY };
            table.prices(schema, settings.target.candidates, serving)?
        }
    };
    Ok(prices.fetched_in(space))
}

/// The measured prices that a run has kept, if it pays by any.
pub(super) fn kept(journal: &Journal) -> Result<Option<FetchTable>> {
    journal.recall_document(GIVEN, SCHEMA_VERSION)
}

impl Run<'_> {
    /// Reads the prices of fetching that the experiment names, and from the second start on the run's own copy of them. Writes
    /// nothing.
    pub(super) fn read_fetch_table(&self) -> Result<Option<FetchTable>> {
        match self.experiment.fetch_prices_path() {
            None => Ok(None),
            Some(path) => match kept(&self.journal)? {
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
