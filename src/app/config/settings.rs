//! The tables of the experiment file.

use super::{CompareSettings, ParetoSettings, SeedSettings, SpaceSettings};
use crate::{
    base::{
        check::{self, Checked, Violation},
        names::{EngineName, Layout, Precision, Provider, TractPlan},
    },
    data::split::SplitSettings,
    export::quantise::QuantiseSettings,
    learn::{
        baseline::trees::TreeSettings,
        checkpoint::CheckpointSettings,
        device::DeviceSettings,
        settings::{
            BaselineSettings, DeriveSettings, EvolutionSettings, FinalsSettings, RetrainSettings,
            SearchSettings, TeacherSettings, TwoTowerSettings,
        },
    },
    measure::{
        engine::SessionOptions, latency::samples_needed, replay::work_model::MIN_SAMPLES, service::Effort,
    },
};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Every table of the experiment file. Values are as written; [`super::Experiment`] locates the paths.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// What is learned from.
    pub data: DataSettings,
    /// Which rows are trained on and which are validated on.
    pub split: SplitSettings,
    /// What may be chosen.
    pub space: SpaceSettings,
    /// Where everything is trained.
    pub training: DeviceSettings,
    /// The ranking network that teaches.
    pub teacher: TeacherSettings,
    /// The search of features and operators.
    pub search: SearchSettings,
    /// How a choice is read off the search's end.
    pub derive: DeriveSettings,
    /// How networks are judged by training.
    pub finals: FinalsSettings,
    /// How networks are bred where several budgets are searched.
    pub evolution: EvolutionSettings,
    /// Budgets that are searched one after the other.
    pub pareto: ParetoSettings,
    /// Training of the choice from scratch.
    pub retrain: RetrainSettings,
    /// The plain DNN that the winner is set beside.
    pub baseline: BaselineSettings,
    /// The two-tower network that is compared.
    pub two_tower: TwoTowerSettings,
    /// The gradient boosted trees that are compared, and whose gain ranks features.
    pub gbdt: TreeSettings,
    /// What is paid for.
    pub target: TargetSettings,
    /// How int8 is made, and what it may cost.
    pub quantise: QuantiseSettings,
    /// What is replayed.
    pub traffic: TrafficSettings,
    /// How thoroughly service times are measured.
    pub probe: Effort,
    /// How often the loop runs and what it measures.
    pub rounds: RoundSettings,
    /// What is trained and measured beside each other.
    pub compare: CompareSettings,
    /// How often a training is saved on the way.
    pub checkpoints: CheckpointSettings,
    /// Where randomness starts.
    pub seeds: SeedSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data: DataSettings::default(),
            split: latest_share(0.2),
            space: SpaceSettings::default(),
            training: DeviceSettings::default(),
            teacher: TeacherSettings::default(),
            search: SearchSettings::default(),
            derive: DeriveSettings::default(),
            finals: FinalsSettings::default(),
            evolution: EvolutionSettings::default(),
            pareto: ParetoSettings::default(),
            retrain: RetrainSettings::default(),
            baseline: BaselineSettings::default(),
            two_tower: TwoTowerSettings::default(),
            gbdt: TreeSettings::default(),
            target: TargetSettings::default(),
            quantise: QuantiseSettings::default(),
            traffic: TrafficSettings::default(),
            probe: Effort::default(),
            rounds: RoundSettings::default(),
            compare: CompareSettings::default(),
            checkpoints: CheckpointSettings::default(),
            seeds: SeedSettings::default(),
        }
    }
}

/// The latest rows validate: a random choice would let the model learn from the future.
fn latest_share(valid_fraction: f64) -> SplitSettings {
    SplitSettings::Time {
        column: None,
        train_until: None,
        valid_from: None,
        valid_until: None,
        valid_fraction: Some(valid_fraction),
    }
}

impl Settings {
    /// Tables whose other keys depend on one: when a layer sets that key, the defaults beside it no longer hold.
    pub(super) const CHOICES: [&str; 5] =
        ["split.by", "derive.rule", "search.gate.kind", "search.paths.kind", "search.multiplier.kind"];

