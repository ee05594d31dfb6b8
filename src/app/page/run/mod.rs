//! What a run searched and found.

mod environment;
mod features;
mod layers;
mod responses;
mod rounds;
mod search;
mod verdict;

use super::{links::Links, pictures::Pictures};
use crate::{app::iterate::Record, base::Result};
use maud::{Markup, html};

/// All sections, whose names the page begins with.
pub(super) fn body(record: &Record, links: &Links, pictures: &mut Pictures) -> Result<Markup> {
    let mut sections = vec![
        ("found", "What was found", verdict::section(record, links, pictures)?),
        ("features", "Features", features::section(record, links)?),
        ("layers", "Layers, and where the time goes", layers::section(record, pictures)?),
        ("rounds", "Predicted and measured, round by round", rounds::section(record, pictures)?),
        ("responses", "Response times", responses::section(record, links, pictures)?),
        ("search", "The search over time", search::section(record, links, pictures)?),
        ("environment", "Environment and validity", environment::section(record, links)?),
        ("reproduce", "How to reproduce it, and the files", environment::reproduce(record, links)),
    ];
    if only_budgets(record) {
        sections.retain(|(id, _, _)| ["found", "environment", "reproduce"].contains(id));
    }
    Ok(html! {
        (verdict::introduction(record, &missing(record)))
        nav { @for (id, title, _) in &sections { a href={ "#" (id) } { (title) } } }
        @for (id, title, section) in &sections {
            section id=(id) { h2 { (title) } (section) }
        }
    })
}

/// Whether several budgets were searched, and no rounds.
fn only_budgets(record: &Record) -> bool {
    record.pareto.is_some() && record.rounds.is_empty()
}

/// What the run has not come to yet; nothing of a finished one.
pub(super) fn missing(record: &Record) -> Vec<String> {
    if record.summary.is_some() || record.pareto.is_some() {
        return Vec::new();
    }
    let mut missing = Vec::new();
    match record.rounds.last() {
        None => missing.push("the first network that a search derives".to_owned()),
        Some(round) => {
            if round.fit.is_none() {
                missing.push(format!("the training of round {}'s network", round.round));
            }
            if round.engines.is_none() {
                missing.push(format!("the measurements of round {}", round.round));
            }
        }
    }
    missing.push("the last replays and the summary".to_owned());
    missing
}

/// Says that something is not there.
fn absent(what: &str) -> Markup {
    html! { p class="quiet" { "Not there yet: " (what) "." } }
}
