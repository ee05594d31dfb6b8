//! The main job: search → derive → finals → retrain → export → prove → measure → calibrate, round after round. Each round pays
//! with the latency table that the one before it corrected.
//!
//! [`iterate`] reads as the pipeline, and [`search`] as its part up to the first network that is found. Every step is a file of its own, and every step's result is kept in the run
//! directory by the `journal`, so a run that was killed goes on where it stopped: at the step, and inside a training at
//! its last checkpoint.
//!
//! ```text
//! RUN/  config.toml        the resolved experiment; paths.json: where the data lay at the last start
//!       data.json          hashes of rows, split, schema and encoders; schema.json, encoders.json
//!       environment.json   machine and program of the first start
//!       teacher/           weights and metrics of every teacher and of trees that teach; r(x) of all rows, and the rows that are trained on and held out:
//!                          from the first teacher, and under a budget from the supernet, too
//!       warmup.safetensors the search before any price counts, shared by all rounds
//!       networks/ID/       network.safetensors, fit.json, parity.json, model.onnx and its companions; the plain DNN in
//!                          baseline-ID/, and what [`system`] made in teacher/ and two-tower-HASH/
//!       shapes/            untrained networks that are timed for the table: ID.onnx and the proof ID.json
//!       tables/            fetch.json when measured prices of fetching are given; probed/ENGINE.json; v1.json (or given.json), v2.json, …: probes, then one correction per round
//!       rounds/N/          search.json, derived.json, subnet.json (the best of derived.json and its neighbours), measured/ENGINE.json, residuals.json; for a percentile under load also
//!                          forecast.json, which the search pays with, and replay.json, the winner's own replay
//!       judged/            the rows of the folds; teachers/HASH/, those that saw the other rows alone; ID/FOLD.json, how well a network did there that
//!                          was trained on the others
//!       replay/            trace.parquet; ENGINE.json and one NETWORK-ENGINE.hlog per network; for a percentile under load
//!                          also reference.json, the plain DNN before the first search
//!       checkpoints/       the training in progress; gone at the end
//!       importance/        ID.json, of `importance`: what the features of a network are worth
//!       tensorboard/       curves of everything that is trained, for `tensorboard --logdir`
//!       budgets/           where several budgets are searched ([`pareto`]), with pareto.json
//!       summary.json
//! ```
//!
//! Every JSON file carries `schema_version`; results of steps stand under `result` beside it.

mod budget;
mod ensemble;
mod fetching;
mod given;
mod grown;
mod guide;
mod journal;
mod judged;
mod last;
mod lesson;
mod measured;
mod meter;
mod package;
mod pareto;
mod planned;
mod probed;
mod recommend;
mod record;
mod searched;
mod searcher;
mod summary;
mod systems;
mod tail;
mod traffic;
mod training;
mod variant;

pub use budget::{BudgetSummary, TailSummary};
pub(in crate::app) use ensemble::Teaching;
pub(in crate::app) use guide::Guide;
pub use journal::Existing;
pub(in crate::app) use journal::Journal;
pub(in crate::app) use last::{FoundBy, LastPrices, found_by};
pub(in crate::app) use measured::EngineCalibration;
pub use measured::MeasuredTime;
pub use meter::{ChildMeter, Meter, NamedModel, ServiceTime, Traffic};
pub use pareto::{Candidate, Doubt, Pareto, ParetoPoint, Way, pareto};
pub(in crate::app) use planned::Rates;
pub use planned::{plan_iterate, plan_search};
pub use probed::ProbeSummary;
pub(in crate::app) use record::{Record, RoundRecord};
pub use searched::{ExpectedLatency, PredictedTail, SearchFiles, SearchSummary, found_networks};
pub(in crate::app) use searcher::{Searcher, WARM_UP};
pub use summary::{
    BaselineSummary, Ending, EnginePrediction, NetworkSummary, ReplaySummary, RoundSummary, Summary,
    TeacherSummary, WinnerSummary,
};
pub use systems::{System, SystemSummary, system};

