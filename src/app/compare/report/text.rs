//! A comparison for people: tables in Markdown, and the curves of its picture.

use super::{Against, Comparison, OverSeeds, SoftTargets, SystemSummary, TimesSummary};
use crate::app::{
    config::SystemName,
    report::{
        numbers::{fixed, probability, signed},
        quality::{Curve, Point, Role},
    },
};
use std::collections::BTreeSet;

/// The measured columns of a table.
const COLUMNS: [&str; 15] = [
    "system",
    "AUC",
    "AutoFAS − it [95 % of users]",
    "p over seeds",
    "GAUC",
    "logloss",
    "recall",
    "overlap",
    "ECE",
    "features",
    "parameters",
    "multiply-adds",
    "fetch / inference / total p50, ms",
    "p99, ms",
    "training, s",
];

impl Comparison {
    /// All tables.
    pub fn to_markdown(&self) -> String {
        let setup = &self.setup;
        let mut text = format!(
            "# Comparison\n\n{} rows to train on, {} to compare on; {}, {}, {} at {} candidates.\n",
            setup.train_rows, setup.valid_rows, setup.engine, setup.layout, setup.precision, setup.candidates
        );
        if let Some(fetched) = self.systems.iter().find_map(|system| system.fetched) {
            text += &format!("Replayed one request after the other; fetching: {}.\n", fetched.text());
        }
        let k = |of: fn(&SystemSummary) -> Option<&usize>| self.systems.iter().find_map(of).copied();
        if let (Some(recall), Some(overlap)) =
            (k(|s| s.recall_at.keys().last()), k(|s| s.overlap_at.keys().next()))
        {
            text += &format!(
                "Against the teacher, in the padded requests of the trace: recall at {recall}, overlap at {overlap}.\n"
            );
        }
        text += "Means over seeds ± standard deviation.\n";
        if self.soft_targets.seeds > 0 {
            let SoftTargets { auc, gauc, logloss, .. } = self.soft_targets;
            let [auc, gauc, logloss] = [auc, gauc, logloss].map(|value| spread(value, 4));
            text += &format!("What the teachers teach, r(x): AUC {auc}, GAUC {gauc}, logloss {logloss}.\n");
        }
        for budget in self.budgets() {
            text += &match budget {
                Some(ms) => format!("\n## Within {ms} ms for features and mean service time\n\n"),
                None => "\n## Without a budget\n\n".to_owned(),
            };
            text += &header(&COLUMNS);
            for system in self.systems.iter().filter(|s| s.budget_ms.is_none() || s.budget_ms == budget) {
                text += &line(&self.cells(system, budget));
            }
        }
        text += &self.agreement_text();
        let compute = self.compute;
        text += &format!(
            "\n## What it took\n\n{:.2} h: teachers {:.2}, trials {:.2}, trainings {:.2}, measurements {:.2}, probes of the table {:.2}.\n",
            compute.total_h,
            compute.teachers_h,
            compute.trials_h,
            compute.trainings_h,
            compute.measurements_h,
            compute.table_h
        );
        text
    }

    /// Every budget, ascending; a comparison without any has one table.
    fn budgets(&self) -> Vec<Option<f64>> {
        let mut budgets: Vec<f64> = self.systems.iter().filter_map(|system| system.budget_ms).collect();
        budgets.sort_by(f64::total_cmp);
        budgets.dedup();
        if budgets.is_empty() { vec![None] } else { budgets.into_iter().map(Some).collect() }
    }

