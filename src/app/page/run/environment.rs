//! On what it was measured, what of it may not be believed, and how to do it again.

use super::{Links, only_budgets};
use crate::{
    app::{config::Stage, importance, iterate::Record, report::html::table},
    base::{Result, shell},
    measure::environment::Environment,
};
use maud::{Markup, html};

pub(super) fn section(record: &Record, links: &Links) -> Result<Markup> {
    let mut facts: Vec<(&str, Markup)> = Vec::new();
    if let Some(environment) = &record.environment {
        facts.extend(machine(environment));
    }
    let contexts = record.rounds.last().and_then(|round| round.engines.as_ref()).into_iter().flatten();
    facts.extend(contexts.map(|(_, part)| ("engine", html! { (part.calibration.context) })));
    if let Some(data) = &record.data {
        facts.push(("rows", html! { code { (data.rows_hash) } }));
        facts.push(("split", html! { code { (data.split_hash) } }));
        facts.push(("schema", html! { code { (data.schema_hash) } }));
        facts.push(("encoders", html! { code { (data.encoder_hash) } }));
    }
    let seeds = &record.settings.seeds;
    let seeds = [Stage::Split, Stage::Teacher, Stage::Search, Stage::Retrain, Stage::Traffic]
        .map(|stage| seeds.of(stage));
    facts.push(("seeds", html! { "split " (seeds[0]) ", teacher " (seeds[1]) ", search " (seeds[2]) ", retrain " (seeds[3]) ", traffic " (seeds[4]) }));
    let doubts = doubts(record);
    Ok(html! {
        h3 id="doubts" { "What may not be believed" }
        @if doubts.is_empty() {
            p { span class="good" { "Nothing was found to doubt" } " among what is there: no measurement stayed too noisy, no replay is invalid, no teacher and no search warned." }
        } @else {
            ul { @for doubt in &doubts { li { (doubt) } } }
        }
        h3 { "Machine, program, data" }
        (table(&[], facts.iter().map(|(name, value)| html! { tr { td class="keep" { (name) } td class="words" { (value) } } })))
        p class="quiet" { "Of the first start: " (links.to("environment.json")) ", " (links.to("data.json")) "." }
    })
}

fn machine(environment: &Environment) -> Vec<(&'static str, Markup)> {
    let Environment { host, cpu, instruction_sets, cores, memory_bytes, os, kernel, governor, .. } =
        environment;
    let mut facts = vec![
        ("processor", html! { (cpu.as_deref().unwrap_or("unknown")) ", " (cores) " cores for this process" }),
        ("instruction sets", html! { (instruction_sets.join(", ")) }),
        ("system", html! { (os) " " (kernel.as_deref().unwrap_or("")) }),
        ("host in tables", html! { code { (host) } }),
        (
            "program",
            html! { "autofas-bench " (environment.program_version) ", SHA-256 " code { (environment.program_sha256) } },
        ),
    ];
    if let Some(bytes) = memory_bytes {
        facts.push(("memory", html! { (format!("{:.1} GiB", *bytes as f64 / f64::from(1 << 30))) }));
    }
    facts.extend(environment.gpus.iter().map(|gpu| ("GPU", html! { (gpu) })));
    if let Some(governor) = governor {
        facts.push(("frequency governor", html! { (governor) }));
    }
    facts
}

/// Whatever was marked while it was measured or searched.
fn doubts(record: &Record) -> Vec<String> {
    // Nothing that follows is better than who taught it.
    let taught = record.summary.iter().flat_map(|summary| &summary.teacher.warnings);
    let mut doubts: Vec<String> = taught.map(|warning| format!("teacher r(x): {warning}")).collect();
    for round in &record.rounds {
        let warnings = round
            .outcome
            .warnings
            .iter()
            .map(|warning| format!("search of round {}: {warning}", round.round));
        doubts.extend(warnings);
        for (engine, part) in round.engines.iter().flatten().filter(|(_, part)| !part.void.is_empty()) {
            let networks = part.void.join(", ");
            doubts.push(format!(
                "round {}, {engine}: too noisy to correct or to judge a table: {networks}",
                round.round
            ));
        }
    }
    doubts.extend(of_budgets(record));
    if let Some(summary) = &record.summary {
        for (engine, probes) in summary.probes.iter().filter(|(_, probes)| probes.noisy > 0) {
            doubts.push(format!(
                "{} of {} probed layers on {engine} stayed noisy",
                probes.noisy, probes.layers
            ));
        }
        for (name, replays) in [("winner", &summary.winner.replays), ("plain DNN", &summary.baseline.replays)]
        {
            for (engine, replay) in replays.iter().filter(|(_, replay)| !replay.valid) {
                doubts.push(format!("replay of the {name} on {engine}: {}", replay.reasons.join("; ")));
            }
        }
    }
    for point in record.pareto.iter().flat_map(|pareto| &pareto.points) {
        let network = format!("{} within {:.3} ms", point.network.subnet, point.budget_ms);
        if point.void {
            doubts.push(format!("service time of {network}: {:.1} % of noise", point.noise_pct));
        }
        if let Some(replay) = point.replay.as_ref().filter(|replay| !replay.valid) {
            doubts.push(format!("replay of {network}: {}", replay.reasons.join("; ")));
        }
    }
    doubts
}

