//! `compare`: AutoFAS beside every other system.

use super::{
    output::{self, Format},
    run_args::RunArgs,
};
use crate::{
    app::{
        compare::{Comparison, compare, plan_compare, render},
        config::{Override, SystemName},
        page,
    },
    base::{Error, progress::Progress},
};
use clap::{Args, builder::PossibleValuesParser};
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    // A stored comparison needs no experiment.
    mut_arg("config", |arg| arg.required(false).required_unless_present("render")),
    mut_arg("out", |arg| arg.required_unless_present("render")),
    after_help = "Examples:
  autofas-bench compare --config E.toml --data D.parquet \\
      --out comparisons/first
  autofas-bench compare --config E.toml --out comparisons/first \\
      --systems autofas,rd,plain-dnn --budgets 1,2 --seeds 2
  # how long?
  autofas-bench compare --config E.toml --out comparisons/first --dry-run
  # goes on, also with more systems or seeds
  autofas-bench compare --config E.toml --out comparisons/first --resume
  # reports on what is stored
  autofas-bench compare --render comparisons/first

It writes compare.json, compare.md, compare.svg and the page report.html into the folder of --out."
)]
pub struct CompareArgs {
    #[command(flatten)]
    run: Option<RunArgs>,
    /// Trainings of every system: `compare.seeds` of the experiment
    #[arg(long, value_name = "N")]
    seeds: Option<u32>,
    /// Budgets in ms for features and mean service time together: `compare.budgets_ms`
    #[arg(long, value_name = "MS,MS", value_delimiter = ',')]
    budgets: Vec<f64>,
    /// Who takes part: `compare.systems`
    #[arg(long, hide_possible_values = true, value_name = "NAME,NAME", value_delimiter = ',', value_parser = system_names())]
    systems: Vec<String>,
    /// Report on the comparison in this folder and train nothing
    #[arg(long, value_name = "DIR", conflicts_with_all = ["RunArgs", "seeds", "budgets", "systems"])]
    render: Option<PathBuf>,
}

/// Completed by shells, and a misspelt one is answered with the nearest.
fn system_names() -> PossibleValuesParser {
    PossibleValuesParser::new(SystemName::ALL.iter().map(|system| system.name()))
}

impl CompareArgs {
    pub fn run(self, format: Format, progress: &dyn Progress) -> anyhow::Result<()> {
        let print = |comparison: &Comparison, folder: &Path| {
            output::print(format, comparison, Comparison::to_markdown)?;
            page::of_comparison(folder, comparison, None)?;
            Ok(())
        };
        if let Some(folder) = &self.render {
            return print(&render(folder)?, folder);
        }
        let Some(run) = self.run else {
            return Err(
                Error::usage("nothing is to be compared", "give --config E.toml and --out DIR").into()
            );
        };
        let mut more: Vec<Override> =
            self.seeds.map(|seeds| Override::count("compare.seeds", seeds)).into_iter().collect();
        if !self.budgets.is_empty() {
            more.push(Override::parse("compare.budgets_ms", &format!("{:?}", self.budgets)));
        }
        if !self.systems.is_empty() {
            more.push(Override::parse("compare.systems", &format!("{:?}", self.systems)));
        }
        run.run(format, progress, more, (compare, plan_compare), print)
    }
}