    /// The first setting outside its range, with the table it is in.
    pub fn check(&self) -> Result<(), (&'static str, Violation)> {
        let tables = [
            ("data", self.data.check()),
            ("split", self.split.check()),
            ("teacher", self.teacher.check()),
            ("search", self.search.check()),
            ("search", self.check_judging()),
            ("finals", self.finals.check()),
            ("evolution", self.evolution.check()),
            ("pareto", self.pareto.check()),
            ("derive", self.derive.check()),
            ("retrain", self.retrain.check()),
            ("baseline", self.baseline.check()),
            ("two_tower", self.two_tower.check()),
            ("gbdt", self.gbdt.check()),
            ("target", self.target.check()),
            ("target", self.check_fetch_prices()),
            ("quantise", self.quantise.check()),
            ("traffic", self.traffic.check()),
            ("traffic", self.check_objective()),
            ("probe", check_effort(&self.probe)),
            ("rounds", self.rounds.check()),
            ("compare", self.compare.check()),
            ("checkpoints", self.checkpoints.check()),
        ];
        tables.into_iter().try_for_each(|(table, checked)| checked.map_err(|violation| (table, violation)))
    }

    /// Whether a replay of `[traffic]` can show the percentile that `[derive]` states, and how requests scatter.
    fn check_objective(&self) -> Checked {
        let Some(objective) = self.derive.budget().and_then(|budget| budget.objective) else { return Ok(()) };
        let (requests, percentile) = (self.traffic.requests, objective.percentile);
        let least = (samples_needed(percentile.quantile()) as usize).max(MIN_SAMPLES);
        let problem = format!("{requests} requests cannot show whether {objective} holds");
        let fix = format!("give at least {least}; ten times as many bound {} closer", percentile.name());
        check::ensure(requests >= least, "requests", problem, fix)
    }

    /// Whether networks are judged with the weights of a supernet: under a budget, or several, and where features are exchanged.
    pub fn judges_networks(&self) -> bool {
        self.must_judge() || (self.finals.features && self.search.held_out > 0.0)
    }

    fn must_judge(&self) -> bool {
        self.derive.budget().is_some() || self.pareto.asked()
    }

    /// Networks are judged on rows that the teacher never saw.
    fn check_judging(&self) -> Checked {
        let judged = !self.must_judge() || self.search.held_out > 0.0;
        let problem = "under a budget networks are judged on training rows that the teacher never saw, and none are held out";
        check::ensure(judged, "held_out", problem, "give a share such as 0.1")
    }

    /// A measured fetch keeps a worker busy, and neither the simulation nor the replays of the loop have a store to fetch from: an
    /// objective would be judged by a queue that is too short.
    fn check_fetch_prices(&self) -> Checked {
        let objective = self.derive.budget().and_then(|budget| budget.objective);
        let both = objective.is_some() && self.target.fetch_prices.is_some();
        let problem = "measured prices of fetching do not go together with a percentile under load in derive.objective, whose replays \
                       fetch from no store";
        let fix = "state derive.budget_ms, which is one of the mean; or leave this out, pay the schema's fetch_ms, and replay the \
                   network with `replay --store`";
        check::ensure(!both, "fetch_prices", problem, fix)
    }
}

fn check_effort(effort: &Effort) -> Checked {
    check::at_least("passes", effort.passes, 2)?;
    check::positive("block_ms", effort.block_ms)?;
    check::at_least("min_runs", effort.min_runs, 1)?;
    check::at_least("max_runs", effort.max_runs, effort.min_runs)?;
    check::positive("target_noise_pct", effort.target_noise_pct)?;
    check::positive("max_noise_pct", effort.max_noise_pct)
}

/// `[data]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DataSettings {
    /// Schema file, from the experiment file's folder.
    pub schema: PathBuf,
    /// CSV, Parquet, or a folder of either; `--data` wins.
    pub path: Option<PathBuf>,
}

impl DataSettings {
    fn check(&self) -> Checked {
        let named = !self.schema.as_os_str().is_empty();
        check::ensure(named, "schema", "no schema file is named", "give its path, such as \"my.schema.toml\"")
    }
}

