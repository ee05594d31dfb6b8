//! The outcome: the winner beside the plain DNN and the teacher, and all networks by AUC and latency.

use super::{Links, Pictures, absent};
use crate::{
    app::{
        iterate::{Ending, MeasuredTime, NetworkSummary, ParetoPoint, Record, Summary, Way},
        report::{
            html::{Figure, or_dash, pinned_table, table},
            quality::{self, Curve, Point, Role},
        },
    },
    base::{Result, names::EngineName},
    learn::metrics::Metrics,
};
use maud::{Markup, html};
use std::collections::BTreeMap;

const SUMMARY: &str = "summary.json";
/// Of a measurement that is too noisy to show anything.
pub(super) const VOID: &str = "VOID";

/// What was searched in which data, and how far it came.
pub(super) fn introduction(record: &Record, missing: &[String]) -> Markup {
    let rows = |rows: usize, field: &str| Figure::count(rows).from("data.json", format!("/result/{field}"));
    html! {
        p {
            "AutoFAS searched among " (Figure::count(record.space.features.len())) " features and "
            (Figure::count(record.space.mixops.len())) " layers of choice for the label " code { (record.schema.label) } "."
            @if let Some(data) = &record.data {
                " It trained on " (rows(data.train_rows, "train_rows")) " rows and validated on "
                (rows(data.valid_rows, "valid_rows")) "."
            }
            @if let Some(summary) = &record.summary {
                @match summary.ended {
                    Ending::Converged => " Its rounds ended when the winner stayed the same and was predicted within the noise.",
                    Ending::Limit => " It ended after as many rounds as it was given.",
                }
            }
        }
        @if !missing.is_empty() {
            div class="note" {
                b { "This run is not finished." } " It has not come to: " (missing.join("; "))
                ". What follows is what is there so far; go on with " code { "--resume" } "."
            }
        }
    }
}

pub(super) fn section(record: &Record, links: &Links, pictures: &mut Pictures) -> Result<Markup> {
    let networks = quality_picture(record, pictures)?;
    Ok(html! {
        @match &record.summary {
            Some(summary) => {
                (tiles(record, summary))
                (networks_table(record, summary, links))
            }
            None if record.pareto.is_some() => {}
            None => (absent("a winner; it is chosen when the last round has been measured")),
        }
        @if let Some(pareto) = &record.pareto { (front(&pareto.points, links)) }
        @match networks {
            Some(figure) => div class="charts" { (figure) },
            None => (absent("AUC against latency, without a network that was trained and measured")),
        }
    })
}

fn tiles(record: &Record, summary: &Summary) -> Markup {
    let (winner, baseline) = (&summary.winner, &summary.baseline);
    let auc = |of: &NetworkSummary, whose: &str| {
        or_dash(of.metrics.auc.map(|auc| Figure::new(auc, 4).from(SUMMARY, format!("/{whose}/auc"))))
    };
    let engine = record.settings.target.engine;
    let round = summary.rounds.iter().position(|round| round.round == winner.round);
    html! {
        div class="tiles" {
            div class="tile" {
                "AUC of the winner" b { (auc(&winner.network, "winner")) }
                span { "plain DNN " (auc(&baseline.network, "baseline")) }
            }
            div class="tile" {
                "Service time, " (engine)
                b { (service(&winner.service, engine, "winner", " ms")) }
                span { "plain DNN " (service(&baseline.service, engine, "baseline", " ms")) }
            }
            @if let Some((at, feature_ms)) = round.map(|at| (at, summary.rounds[at].feature_ms)) {
                div class="tile" {
                    "Fetching its features"
                    b { (Figure::new(feature_ms, 3).from(SUMMARY, format!("/rounds/{at}/feature_ms"))) " ms" }
                    span { (if record.measured_prices { "measured prices" } else { "declared prices" }) }
                }
            }
            div class="tile" {
                "Features" b { (Figure::count(winner.network.features.len())) " of " (Figure::count(record.space.features.len())) }
                span { "layers " (widths(&winner.network.layers)) }
            }
            @if let Some(budget) = &winner.budget {
                div class="tile" {
                    "Budget"
                    b { (Figure::new(budget.budget_ms, 3).from(SUMMARY, "/winner/budget/budget_ms")) " ms" }
                    span class=(if budget.met { "good" } else { "bad" }) {
                        (if budget.met { "met: " } else { "NOT met: " }) (budget)
                    }
                }
            }
        }
    }
}

