//! What a comparison says: every system, differences with their intervals, agreement between seeds.

use super::{links::Links, pictures::Pictures};
use crate::{
    app::{
        compare::{Against, CAPTION, Comparison, OverSeeds, SystemSummary},
        report::{
            html::{Figure, or_dash, pinned_table},
            quality::{self, Point},
        },
    },
    base::Result,
};
use maud::{Markup, html};

const FILE: &str = "compare.json";

pub(super) fn body(comparison: &Comparison, links: &Links, pictures: &mut Pictures) -> Result<Markup> {
    let setup = &comparison.setup;
    let curves = comparison.curves();
    let picture =
        pictures.figure("auc-latency", quality::svg(CAPTION, &curves), &said(&quality::below(&curves)))?;
    let count = |count: usize, place: &str| Figure::count(count).from(FILE, place);
    Ok(html! {
        p {
            (count(setup.train_rows, "/setup/train_rows")) " rows to train on, "
            (count(setup.valid_rows, "/setup/valid_rows")) " to compare on; "
            (setup.engine) ", " (setup.layout) ", " (setup.precision) " at "
            (count(setup.candidates, "/setup/candidates")) " candidates. Means over seeds ± standard deviation."
        }
        nav {
            a href="#systems" { "Systems" } a href="#differences" { "Differences" }
            a href="#agreement" { "Agreement" } a href="#files" { "What it took, and the files" }
        }
        section id="systems" {
            h2 { "Systems" }
            @if let Some(fetched) = comparison.systems.iter().find_map(|system| system.fetched) {
                p { "Replayed one request after the other; fetching: " (fetched.text()) "." }
            }
            (systems(comparison, links))
            div class="charts" { (picture) }
        }
        section id="differences" { h2 { "AutoFAS against every other system" } (differences(comparison)) }
        section id="agreement" { h2 { "Agreement between seeds" } (agreement(comparison)) }
        section id="files" { h2 { "What it took, and the files" } (took(comparison)) (files(links)) }
    })
}

/// Of the picture of all systems, of which some may be off its axis.
fn said(below: &[&Point]) -> String {
    let mut said = "Up and to the left is better; points of one system are its budgets. The dashed line is the best AUC up to every \
                    latency. Grey dots have their deviation in the table. The pointer on a dot names it."
        .to_owned();
    if !below.is_empty() {
        let below: Vec<String> =
            below.iter().map(|point| format!("{} ({:.4})", point.name, point.auc)).collect();
        said += &format!(" Below the axis: {}.", below.join(", "));
    }
    said
}

fn spread(value: Option<OverSeeds>, places: usize, place: &str) -> Markup {
    let figure = |value: f64, field: &str| Figure::new(value, places).from(FILE, format!("{place}/{field}"));
    let deviation = value.and_then(|spread| spread.deviation);
    html! {
        (or_dash(value.map(|spread| figure(spread.mean, "mean"))))
        @if let Some(deviation) = deviation { " " small { "±" (figure(deviation, "deviation")) } }
    }
}

fn systems(comparison: &Comparison, links: &Links) -> Markup {
    let row = |(at, system): (usize, &SystemSummary)| {
        let place = |field: &str| format!("/systems/{at}/{field}");
        html! {
            tr {
                td {
                    span class="keep" { (system.system) }
                    @if system.unreachable > 0 { small class="bad" { (system.unreachable) " of " (system.unreachable + system.seeds) " could not keep the budget" } }
                }
                td class="n" {
                    (or_dash(system.budget_ms.map(|ms| Figure::new(ms, 3).from(FILE, place("budget_ms")))))
                    @if let Some(pct) = system.above_budget_pct() { " " small class="bad" { (Figure::new(pct, 1)) " % ABOVE" } }
                }
                td class="n" { (spread(system.auc, 4, &place("auc"))) }
                td class="n" {
                    (spread(system.total.mean_ms, 3, &place("total/mean_ms")))
                    @if system.invalid_replays > 0 { " " small class="bad" { "NOT VALID" } }
                }
                td class="n" { (spread(system.total.p99_ms, 3, &place("total/p99_ms"))) }
                td class="n" { (spread(system.features, 1, &place("features"))) }
                td class="n" { (spread(system.fetch.mean_ms, 3, &place("fetch/mean_ms"))) }
                td class="n" { (spread(system.inference.mean_ms, 3, &place("inference/mean_ms"))) }
                td class="n" { (spread(system.gauc, 4, &place("gauc"))) }
                td class="n" { (spread(system.logloss, 4, &place("logloss"))) }
                td class="n" { (Figure::count(system.seeds).from(FILE, place("seeds"))) }
                td class="n" { (spread(system.training_s, 1, &place("training_s"))) }
            }
        }
    };
    let columns = [
        "system",
        "#budget, ms",
        "#AUC",
        "#total, ms",
        "#p99, ms",
        "#features",
        "#fetch, ms",
        "#inference, ms",
        "#GAUC",
        "#logloss",
        "#seeds",
        "#training, s",
    ];
    html! {
        (pinned_table(&columns, comparison.systems.iter().enumerate().map(row)))
        p class="quiet" {
            "A budget limits fetching and the engine's own run (inference) in the mean; ABOVE marks what takes more than it. Total: with "
            "the assembling of inputs, p99 of that. Recall, overlap and calibration: " (links.to("compare.md")) "."
        }
    }
}

