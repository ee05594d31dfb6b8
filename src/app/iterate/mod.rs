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
//!       report.html        the page of the run, written by the command line with its pictures in report/
//! ```
//!
//! Every JSON file carries `schema_version`; results of steps stand under `result` beside it.

mod budget;
mod classes;
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
mod opening;
mod package;
mod pareto;
mod planned;
mod probed;
mod recommend;
mod record;
mod request;
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
pub(in crate::app) use opening::DataIdentity;
pub use opening::RunPaths;
pub use pareto::{Candidate, Doubt, Pareto, ParetoPoint, Way, pareto};
pub(in crate::app) use planned::{Guides, Rates};
pub use planned::{plan_iterate, plan_search};
pub use probed::ProbeSummary;
pub(in crate::app) use record::{Record, RoundRecord};
pub use request::RunRequest;
pub use searched::{ExpectedLatency, PredictedTail, SearchFiles, SearchSummary, found_networks};
pub(in crate::app) use searcher::{Searcher, WARM_UP};
pub(in crate::app) use summary::layers_text;
pub use summary::{
    BaselineSummary, Ending, EnginePrediction, NetworkSummary, ReplaySummary, RoundSummary, Summary,
    TeacherSummary, WinnerSummary,
};
pub use systems::{System, SystemSummary, system};
pub(in crate::app) use training::PLAIN;

use crate::{
    app::{
        config::{Experiment, Settings, Stage},
        curves::Curves,
    },
    base::{
        Result,
        progress::{Progress, Silent},
    },
    data::{Loaded, schema::Schema},
    learn::{
        exchange::{Exchange, by_leader},
        train::Rows,
    },
    price::{feature::FeaturePrices, fetch_table::FetchTable, table::LatencyTable},
    space::SearchSpace,
};
use searcher::round_folder;
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

/// Runs the loop and returns what it found. A finished run with the same data gives its summary at once.
/// Whether a stated budget was met is in the summary: see [`Summary::check_budget`]. Rounds end before their limit when the
/// winner no longer changes and its prediction is within the noise of its measurement.
///
/// All ranks train; rank 0 alone measures, writes and can be stopped, while the others wait for what it found.
pub fn iterate(request: RunRequest) -> Result<Summary> {
    let run = Run::open(request)?;
    let RunRequest { ranks, progress, .. } = request;
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
    let mut rule = run.settings.derive;
    for round in FIRST_ROUND..=run.settings.rounds.count {
        let folder = round_folder(round);
        let (_, searched) = searcher.search(&folder, &table, target.of_round(round)?, &rule)?;
        let winner = run.retrain(&guide, &searched.subnet, searched.table_version)?;
        let calibrated = by_leader(ranks, || run.calibrate(round, &winner, &baseline, &table))?;
        let tail = target.respond(round, &winner, &calibrated)?;
        rounds.push(run.round_summary(round, searched.table_version, &winner, &calibrated, tail));
        progress.say(&rounds[round - FIRST_ROUND].to_string());
        rule = run.rule_after(&winner, &calibrated)?;
        table = calibrated.next;
        if recommend::converged(&rounds, run.settings.target.engine) {
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

/// Runs the loop up to the network that the first round derives, and returns what that is. [`iterate`] goes on from
/// there with the same experiment and [`Existing::Resume`], and ends as if it had done all of it. What is said there of
/// ranks holds here.
pub fn search(request: RunRequest) -> Result<SearchSummary> {
    let run = Run::open(request)?;
    let (guide, table) = run.until_first_search()?;
    // How requests scatter is told by the plain DNN.
    let baseline = run.objective().map(|_| run.baseline()).transpose()?;
    let mut target = Target::new(&run, baseline.as_ref())?;
    let target = target.of_round(FIRST_ROUND)?;
    let (rule, folder) = (&run.settings.derive, round_folder(FIRST_ROUND));
    let (outcome, searched) = Searcher::new(&run, &guide).search(&folder, &table, target, rule)?;
    by_leader(run.ranks, || run.search_summary(&guide, &table, target, &outcome, &searched))
}

impl Run<'_> {
    /// The steps before the first search: the teachers, and the table that it pays with.
    fn until_first_search(&self) -> Result<(Guide, LatencyTable)> {
        by_leader(self.ranks, || self.begin())?;
        Ok((self.guide()?, by_leader(self.ranks, || self.first_table())?))
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
