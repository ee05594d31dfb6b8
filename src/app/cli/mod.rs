//! The command line: one file per verb. clap's types end here; verbs hand plain values to the rooms below and print
//! what comes back. The only part of the crate that writes to the standard output.

mod compare;
mod completions;
mod data;
mod doctor;
mod engine_child;
mod engine_options;
mod evaluate;
mod export;
mod files;
mod forecast;
mod importance;
mod iterate;
mod man;
mod names;
mod output;
mod progress;
mod ranks;
mod recipe;
mod replay;
mod report;
mod retrain;
mod run_args;
mod search;
mod signals;
mod skew;
mod store;
mod store_name;
mod style;
mod table;
mod table_check;
mod table_predict;
mod trace;

use crate::{base::Error, measure::child};
use clap::{Parser, Subcommand};
use output::Format;
use std::process::ExitCode;

/// How it is called.
const PROGRAM: &str = "autofas-bench";

/// Joint feature and architecture search for pre-ranking, with measured latency in the loop.
#[derive(Debug, Parser)]
#[command(
    name = PROGRAM,
    version,
    // Where there is no terminal, it is as wide as that.
    max_term_width = 100,
    after_help = "Examples:
  # what is here
  autofas-bench doctor
  # how long?
  autofas-bench iterate --config E.toml --data D.parquet --out RUN --dry-run
  # the main job
  autofas-bench iterate --config E.toml --data D.parquet --out RUN
  autofas-bench replay --model RUN/networks/ID/model.onnx --data D.parquet \\
      --qps 50

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 a stated limit was not met (parity, budget, objective, \
                  --max-regression), 4 a replay was measured and is INVALID, 130 or 143 stopped by SIGINT or SIGTERM."
)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
    /// Print the result as JSON on the standard output
    #[arg(long, global = true)]
    json: bool,
    /// Say nothing on the way: no progress and no notes, only the result, and errors
    #[arg(long, short, global = true)]
    quiet: bool,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Search, derive, retrain, export, prove, measure and calibrate, round after round
    Iterate(iterate::IterateArgs),
    /// Search once and choose a network, still to be trained and timed; with --budgets one for each, trained and timed
    Search(search::SearchArgs),
    /// Train and measure systems on the same data, table and replay, with paired tests
    Compare(compare::CompareArgs),
    /// Train a network of a run again on newer data, with the same inputs and a drift report
    Retrain(retrain::RetrainArgs),
    /// Write a network of a run as an ONNX package, proved against its reference in every engine
    Export(export::ExportArgs),
    /// Replay recorded traffic into an exported model: real latency on each engine
    Replay(Box<replay::ReplayArgs>),
    /// Expected response, cores and candidates at rates that were not replayed, by simulation
    Forecast(forecast::ForecastArgs),
    /// What a run or a comparison found, as one page with its pictures beside it
    Report(report::ReportArgs),
    /// Make or describe a trace of requests
    #[command(
        subcommand,
        after_help = "Examples:
  autofas-bench trace make --model out/model.onnx --data D.parquet --qps 50 \\
      --out t.parquet
  autofas-bench trace show t.parquet"
    )]
    Trace(trace::TraceVerb),
    /// Fill or describe a feature store, which replays fetch from
    #[command(
        subcommand,
        after_help = "Examples:
  autofas-bench store load --model out/model.onnx --data D.parquet \\
      --out stores/first
  autofas-bench store show stores/first"
    )]
    Store(store::StoreVerb),
    /// Measure layers into a latency table; predict by, check, join or print one
    #[command(
        subcommand,
        after_help = "Examples:
  autofas-bench table probe --config E.toml --engine tract --candidates 500 \\
      --out v1.json
  autofas-bench table show v1.json"
    )]
    Table(table::TableVerb),
    /// Score labelled rows with an exported model: AUC, GAUC, logloss
    Evaluate(evaluate::EvaluateArgs),
    /// What each feature of a run's network is worth in AUC, beside what it costs
    Importance(importance::ImportanceArgs),
    /// Compare a serving system's log with offline encoding and scores, row by row
    Skew(skew::SkewArgs),
    /// Draft the schema of a data set, inspect or encode it, or draw one
    #[command(
        subcommand,
        after_help = "Examples:
  autofas-bench data draft --data D.parquet --label click --user user_id \\
      --item item_id --fetch-ms user=0.05,item=0.2,interactive=0.5 \\
      --out S.toml
  autofas-bench data inspect --data D.parquet --schema S.toml"
    )]
    Data(data::DataVerb),
    /// What this machine has, with the fix for what is missing, and how fast it is
    Doctor(doctor::DoctorArgs),
    /// Print the script that completes verbs and options in a shell
    Completions(completions::CompletionsArgs),
    /// Write manual pages, one for each verb
    Man(man::ManArgs),
    /// Measure one engine in a process of its own
    #[command(hide = true)]
    EngineChild(engine_child::EngineChildArgs),
}

