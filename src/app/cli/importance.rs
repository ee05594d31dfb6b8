//! `importance`: what the features of a network are worth.

use super::output::{self, Format};
use crate::{
    app::importance::{FeatureImportance, FeatureWorth, ImportanceRequest, importance, written_to},
    base::progress::Progress,
};
use clap::Args;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  autofas-bench importance --run runs/first
  autofas-bench importance --run runs/first --network f20-128-64-1a2b3c4d \\
      --repeats 10 --json

Nothing is trained again: a feature whose twin is in the network, too, looks as if it were worth little. The rows are those that \
                  the run validates on, so the result describes a network and should choose none. It is kept in \
                  RUN/importance/ID.json.")]
pub struct ImportanceArgs {
    /// Run directory of `iterate` or `search`
    #[arg(long, value_name = "RUN")]
    run: PathBuf,
    /// A folder of RUN/networks [default: the run's winner, or its only network]
    #[arg(long, value_name = "ID", visible_aliases = ["subnet", "candidate"])]
    network: Option<String>,
    /// Validation rows to judge on, at most; they are in memory at once, embedded
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(2..))]
    rows: u32,
    /// Permutations of each feature, whose mean and deviation are told
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    repeats: u32,
}

impl ImportanceArgs {
    pub fn run(self, format: Format, progress: &dyn Progress) -> anyhow::Result<()> {
        let Self { run, network, rows, repeats } = self;
        let request = ImportanceRequest { run, network, rows: rows as usize, repeats: repeats as usize };
        let found = importance(&request, progress)?;
        output::print(format, &found, |found| describe(found, &request.run))
    }
}

fn describe(found: &FeatureImportance, run: &Path) -> String {
    let FeatureImportance { network, rows, metrics, feature_ms, engine, table, candidates, .. } = found;
    let header = [
        "feature",
        "kind",
        "θ",
        "left out: AUC lost",
        "error",
        "permuted: AUC lost",
        "deviation",
        "ms saved",
        "AUC lost per ms",
        "",
    ];
    let lines: Vec<Vec<String>> = found.features.iter().map(row).collect();
    let search = match &found.search {
        Some(search) => format!("θ: {}", run.join(search).display()),
        None => "θ is not known: no search of the run found this network by gradients".to_owned(),
    };
    let layers = match found.service_ms {
        Some(ms) => format!("layers {ms:.4} ms on {engine} for {candidates} candidates by table {table}"),
        None => format!(
            "layers without a price on {engine} for {candidates} candidates in table {table}, so what is saved is not known"
        ),
    };
    format!(
        "{network}: AUC {} on {rows} validation rows; features {feature_ms:.4} ms, {layers}\n\n{}\n\n{search}\nwritten to {}",
        number(metrics.auc, 4),
        output::table(&header, &lines),
        written_to(run, network).display()
    )
}

fn number(value: Option<f64>, places: usize) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.places$}"))
}

fn row(worth: &FeatureWorth) -> Vec<String> {
    vec![
        worth.feature.clone(),
        format!("{:?}", worth.kind).to_lowercase(),
        number(worth.theta, 3),
        number(Some(worth.left_out.auc), 5),
        number(worth.left_out.error, 5),
        number(Some(worth.permuted.auc), 5),
        number(worth.permuted.deviation, 5),
        number(worth.saved_ms, 4),
        // What is not told apart from nothing is worth no figure per ms.
        number(worth.auc_lost_per_ms.filter(|_| !worth.within_noise), 4),
        if worth.within_noise { "within noise".to_owned() } else { String::new() },
    ]
}
