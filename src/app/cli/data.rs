//! `data synth`, `data inspect` and `data encode`.

use super::output::{self, Format};
use crate::{
    app::config::{Experiment, Override, Stage},
    base::{Result, progress::Progress},
    data::{
        encoded::{self, Header},
        inspect::{Inspection, inspect},
        schema::Schema,
        synth::{self, SynthSettings, Truth},
        table::RawTable,
    },
};
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};

#[derive(Debug, Subcommand)]
pub enum DataVerb {
    /// Draw a search log with planted truth: which features are useful, redundant or useless
    Synth(SynthArgs),
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
#[command(after_help = "Example:
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
                let out = args.out.display().to_string();
                let log = synth::write(&args.settings(), &args.out)?;
                output::print(format, &log.truth, |truth| describe_truth(truth, log.table.rows(), &out))
            }
            Self::Inspect(args) => {
                let schema = Schema::load(&args.schema)?;
                let table = RawTable::read(&args.data, &schema.columns())?;
                output::print(format, &inspect(&schema, &table)?, describe_inspection)
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
    lines.extend(rates.map(|label| format!("{:.1} % of `{}` are positive", label.rate * 100.0, label.label)));
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
            written(&feature.kind),
            written(&feature.source),
            feature.column_type.clone(),
            feature.distinct.to_string(),
            format!("{:.1}", feature.missing_share * 100.0),
            feature.auc.map_or("-".to_owned(), |auc| format!("{auc:.3}")),
        ]
    });
    let header = ["feature", "kind", "source", "column", "distinct", "missing %", "alone: auc"];
    lines.push(String::new());
    lines.push(output::table(&header, &rows.collect::<Vec<_>>()));
    if !inspection.alarms.is_empty() {
        lines.push(String::new());
        lines.extend(inspection.alarms.iter().map(|alarm| format!("warning: {alarm}")));
    }
    lines.join("\n")
}

/// The name that a schema file uses.
fn written(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}