use crate::{
    app::{
        config::{Experiment, Settings, Stage},
        curves::Curves,
    },
    base::{
        Error, Result, fsio,
        progress::{Progress, Silent},
        stop::Stop,
    },
    data::{self, Loaded, inspect::alarms, schema::Schema},
    export::companions::Versioned,
    learn::{
        device,
        exchange::{Exchange, by_leader},
        train::Rows,
    },
    measure::replay::make::PlannedTrace,
    price::{feature::FeaturePrices, fetch_table::FetchTable, table::LatencyTable},
    space::SearchSpace,
};
use fetching::paid_for_features;
use searcher::round_folder;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use summary::Found;
use tail::Target;

/// Rounds count from here.
const FIRST_ROUND: usize = 1;

/// What every step reads.
pub(in crate::app) struct Run<'a> {
    pub(in crate::app) settings: &'a Settings,
    experiment: &'a Experiment,
    pub(in crate::app) schema: Schema,
    pub(in crate::app) space: SearchSpace,
    pub(in crate::app) loaded: Loaded,
    pub(in crate::app) journal: Journal,
    pub(in crate::app) meter: &'a dyn Meter,
    ranks: &'a dyn Exchange,
    pub(in crate::app) progress: &'a dyn Progress,
    identity: DataIdentity,
    /// Measured prices of fetching, where the experiment names some.
    pub(in crate::app) fetch_table: Option<FetchTable>,
    /// What is paid for features.
    pub(in crate::app) feature_prices: FeaturePrices,
}

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
    /// Name of the file in the run directory.
    pub const FILE: &str = "paths.json";
}

/// Runs the loop into `out` and returns what it found. A finished run with the same data gives its summary at once.
/// Whether a stated budget was met is in the summary: see [`Summary::check_budget`]. Rounds end before their limit when the
/// winner no longer changes and its prediction is within the noise of its measurement. A
/// request to `stop` ends it after the present step with [`Error::Interrupted`].
///
/// All of `ranks` train; rank 0 alone measures, writes and can be stopped, while the others wait for what it found.
pub fn iterate(
    experiment: &Experiment,
    out: &Path,
    existing: Existing,
    meter: &dyn Meter,
    ranks: &dyn Exchange,
    progress: &dyn Progress,
    stop: &Stop,
) -> Result<Summary> {
    let run = Run::open(experiment, out, existing, meter, ranks, progress, stop)?;
    if let Some(known) =
        by_leader(ranks, || run.journal.recall_document(summary::FILE, summary::SCHEMA_VERSION))?
    {
        return Ok(known);
    }
    let (guide, mut table) = run.until_first_search()?;
    let baseline = run.baseline()?;
    let probes = by_leader(ranks, || run.probe_summaries(&table))?;
    let mut searcher = Searcher::new(&run, &guide);
    let mut target = Target::new(&run, Some(&baseline))?;
    let mut rounds = Vec::new();
    let mut rule = experiment.settings.derive;
    for round in FIRST_ROUND..=experiment.settings.rounds.count {
        let folder = round_folder(round);
        let (_, searched) = searcher.search(&folder, &table, target.of_round(round)?, &rule)?;
        let winner = run.retrain(&guide, &searched.subnet, searched.table_version)?;
        let calibrated = by_leader(ranks, || run.calibrate(round, &winner, &baseline, &table))?;
        let tail = target.respond(round, &winner, &calibrated)?;
        rounds.push(run.round_summary(round, searched.table_version, &winner, &calibrated, tail));
        progress.say(&rounds[round - FIRST_ROUND].to_string());
        rule = run.rule_after(&winner, &calibrated)?;
        table = calibrated.next;
        if recommend::converged(&rounds, experiment.settings.target.engine) {
            progress.say("the winner stays the same and is predicted within the noise: no further round");
            break;
        }
    }
    by_leader(ranks, || {
        run.journal.remember_document(summary::FILE, summary::SCHEMA_VERSION, || {
            let best = run.recommend(&rounds);
            let replays = run.replay(&rounds[best], &baseline)?;
            let networks = [&rounds[best].network, &run.network_summary(&baseline)];
            let expected_ms = run.expected_service_ms(networks, &table)?;
            Ok(run.summary(&guide, &baseline, Found { probes, rounds, best, replays, expected_ms }))
        })
    })
}

