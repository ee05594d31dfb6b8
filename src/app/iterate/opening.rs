//! How a run opens: everything that it depends on is read and tried before anything is written, and then the folder becomes that of
//! the run.

use super::{Journal, Run, RunRequest, fetching::paid_for_features};
use crate::{
    app::config::Stage,
    base::{Error, Result, fsio},
    data::{self, Loaded, inspect::alarms, schema::Schema},
    export::companions::Versioned,
    learn::{device, exchange::by_leader, settings::DeriveSettings},
    measure::replay::make::PlannedTrace,
    space::SearchSpace,
};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What the data was, so that a resumed run cannot go on with other data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::app) struct DataIdentity {
    pub(in crate::app) rows: usize,
    pub(in crate::app) train_rows: usize,
    pub(in crate::app) valid_rows: usize,
    pub(in crate::app) schema_hash: String,
    pub(in crate::app) encoder_hash: String,
    pub(in crate::app) rows_hash: String,
    pub(in crate::app) split_hash: String,
}

/// Where the run's input lay on the machine that ran it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunPaths {
    /// Version of this format.
    pub schema_version: u32,
    /// The data: a file or a folder.
    pub data: PathBuf,
}

impl RunPaths {
    /// Version of this format that this program writes.
    pub const SCHEMA_VERSION: u32 = 1;
    /// Name of the file in the run directory.
    pub const FILE: &str = "paths.json";
}

impl<'a> Run<'a> {
    /// The run of a request, with everything read that it depends on. Writes nothing.
    pub(in crate::app) fn open(request: RunRequest<'a>) -> Result<Self> {
        device::choose(request.experiment.settings.training.device)?;
        Self::prepare(request, request.journal().open(request.existing)?)
    }

    /// [`Run::open`] for who only looks: the folder of a run stays as it is.
    ///
    /// Fails where this process is one of several ranks.
    pub(in crate::app) fn look(request: RunRequest<'a>) -> Result<Self> {
        request.check_alone("a dry run is made")?;
        device::choose(request.experiment.settings.training.device)?;
        Self::prepare(request, request.journal().look(request.existing)?)
    }

    /// Reads everything that the run depends on, and refuses to continue one that was begun with other data. Writes
    /// nothing.
    fn prepare(request: RunRequest<'a>, journal: Journal) -> Result<Self> {
        let RunRequest { experiment, meter, ranks, progress, .. } = request;
        let settings = &experiment.settings;
        let path = experiment.named_data()?;
        let schema = Schema::load(&experiment.schema_path())?;
        let space = SearchSpace::new(schema.features.clone(), settings.space.mixops.clone())?
            .served_in(settings.target.layout);
        progress.stage("read and encode the data", 0);
        let loaded = data::load(&schema, &path, &settings.split, settings.seeds.of(Stage::Split))?;
        let identity = identity(&schema, &loaded);
        let feature_prices = paid_for_features(&schema, &space, settings, None)?;
        let mut run = Self {
            settings,
            experiment,
            schema,
            space,
            loaded,
            journal,
            meter,
            ranks,
            progress,
            identity,
            fetch_table: None,
            feature_prices,
        };
        run.fetch_table = by_leader(ranks, || run.read_fetch_table())?;
        run.feature_prices = paid_for_features(&run.schema, &run.space, settings, run.fetch_table.as_ref())?;
        // A rank may have read another file than rank 0, too.
        let begun = by_leader(ranks, || {
            Ok(run.journal.recall("data.json")?.unwrap_or_else(|| run.identity.clone()))
        })?;
        if begun != run.identity {
            return Err(Error::usage(
                format!("the run was begun with other data than {}", path.display()),
                "resume it with the same data and schema, or start a new run with another --out",
            ));
        }
        Ok(run)
    }
}

impl Run<'_> {
    /// Tries whatever would otherwise fail after hours of training, and gives the trace of a run that has none yet. Writes nothing.
    pub(in crate::app) fn check(&self) -> Result<Option<PlannedTrace>> {
        self.space.check_item_side()?;
        self.check_classes()?;
        self.check_lists()?;
        self.check_trees()?;
        self.probe_plan()?;
        self.check_objective()?;
        self.progress.stage("try the engines", 0);
        self.meter.check()?;
        self.check_given_table()?;
        self.check_fetch_table()?;
        self.new_trace()
    }

    /// Checks everything, and only then makes the folder that of this run.
    pub(in crate::app) fn begin(&self) -> Result<()> {
        let trace = self.check()?;
        self.journal.begin()?;
        self.keep_fetch_table()?;
        if let Some(trace) = trace {
            trace.write(&self.trace_path())?;
        }
        self.journal.remember("data.json", || Ok(self.identity.clone()))?;
        let schema = Versioned { schema_version: Schema::VERSION, content: &self.schema };
        fsio::write_json(&self.journal.path("schema.json"), &schema)?;
        self.loaded.encoders.save(&self.journal.path("encoders.json"))?;
        let environment = self.journal.path("environment.json");
        if !environment.exists() {
            self.meter.describe(&environment)?;
        }
        let path = self.experiment.named_data()?;
        let data = std::path::absolute(&path).map_err(|e| Error::io(path, "resolve", e))?;
        fsio::write_json(
            &self.journal.path(RunPaths::FILE),
            &RunPaths { schema_version: RunPaths::SCHEMA_VERSION, data },
        )?;
        self.describe();
        self.warn_of_features()
    }

    /// Says what looks wrong about the features, before hours are spent on them.
    fn warn_of_features(&self) -> Result<()> {
        self.progress.stage("look at the features", 0);
        let alarms = alarms(&self.loaded.dataset, &self.loaded.split.train, self.seed(Stage::Split))?;
        alarms.iter().for_each(|alarm| self.progress.say(&format!("warning: {alarm}")));
        Ok(())
    }

    fn describe(&self) {
        let split = &self.loaded.split;
        self.progress.say(&format!(
            "{} rows to train on, {} to validate on, {} features",
            split.train.len(),
            split.valid.len(),
            self.space.features.len()
        ));
        let may = self.space.features.iter().filter(|feature| !feature.never).count();
        if let DeriveSettings::TopK { k } = self.settings.derive
            && k > may
        {
            self.progress
                .say(&format!("note: derive.k is {k}, and {may} features may be selected: all of them are"));
        }
        let (declared, target) = (self.schema.fetch_candidates as usize, self.settings.target.candidates);
        if declared != target && self.fetch_table.is_none() {
            self.progress.say(&format!(
                "note: the schema declares fetch times for {declared} candidates (fetch_candidates); they are paid as \
                 they stand, though the target has {target}"
            ));
        }
    }
}

fn identity(schema: &Schema, loaded: &Loaded) -> DataIdentity {
    DataIdentity {
        rows: loaded.dataset.rows(),
        train_rows: loaded.split.train.len(),
        valid_rows: loaded.split.valid.len(),
        schema_hash: schema.hash(),
        encoder_hash: loaded.encoders.hash(),
        rows_hash: loaded.dataset.rows_hash(),
        split_hash: loaded.split.hash(),
    }
}
