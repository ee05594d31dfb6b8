//! `table probe`, `table merge` and `table show`; `table check` and `table predict` have files of their own.

use super::{
    output::{self, Format},
    signals,
    table_check::CheckArgs,
    table_predict::PredictArgs,
};
use crate::{
    app::{
        config::{Experiment, Override, Stage},
        plan::{Draft, Plan},
        probe::{Begin, ProbeRequest, plan_probe, probe_table, table_rows},
    },
    base::{
        Error, Result, calendar, fsio,
        names::{EngineName, Layout, Precision, Provider},
        progress::Progress,
    },
    data::{encode::Encoders, schema::Schema},
    measure::{
        child::Launcher,
        probe::{Networks, ProbePlan, ServiceSettings, Shard},
    },
    price::{
        calibrate::Fit,
        interpolate::{self, LeftOut},
        merge::{disagreements, incomplete, merge, other_versions},
        origin::Origin,
        table::{Bucket, LatencyTable, Operation, TableContext},
    },
    space::SearchSpace,
};
use clap::{Args, Subcommand};
use std::{path::PathBuf, time::Duration};

#[derive(Debug, Subcommand)]
pub enum TableVerb {
    /// Measure every layer that the networks of an experiment can have, and whole random networks
    Probe(Box<ProbeArgs>),
    /// Hold a table against whole networks that it never saw
    Check(Box<CheckArgs>),
    /// Predict fetch, service and response of a network, and its percentiles at a rate
    Predict(Box<PredictArgs>),
    /// Join shards of one probing, or tables of several hosts or engines
    Merge(MergeArgs),
    /// Print a table: what was probed, and what whole networks taught about it
    Show(ShowArgs),
}

#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "Examples:
  autofas-bench table probe --config E.toml --engine tract --candidates 500 \\
      --out v1.json
  autofas-bench table probe --config E.toml --engine tract --candidates 500 \\
      --out v1.json --resume
  # how long?
  autofas-bench table probe --config E.toml --dry-run --out v1.json
  autofas-bench table probe --config E.toml --shard 3/8 --out shard-3.json"
)]
pub struct ProbeArgs {
    /// The experiment file: its space, its target, and how thoroughly it probes
    #[arg(long, value_name = "E.toml")]
    config: PathBuf,
    /// tract or onnxruntime; may be repeated [default: target.engines of the experiment]
    #[arg(long, hide_possible_values = true, value_name = "NAME")]
    engine: Vec<EngineName>,
    /// Instead of target.provider
    #[arg(long, hide_possible_values = true, value_name = "NAME")]
    provider: Option<Provider>,
    /// Instead of target.layout
    #[arg(long, hide_possible_values = true, value_name = "NAME")]
    layout: Option<Layout>,
    /// Instead of target.precision
    #[arg(long, hide_possible_values = true, value_name = "NAME")]
    precision: Option<Precision>,
    /// Instead of target.threads
    #[arg(long, value_name = "N")]
    threads: Option<u32>,
    /// Instead of target.candidates; may be repeated
    #[arg(long, value_name = "N")]
    candidates: Vec<usize>,
    /// Rows of the embedding tables of vocabularies, where --encoders does not say
    #[arg(long, value_name = "N", default_value_t = 1000)]
    cardinality: usize,
    /// Encoders of a run or of an encoded data set: they know how many rows every embedding table has
    #[arg(long, value_name = "encoders.json")]
    encoders: Option<PathBuf>,
    /// Random networks that the table learns from, at least; more where each layer's coming twice takes more. 0 for none
    #[arg(long, value_name = "N", default_value_t = 24)]
    networks: usize,
    /// Random networks that it is judged by
    #[arg(long, value_name = "N", default_value_t = 8)]
    held_out: usize,
    /// Time for all of it, over all --resume: noisy models are visited again while it lasts, and every model three times at least
    #[arg(long, value_name = "MINUTES", default_value_t = 10.0)]
    minutes: f64,
    /// Where the table goes
    #[arg(long, value_name = "TABLE.json")]
    out: PathBuf,
    /// Measure the I-th of N parts only, for one of N machines of one type; `table merge` joins them
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Go on with a probing that was stopped, or add to a finished table what it lacks: nothing is measured twice
    #[arg(long)]
    resume: bool,
    /// Read and check everything, say what would be measured and for how long, and write nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  autofas-bench table merge laptop.json server.json --out both.json
  autofas-bench table merge shard-?.json --out v1.json")]
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
            Self::Probe(args) if args.dry_run => {
                return output::print(format, &args.planned(progress)?, Plan::to_string);
            }
            Self::Probe(args) => args.run(progress)?,
            Self::Check(args) => return args.run(format, progress),
            Self::Predict(args) => return args.run(format),
            Self::Merge(args) => args.run(progress)?,
            Self::Show(args) => LatencyTable::load(&args.table)?,
        };
        output::print(format, &table, describe)
    }
}