fn service(
    times: &BTreeMap<EngineName, MeasuredTime>,
    engine: EngineName,
    whose: &str,
    unit: &str,
) -> Markup {
    let Some(time) = times.get(&engine) else { return html! { "–" } };
    let place = |field: &str| format!("/{whose}/service/{engine}/{field}");
    html! {
        (Figure::new(time.ms, 3).from(SUMMARY, place("ms"))) (unit)
        @if time.void { " " span class="bad" { (VOID) } }
    }
}

/// Widths of hidden layers.
pub(super) fn widths(layers: &[usize]) -> String {
    let widths: Vec<String> = layers.iter().map(usize::to_string).collect();
    if widths.is_empty() { "none".to_owned() } else { widths.join(" – ") }
}

fn networks_table(record: &Record, summary: &Summary, links: &Links) -> Markup {
    // The one that is paid for stands first.
    let mut engines = record.settings.target.engines.clone();
    engines.sort_by_key(|&engine| engine != record.settings.target.engine);
    let times: Vec<String> = engines.iter().map(|engine| format!("#{engine}, ms")).collect();
    let mut columns =
        vec!["", "#AUC", "#GAUC", "#logloss", "#features", "layers", "#parameters", "#multiply-adds"];
    columns.extend(times.iter().map(String::as_str));
    let teacher = html! {
        tr {
            td class="keep" { "teacher r(x)" }
            (metrics(&summary.teacher.metrics, "/teacher", summary.teacher.auc_standard_error))
            td class="n" { (Figure::count(record.space.features.len())) }
            td { "–" } td class="n" { "–" } td class="n" { "–" }
            @for _ in &engines { td class="n" { "–" } }
        }
    };
    let row = |name: &str,
               whose: &str,
               network: &NetworkSummary,
               times: &BTreeMap<EngineName, MeasuredTime>| {
        let count =
            |count: usize, field: &str| Figure::count(count).from(SUMMARY, format!("/{whose}/{field}"));
        html! {
            tr {
                td class="keep" { (name) br; (links.named(&network.onnx, &network.subnet)) }
                (metrics(&network.metrics, &format!("/{whose}"), None))
                td class="n" { (Figure::count(network.features.len())) }
                td class="keep" { (widths(&network.layers)) }
                td class="n" { (count(network.parameters, "parameters")) }
                td class="n" { (count(network.multiply_adds, "multiply_adds")) }
                @for &engine in &engines {
                    td class="n" {
                        (service(times, engine, whose, ""))
                        @if let Some(time) = times.get(&engine) {
                            @let noise = Figure::new(time.noise_pct, 1);
                            br; "±" (noise.from(SUMMARY, format!("/{whose}/service/{engine}/noise_pct"))) " %"
                        }
                    }
                }
            }
        }
    };
    let rows = [
        teacher,
        row("winner", "winner", &summary.winner.network, &summary.winner.service),
        row("plain DNN", "baseline", &summary.baseline.network, &summary.baseline.service),
    ];
    html! {
        (table(&columns, rows))
        p class="quiet" {
            "On the validation rows. "
            @if summary.teacher.auc_standard_error.is_some() {
                "The teacher's AUC has its standard error beside it; that of the others, on the same rows, is about as large. "
            }
            "Service times are the engine's own for " (Figure::count(record.settings.target.candidates))
            " candidates, with their standard error; fetching comes before them. The names lead to the models."
        }
    }
}

fn metrics(metrics: &Metrics, place: &str, auc_standard_error: Option<f64>) -> Markup {
    let figure = |value: Option<f64>, field: &str| {
        or_dash(value.map(|value| Figure::new(value, 4).from(SUMMARY, format!("{place}/{field}"))))
    };
    html! {
        td class="n" {
            (figure(metrics.auc, "auc"))
            @if auc_standard_error.is_some() { br; "±" (figure(auc_standard_error, "auc_standard_error")) }
        }
        td class="n" { (figure(metrics.gauc, "gauc")) }
        td class="n" { (figure(Some(metrics.logloss), "logloss")) }
    }
}

