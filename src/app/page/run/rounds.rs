//! What the table predicted and what was measured, in every round and for every network.

use super::{Pictures, absent, verdict::VOID};
use crate::{
    app::{
        iterate::{EngineCalibration, Record, RoundRecord},
        report::{
            html::{Figure, or_dash, table},
            rounds::{self, Round, Series},
            scatter::{self, Group},
        },
    },
    base::{Result, names::EngineName},
    price::agreement::Residual,
};
use maud::{Markup, html};

pub(super) fn section(record: &Record, pictures: &mut Pictures) -> Result<Markup> {
    let measured: Vec<(&RoundRecord, EngineName, &EngineCalibration)> = record
        .rounds
        .iter()
        .flat_map(|round| round.engines.iter().flatten().map(move |(&engine, part)| (round, engine, part)))
        .collect();
    if measured.is_empty() {
        return Ok(absent("a measured round"));
    }
    let engines = &record.settings.target.engines;
    let series = engines.iter().map(|&engine| Series {
        label: engine.to_string(),
        rounds: (measured.iter().filter(|(_, own, _)| *own == engine))
            .map(|(round, _, part)| Round {
                round: round.round,
                network: round.id.clone(),
                predicted_ms: part.winner.predicted_ms,
                measured_ms: part.winner.measured_ms,
                noise_pct: part.winner.noise_pct,
            })
            .collect(),
    });
    let winners = pictures.figure(
        "rounds",
        rounds::svg("Each round's network", &series.collect::<Vec<_>>()),
        "A round's table predicts (ring) before it is measured (disc, bar: standard error).",
    )?;
    let groups: Vec<Group<'_>> = measured
        .iter()
        .map(|&(round, engine, part)| Group {
            label: format!("{engine}, round {}", round.round),
            colour: engines.iter().position(|known| *known == engine).unwrap_or(0),
            mark: round.round - 1,
            residuals: residuals(part),
        })
        .collect();
    let every = match groups.iter().map(Group::drawn).sum::<usize>() {
        0 => html! {
            p class="quiet" {
                "No network corrects or judges a table: none was measured well enough, or the table lacks its layers ("
                a href="#doubts" { "what may not be believed" } ")."
            }
        },
        _ => pictures.figure(
            "residuals",
            scatter::of_groups(&groups),
            "The round's network and those that correct or judge the table, all predicted before the correction. Lines: exact, 5 % and \
         10 % off.",
        )?,
    };
    Ok(html! {
        (table(
            &["#round", "engine", "network", "#AUC", "table", "#predicted, ms", "#measured, ms", "#off, %", "#noise, %", "#held out: off, %"],
            measured.iter().map(|&(round, engine, part)| row(round, engine, part)),
        ))
        p class="quiet" {
            "Held out: mean error on networks that no table learns from, before → after the round's correction."
        }
        div class="charts" { (winners) (every) }
    })
}

/// As the round's own table predicted them.
fn residuals(part: &EngineCalibration) -> Vec<&Residual> {
    let before = &part.calibration.before;
    let fitted = before.fitted_networks.iter().chain(&before.held_out_networks);
    fitted.collect()
}

fn row(round: &RoundRecord, engine: EngineName, part: &EngineCalibration) -> Markup {
    let file = format!("rounds/{}/residuals.json", round.round);
    let figure = |figure: Figure, place: &str| figure.from(&file, format!("/result/{engine}/{place}"));
    let winner = &part.winner;
    let auc = round.fit.as_ref().and_then(|fit| fit.metrics.auc).map(|auc| {
        let fit = format!("networks/{}/fit.json", round.id);
        Figure::new(auc, 4).from(&fit, "/result/metrics/auc")
    });
    let held_out = |fit: &str, off: Option<f64>| {
        or_dash(off.map(|pct| figure(Figure::new(pct, 1), &format!("calibration/{fit}/held_out/mape_pct"))))
    };
    let calibration = &part.calibration;
    let [before, after] = [&calibration.before, &calibration.after]
        .map(|fit| fit.held_out.as_ref().map(|found| found.mape_pct));
    html! {
        tr {
            td class="n" { (Figure::count(round.round)) }
            td { (engine) }
            td class="keep" { (round.id) }
            td class="n" { (or_dash(auc)) }
            td { "v" (round.searched.table_version) }
            td class="n" { (figure(Figure::new(winner.predicted_ms, 3), "winner/predicted_ms")) }
            td class="n" { (figure(Figure::new(winner.measured_ms, 3), "winner/measured_ms")) }
            td class="n" { (figure(Figure::signed(winner.residual_pct, 1), "winner/residual_pct")) }
            td class="n" {
                (figure(Figure::new(winner.noise_pct, 1), "winner/noise_pct"))
                @if part.winner_time.void { " " span class="bad" { (VOID) } }
            }
            td class="n" { (held_out("before", before)) " → " (held_out("after", after)) }
        }
    }
}