impl MergeArgs {
    fn run(&self, progress: &dyn Progress) -> anyhow::Result<LatencyTable> {
        let mut tables = Vec::with_capacity(self.tables.len());
        for path in &self.tables {
            let table = LatencyTable::load(path)?;
            // What contradicts is named by these.
            progress.say(&format!("{} is table {}", path.display(), table.id()));
            tables.push(table);
        }
        let joined = merge(&tables)?;
        for found in disagreements(&tables) {
            progress.say(&format!("note: {found}; the better measured value is kept"));
        }
        for (a, b) in other_versions(&joined) {
            progress
                .say(&format!("note: {a} and {b} stand side by side: prices of one do not serve the other"));
        }
        for (context, candidates, networks) in incomplete(&joined) {
            progress.say(&format!(
                "note: {context} at {candidates} candidates lacks layers of {networks} of its networks, which correct nothing: merge \
                 all shards together"
            ));
        }
        joined.save(&self.out)?;
        Ok(joined)
    }
}

impl ProbeArgs {
    fn run(&self, progress: &dyn Progress) -> anyhow::Result<LatencyTable> {
        let (request, begin) = self.request(&mut Draft::default())?;
        let stop = signals::stop_on_signals()?;
        Ok(probe_table(&request, begin, &Launcher::this_program(&stop)?, progress, &stop)?)
    }

    fn planned(&self, progress: &dyn Progress) -> anyhow::Result<Plan> {
        let mut draft = Draft::default();
        let (request, begin) = self.request(&mut draft)?;
        let stop = signals::stop_and_end()?;
        Ok(plan_probe(&request, begin, &Launcher::this_program(&stop)?, draft, progress, &stop)?)
    }

    /// What is asked for; `draft` is told what was read for it.
    fn request(&self, draft: &mut Draft) -> Result<(ProbeRequest, Begin)> {
        fsio::check_file(&self.out)?;
        let experiment = Experiment::load(&self.config, &self.overrides())?;
        draft.has_read("experiment", &self.config, "every setting within its range");
        let settings = &experiment.settings;
        let target = &settings.target;
        let schema = Schema::load(&experiment.schema_path())?;
        draft.has_read("schema", experiment.schema_path(), format!("{} features", schema.features.len()));
        let encoders = self.encoders.as_deref().map(Encoders::load).transpose()?;
        if let Some(path) = &self.encoders {
            draft.has_read("encoders", path, "they know how many rows every table has");
        }
        let cardinalities = table_rows(&schema, encoders.as_ref(), self.cardinality)?;
        let space =
            SearchSpace::new(schema.features, settings.space.mixops.clone())?.served_in(target.layout);
        let candidates = match self.candidates.as_slice() {
            [] => &[target.candidates],
            chosen => chosen,
        };
        let seed = settings.seeds.of(Stage::Probe);
        let networks = Networks { fitted: self.networks, held_out: self.held_out };
        let plan = ProbePlan::for_space(&space, &cardinalities, target.layout, candidates, networks, seed)?;
        let settings_on = |&engine: &EngineName| {
            // As the loop measures, so that a table of one serves the other.
            let (options, effort) = (target.session_options(), settings.probe);
            ServiceSettings { engine, options, precision: target.precision, effort, seed }
        };
        let engines = chosen_engines(&self.engine, &target.engines);
        let budget = Duration::try_from_secs_f64(60.0 * self.minutes).map_err(|_| {
            Error::usage(format!("{} minutes are no time", self.minutes), "give a number above 0, such as 10")
        })?;
        let request = ProbeRequest {
            plan,
            settings: engines.iter().map(settings_on).collect(),
            budget: Some(budget),
            shard: self.shard,
            out: self.out.clone(),
        };
        Ok((request, if self.resume { Begin::WhereItStopped } else { Begin::Anew }))
    }

