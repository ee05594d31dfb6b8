//! A run on the data of another with other settings: what several systems are trained in beside each other.

use super::{Journal, Run};
use crate::{
    app::config::Experiment,
    base::Result,
    data::{dataset::Split, schema::Schema},
    space::SearchSpace,
};
use std::path::PathBuf;

impl Run<'_> {
    /// This run with the settings of `experiment`, which has the same data, and its results in `folder` below this one's. The
    /// two share rows, prices and lock; only this one has a trace, a table and the files that travel with networks.
    pub(in crate::app) fn variant<'b>(&'b self, experiment: &'b Experiment, folder: &str) -> Result<Run<'b>> {
        let settings = &experiment.settings;
        let space = SearchSpace::new(self.schema.features.clone(), settings.space.mixops.clone())?
            .served_in(settings.target.layout);
        Ok(Run {
            settings,
            experiment,
            schema: Schema::clone(&self.schema),
            space,
            loaded: self.loaded.clone(),
            journal: self.journal.inside(folder),
            meter: self.meter,
            ranks: self.ranks,
            progress: self.progress,
            identity: self.identity.clone(),
            fetch_table: self.fetch_table.clone(),
            feature_prices: self.feature_prices.clone(),
        })
    }

    /// This run with its results in the folder of another.
    pub(super) fn kept_in(mut self, journal: Journal) -> Self {
        self.journal = journal;
        self
    }

    /// The store that replays of a comparison fetch from.
    pub(in crate::app) fn store_path(&self) -> Option<PathBuf> {
        self.experiment.compared_store_path()
    }

    /// This run, trained on and validated on other rows.
    pub(in crate::app) fn on(mut self, split: Split) -> Self {
        self.loaded.split = split;
        self
    }
}