/// Runs the verb.
fn run(cli: Cli) -> anyhow::Result<()> {
    let format = if cli.json { Format::Json } else { Format::Text };
    let progress = progress::for_stderr(cli.quiet);
    let _ = child::NOTICE.set(progress::notice(&progress));
    match cli.verb {
        Verb::Iterate(args) => args.run(format, &*progress),
        Verb::Search(args) => args.run(format, &*progress),
        Verb::Compare(args) => args.run(format, &*progress),
        Verb::Retrain(args) => args.run(format, &*progress),
        Verb::Export(args) => args.run(format, &*progress),
        Verb::Replay(args) => args.run(format, &*progress),
        Verb::Forecast(args) => args.run(format),
        Verb::Report(args) => args.run(format),
        Verb::Trace(verb) => verb.run(format),
        Verb::Store(verb) => verb.run(format, &*progress),
        Verb::Table(verb) => verb.run(format, &*progress),
        Verb::Evaluate(args) => args.run(format),
        Verb::Importance(args) => args.run(format, &*progress),
        Verb::Skew(args) => args.run(format),
        Verb::Data(verb) => verb.run(format, &*progress),
        Verb::Doctor(args) => args.run(format),
        Verb::Completions(args) => args.run(format),
        Verb::Man(args) => args.run(format),
        Verb::EngineChild(args) => args.run(),
    }
}

/// The whole program: parses the command line, runs the verb, says what went wrong on the standard error, and gives the exit code.
pub fn program() -> ExitCode {
    // clap itself answers --help (0) and wrong usage (2).
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            style::say(&format!("error: {error:#}"));
            exit_code(&error)
        }
    }
}

/// What a program that measures with this library begins with: where it was started as a measuring process by itself, the process does
/// that and ends with the code that is given.
///
/// [`Launcher::this_program`](crate::measure::child::Launcher::this_program) starts the program again for every measurement, with
/// a verb that only this knows.
pub fn as_measuring_child() -> Option<ExitCode> {
    let verb = std::env::args().nth(1);
    (verb.as_deref() == Some(child::VERB)).then(program)
}

/// The exit code of a failed verb.
fn exit_code(error: &anyhow::Error) -> ExitCode {
    ExitCode::from(exit_status(error))
}

/// 2 for wrong usage, 3 for a stated limit that is not met, 4 for a result that may not be believed, 128 + the signal's number for a request to stop, 1 for the
/// rest.
fn exit_status(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<Error>() {
        // A measuring process is this program too, so its codes mean the same.
        Some(Error::Usage { .. } | Error::Child { code: Some(2), .. } | Error::Said { code: 2, .. }) => 2,
        Some(Error::Limit { .. } | Error::Child { code: Some(3), .. } | Error::Said { code: 3, .. }) => 3,
        Some(Error::NotValid { .. }) => 4,
        Some(Error::Interrupted { signal, .. }) => 128 + *signal as u8,
        _ => 1,
    }
}
