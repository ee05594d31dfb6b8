//! The supernet with the path that was found, and where the time of the network goes.

use super::{Pictures, absent, verdict::widths};
use crate::{
    app::{
        iterate::{Record, RoundRecord},
        report::{
            html::{Figure, table},
            shares::{self, Bar},
            supernet::{self, Choice, Supernet},
        },
    },
    base::Result,
    learn::derive::Finalist,
    price::{
        LayerPrices,
        path::{Step, step_ms, steps},
    },
    space::{Operator, Subnet},
};
use maud::{Markup, html};

pub(super) fn section(record: &Record, pictures: &mut Pictures) -> Result<Markup> {
    let Some(round) = record.leading() else { return Ok(absent("the first search")) };
    let path = pictures.figure(
        "supernet",
        supernet::svg("Supernet and the path that was found", &picture(record, round)),
        "Every layer offers its operators, with the probability (softmax of α) that the search ended with; the network that was found is \
         in bold. The operator zero leaves a layer out.",
    )?;
    let times = bars(record, round)?;
    let times = match times.is_empty() {
        true => absent("where the time goes; the round's network has to be measured first"),
        false => pictures.figure(
            "time",
            shares::svg("Where the time of a request goes", &times),
            "As the prices have it: fetching (features), the call with its input, every layer. The line is fetching and the measured \
             service time. A network with layers that the table has no price for is left out.",
        )?,
    };
    Ok(html! {
        @if let Some(repair) = &round.searched.repair { p { "What θ and α derive was " (repair) "." } }
        div class="charts" { (path) (times) }
        @if !round.searched.finalists.is_empty() { (finals(record, round)) }
    })
}

/// Networks that were trained to choose between layers.
fn finals(record: &Record, round: &RoundRecord) -> Markup {
    let file = format!("rounds/{}/subnet.json", round.round);
    let row = |(at, finalist): (usize, &Finalist)| {
        let figure = |value: f64, places, field: &str| {
            Figure::new(value, places).from(&file, format!("/result/finalists/{at}/{field}"))
        };
        html! {
            tr {
                td class="keep" { (finalist.subnet) }
                td class="n" { (Figure::count(finalist.features).from(&file, format!("/result/finalists/{at}/features"))) }
                td class="keep" { (widths(&finalist.layers)) }
                td class="n" { (figure(finalist.price_ms, 3, "price_ms")) }
                td class="n" { (figure(finalist.quality.auc, 4, "auc")) }
                td class="n" { (figure(finalist.quality.logloss, 4, "logloss")) }
                td { (finalist.part(at, &round.id).unwrap_or_default()) }
            }
        }
    };
    html! {
        h3 { "Judged by training" }
        p class="quiet" {
            "What the search ended with and its neighbours, trained and cross-validated on training rows. Taken is the one of the "
            @if record.settings.derive.budget().is_some() { "highest AUC." } @else { "lowest logloss + λ · ms of the features + λ2 · ms of the layers." }
        }
        (table(
            &["network", "#features", "layers", "#price, ms", "#AUC", "#logloss", ""],
            round.searched.finalists.iter().enumerate().map(row),
        ))
    }
}

fn picture(record: &Record, round: &RoundRecord) -> Supernet {
    let subnet = &round.searched.subnet;
    let mixop = |at: usize| {
        let operators: &Vec<Operator> = &record.space.mixops[at];
        let choice = |(i, operator): (usize, &Operator)| Choice {
            name: operator.to_string(),
            probability: Some(round.outcome.probabilities[at][i]),
            chosen: *operator == subnet.operators[at],
        };
        operators.iter().enumerate().map(choice).collect()
    };
    Supernet {
        input: format!("{} of {} features", subnet.features.len(), record.space.features.len()),
        mixops: (0..record.space.mixops.len()).map(mixop).collect(),
    }
}

/// The round's network and the plain DNN, by the table that the round paid with.
fn bars(record: &Record, round: &RoundRecord) -> Result<Vec<Bar>> {
    let (engine, candidates) = (record.settings.target.engine, record.settings.target.candidates);
    let measured = round.engines.as_ref().and_then(|engines| engines.get(&engine));
    let (Some(measured), Some((_, table))) = (measured, record.table(round.searched.table_version)?) else {
        return Ok(Vec::new());
    };
    let Ok(prices) = table.prices(&measured.calibration.context, candidates) else { return Ok(Vec::new()) };
    let plain = record.space.plain(&record.settings.baseline.widths);
    let networks = [
        (format!("round {}, {}", round.round, round.id), &round.searched.subnet, measured.winner_time.ms),
        ("plain DNN on all features".to_owned(), &plain, measured.baseline_time.ms),
    ];
    let bar = |(label, subnet, service_ms): (String, &Subnet, f64)| {
        let fetch_ms = record.prices.selected_ms(&subnet.features, record.space.features.len());
        // A plain DNN may have widths that are not in the space.
        let layers = parts(record, subnet, &prices).ok()?;
        let parts = std::iter::once(("fetch".to_owned(), fetch_ms)).chain(layers).collect();
        Some(Bar { label, parts, measured_ms: Some(fetch_ms + service_ms) })
    };
    Ok(networks.into_iter().filter_map(bar).collect())
}

/// What [`crate::price::path::subnet_ms`] adds up.
fn parts(record: &Record, subnet: &Subnet, prices: &dyn LayerPrices) -> Result<Vec<(String, f64)>> {
    let (widths, input) = (subnet.layer_widths(), subnet.input(&record.space));
    let layers = steps(&widths).enumerate().map(|(at, step)| {
        let name = match step {
            Step::First { to: 1 } | Step::Layer { to: 1, .. } => "output".to_owned(),
            _ => format!("layer {}", at + 1),
        };
        Ok((name, step_ms(step, input.widths, prices)?))
    });
    let mut parts: Vec<_> = layers.collect::<Result<_>>()?;
    parts.push(("call and input".to_owned(), prices.fixed_ms() + prices.input().dot(&input.load)));
    Ok(parts)
}