/// Runs the loop into `out` up to the network that the first round derives, and returns what that is. [`iterate`] goes on from
/// there with the same experiment and [`Existing::Resume`], and ends as if it had done all of it. What is said there of
/// `ranks` and `stop` holds here.
pub fn search(
    experiment: &Experiment,
    out: &Path,
    existing: Existing,
    meter: &dyn Meter,
    ranks: &dyn Exchange,
    progress: &dyn Progress,
    stop: &Stop,
) -> Result<SearchSummary> {
    let run = Run::open(experiment, out, existing, meter, ranks, progress, stop)?;
    let (guide, table) = run.until_first_search()?;
    // How requests scatter is told by the plain DNN.
    let baseline = run.objective().map(|_| run.baseline()).transpose()?;
    let mut target = Target::new(&run, baseline.as_ref())?;
    let target = target.of_round(FIRST_ROUND)?;
    let (rule, folder) = (&experiment.settings.derive, round_folder(FIRST_ROUND));
    let (outcome, searched) = Searcher::new(&run, &guide).search(&folder, &table, target, rule)?;
    by_leader(ranks, || run.search_summary(&guide, &table, target, &outcome, &searched))
}

impl<'a> Run<'a> {
    /// The run in `out`, with everything read that it depends on. Writes nothing.
    pub(in crate::app) fn open(
        experiment: &'a Experiment,
        out: &Path,
        existing: Existing,
        meter: &'a dyn Meter,
        ranks: &'a dyn Exchange,
        progress: &'a dyn Progress,
        stop: &Stop,
    ) -> Result<Self> {
        device::choose(experiment.settings.training.device)?;
        let config = experiment.resolved.to_string();
        let journal = if ranks.leads() {
            Journal::open(out, &config, existing, experiment.settings.checkpoints, stop)?
        } else {
            Journal::followed(out)
        };
        Self::prepare(experiment, journal, meter, ranks, progress)
    }

    /// Reads everything that the run depends on, and refuses to continue one that was begun with other data. Writes
    /// nothing.
    fn prepare(
        experiment: &'a Experiment,
        journal: Journal,
        meter: &'a dyn Meter,
        ranks: &'a dyn Exchange,
        progress: &'a dyn Progress,
    ) -> Result<Self> {
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

    /// The steps before the first search: the teachers, and the table that it pays with.
    fn until_first_search(&self) -> Result<(Guide, LatencyTable)> {
        by_leader(self.ranks, || self.begin())?;
        Ok((self.guide()?, by_leader(self.ranks, || self.first_table())?))
    }

    /// Tries whatever would otherwise fail after hours of training, and gives the trace of a run that has none yet. Writes nothing.
    pub(in crate::app) fn check(&self) -> Result<Option<PlannedTrace>> {
        self.space.check_item_side()?;
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
        fsio::write_json(&self.journal.path(RunPaths::FILE), &RunPaths { schema_version: 1, data })?;
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
        let (declared, target) = (self.schema.fetch_candidates as usize, self.settings.target.candidates);
        if declared != target && self.fetch_table.is_none() {
            self.progress.say(&format!(
                "note: the schema declares fetch times for {declared} candidates (fetch_candidates); they are paid as \
                 they stand, though the target has {target}"
            ));
        }
    }

    fn rows(&self) -> Rows<'_> {
        Rows { data: &self.loaded.dataset, split: &self.loaded.split, ranks: self.ranks }
    }

    /// The progress of a training whose curves are kept under `name`.
    fn curves(&self, name: &str) -> Box<dyn Progress + '_> {
        if !self.ranks.leads() {
            return Box::new(Silent);
        }
        Box::new(Curves::new(self.progress, &self.journal.path("tensorboard").join(name)))
    }

    /// What rank 0 does alone while the others go on.
    fn lead(&self, act: impl FnOnce() -> Result<()>) -> Result<()> {
        if self.ranks.leads() { act() } else { Ok(()) }
    }

    pub(in crate::app) fn seed(&self, stage: Stage) -> u64 {
        self.settings.seeds.of(stage)
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
