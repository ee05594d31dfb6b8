//! What was chosen and what was not, with price, importance and the reason.

use super::{Links, absent};
use crate::{
    app::{
        importance::{self, FeatureImportance},
        iterate::{Record, RoundRecord},
        report::html::{Figure, or_dash, pinned_table},
    },
    base::{Result, names::word},
    learn::{
        derive::{Change, Repair},
        settings::DeriveSettings,
    },
};
use maud::{Markup, html};

/// A feature in the leading round.
pub(super) struct Verdict {
    /// Position in the schema.
    at: usize,
    theta: f64,
    chosen: bool,
    reason: String,
}

pub(super) fn section(record: &Record, links: &Links) -> Result<Markup> {
    let Some(round) = record.leading() else { return Ok(absent("the first search")) };
    let worth = importance::kept(links.folder(), &round.id)?.map(|found| Worth::of(&round.id, found));
    let mut verdicts = verdicts(record, round);
    verdicts.sort_by(|a, b| b.chosen.cmp(&a.chosen).then(b.theta.total_cmp(&a.theta)).then(a.at.cmp(&b.at)));
    let split = verdicts.iter().filter(|verdict| verdict.chosen).count();
    let (chosen, dropped) = verdicts.split_at(split);
    let prices =
        if record.measured_prices { "measured (tables/fetch.json)" } else { "declared in the schema" };
    Ok(html! {
        p {
            "Round " (round.round) " chose " (Figure::count(chosen.len())) " of " (Figure::count(verdicts.len()))
            " features. Importance is θ, the probability with which the search keeps a feature in the end; prices are " (prices)
            ". Fetched together they cost " (total(record, round)) " ms: where sources are asked at once, the slowest counts, "
            "so that single prices do not add up."
            @if let Some(Worth { file, found }) = &worth {
                " AUC lost: of the trained network, with the feature's mean embedding in place of its own, on "
                (Figure::count(found.rows).from(file, "/rows")) " validation rows (" (links.to(file)) ")."
            }
        }
        h3 { "Chosen" }
        (list(record, round, chosen, worth.as_ref()))
        details open[dropped.len() <= 40] {
            summary { "Dropped: " (Figure::count(dropped.len())) " features, with the reason" }
            (list(record, round, dropped, None))
        }
    })
}

/// What `importance` measured of the round's network, where it did.
struct Worth {
    /// From the run's folder.
    file: String,
    found: FeatureImportance,
}

impl Worth {
    fn of(network: &str, found: FeatureImportance) -> Self {
        Self { file: importance::file(network), found }
    }

    /// What is lost without a feature, with its standard error.
    fn lost(&self, feature: &str) -> Markup {
        let known = self.found.features.iter().position(|worth| worth.feature == feature);
        let Some(at) = known else { return or_dash(None) };
        let worth = &self.found.features[at];
        let figure = |value, field: &str| {
            Figure::new(value, 4).from(&self.file, format!("/features/{at}/left_out/{field}"))
        };
        html! {
            (figure(worth.left_out.auc, "auc"))
            @if let Some(error) = worth.left_out.error { " ±" (figure(error, "error")) }
            @if worth.within_noise { br; span class="quiet" { "within noise" } }
        }
    }
}

/// Equation (4) of the round's features.
fn total(record: &Record, round: &RoundRecord) -> Figure {
    let ms = record.prices.selected_ms(&round.searched.subnet.features, record.space.features.len());
    let figure = Figure::new(ms, 3);
    let rounds = record.summary.iter().flat_map(|summary| &summary.rounds);
    match rounds.into_iter().position(|known| known.round == round.round) {
        Some(at) => figure.from("summary.json", format!("/rounds/{at}/feature_ms")),
        None => figure,
    }
}

fn list(record: &Record, round: &RoundRecord, verdicts: &[Verdict], worth: Option<&Worth>) -> Markup {
    let usual = usual(verdicts);
    let others = verdicts.iter().any(|verdict| Some(verdict.reason.as_str()) != usual);
    let row = |verdict: &Verdict| {
        let feature = &record.space.features[verdict.at];
        let search = format!("rounds/{}/search.json", round.round);
        html! {
            tr {
                td { (feature.name) }
                td { (word(feature.kind)) }
                td { (word(feature.source)) }
                td class="n" { (price(record, verdict.at)) }
                @if let Some(worth) = worth { td class="n" { (worth.lost(&feature.name)) } }
                td class="n" { (Figure::new(verdict.theta, 3).from(&search, format!("/result/theta/{}", verdict.at))) }
                @if others {
                    td class="why" { @if Some(verdict.reason.as_str()) != usual { (verdict.reason) } }
                }
            }
        }
    };
    let mut columns = vec!["feature", "kind", "from", "#price, ms", "#importance θ"];
    if others {
        columns.push("why");
    }
    if worth.is_some() {
        columns.insert(4, "#AUC lost without it");
    }
    html! {
        @if let Some(usual) = usual { p { (if others { "Where nothing else is said: " } else { "All of them: " }) (usual) "." } }
        (pinned_table(&columns, verdicts.iter().map(row)))
    }
}

