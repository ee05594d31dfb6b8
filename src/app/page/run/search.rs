//! θ and α over the steps of a search, and its epochs.

use super::{Links, Pictures, absent};
use crate::{
    app::{
        curves,
        iterate::{Record, RoundRecord},
        report::{
            courses::{self, Course, Panel},
            html::{Figure, or_dash, table},
        },
    },
    base::Result,
    learn::search::SearchEpoch,
};
use maud::{Markup, html};
use std::collections::BTreeMap;

/// Curves by tag.
type Curves = BTreeMap<String, Vec<(u64, f64)>>;

const CHOSEN: &str = "chosen";
const DROPPED: &str = "dropped";

pub(super) fn section(record: &Record, links: &Links, pictures: &mut Pictures) -> Result<Markup> {
    let Some(leading) = record.leading() else { return Ok(absent("the first search")) };
    let own = of_round(record, leading, links, pictures)?;
    let others = record.rounds.iter().filter(|round| round.round != leading.round);
    let others: Vec<(usize, Markup)> = others
        .map(|round| Ok((round.round, of_round(record, round, links, pictures)?)))
        .collect::<Result<_>>()?;
    Ok(html! {
        h3 { "Round " (leading.round) }
        (own)
        @for (round, part) in &others {
            details { summary { "Round " (round) } (part) }
        }
    })
}

fn of_round(record: &Record, round: &RoundRecord, links: &Links, pictures: &mut Pictures) -> Result<Markup> {
    let curves = curves::read(&links.folder().join(format!("tensorboard/search/round{}", round.round)))?;
    let (thetas, mixops) = (thetas(record, round, &curves), mixops(record, &curves));
    let figures = match thetas.is_empty() {
        true => absent("the way of θ and α; it is kept under tensorboard/, which is not there"),
        false => {
            let panel =
                Panel { title: format!("θ of every feature, round {}", round.round), courses: thetas };
            let kinds = [CHOSEN.to_owned()];
            let theta = pictures.figure(
                &format!("theta-{}", round.round),
                courses::svg(&panel.title.clone(), &kinds, &[panel]),
                "The pointer at the end of a line names its feature.",
            )?;
            let kinds = kinds_of(&mixops);
            let alpha = pictures.figure(
                &format!("alpha-{}", round.round),
                courses::svg(&format!("Operators over time, round {}", round.round), &kinds, &mixops),
                "Softmax of α: the probability of every operator.",
            )?;
            html! { div class="charts" { (theta) (alpha) } }
        }
    };
    let rows = round.outcome.epochs.iter().enumerate().map(|(at, epoch)| row(round.round, at, epoch));
    Ok(html! {
        (figures)
        (table(
            &["#epoch", "#loss1", "#loss2", "#AUC of the supernet", "#Σθ", "#features, ms", "#network, ms", "#λ", "#λ2"],
            rows,
        ))
        p class="quiet" { "Expected over all features and paths, as probable as they were at the end of the epoch." }
    })
}

fn thetas(record: &Record, round: &RoundRecord, curves: &Curves) -> Vec<Course> {
    let chosen = &round.searched.subnet.features;
    let features = record.space.features.iter().enumerate();
    let course = |(at, feature): (usize, &crate::data::schema::Feature)| {
        let points = curves.get(&format!("theta/{}", feature.name))?;
        let kind = if chosen.binary_search(&at).is_ok() { CHOSEN } else { DROPPED };
        Some(Course { name: feature.name.clone(), kind: kind.to_owned(), points: places(points) })
    };
    features.filter_map(course).collect()
}

fn mixops(record: &Record, curves: &Curves) -> Vec<Panel> {
    let panel = |at: usize| {
        let course = |operator: &crate::space::Operator| {
            let points = curves.get(&format!("probability/mixop{}/{operator}", at + 1))?;
            let kind = operator.to_string();
            Some(Course { name: format!("Mixop {}, {kind}", at + 1), kind, points: places(points) })
        };
        let courses = record.space.mixops[at].iter().filter_map(course).collect();
        Panel { title: format!("Mixop {}", at + 1), courses }
    };
    (0..record.space.mixops.len()).map(panel).collect()
}

/// Operators in the order in which they first appear.
fn kinds_of(mixops: &[Panel]) -> Vec<String> {
    let mut kinds: Vec<String> = Vec::new();
    for course in mixops.iter().flat_map(|panel| &panel.courses) {
        if !kinds.contains(&course.kind) {
            kinds.push(course.kind.clone());
        }
    }
    kinds
}

fn places(points: &[(u64, f64)]) -> Vec<(f64, f64)> {
    points.iter().map(|&(step, value)| (step as f64, value)).collect()
}

fn row(round: usize, at: usize, epoch: &SearchEpoch) -> Markup {
    let file = format!("rounds/{round}/search.json");
    let figure = |value: f64, places, field: &str| {
        Figure::new(value, places).from(&file, format!("/result/epochs/{at}/{field}"))
    };
    html! {
        tr {
            td class="n" { (Figure::count(epoch.epoch)) }
            td class="n" { (figure(epoch.loss1, 4, "loss1")) }
            td class="n" { (figure(epoch.loss2, 4, "loss2")) }
            td class="n" { (or_dash(epoch.metrics.auc.map(|auc| figure(auc, 4, "metrics/auc")))) }
            td class="n" { (figure(epoch.expected_features, 1, "expected_features")) }
            td class="n" { (figure(epoch.feature_ms, 3, "feature_ms")) }
            td class="n" { (figure(epoch.network_ms, 3, "network_ms")) }
            td class="n" { (figure(epoch.lambda, 4, "lambda")) }
            td class="n" { (figure(epoch.lambda2, 4, "lambda2")) }
        }
    }
}