/// What the searches of several budgets warned of.
fn of_budgets(record: &Record) -> impl Iterator<Item = String> {
    let points = record.pareto.iter().flat_map(|pareto| &pareto.points).map(|point| Some(point.budget_ms));
    let budgets = points.chain(std::iter::repeat(None));
    record.budgets.iter().zip(budgets).enumerate().flat_map(|(at, (outcome, budget_ms))| {
        let search = match budget_ms {
            Some(ms) => format!("search within {ms:.3} ms"),
            None => format!("search of budget {}", at + 1),
        };
        outcome.warnings.iter().map(move |warning| format!("{search}: {warning}"))
    })
}

/// Commands, and links to what the run has left.
pub(super) fn reproduce(record: &Record, links: &Links) -> Markup {
    let run = links.folder().display();
    let verb = if only_budgets(record) { "search" } else { "iterate" };
    let mut again: Vec<String> = ["autofas-bench", verb, "--config"].map(str::to_owned).into();
    again.extend([
        format!("{run}/config.toml"),
        "--set".to_owned(),
        format!("data.schema={run}/schema.json"),
    ]);
    if let Some(paths) = &record.paths {
        again.extend(["--data".to_owned(), paths.data.display().to_string()]);
    }
    if let Some(table) = ["tables/given.json", "tables/v1.json"].into_iter().find(|table| links.has(table)) {
        again.extend(["--table".to_owned(), format!("{run}/{table}")]);
    }
    if record.measured_prices {
        again.extend(["--set".to_owned(), format!("target.fetch_prices={run}/tables/fetch.json")]);
    }
    again.extend(["--out".to_owned(), "NEW".to_owned()]);
    let first = if only_budgets(record) { "the searches come out" } else { "the first round comes out" };
    html! {
        p { "The same search, in a new folder (the settings as they were resolved, defaults among them):" }
        pre { (shell::command(&again)) }
        p { "With the first table given, it pays the same prices: " (first) " the same with the same program on this \
             machine. What is measured after that is measured anew, on other machines the table too (leave out --table). This page again:" }
        pre { (links.report_command()) }
        h3 { "Files" }
        ul { @for (file, what) in files(record, links) { li { (links.to(&file)) ": " (what) } } }
    }
}

/// Those that are there.
fn files(record: &Record, links: &Links) -> Vec<(String, &'static str)> {
    let mut files: Vec<(String, &'static str)> = vec![
        ("summary.json".to_owned(), "all results"),
        ("pareto.json".to_owned(), "networks of several budgets"),
        ("config.toml".to_owned(), "every setting with its origin"),
        ("schema.json".to_owned(), "features"),
        ("encoders.json".to_owned(), "what makes ids of values"),
        ("environment.json".to_owned(), "machine and program"),
        ("data.json".to_owned(), "hashes of rows, split, schema and encoders"),
    ];
    if let Some(round) = record.leading() {
        let network = format!("networks/{}", round.id);
        files.extend([
            (format!("{network}/model.onnx"), "the network, as it is served"),
            (format!("{network}/README.md"), "how to ask it"),
            (format!("{network}/parity.json"), "its proof in every engine"),
            (format!("{network}/fit.json"), "how it was trained"),
            (importance::file(&round.id), "what each of its features is worth"),
        ]);
    }
    let rounds = record.rounds.iter().map(|round| format!("rounds/{}", round.round));
    let budgets = (1..=record.budgets.len()).map(|budget| format!("budgets/{budget}"));
    for folder in rounds.chain(budgets) {
        files.extend([
            (format!("{folder}/search.json"), "θ, probabilities and epochs"),
            (format!("{folder}/derived.json"), "what θ and α make of them"),
            (format!("{folder}/subnet.json"), "the network that was found"),
            (format!("{folder}/residuals.json"), "predicted and measured"),
        ]);
    }
    files.retain(|(file, _)| links.has(file));
    files
}