fn differences(comparison: &Comparison) -> Markup {
    if comparison.against.is_empty() {
        return html! { p class="quiet" { "AutoFAS and another system share no seed yet." } };
    }
    let row = |(at, against): (usize, &Against)| {
        let figure =
            |value: f64, field: &str| Figure::signed(value, 4).from(FILE, format!("/against/{at}/{field}"));
        let interval = |values: Option<[f64; 2]>, whose: &str| {
            html! {
                @match values {
                    None => "–",
                    Some([low, high]) => {
                        (figure(low, &format!("{whose}/interval_95/0"))) " to " (figure(high, &format!("{whose}/interval_95/1")))
                    }
                }
            }
        };
        let p = against.over_seeds.and_then(|test| test.p);
        let p = p.map(|p| Figure::probability(p).from(FILE, format!("/against/{at}/over_seeds/p")));
        html! {
            tr {
                td class="keep" { (against.system) }
                td class="n" { (Figure::new(against.budget_ms, 3).from(FILE, format!("/against/{at}/budget_ms"))) }
                td class="n" { (figure(against.auc_difference, "auc_difference")) }
                td class="n" { (or_dash(p)) }
                td class="n" { (interval(against.over_users.map(|users| users.interval_95), "over_users")) }
                td class="n" { (interval(against.over_seeds.map(|test| test.interval_95), "over_seeds")) }
                td class="n" { (Figure::count(against.seeds).from(FILE, format!("/against/{at}/seeds"))) }
            }
        }
    };
    let columns = [
        "AutoFAS minus",
        "#budget, ms",
        "#AUC",
        "#p over seeds",
        "#95 % over users",
        "#95 % over seeds",
        "#seeds",
    ];
    pinned_table(&columns, comparison.against.iter().enumerate().map(row))
}

fn agreement(comparison: &Comparison) -> Markup {
    let rows = comparison.systems.iter().enumerate().filter_map(|(at, system)| {
        let agreement = system.agreement?;
        let figure = |value: f64, field: &str| Figure::new(value, 3).from(FILE, format!("/systems/{at}/agreement/{field}"));
        Some(html! {
            tr {
                td class="keep" { (system.system) }
                td class="n" { (or_dash(system.budget_ms.map(|ms| Figure::new(ms, 3).from(FILE, format!("/systems/{at}/budget_ms"))))) }
                td class="n" { (figure(agreement.features_jaccard, "features_jaccard")) }
                td class="n" { (figure(agreement.least_features_jaccard, "least_features_jaccard")) }
                td class="n" { (figure(agreement.same_layers, "same_layers")) }
                td class="n" { (or_dash(agreement.strengths_spearman.map(|rho| figure(rho, "strengths_spearman")))) }
                td class="n" { (or_dash(agreement.strengths_kendall.map(|tau| figure(tau, "strengths_kendall")))) }
            }
        })
    });
    let rows: Vec<Markup> = rows.collect();
    if rows.is_empty() {
        return html! { p class="quiet" { "There is one seed, so that nothing can agree." } };
    }
    pinned_table(
        &["system", "#budget, ms", "#Jaccard of features", "#least", "#same layers", "#ρ of θ", "#τ of θ"],
        rows,
    )
}

fn took(comparison: &Comparison) -> Markup {
    let compute = &comparison.compute;
    let hours = |value: f64, field: &str| Figure::new(value, 2).from(FILE, format!("/compute/{field}"));
    html! {
        p {
            (hours(compute.total_h, "total_h")) " h: teachers " (hours(compute.teachers_h, "teachers_h"))
            ", trials " (hours(compute.trials_h, "trials_h")) ", trainings " (hours(compute.trainings_h, "trainings_h"))
            ", measurements " (hours(compute.measurements_h, "measurements_h"))
            ", probes of the table " (hours(compute.table_h, "table_h")) "."
        }
    }
}

fn files(links: &Links) -> Markup {
    let files = [
        (FILE, "all of it, with every training"),
        ("compare.md", "tables as Markdown"),
        ("config.toml", "every setting with its origin"),
        ("environment.json", "machine and program"),
        ("data.json", "hashes of rows, split, schema and encoders"),
    ];
    html! {
        ul { @for (file, what) in files.iter().filter(|(file, _)| links.has(file)) { li { (links.to(file)) ": " (what) } } }
        p { "This page again, without data and without training:" }
        pre { (links.report_command()) }
    }
}