/// The reason that most of several features share, which is said once.
fn usual(verdicts: &[Verdict]) -> Option<&str> {
    let times = |reason: &str| verdicts.iter().filter(|verdict| verdict.reason == reason).count();
    let most = verdicts.iter().map(|verdict| verdict.reason.as_str()).max_by_key(|reason| times(reason))?;
    (times(most) > 1 && 2 * times(most) > verdicts.len()).then_some(most)
}

/// Its own price, and that of the trip that the features of its row share.
fn price(record: &Record, at: usize) -> Markup {
    let group = record.prices.groups.iter().find_map(|group| {
        let (_, own_ms) = group.features.iter().find(|(feature, _)| *feature == at)?;
        Some((group.trip_ms, *own_ms))
    });
    html! {
        @match group {
            None => "in the item's row",
            Some((trip_ms, own_ms)) => {
                @let own = Figure::new(own_ms, 4);
                @if record.measured_prices { (own) } @else { (own.from("schema.json", format!("/features/{at}/fetch_ms"))) }
                @if trip_ms > 0.0 { " + trip " (or_dash(Some(Figure::new(trip_ms, 4)))) }
            }
        }
    }
}

fn verdicts(record: &Record, round: &RoundRecord) -> Vec<Verdict> {
    let theta = &round.outcome.theta;
    let kept = &round.searched.subnet.features;
    let repair = round.searched.repair.as_ref();
    let least = least_theta(theta, kept, |at| {
        repair.is_some_and(|repair| last_change(repair, &record.space.features[at].name).is_some())
    });
    let derived = |at: &usize| round.derived.features.binary_search(at).is_ok();
    let every = record.space.features.iter().enumerate();
    let verdict = |(at, feature): (usize, &crate::data::schema::Feature)| {
        let chosen = kept.binary_search(&at).is_ok();
        let last = repair.and_then(|repair| last_change(repair, &feature.name));
        let reason = match (chosen, last) {
            (false, _) if feature.never => "marked `never` in the schema".to_owned(),
            (true, _) if feature.must_keep => "marked `must_keep` in the schema".to_owned(),
            _ if chosen != derived(&at) => judged_by_training(&record.settings.derive, chosen).to_owned(),
            (_, Some(change)) => changed(change, &feature.name),
            (true, None) => kept_by(&record.settings.derive, theta[at]),
            (false, None) => dropped_by(&record.settings.derive, theta[at], least, repair),
        };
        Verdict { at, theta: theta[at], chosen, reason }
    };
    every.map(verdict).collect()
}

/// The least θ that was enough: not of what came in by an exchange, whatever its θ. None where all came in that way.
fn least_theta(theta: &[f64], kept: &[usize], exchanged: impl Fn(usize) -> bool) -> Option<f64> {
    kept.iter().filter(|&&at| !exchanged(at)).map(|&at| theta[at]).min_by(f64::total_cmp)
}

/// The last change that added or dropped it.
fn last_change<'r>(repair: &'r Repair, name: &str) -> Option<&'r Change> {
    let of = |change: &&Change| change.added.iter().chain(&change.dropped).any(|changed| changed == name);
    repair.changes.iter().rev().find(of)
}

/// What the repair did last with it.
fn changed(change: &Change, name: &str) -> String {
    match change.added.iter().any(|added| added == name) {
        true => format!("added by the repair{}", gain(change)),
        false => format!("taken out by the repair{}", gain(change)),
    }
}

fn gain(change: &Change) -> String {
    let others = change.added.len() + change.dropped.len() - 1;
    let together = match others {
        0 => String::new(),
        1 => " in one step with another feature".to_owned(),
        _ => format!(" in one step with {others} other features"),
    };
    format!("{together}: AUC {:+.4} ± {:.4}, then {:.3} ms", change.gain, change.error, change.price_ms)
}

/// What became of a feature in the finals.
fn judged_by_training(rule: &DeriveSettings, chosen: bool) -> &'static str {
    match (rule.budget(), chosen) {
        (Some(_), true) => "taken in with the budget that other layers leave, judged by training",
        (Some(_), false) => "taken out with layers that were judged by training",
        (None, true) => "kept by its θ: the exchange of it did not stand up to training",
        (None, false) => "taken in by an exchange that did not stand up to training",
    }
}

