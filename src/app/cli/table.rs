//! `table probe`, `table merge` and `table show`.

use super::{
    output::{self, Format},
    signals,
};
use crate::{
    app::{
        config::{Experiment, Override, Stage},
        probe::{Begin, ProbeRequest, probe_table},
    },
    base::{
        names::{EngineName, Layout, Precision, Provider},
        progress::Progress,
    },
    data::schema::Schema,
    measure::{
        child::Launcher,
        engine::SessionOptions,
        probe::{ProbePlan, ServiceSettings},
    },
    price::{
        merge::merge,
        table::{Bucket, LatencyTable, Operation},
    },
    space::SearchSpace,
};
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum TableVerb {
    /// Measure every layer that the networks of an experiment can have
    Probe(Box<ProbeArgs>),
    /// Join tables of several hosts or engines
    Merge(MergeArgs),
    /// Print a table: what was probed, and what whole networks taught about it
    Show(ShowArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  autofas-bench table probe --config E.toml --engine tract --candidates 500 --out v1.json
  autofas-bench table probe --config E.toml --engine tract --candidates 500 --out v1.json --resume")]
pub struct ProbeArgs {
    /// The experiment file: its space, its target, and how thoroughly it probes
    #[arg(long, value_name = "E.toml")]
    config: PathBuf,
    /// tract or onnxruntime; may be repeated [default: target.engines of the experiment]
    #[arg(long, value_name = "NAME")]
    engine: Vec<EngineName>,
    /// Instead of target.provider
    #[arg(long, value_name = "NAME")]
    provider: Option<Provider>,
    /// Instead of target.layout
    #[arg(long, value_name = "NAME")]
    layout: Option<Layout>,
    /// Instead of target.precision
    #[arg(long, value_name = "NAME")]
    precision: Option<Precision>,
    /// Instead of target.threads
    #[arg(long, value_name = "N")]
    threads: Option<u32>,
    /// Instead of target.candidates; may be repeated
    #[arg(long, value_name = "N")]
    candidates: Vec<usize>,
    /// Rows of the embedding tables that first layers gather from
    #[arg(long, value_name = "N", default_value_t = 1000)]
    cardinality: usize,
    /// Where the table goes
    #[arg(long, value_name = "TABLE.json")]
    out: PathBuf,
    /// Go on with a probing that was stopped: what it has measured is not measured again
    #[arg(long)]
    resume: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  autofas-bench table merge laptop.json server.json --out both.json")]
pub struct MergeArgs {
    /// The tables
    #[arg(required = true, value_name = "TABLE.json")]
    tables: Vec<PathBuf>,
    /// Where the joined table goes
    #[arg(long, value_name = "TABLE.json")]
    out: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  autofas-bench table show runs/mine/tables/v2.json")]
pub struct ShowArgs {
    /// The table
    #[arg(value_name = "TABLE.json")]
    table: PathBuf,
}

impl TableVerb {
    pub fn run(self, format: Format, progress: &dyn Progress) -> anyhow::Result<()> {
        let table = match self {
            Self::Probe(args) => args.run(progress)?,
            Self::Merge(args) => {
                let tables = args.tables.iter().map(|path| LatencyTable::load(path));
                let joined = merge(&tables.collect::<Result<Vec<_>, _>>()?)?;
                joined.save(&args.out)?;
                joined
            }
            Self::Show(args) => LatencyTable::load(&args.table)?,
        };
        output::print(format, &table, describe)
    }
}

impl ProbeArgs {
    fn run(&self, progress: &dyn Progress) -> anyhow::Result<LatencyTable> {
        let experiment = Experiment::load(&self.config, &self.overrides())?;
        let settings = &experiment.settings;
        let target = &settings.target;
        let features = Schema::load(&experiment.schema_path())?.features;
        let space = SearchSpace::new(features, settings.space.mixops.clone())?.served_in(target.layout);
        let candidates = match self.candidates.as_slice() {
            [] => &[target.candidates],
            chosen => chosen,
        };
        let plan = ProbePlan::for_space(&space, self.cardinality, target.layout, candidates)?;
        let settings_on = |&engine: &EngineName| {
            let options = SessionOptions {
                provider: target.provider,
                threads: target.threads,
                ..SessionOptions::PLAIN
            };
            let (effort, seed) = (settings.probe, settings.seeds.of(Stage::Probe));
            ServiceSettings { engine, options, precision: target.precision, effort, seed }
        };
        let engines = if self.engine.is_empty() { &target.engines } else { &self.engine };
        let request =
            ProbeRequest { plan, settings: engines.iter().map(settings_on).collect(), out: self.out.clone() };
        let begin = if self.resume { Begin::WhereItStopped } else { Begin::Anew };
        let stop = signals::stop_on_signals()?;
        Ok(probe_table(&request, begin, &Launcher::this_program(&stop)?, progress, &stop)?)
    }

    fn overrides(&self) -> Vec<Override> {
        let texts = [
            ("target.provider", self.provider.map(Provider::name)),
            ("target.layout", self.layout.map(Layout::name)),
            ("target.precision", self.precision.map(Precision::name)),
        ];
        let texts = texts.into_iter().filter_map(|(key, name)| Some(Override::text(key, name?)));
        let names: Vec<_> = self.engine.iter().map(|engine| format!("\"{engine}\"")).collect();
        let engines = self.engine.first().map(|first| {
            let all = Override::parse("target.engines", &format!("[{}]", names.join(", ")));
            [Override::text("target.engine", first.name()), all]
        });
        let texts = texts.chain(engines.into_iter().flatten());
        texts.chain(self.threads.map(|threads| Override::count("target.threads", threads))).collect()
    }
}

fn describe(table: &LatencyTable) -> String {
    let mut text = format!("table {}, made from {}\n", table.id(), table.created_from);
    for parent in &table.parents {
        text += &format!("derived from {parent}\n");
    }
    for bucket in &table.buckets {
        text += &format!("\n{} at {} candidates\n", bucket.context, bucket.candidates);
        if let Some(correction) = &bucket.correction {
            text += &format!(
                "corrected by {} networks: {:.4} ms for every network, first layers × {:.3}, inner × {:.3}, output × {:.3}\n",
                bucket.observations.len(),
                correction.fixed_ms,
                correction.first,
                correction.inner,
                correction.output
            );
        }
        text += &entries(bucket);
        text.push('\n');
    }
    text
}

fn entries(bucket: &Bucket) -> String {
    let rows = bucket.entries.iter().map(|entry| {
        let layer = match entry.operation {
            Operation::First { user, item, to } => format!("first {user}+{item} -> {to}"),
            Operation::Layer { from, to } => format!("{from} -> {to}"),
        };
        vec![
            layer,
            format!("{:.4}", entry.mean_ms),
            format!("{:.1}", entry.noise_pct),
            entry.samples.to_string(),
        ]
    });
    output::table(&["layer", "probed ms", "noise %", "runs"], &rows.collect::<Vec<_>>())
}