/// Networks of several budgets.
fn front(points: &[ParetoPoint], links: &Links) -> Markup {
    let row = |(at, point): (usize, &ParetoPoint)| {
        let figure = |value: f64, places, field: &str| {
            Figure::new(value, places).from("pareto.json", format!("/points/{at}/{field}"))
        };
        let (way, candidate) = match point.won {
            Way::Gradient => ("gradient", &point.gradient),
            Way::Evolution => ("evolution", &point.evolution),
        };
        html! {
            tr {
                td class="keep" { (links.named(&point.network.onnx, &point.network.subnet)) }
                td class="n" { (figure(point.budget_ms, 3, "budget_ms")) }
                td class="n" { (figure(point.measured_ms, 3, "measured_ms")) @if let Some(doubt) = point.doubt() { " " span class="bad" { (doubt) } } }
                td class="n" { (or_dash(point.network.metrics.auc.map(|auc| figure(auc, 4, "auc")))) }
                td class="n" { (figure(candidate.held_out_auc, 4, &format!("{way}/held_out_auc"))) }
                td { (if point.on_front { "yes" } else { "no" }) }
                td { (way) }
                td class="n" { (Figure::count(point.network.features.len())) }
                td class="keep" { (widths(&point.network.layers)) }
            }
        }
    };
    html! {
        h3 { "Networks for several budgets" }
        (pinned_table(
            &["network", "#budget, ms", "#measured, ms", "#AUC", "#held-out AUC", "on the front", "found by", "#features", "layers"],
            points.iter().enumerate().map(row),
        ))
        p class="quiet" {
            "Measured: price of the features and mean service time. AUC: on the validation rows. On the front is a network where no "
            "other is as fast and as good, and better in one of both, by held-out AUC: on training rows that it was not trained on. "
            "The names lead to the models."
        }
    }
}

/// All networks that were trained and measured: price of the features and measured service time against AUC.
fn quality_picture(record: &Record, pictures: &mut Pictures) -> Result<Option<Markup>> {
    let engine = record.settings.target.engine;
    let point = |name: String, feature_ms: f64, service_ms: f64, auc: Option<f64>| {
        Some(Point { name, latency_ms: feature_ms + service_ms, auc: auc?, deviation: 0.0 })
    };
    let paid = |features: &[usize]| record.prices.selected_ms(features, record.space.features.len());
    let rounds = record.rounds.iter().filter_map(|round| {
        let measured = round.engines.as_ref()?.get(&engine)?.winner_time;
        let name = format!("round {}, {}", round.round, round.id);
        point(name, paid(&round.searched.subnet.features), measured.ms, round.fit.as_ref()?.metrics.auc)
    });
    let every = record.space.plain(&record.settings.baseline.widths).features;
    let plain = record.summary.as_ref().and_then(|summary| {
        let network = &summary.baseline.network;
        let service = summary.baseline.service.get(&engine)?;
        point(format!("plain DNN, {}", network.subnet), paid(&every), service.ms, network.metrics.auc)
    });
    let budgets = |on_front: bool| -> Vec<Point> {
        let points = record.pareto.iter().flat_map(|pareto| &pareto.points);
        let points = points.filter(move |p| p.on_front == on_front).filter_map(|p| {
            let name = format!("within {} ms, {}", p.budget_ms, p.network.subnet);
            point(name, 0.0, p.measured_ms, p.network.metrics.auc)
        });
        points.collect()
    };
    let curve = |label: &str, points: Vec<Point>| Curve { label: label.to_owned(), role: Role::Own, points };
    let mut curves = vec![
        curve("networks of the rounds", rounds.collect()),
        curve("plain DNN on all features", plain.into_iter().collect()),
        curve("budgets, on the front", budgets(true)),
        curve("budgets, beaten by another network", budgets(false)),
    ];
    curves.retain(|curve| !curve.points.is_empty());
    if curves.is_empty() {
        return Ok(None);
    }
    let mut said = format!(
        "Up and to the left is better. Latency: price of the features and measured service time on {engine}. The pointer on a dot \
         names the network."
    );
    if record.pareto.is_some() {
        said += " The line joins the front, which held-out AUC decides: by the AUC shown here it may fall.";
    }
    pictures.figure("auc-latency", quality::svg("AUC against latency", &curves), &said).map(Some)
}