fn kept_by(rule: &DeriveSettings, theta: f64) -> String {
    match rule {
        DeriveSettings::Threshold { theta: least } if theta > *least => format!("θ above {least}"),
        DeriveSettings::Threshold { .. } => "the strongest of the candidates' own features".to_owned(),
        DeriveSettings::TopK { k } => format!("among the {k} strongest"),
        DeriveSettings::Budget(_) => "paid for by the budget, by falling θ".to_owned(),
    }
}

fn dropped_by(rule: &DeriveSettings, theta: f64, least: Option<f64>, repair: Option<&Repair>) -> String {
    match rule {
        DeriveSettings::Threshold { theta: limit } => format!("θ not above {limit}"),
        DeriveSettings::TopK { k } => match least {
            None => format!("not among the {k} strongest"),
            Some(least) if theta <= least => {
                format!("not among the {k} strongest: the weakest chosen has θ {least:.3}")
            }
            Some(_) => "gave way to a feature of the candidates, of which one is always chosen".to_owned(),
        },
        DeriveSettings::Budget(budget) => {
            let spending = repair.and_then(|repair| repair.spending);
            let limit_ms = spending.map_or(budget.limit_ms(), |spending| spending.budget_ms);
            format!("beyond the budget of {limit_ms} ms, or worth no sure gain within it")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::settings::Budget;

    #[test]
    fn a_dropped_feature_says_what_it_fell_short_of() {
        let top = DeriveSettings::TopK { k: 9 };
        assert_eq!(
            dropped_by(&top, 0.2, Some(0.5), None),
            "not among the 9 strongest: the weakest chosen has θ 0.500"
        );
        assert!(dropped_by(&top, 0.6, Some(0.5), None).contains("gave way"));
        assert_eq!(dropped_by(&top, 0.6, None, None), "not among the 9 strongest");
        let threshold = DeriveSettings::Threshold { theta: 0.5 };
        assert_eq!(dropped_by(&threshold, 0.2, Some(0.6), None), "θ not above 0.5");
        let budget = DeriveSettings::Budget(Budget::of_mean(2.0));
        assert!(dropped_by(&budget, 0.2, Some(0.6), None).contains("budget of 2 ms"));
        assert_eq!(kept_by(&top, 0.5), "among the 9 strongest");
        assert!(judged_by_training(&budget, true).starts_with("taken in with the budget"));
        assert!(judged_by_training(&budget, false).starts_with("taken out with layers"));
    }

    #[test]
    fn the_least_theta_is_of_what_no_exchange_brought_in() {
        let theta = [0.9, 0.1, 0.6, 0.7];
        assert_eq!(least_theta(&theta, &[0, 1, 2], |at| at == 1), Some(0.6));
        assert_eq!(least_theta(&theta, &[0, 1, 2], |_| false), Some(0.1));
        assert_eq!(least_theta(&theta, &[1, 3], |_| true), None);
    }

    #[test]
    fn a_reason_is_usual_where_most_features_have_it() {
        let of = |reasons: &[&str]| -> Vec<Verdict> {
            let verdict =
                |&reason: &&str| Verdict { at: 0, theta: 0.5, chosen: true, reason: reason.to_owned() };
            reasons.iter().map(verdict).collect()
        };
        assert_eq!(usual(&of(&["a", "b", "a"])), Some("a"));
        assert_eq!(usual(&of(&["a", "a", "b", "b"])), None);
        assert_eq!(usual(&of(&["a"])), None);
        assert_eq!(usual(&[]), None);
    }

    #[test]
    fn the_last_change_of_the_repair_counts() {
        let change = |added: &[&str], dropped: &[&str], gain: f64| Change {
            added: added.iter().map(|&name| name.to_owned()).collect(),
            dropped: dropped.iter().map(|&name| name.to_owned()).collect(),
            operators: None,
            gain,
            error: 0.0005,
            price_ms: 1.25,
        };
        let repair = Repair {
            spending: None,
            auc: 0.7,
            changes: vec![change(&["a"], &[], 0.01), change(&["b"], &["a"], -0.001)],
            evaluations: 9,
        };
        let last = last_change(&repair, "a").unwrap();
        assert_eq!(gain(last), " in one step with another feature: AUC -0.0010 ± 0.0005, then 1.250 ms");
        assert_eq!(gain(&repair.changes[0]), ": AUC +0.0100 ± 0.0005, then 1.250 ms");
        assert!(last_change(&repair, "c").is_none());
        assert!(changed(last, "a").starts_with("taken out by the repair in one step"));
        assert!(changed(last, "b").starts_with("added by the repair"));
    }
}
