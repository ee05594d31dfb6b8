//! `data synth`, `data draft`, `data inspect` and `data encode`.

use super::output::{self, Format};
use crate::{
    app::config::{Experiment, Override, Stage},
    base::{Error, Result, error::Place, fsio, keys, names::word, progress::Progress},
    data::{
        draft::{Draft, Guess, Named, Role, draft},
        encoded::{self, Header},
        inspect::{self, Inspection, LabelRate, inspect},
        schema::{Kind, Schema},
        synth::{self, SynthSettings, Truth},
        table::{self, RawTable},
    },
};
use clap::{Args, Subcommand};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

#[derive(Debug, Subcommand)]
pub enum DataVerb {
    /// Draw a search log with planted truth: which features are useful, redundant or useless
    Synth(SynthArgs),
    /// Write a first schema of a data set, to be read through and corrected
    Draft(DraftArgs),
    /// Look at a data set before anything is trained on it
    Inspect(InspectArgs),
    /// Encode a data set once into a folder that needs no memory: for data larger than the memory
    Encode(EncodeArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  autofas-bench data synth --requests 2000 --out planted")]
pub struct SynthArgs {
    /// Requests
    #[arg(long, value_name = "N", default_value_t = SynthSettings::default().requests)]
    requests: usize,
    /// Candidates per request, all different
    #[arg(long, value_name = "N", default_value_t = SynthSettings::default().candidates)]
    candidates: usize,
    /// Users to draw requests from
    #[arg(long, value_name = "N", default_value_t = SynthSettings::default().users)]
    users: usize,
    /// Items to draw candidates from
    #[arg(long, value_name = "N", default_value_t = SynthSettings::default().items)]
    items: usize,
    /// Embedding width that the schema gives every feature
    #[arg(long, value_name = "N", default_value_t = SynthSettings::default().width)]
    width: usize,
    /// Seed of everything drawn
    #[arg(long, value_name = "N", default_value_t = SynthSettings::default().seed)]
    seed: u64,
    /// Folder for log.parquet, schema.toml and truth.json
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:
  autofas-bench data draft --data D.parquet --label click --time timestamp \\
      --user user_id --item item_id \\
      --fetch-ms user=0.05,item=0.2,interactive=0.5 --out S.toml

Kinds are guessed from what a column hangs on: the user, the item, the request, else the pair.")]
pub struct DraftArgs {
    /// CSV or Parquet file, or a folder of either
    #[arg(long, value_name = "D.parquet")]
    data: PathBuf,
    /// Column that is trained on: 0 or 1 in every row
    #[arg(long, value_name = "COLUMN")]
    label: String,
    /// Column of the time
    #[arg(long, value_name = "COLUMN")]
    time: Option<String>,
    /// Column that identifies the user
    #[arg(long, value_name = "COLUMN")]
    user: String,
    /// Column that identifies the item
    #[arg(long, value_name = "COLUMN")]
    item: String,
    /// Column that joins the rows of one request
    #[arg(long, value_name = "COLUMN")]
    request: Option<String>,
    /// What fetching a feature of a kind (user, context, item, interactive) takes, in ms: `store price` measures it later
    #[arg(long, value_name = "KIND=MS,...", value_delimiter = ',', value_parser = price)]
    fetch_ms: Vec<(Kind, f64)>,
    /// Where the schema goes; an existing file is not written over
    #[arg(long, value_name = "S.toml")]
    out: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  autofas-bench data inspect --data D.parquet --schema S.toml")]
pub struct InspectArgs {
    /// CSV or Parquet file, or a folder of either
    #[arg(long, value_name = "D.parquet")]
    data: PathBuf,
    /// Schema of the data
    #[arg(long, value_name = "S.toml")]
    schema: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  autofas-bench data encode --config E.toml --data D.parquet --out encoded
  autofas-bench iterate --config E.toml --data encoded --out runs/first")]
pub struct EncodeArgs {
    /// The experiment whose schema and split are used: encoders are fitted on its training rows
    #[arg(long, value_name = "E.toml")]
    config: PathBuf,
    /// CSV or Parquet file, or a folder of either: `data.path` of the experiment
    #[arg(long, value_name = "D.parquet")]
    data: Option<PathBuf>,
    /// Folder to encode into; other verbs take it as --data
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

impl DataVerb {
    pub fn run(self, format: Format, progress: &dyn Progress) -> anyhow::Result<()> {
        match self {
            Self::Synth(args) => {
                fsio::check_folder(&args.out)?;
                let out = args.out.display().to_string();
                let log = synth::write(&args.settings(), &args.out)?;
                output::print(format, &log.truth, |truth| describe_truth(truth, log.table.rows(), &out))
            }
            Self::Draft(args) => {
                let draft = args.draft()?;
                output::print(format, &draft, |draft| describe_draft(draft, &args.out))
            }
            Self::Inspect(args) => {
                let schema = Schema::load(&args.schema)?;
                let table = RawTable::read(&args.data, &inspect::columns(&schema))?;
                let known = table::names(&args.data)?;
                output::print(format, &inspect(&schema, &table, &known)?, describe_inspection)
            }
            Self::Encode(args) => {
                let header = args.encode(progress)?;
                output::print(format, &header, |header| describe_encoded(header, &args.out))
            }
        }
    }
}

impl SynthArgs {
    fn settings(&self) -> SynthSettings {
        let Self { requests, candidates, users, items, width, seed, .. } = *self;
        SynthSettings { requests, candidates, users, items, width, seed }
    }
}

impl DraftArgs {
    fn draft(&self) -> Result<Draft> {
        fsio::check_file(&self.out)?;
        let taken = || {
            let problem = "a schema is there already, perhaps a corrected one";
            Error::input(&self.out, Place::whole(), problem, "name another file, or remove this one")
        };
        if self.out.exists() {
            return Err(taken());
        }
        let prices: BTreeMap<Kind, f64> = self.fetch_ms.iter().copied().collect();
        if prices.len() < self.fetch_ms.len() {
            return Err(Error::usage("--fetch-ms names a kind twice", "state one price for each kind"));
        }
        let Self { label, time, user, item, request, .. } = self;
        let named = Named {
            label: label.clone(),
            time: time.clone(),
            user: user.clone(),
            item: item.clone(),
            request: request.clone(),
        };
        let draft = draft(&self.data, &named, &prices)?;
        if fsio::write_new(&self.out, draft.text.as_bytes())? { Ok(draft) } else { Err(taken()) }
    }
}

/// `KIND=MS`.
fn price(text: &str) -> std::result::Result<(Kind, f64), String> {
    let (kind, ms) = text.split_once('=').ok_or("write KIND=MS, such as item=0.2")?;
    let kind = serde_json::from_value(kind.into()).map_err(|error| {
        let message = error.to_string();
        let near = keys::unknown_value(&message).map(|(kind, known)| keys::suggestion(kind, &known));
        format!("the kinds are user, context, item, interactive; {}", near.unwrap_or_default())
    })?;
    let ms = ms.parse().ok().filter(|ms: &f64| ms.is_finite() && *ms >= 0.0);
    Ok((kind, ms.ok_or("write milliseconds, 0 or more")?))
}

fn describe_draft(draft: &Draft, out: &Path) -> String {
    let row = |guess: &Guess| match guess.role {
        Role::Feature { kind, value_type } => {
            vec![guess.column.clone(), word(kind), word(value_type)]
        }
        Role::LeftOut(reason) => {
            vec![guess.column.clone(), "-".to_owned(), format!("left out: {}", reason.reason())]
        }
    };
    let rows: Vec<_> = draft.columns.iter().map(row).collect();
    let table = output::table(&["column", "kind", "type"], &rows);
    let out = out.display();
    let looked_at = match draft.rows < draft.all_rows {
        true => format!("{} of {} rows, evenly spread", draft.rows, draft.all_rows),
        false => format!("{} rows", draft.rows),
    };
    format!(
        "{looked_at}\n\n{table}\n\n{out} is a guess: read it through before `data inspect --schema {out}`"
    )
}

impl EncodeArgs {
    fn encode(&self, progress: &dyn Progress) -> Result<Header> {
        let data = self.data.iter().map(|data| Override::text("data.path", data.to_string_lossy()));
        let experiment = Experiment::load(&self.config, &data.collect::<Vec<_>>())?;
        let schema = Schema::load(&experiment.schema_path())?;
        let (split, seed) = (&experiment.settings.split, experiment.settings.seeds.of(Stage::Split));
        encoded::write(&schema, &experiment.named_data()?, split, seed, &self.out, progress)
    }
}

fn describe_encoded(header: &Header, out: &Path) -> String {
    let Header { rows, train_rows, valid_rows, bytes, .. } = header;
    format!(
        "{rows} rows in {}, {train_rows} to train on and {valid_rows} to validate on: {:.1} MB, {:.1} bytes per row",
        out.display(),
        *bytes as f64 / 1e6,
        *bytes as f64 / *rows as f64
    )
}

fn describe_truth(truth: &Truth, rows: usize, out: &str) -> String {
    let pairs: Vec<_> = truth.interactions.iter().map(|pair| pair.join(" with ")).collect();
    let twins: Vec<_> = truth.redundant.iter().map(|r| format!("{} ({})", r.feature, r.of)).collect();
    [
        format!("{rows} rows in {out}/log.parquet, with schema.toml and truth.json"),
        format!("useful       {}", truth.useful.join(", ")),
        format!("in pairs     {}", pairs.join(", ")),
        format!("redundant    {}", twins.join(", ")),
        format!("useless      {}", truth.useless.join(", ")),
        format!("layer width  {}", truth.layer_width),
        format!("best AUC     {:.4}", truth.best_auc),
    ]
    .join("\n")
}

fn describe_inspection(inspection: &Inspection) -> String {
    let mut lines = vec![format!("{} rows", inspection.rows)];
    if let Some(requests) = inspection.requests {
        lines.push(format!("{requests} requests"));
    }
    let rates = inspection.label_rates.iter();
    lines.extend(rates.map(|LabelRate { label, rate, positives }| {
        format!("{positives} of `{label}` are positive: {:.2} %", rate * 100.0)
    }));
    if !inspection.partitions.is_empty() {
        let rows = inspection.partitions.iter().map(|partition| {
            let value = partition.value.clone().unwrap_or_else(|| "(missing)".to_owned());
            vec![value, partition.rows.to_string(), format!("{:.3}", partition.rate)]
        });
        lines.push(String::new());
        lines.push(output::table(&["partition", "rows", "positive"], &rows.collect::<Vec<_>>()));
    }
    let rows = inspection.features.iter().map(|feature| {
        vec![
            feature.name.clone(),
            word(feature.kind),
            word(feature.source),
            feature.column_type.clone(),
            feature.distinct.to_string(),
            format!("{:.1}", feature.missing_share * 100.0),
            feature.auc.map_or("-".to_owned(), |auc| format!("{auc:.3}")),
            feature.auc_error.map_or("-".to_owned(), |error| format!("{error:.3}")),
        ]
    });
    let header = ["feature", "kind", "source", "column", "distinct", "missing %", "alone: auc", "std. error"];
    lines.push(String::new());
    lines.push(output::table(&header, &rows.collect::<Vec<_>>()));
    if !inspection.unnamed.is_empty() {
        lines.push(String::new());
        lines.push(format!("columns that the schema does not name: {}", inspection.unnamed.join(", ")));
    }
    let warnings = inspection.warnings();
    if !warnings.is_empty() {
        lines.push(String::new());
        lines.extend(warnings.iter().map(|warning| format!("warning: {warning}")));
    }
    lines.join("\n")
}
