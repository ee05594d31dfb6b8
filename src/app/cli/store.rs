//! `store load`, `store show` and `store price`.

use super::{
    files::{self, DataArgs},
    output::{self, Format},
    signals,
    store_name::StoreName,
};
use crate::{
    app::plan::{Draft, OutState, Plan, Seconds, Step, Unit, span},
    base::{
        Error, fsio,
        names::{EngineName, Layout},
        progress::Progress,
        stop::Stop,
    },
    data::schema::Schema,
    export::Metadata,
    measure::{
        engine,
        fetching::{self, DISPLACED_BYTES, FetchEffort, Priced, measure_prices},
        replay::clock::RealClock,
        store::{
            Manifest, Owner, StoreChoice,
            contents::{Contents, Rows},
        },
    },
    price::fetch_table::{FetchTable, GroupPrice},
};
use anyhow::Context;
use clap::{Args, Subcommand};
use serde::Serialize;
use std::{path::PathBuf, time::Instant};

#[derive(Debug, Subcommand)]
pub enum StoreVerb {
    /// Fill a feature store from a data set: the last row of every user, item and pair
    Load(LoadArgs),
    /// Describe a feature store: groups, rows, bytes
    Show(ShowArgs),
    /// Measure what its rows and features cost to fetch: what a search pays for them
    Price(Box<PriceArgs>),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  autofas-bench store load --model out/model.onnx --data D.parquet \\
      --out stores/first
  autofas-bench store load --schema S.toml --encoders E.json --data D.parquet \\
      --out stores/first
  autofas-bench store load --model out/model.onnx --data D.parquet \\
      --out redis://127.0.0.1:6379

Stored are the features whose source is `store`, those of one fetch_group in one row. `replay --store stores/first` fetches them.")]
pub struct LoadArgs {
    #[command(flatten)]
    data: DataArgs,
    /// Exported model whose schema and encoders the store is for
    #[arg(long, value_name = "M.onnx")]
    model: Option<PathBuf>,
    /// Folder of the store, or the address of a Redis server: redis://[user:password@]host[:port][/database], over TLS rediss://
    #[arg(long, value_name = "STORE", value_parser = StoreName)]
    out: StoreChoice,
    /// Read and check everything, say how many rows would be written and with how much room, and write nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  autofas-bench store show stores/first")]
pub struct ShowArgs {
    /// Folder of the store, or the address of a Redis server
    #[arg(value_name = "STORE", value_parser = StoreName)]
    store: StoreChoice,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  autofas-bench store price --store stores/first --model out/model.onnx \\
      --data D.parquet --out fetch.json
  autofas-bench store price --store redis://127.0.0.1 --schema S.toml \\
      --encoders E.json --data D.parquet --workers 4 --out fetch.json

An experiment with `[target] fetch_prices = \"fetch.json\"` pays these instead of the schema's fetch_ms.")]
pub struct PriceArgs {
    #[command(flatten)]
    data: DataArgs,
    /// Exported model whose schema and encoders the store is for
    #[arg(long, value_name = "M.onnx")]
    model: Option<PathBuf>,
    /// The store, named as `replay` does
    #[arg(long, value_name = "STORE", value_parser = StoreName)]
    store: StoreChoice,
    /// Candidate counts; between two of them prices are interpolated
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_values_t = [100, 300, 1000, 3000])]
    candidates: Vec<usize>,
    /// Workers that fetch at once: what they cost each other is β and γ of the search's price
    #[arg(long, value_name = "N", default_value_t = 2)]
    workers: usize,
    /// How requests become inputs: concat, or user-once for all layouts that write a user's values once
    #[arg(long, hide_possible_values = true, value_name = "NAME", default_value_t = Layout::UserOnce)]
    layout: Layout,
    /// Runs networks between two fetches: tract or onnxruntime
    #[arg(long, hide_possible_values = true, value_name = "NAME", default_value_t = EngineName::OnnxRuntime)]
    engine: EngineName,
    /// Visits to every set of features
    #[arg(long, value_name = "N", default_value_t = 7)]
    passes: usize,
    /// Requests of a visit
    #[arg(long, value_name = "N", default_value_t = 8)]
    block: usize,
    /// Of sets, requests and order
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Where the prices go
    #[arg(long, value_name = "PRICES.json")]
    out: PathBuf,
    /// Go on with the candidate counts that the file of --out lacks
    #[arg(long)]
    resume: bool,
    /// Read and check everything, say what would be measured and for how long, and write nothing
    #[arg(long)]
    dry_run: bool,
}

/// What there is to say of a store.
#[derive(Debug, Serialize)]
struct Described {
    schema_version: u32,
    /// Where it is.
    place: PathBuf,
    /// Length of its file; absent for a server's.
    #[serde(skip_serializing_if = "Option::is_none")]
    file_bytes: Option<u64>,
    /// What its rows are.
    content: Manifest,
}

/// What a verb has made, or would.
enum Done<T> {
    Made(T),
    Planned(Box<Plan>),
}

impl StoreVerb {
    pub fn run(self, format: Format, progress: &dyn Progress) -> anyhow::Result<()> {
        let described = match self {
            Self::Load(args) => args.load(progress)?,
            Self::Show(args) => Done::Made(show(&args.store)?),
            Self::Price(args) => {
                return match args.price(progress)? {
                    Done::Made(table) => output::print(format, &table, prices),
                    Done::Planned(plan) => output::print(format, &plan, ToString::to_string),
                };
            }
        };
        match described {
            Done::Made(described) => output::print(format, &described, text),
            Done::Planned(plan) => output::print(format, &plan, ToString::to_string),
        }
    }
}

fn show(store: &StoreChoice) -> anyhow::Result<Described> {
    let (content, file_bytes) = store.look()?;
    Ok(Described { schema_version: 1, place: store.place(), file_bytes, content })
}

impl LoadArgs {
    fn load(&self, progress: &dyn Progress) -> anyhow::Result<Done<Described>> {
        // Before anything is read.
        self.out.required()?;
        self.out.check_fillable()?;
        let stop = signals::stop_and_end()?;
        let files = self.data.files(self.model.as_deref())?;
        progress.stage("read the data", 0);
        let begun = Instant::now();
        let (dataset, encoders) = files::load(&files)?;
        let schema = Schema::load(&files.schema)?;
        let contents = Contents::of(&schema, encoders.hash(), &dataset)?;
        if self.dry_run {
            let replaces = self.out.check_fillable()?;
            let mut draft = files::draft(&files, &dataset, begun.elapsed());
            let manifest = contents.manifest();
            let rows = manifest.groups.iter().map(|group| manifest.keys(group.owner)).sum::<u64>();
            draft.steps.push(Step::times("write rows", Unit::Row, rows as usize));
            draft.writes(manifest.row_bytes(), "the rows; keys and pages come on top");
            let state = if replaces { OutState::Exists } else { OutState::New };
            return Ok(Done::Planned(Box::new(draft.plan("store load", self.out.place().as_path(), state))));
        }
        match self.out.fill(&contents, progress, &stop) {
            Err(stopped @ Error::Interrupted { .. }) => {
                Err(anyhow::Error::new(stopped).context("nothing was stored, and nothing is left of it"))
            }
            filled => {
                filled?;
                Ok(Done::Made(show(&self.out)?))
            }
        }
    }
}

impl PriceArgs {
    fn price(&self, progress: &dyn Progress) -> anyhow::Result<Done<FetchTable>> {
        fsio::check_file(&self.out)?;
        let files = self.data.files(self.model.as_deref())?;
        let store = self.store.open()?;
        let store = store.context("`--store none` has no prices: name a store")?;
        progress.stage("read the data", 0);
        let began = Instant::now();
        let (dataset, encoders) = files::load(&files)?;
        let schema = Schema::load(&files.schema)?;
        let (schema_hash, encoder_hash) = (schema.hash(), encoders.hash());
        let served = Metadata { schema_hash, encoder_hash, ..Metadata::default() };
        store.manifest().check_serves(&self.store.place(), &served)?;
        let effort = FetchEffort {
            candidates: self.candidates.clone(),
            workers: self.workers,
            layout: self.layout,
            passes: self.passes,
            block: self.block,
            seed: self.seed,
            displaced_bytes: DISPLACED_BYTES,
        };
        let (name, engine) = (self.store.to_string(), engine::engine(self.engine)?);
        let priced =
            Priced { data: &dataset, schema: &schema, store: &*store, name: &name, engine: &*engine };
        let stop = if self.dry_run { signals::stop_and_end()? } else { signals::stop_on_signals()? };
        let begun = match self.resume && self.out.exists() {
            true => Some(FetchTable::load_begun(&self.out)?),
            false => None,
        };
        if self.dry_run {
            let draft = files::draft(&files, &dataset, began.elapsed());
            return Ok(Done::Planned(Box::new(
                self.planned(draft, priced, &effort, begun, progress, &stop)?,
            )));
        }
        let mut kept = begun.is_some();
        let mut keep = |table: &FetchTable| {
            kept = true;
            table.save(&self.out)
        };
        let clock = RealClock::start();
        let measured = measure_prices(priced, &effort, begun, &clock, progress, &stop, &mut keep);
        let partly = || {
            format!(
                "{} keeps what was measured; go on with the same command and --resume",
                self.out.display()
            )
        };
        let measured = if kept { measured.with_context(partly)? } else { measured? };
        Ok(Done::Made(measured))
    }

