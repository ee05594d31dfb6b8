//! Searches features and layers on a Parquet or CSV file that nobody has described yet:
//! `cargo run --release --example search_parquet DATA.parquet LABEL USER ITEM OUT [KEY.PATH=VALUE …]`.
//!
//! The schema is drafted from the data (OUT.schema.toml: read it through, and search again with `autofas-bench search`), every price of fetching
//! is 0, so that the network alone is paid for, and rows are divided at random. Settings are those of docs/experiment.md.
use autofas_bench::{
    Experiment, Result,
    app::{
        cli,
        config::Override,
        iterate::{ChildMeter, Existing, RunRequest, SearchSummary, search},
    },
    base::{Error, fsio, stop::Stop},
    data::{
        draft::{Named, draft},
        schema::Kind,
    },
    measure::child::Launcher,
};
use std::{path::Path, process::ExitCode};

fn main() -> Result<ExitCode> {
    // Layers are timed in processes of their own, and those are this program.
    if let Some(code) = cli::as_measuring_child() {
        return Ok(code);
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [data, label, user, item, out, settings @ ..] = &arguments[..] else {
        let fix = "name the data, the columns of label, user and item, and a folder";
        return Err(Error::usage("too few arguments", fix));
    };
    let [label, user, item] = [label, user, item].map(String::clone);
    let named = Named { label, user, item, time: None, request: None };
    let launcher = Launcher::this_program(&Stop::never())?;
    let found = searched(Path::new(data), &named, Path::new(out), settings, launcher)?;
    println!("{}: {:?}, layers {:?}", found.subnet, found.features, found.layers);
    Ok(ExitCode::SUCCESS)
}

/// Drafts a schema, writes the experiment in words, and searches once.
pub fn searched(
    data: &Path,
    named: &Named,
    out: &Path,
    settings: &[String],
    launcher: Launcher,
) -> Result<SearchSummary> {
    let free = [Kind::User, Kind::Context, Kind::Item, Kind::Interactive].map(|kind| (kind, 0.0));
    let schema = out.with_extension("schema.toml");
    fsio::write(&schema, draft(data, named, &free.into())?.text.as_bytes())?;
    let mut overrides = vec![
        Override::text("data.schema", schema.to_string_lossy()),
        Override::text("data.path", data.to_string_lossy()),
        Override::text("split.by", "shuffle"),
        Override::parse("split.valid_fraction", "0.2"),
    ];
    for setting in settings {
        overrides.push(Override::assignment(setting)?);
    }
    let experiment = Experiment::parse(Path::new("experiment"), "", &overrides)?;
    let meter = ChildMeter::new(launcher, &experiment.settings);
    search(RunRequest { existing: Existing::Resume, ..RunRequest::new(&experiment, out, &meter) })
}