    fn cells(&self, system: &SystemSummary, budget: Option<f64>) -> Vec<String> {
        let against = self
            .against
            .iter()
            .find(|against| against.system == system.system && Some(against.budget_ms) == budget);
        let name = match system.unreachable {
            0 => system.system.to_string(),
            missed => format!("{} ({missed} of {} could not)", system.system, missed + system.seeds),
        };
        let name = match system.above_budget_pct() {
            Some(pct) => format!("{name} ({pct:.1} % above the budget)"),
            None => name,
        };
        let times = [system.fetch, system.inference, system.total];
        let of = |value: fn(TimesSummary) -> Option<OverSeeds>| {
            times.map(|part| value(part).map_or("–".to_owned(), |s| format!("{:.3}", s.mean))).join(" / ")
        };
        let doubt = if system.invalid_replays > 0 { " (not valid)" } else { "" };
        vec![
            name,
            spread(system.auc, 4),
            against.map_or("–".to_owned(), difference),
            against.and_then(|against| against.over_seeds?.p).map_or("–".to_owned(), probability),
            spread(system.gauc, 4),
            spread(system.logloss, 4),
            mean(system.recall_at.values().last(), 3),
            mean(system.overlap_at.values().next(), 3),
            mean(system.calibration_error.as_ref(), 4),
            mean(system.features.as_ref(), 1),
            mean(system.parameters.as_ref(), 0),
            mean(system.multiply_adds.as_ref(), 0),
            of(|t| t.p50_ms) + doubt,
            of(|t| t.p99_ms),
            mean(system.training_s.as_ref(), 1),
        ]
    }

    fn agreement_text(&self) -> String {
        let agreeing: Vec<&SystemSummary> = self.systems.iter().filter(|s| s.agreement.is_some()).collect();
        if agreeing.is_empty() {
            return String::new();
        }
        let columns =
            ["system", "budget, ms", "Jaccard of features", "least", "same layers", "ρ of θ", "τ of θ"];
        let mut text = format!("\n## Agreement between seeds\n\n{}", header(&columns));
        for system in agreeing {
            let Some(agreement) = system.agreement else { continue };
            let correlation = |value: Option<f64>| value.map_or("–".to_owned(), |v| format!("{v:.3}"));
            text += &line(&[
                system.system.to_string(),
                system.budget_ms.map_or("–".to_owned(), |ms| ms.to_string()),
                format!("{:.3}", agreement.features_jaccard),
                format!("{:.3}", agreement.least_features_jaccard),
                format!("{:.2}", agreement.same_layers),
                correlation(agreement.strengths_spearman),
                correlation(agreement.strengths_kendall),
            ]);
        }
        text
    }

    /// AUC over the mean total latency, one curve per system.
    pub(in crate::app) fn curves(&self) -> Vec<Curve> {
        let names: BTreeSet<_> = self.systems.iter().map(|system| system.system).collect();
        let curve = |name| {
            let own = self.systems.iter().filter(|system| system.system == name);
            let points = own.filter_map(|system| {
                let auc = system.auc?;
                let name = match system.budget_ms {
                    Some(ms) => format!("{} within {ms} ms", system.system),
                    None => system.system.to_string(),
                };
                Some(Point {
                    name,
                    latency_ms: system.total.mean_ms?.mean,
                    auc: auc.mean,
                    deviation: auc.deviation.unwrap_or(0.0),
                })
            });
            let role = if name == SystemName::Autofas { Role::Own } else { Role::Field };
            Curve { label: name.to_string(), role, points: points.collect() }
        };
        names.into_iter().map(curve).filter(|curve| !curve.points.is_empty()).collect()
    }
}

fn difference(against: &Against) -> String {
    let users = against.over_users.map_or(String::new(), |users| {
        let [low, high] = users.interval_95;
        format!(" [{}, {}]", signed(low, 4), signed(high, 4))
    });
    signed(against.auc_difference, 4) + &users
}

fn spread(value: Option<OverSeeds>, places: usize) -> String {
    match value {
        None => "–".to_owned(),
        Some(OverSeeds { mean, deviation: None }) => fixed(mean, places),
        Some(OverSeeds { mean, deviation: Some(deviation) }) => {
            format!("{} ± {}", fixed(mean, places), fixed(deviation, places))
        }
    }
}

fn mean(value: Option<&OverSeeds>, places: usize) -> String {
    value.map_or("–".to_owned(), |value| format!("{:.places$}", value.mean))
}

fn header(columns: &[&str]) -> String {
    format!("| {} |\n|{}\n", columns.join(" | "), " --- |".repeat(columns.len()))
}

fn line(cells: &[String]) -> String {
    format!("| {} |\n", cells.join(" | "))
}