/// `[target]`: the one way of serving that the search pays for, and the engines that are measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetSettings {
    /// Whose latencies the search pays.
    pub engine: EngineName,
    /// Where it computes.
    pub provider: Provider,
    /// How a request becomes inputs.
    pub layout: Layout,
    /// Number format of the graph.
    pub precision: Precision,
    /// Threads inside one request.
    pub threads: usize,
    /// Candidates of the request that is priced.
    pub candidates: usize,
    /// Engines that every network is proved and measured on; `engine` is one of them.
    pub engines: Vec<EngineName>,
    /// Latency table that the first round pays with, such as `table probe` makes; without it every layer is probed.
    pub table: Option<PathBuf>,
    /// Prices of fetching, such as `store price` measures; without them features cost what the schema declares.
    pub fetch_prices: Option<PathBuf>,
}

impl Default for TargetSettings {
    fn default() -> Self {
        Self {
            engine: EngineName::OnnxRuntime,
            provider: Provider::Cpu,
            layout: Layout::UserOnce,
            precision: Precision::Fp32,
            threads: 1,
            candidates: 1000,
            engines: vec![EngineName::Tract, EngineName::OnnxRuntime],
            table: None,
            fetch_prices: None,
        }
    }
}

impl TargetSettings {
    /// How the sessions are made that are proved and timed.
    pub fn session_options(&self) -> SessionOptions {
        SessionOptions {
            provider: self.provider,
            threads: self.threads,
            candidates_hint: Some(self.candidates),
            // Layers and networks on the same kind of plan: otherwise a table would not add up.
            ..SessionOptions::PLAIN.with_plan(TractPlan::Bucketed)
        }
    }

    fn check(&self) -> Checked {
        check::at_least("threads", self.threads, 1)?;
        check::candidates("candidates", self.candidates)?;
        let listed = self.engines.contains(&self.engine);
        let problem = format!("{} is not among the engines that are measured", self.engine);
        check::ensure(listed, "engines", problem, "add it, or price another engine")?;
        let computes = self.engines.iter().any(|&engine| engine != EngineName::Null);
        let problem = "the null engine computes nothing, so nothing would be proved";
        check::ensure(computes, "engines", problem, "add tract or onnxruntime")?;
        let only_runtime = "list only onnxruntime in target.engines, or leave this value at its default";
        let tract = self.engines.contains(&EngineName::Tract);
        let threads = format!("tract runs on one thread in this build, not {}", self.threads);
        check::ensure(!tract || self.threads == 1, "threads", threads, only_runtime)?;
        let provider = format!("tract does not run on {}", self.provider);
        check::ensure(!tract || self.provider == Provider::Cpu, "provider", provider, only_runtime)
    }
}

/// `[traffic]`: what is replayed into whole networks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrafficSettings {
    /// Requests of a replay.
    pub requests: usize,
    /// Candidates of a request; shorter lists are padded by popularity.
    pub candidates: usize,
    /// Mean arrivals per second. Recorded arrivals are stretched to it.
    pub qps: f64,
    /// Sessions that serve them, one thread each, behind one queue.
    pub workers: usize,
    /// CSV of recorded arrivals; without it the arrivals are a Poisson process.
    pub arrivals: Option<PathBuf>,
    /// Its column of times.
    pub time_column: String,
}

impl Default for TrafficSettings {
    fn default() -> Self {
        Self {
            requests: 500,
            candidates: 1000,
            qps: 50.0,
            workers: 1,
            arrivals: None,
            time_column: "TIMESTAMP".to_owned(),
        }
    }
}

impl TrafficSettings {
    fn check(&self) -> Checked {
        // Fewer could not earn a median, so the replay at the run's end would be void.
        check::at_least("requests", self.requests, samples_needed(0.5) as usize)?;
        check::candidates("candidates", self.candidates)?;
        check::at_least("workers", self.workers, 1)?;
        check::positive("qps", self.qps)
    }
}

/// `[rounds]`: the loop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoundSettings {
    /// Searches at most; each pays with the table that the one before it corrected. They end earlier when the winner stays the
    /// same and is predicted within the noise of its measurement.
    pub count: usize,
    /// Subnets beside the winner whose service times correct the table.
    pub diverse: usize,
    /// Subnets that are timed to judge predictions and never correct anything.
    pub held_out: usize,
}

impl Default for RoundSettings {
    fn default() -> Self {
        Self { count: 2, diverse: 8, held_out: 4 }
    }
}

impl RoundSettings {
    fn check(&self) -> Checked {
        check::at_least("count", self.count, 1)
    }
}
