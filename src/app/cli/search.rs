//! `search`: the main job up to the first network that it finds, or networks for several budgets.

use super::{
    output::{self, Format},
    run_args::RunArgs,
    signals,
};
use crate::{
    app::{
        config::Override,
        iterate::{
            Pareto, ParetoPoint, RunRequest, SearchSummary, Way, layers_text, pareto, plan_search, search,
        },
    },
    base::{Result, progress::Progress, shell},
};
use clap::Args;
use std::path::Path;

/// The verb's name on the command line.
const VERB: &str = "search";

#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "Examples:
  autofas-bench search --config E.toml --data D.parquet --out runs/first
  autofas-bench search --config E.toml --data D.parquet --out runs/first \\
      --table TABLE.json --json
  autofas-bench search --config E.toml --data D.parquet --out runs/first \\
      --resume
  autofas-bench search --config E.toml --data D.parquet --out runs/first \\
      --dry-run   # how long?
  autofas-bench search --config E.toml --data D.parquet --out runs/front \\
      --budgets 1,2,4,8
  autofas-bench search --config E.toml --data D.parquet --out runs/front \\
      --pareto 4

`iterate` with the same settings and --resume goes on from here: it trains, exports and measures that network. The \
                  number of its rounds is one of them: --set rounds.count=3.

With several budgets each one is searched by gradients and by evolution; the better network of each is trained, exported, timed and \
                  replayed, and those that no other beats are marked in RUN/pareto.json."
)]
pub struct SearchArgs {
    #[command(flatten)]
    run: RunArgs,
    /// Budgets of features and mean service time together, in ms, with a network for each: `pareto.budgets_ms`
    #[arg(long, value_name = "MS,MS,...", value_delimiter = ',', conflicts_with = "pareto")]
    budgets: Vec<f64>,
    /// So many budgets, spaced geometrically up to the price of all features on the widest layers: `pareto.points`
    #[arg(long, value_name = "N")]
    pareto: Option<u32>,
}

/// One network, or one for every budget.
#[expect(clippy::large_enum_variant, reason = "there is one of them in a run of the program")]
enum Found {
    One(SearchSummary),
    Front(Pareto),
}

impl SearchArgs {
    pub fn run(self, format: Format, progress: &dyn Progress) -> anyhow::Result<()> {
        let budgets = (!self.budgets.is_empty())
            .then(|| Override { path: "pareto.budgets_ms".to_owned(), value: self.budgets.into() });
        let asked = budgets.or(self.pareto.map(|points| Override::count("pareto.points", points)));
        self.run.run(format, progress, asked, (found, plan_search), |found: &Found, out| match found {
            Found::One(summary) => {
                let next = iterate_command(signals::this_command());
                output::print(format, summary, |summary| {
                    format!("{}\ntrain, export and measure it: `{next}`", summary.to_text(out))
                })
            }
            Found::Front(front) => output::print(format, front, |front| describe(front, out)),
        })
    }
}

/// One search, or one for every budget.
fn found(request: RunRequest) -> Result<Found> {
    match request.experiment.settings.pareto.asked() {
        true => pareto(request).map(Found::Front),
        false => search(request).map(Found::One),
    }
}

/// A line for every budget.
fn describe(front: &Pareto, out: &Path) -> String {
    let header = [
        "budget ms",
        "predicted",
        "measured",
        "won",
        "by gradients",
        "by evolution",
        "AUC",
        "features",
        "layers",
        "front",
        "network",
    ];
    let row = |point: &ParetoPoint| {
        let (won, of_won) = match point.won {
            Way::Gradient => ("gradients", &point.gradient),
            Way::Evolution => ("evolution", &point.evolution),
        };
        let doubt = point.doubt().map_or(String::new(), |doubt| format!(" {doubt}"));
        vec![
            format!("{:.3}", point.budget_ms),
            format!("{:.3}", of_won.predicted_ms),
            format!("{:.3}{doubt}", point.measured_ms),
            won.to_owned(),
            format!("{:.4}", point.gradient.held_out_auc),
            format!("{:.4}", point.evolution.held_out_auc),
            point.network.metrics.auc.map_or("-".to_owned(), |auc| format!("{auc:.4}")),
            point.network.features.len().to_string(),
            layers_text(&point.network.layers),
            if point.on_front { "yes" } else { "no" }.to_owned(),
            point.network.subnet.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = front.points.iter().map(row).collect();
    format!(
        "{}\n\nservice times on {} with table v{}; by gradients and by evolution: AUC on held-out training rows, which decides; AUC: \
         of the kept network on the validation rows, which decide nothing\nfront: {}\nas a page: `{}`",
        output::table(&header, &rows),
        front.engine,
        front.table_version,
        out.join("pareto.json").display(),
        shell::command(["autofas-bench", "report", "--run", &out.to_string_lossy()])
    )
}

/// The command that goes on from a search which these words started.
fn iterate_command(words: impl Iterator<Item = String>) -> String {
    let mut verb = Some("iterate".to_owned());
    // The first of them, for files may have this name too.
    let word = |word: String| if word == VERB { verb.take().unwrap_or(word) } else { word };
    signals::resume_command(words.map(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_is_followed_by_an_iterate_with_its_settings() {
        let words = ["autofas-bench", "search", "--config", "search", "--out", "a run"];
        assert_eq!(
            iterate_command(words.into_iter().map(str::to_owned)),
            "autofas-bench iterate --config search --out 'a run' --resume"
        );
    }
}