    fn overrides(&self) -> Vec<Override> {
        let texts = [
            ("target.provider", self.provider.map(Provider::name)),
            ("target.layout", self.layout.map(Layout::name)),
            ("target.precision", self.precision.map(Precision::name)),
        ];
        let texts = texts.into_iter().filter_map(|(key, name)| Some(Override::text(key, name?)));
        let texts = texts.chain(engine_overrides(&self.engine));
        texts.chain(self.threads.map(|threads| Override::count("target.threads", threads))).collect()
    }
}

/// The engines that are named, each once, else those of the experiment.
pub(super) fn chosen_engines(named: &[EngineName], of_experiment: &[EngineName]) -> Vec<EngineName> {
    let mut chosen = Vec::new();
    for engine in if named.is_empty() { of_experiment } else { named } {
        if !chosen.contains(engine) {
            chosen.push(*engine);
        }
    }
    chosen
}

/// What puts these engines in the place of the experiment's; nothing without any.
pub(super) fn engine_overrides(engines: &[EngineName]) -> Vec<Override> {
    let Some(first) = engines.first() else { return Vec::new() };
    let names: Vec<_> = engines.iter().map(|engine| format!("\"{engine}\"")).collect();
    let all = Override::parse("target.engines", &format!("[{}]", names.join(", ")));
    vec![Override::text("target.engine", first.name()), all]
}

fn describe(table: &LatencyTable) -> String {
    let mut text = format!("table {}, made from {}\n", table.id(), table.created_from);
    for parent in &table.parents {
        text += &format!("derived from {parent}\n");
    }
    table.origins.iter().for_each(|origin| text += &described(origin));
    let mut contexts: Vec<&TableContext> = table.buckets.iter().map(|bucket| &bucket.context).collect();
    contexts.dedup();
    for context in contexts {
        text += &counts(table, context);
    }
    for bucket in &table.buckets {
        text += &format!("\n{} at {} candidates\n", bucket.context, bucket.candidates);
        text += &correction(bucket);
        text += &judged(table, bucket);
        text += &bucket.between_widths.map_or(String::new(), |error| format!("{error}\n"));
        text += &entries(bucket);
        text.push('\n');
    }
    text
}

/// At which candidate counts there are prices, and how far those between them may be off.
fn counts(table: &LatencyTable, context: &TableContext) -> String {
    let mut text = String::new();
    for LeftOut { candidates, layers, mape_pct, worst_pct } in interpolate::left_out(table, context) {
        text += &format!(
            "{context}: {candidates} candidates from their neighbours would be {mape_pct:.1} % off in the mean, \
             {worst_pct:.1} % at worst ({layers} layers)\n"
        );
    }
    text
}

fn correction(bucket: &Bucket) -> String {
    let networks = bucket.observations.len();
    match &bucket.correction {
        None if networks > 0 => {
            format!("priced as probed: {networks} networks did not bear out a correction\n")
        }
        None => String::new(),
        Some(correction) => format!(
            "corrected by {networks} networks: {:.4} ms for every network, first layers × {:.3}, inner × {:.3}, output × {:.3}\n",
            correction.fixed_ms, correction.first, correction.inner, correction.output
        ),
    }
}

/// How the table agrees with networks that it did not learn from.
fn judged(table: &LatencyTable, bucket: &Bucket) -> String {
    // Another space's networks may have layers without a price.
    let fit = Fit::of(table, &bucket.context, bucket.candidates, &[], &bucket.held_out).ok();
    fit.and_then(|fit| fit.held_out).map_or(String::new(), |found| {
        format!(
            "{} held-out networks: {:.1} % off in the mean, bias {:+.1} %, noise {:.1} %\n",
            found.networks, found.mape_pct, found.bias_pct, found.noise_pct
        )
    })
}

fn described(origin: &Origin) -> String {
    let mut text = format!("measured on host {} with version {}", origin.host, origin.program_version);
    if let Some(time) = origin.measured_unix_s {
        text += &format!(" until {}", calendar::utc_text(time));
    }
    if let Some(table) = &origin.table {
        text += &format!(", as table {table}");
    }
    text + "\n"
}

fn entries(bucket: &Bucket) -> String {
    let rows = bucket.entries.iter().map(|entry| {
        let layer = match entry.operation {
            Operation::Call => "call".to_owned(),
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