    /// Visits to sets of features; one pass for the fewest candidates tells how long each pass takes at least.
    fn planned(
        &self,
        mut draft: Draft,
        priced: Priced,
        effort: &FetchEffort,
        begun: Option<FetchTable>,
        progress: &dyn Progress,
        stop: &Stop,
    ) -> anyhow::Result<Plan> {
        let state = if begun.is_some() { OutState::Resumed } else { OutState::of(&self.out) };
        draft.has_read("store", self.store.place(), "serves the schema and the encoders");
        let (left, visits) = fetching::planned(priced, effort, begun)?;
        let Some(&fewest) = left.iter().min() else {
            return Ok(draft.plan("store price", self.out.as_path(), OutState::Finished));
        };
        let once = FetchEffort { candidates: vec![fewest], passes: 1, ..effort.clone() };
        let (began, clock) = (Instant::now(), RealClock::start());
        measure_prices(priced, &once, None, &clock, progress, stop, &mut |_| Ok(()))?;
        let pass_s = began.elapsed().as_secs_f64();
        draft.basis.push(format!(
            "a pass for {fewest} candidates took {}; more candidates take longer",
            span(pass_s)
        ));
        let least_s = pass_s * effort.passes as f64 / visits as f64;
        draft.steps.extend(left.iter().map(|candidates| {
            let step = Step::times(format!("fetch for {candidates} candidates"), Unit::Visit, visits);
            step.each(Some(Seconds { least_s, most_s: None }))
        }));
        draft.writes(0, "a table of prices, some kB");
        Ok(draft.plan("store price", self.out.as_path(), state))
    }
}

/// One table per candidate count.
fn prices(table: &FetchTable) -> String {
    let mut text = format!("{}, with {} at once\n", table.store, table.workers);
    for bucket in &table.buckets {
        let row = |(group, displaced): (&GroupPrice, &GroupPrice)| {
            let own = group.features.iter().map(|feature| feature.own_ms);
            let mean = own.clone().sum::<f64>() / group.features.len().max(1) as f64;
            let numbers = [group.trip_ms, mean, group.all_ms(), displaced.all_ms()];
            let texts = [group.name.clone(), group.features.len().to_string()].into_iter();
            texts.chain(numbers.map(|ms| format!("{ms:.4}"))).collect()
        };
        let rows: Vec<Vec<String>> = bucket.groups.iter().zip(&bucket.displaced.groups).map(row).collect();
        let (fit, displaced) = (bucket.fit, &bucket.displaced);
        text += &format!(
            "\n{} candidates: off by {:.1} % over {} sets of features that it was fitted to, {:.1} % over {} others; \
             β {:.4} ms, γ {:.4} ms per feature; with caches that something else has taken, off by {:.1} and {:.1} %. \
             A network of {:.2} ms takes 63 % of them\n{}\n",
            bucket.candidates,
            fit.fitted_mape_pct,
            fit.fitted,
            fit.held_out_mape_pct,
            fit.held_out,
            bucket.beta_ms,
            bucket.gamma_ms,
            displaced.fit.fitted_mape_pct,
            displaced.fit.held_out_mape_pct,
            displaced.within_ms,
            output::table(
                &["row", "features", "trip ms", "each ms", "all ms", "caches taken, all ms"],
                &rows
            )
        );
    }
    text
}

fn text(store: &Described) -> String {
    let Manifest { users, items, pairs, groups, rows_hash, .. } = &store.content;
    let rows: Vec<Vec<String>> = groups
        .iter()
        .map(|group| {
            let owner = match group.owner {
                Owner::User => "user",
                Owner::Item => "item",
                Owner::Pair => "pair",
            };
            let keys = store.content.keys(group.owner);
            let numbers = [group.features.len() as u64, keys, group.row_bytes as u64];
            [group.name.clone(), owner.to_owned()]
                .into_iter()
                .chain(numbers.map(|number| number.to_string()))
                .collect()
        })
        .collect();
    let table = output::table(&["group", "of", "features", "rows", "bytes per row"], &rows);
    let size = match store.file_bytes {
        Some(bytes) => format!("{:.1} MB on the disk", bytes as f64 / 1e6),
        None => format!("{:.1} MB of rows", store.content.row_bytes() as f64 / 1e6),
    };
    let hash = &rows_hash[..rows_hash.len().min(12)];
    format!("{table}\n{users} users, {items} items, {pairs} pairs; {size}; filled with rows {hash}")
}
