//! Responses under replayed traffic, by network and engine.

use super::{Links, Pictures, absent};
use crate::{
    app::{
        iterate::{PLAIN, Record, ReplaySummary},
        report::{
            Distribution, RESPONSE,
            html::{Figure, or_dash, table},
            plot,
        },
    },
    base::{Result, names::EngineName},
    measure::hlog,
};
use hdrhistogram::Histogram;
use maud::{Markup, html};

/// A network that was replayed on an engine.
struct Replayed {
    /// Who answered.
    label: String,
    /// Its histograms, from the run's folder.
    log: String,
    offered_qps: Option<f64>,
    valid: bool,
}

pub(super) fn section(record: &Record, links: &Links, pictures: &mut Pictures) -> Result<Markup> {
    let Some(summary) = &record.summary else {
        return Ok(absent("the replays, which come after the last round"));
    };
    let replays = [
        ("winner", "winner", &summary.winner.replays, summary.winner.network.subnet.clone()),
        (
            "plain DNN",
            "baseline",
            &summary.baseline.replays,
            format!("{PLAIN}{}", summary.baseline.network.subnet),
        ),
    ];
    if replays.iter().all(|(_, _, replays, _)| replays.is_empty()) {
        return Ok(html! { p { "No traffic was replayed: the schema names no user_key and item_key." } });
    }
    let replayed = replays.iter().flat_map(|(name, _, replays, folder)| {
        replays.iter().map(move |(engine, replay)| Replayed {
            label: format!("{name}, {engine}"),
            log: format!("replay/{folder}-{engine}.hlog"),
            offered_qps: replay.offered_qps,
            valid: replay.valid,
        })
    });
    let replayed: Vec<Replayed> = replayed.collect();
    let workers = match record.settings.traffic.workers {
        1 => "one worker".to_owned(),
        more => format!("{more} workers"),
    };
    let requests = record.settings.traffic.requests;
    let figure = percentiles(&replayed, requests, links, pictures)?;
    let rows = replays.iter().flat_map(|(name, whose, replays, _)| {
        replays.iter().map(move |(&engine, replay)| row(name, whose, engine, replay))
    });
    Ok(html! {
        p {
            "From the scheduled arrival to the answer, at " (Figure::count(record.settings.traffic.candidates)) " candidates a request and "
            (workers) ". Percentiles appear where enough requests earn them."
        }
        (table(
            &["network", "engine", "#offered, 1/s", "#answered, 1/s", "#mean, ms", "#p50", "#p90", "#p99", "#p99.9", "valid"],
            rows,
        ))
        div class="charts" { (figure) }
        p class="quiet" {
            "Histograms in HDR's log format: "
            @for (at, replay) in replayed.iter().enumerate() { @if at > 0 { ", " } (links.to(&replay.log)) }
        }
    })
}

fn row(name: &str, whose: &str, engine: EngineName, replay: &ReplaySummary) -> Markup {
    let from = |figure: Figure, field: &str| {
        figure.from("summary.json", format!("/{whose}/replays/{engine}/{field}"))
    };
    // Files have µs.
    let percentile = |us: Option<u64>, field: &str| {
        or_dash(us.map(|us| {
            let figure = Figure::count(us as usize).shown(format_args!("{:.2}", us as f64 / 1e3));
            from(figure, &format!("response_us/{field}"))
        }))
    };
    let response = &replay.response_us;
    let mean = response
        .mean
        .map(|us| from(Figure::new(us, 0).shown(format_args!("{:.2}", us / 1e3)), "response_us/mean"));
    html! {
        tr {
            td class="keep" { (name) }
            td { (engine) }
            td class="n" { (or_dash(replay.offered_qps.map(|qps| from(Figure::new(qps, 1), "offered_qps")))) }
            td class="n" { (from(Figure::new(replay.answered_qps, 1), "answered_qps")) }
            td class="n" { (or_dash(mean)) }
            td class="n" { (percentile(response.p50, "p50")) }
            td class="n" { (percentile(response.p90, "p90")) }
            td class="n" { (percentile(response.p99, "p99")) }
            td class="n" { (percentile(response.p999, "p999")) }
            td class="keep" {
                // Why not stands among what may not be believed.
                @if replay.valid { span class="good" { "valid" } } @else { a class="bad" href="#doubts" { "NOT VALID" } }
            }
        }
    }
}

fn percentiles(
    replayed: &[Replayed],
    requests: usize,
    links: &Links,
    pictures: &mut Pictures,
) -> Result<Markup> {
    let mut found: Vec<(&Replayed, Histogram<u64>)> = Vec::new();
    for replay in replayed.iter().filter(|replay| links.has(&replay.log)) {
        let log = links.folder().join(&replay.log);
        found.extend(hlog::reading::total(&log, RESPONSE)?.map(|histogram| (replay, histogram)));
    }
    if found.is_empty() {
        return Ok(absent("the histograms of the replays"));
    }
    let distributions: Vec<_> = found
        .iter()
        .map(|(replay, histogram)| {
            let Replayed { label, offered_qps, valid, .. } = replay;
            Distribution {
                engine: label,
                offered_qps: *offered_qps,
                kind: RESPONSE,
                histogram,
                // Passes repeat the requests of the trace.
                distinct: histogram.len().min(requests as u64),
                valid: *valid,
            }
        })
        .collect();
    let mut said =
        "On HdrHistogram's axis: every further nine takes as much room as the one before.".to_owned();
    if replayed.iter().any(|replay| !replay.valid) {
        said += " Dashed: not valid.";
    }
    pictures.figure("responses", plot::svg(&distributions, &[]), &said)
}
