//! What one search found, for people and for programs.

use super::{
    FIRST_ROUND, Guide, ProbeSummary, Run, TeacherSummary,
    journal::Journal,
    searcher::{Searched, outcome_file, round_folder, subnet_file},
    training::auc,
};
use crate::{
    base::{Error, Result, error::Place, names::EngineName, objective::Objective},
    learn::{
        derive::{Finalist, Quality, Repair},
        search::SearchOutcome,
    },
    measure::tail::Load,
    price::{path::subnet_ms, table::LatencyTable, target::LatencyTarget},
    space::{Operator, SearchSpace, Subnet},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::Path};

/// Version of [`SearchSummary`].
const SCHEMA_VERSION: u32 = 1;

/// The network that a search found, before it is trained on all rows and measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchSummary {
    /// Version of this layout.
    pub schema_version: u32,
    /// The ranking network.
    pub teacher: TeacherSummary,
    /// Version of the table that the search paid with.
    pub table_version: u32,
    /// By engine: how many prices of single layers in it stayed noisy.
    pub probes: BTreeMap<EngineName, ProbeSummary>,
    /// Canonical id.
    pub subnet: String,
    /// Names of its features.
    pub features: Vec<String>,
    /// One operator per Mixop.
    pub operators: Vec<Operator>,
    /// Widths of the hidden layers that are left.
    pub layers: Vec<usize>,
    /// Price of its features: equation (4).
    pub feature_ms: f64,
    /// By engine: service time of the network, as the table predicts it.
    pub predicted_ms: BTreeMap<EngineName, f64>,
    /// What becomes of that and of the features under load, on the target's engine, where `derive.objective` states a
    /// percentile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<PredictedTail>,
    /// What the supernet's judgement made of the network that θ and α derived, where it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repair: Option<Repair>,
    /// Networks that were trained to choose this one, where any were: what θ and α derived is the first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub finalists: Vec<Finalist>,
    /// What the search itself paid when it ended, on the target's engine.
    pub expected: ExpectedLatency,
    /// Where it stands.
    pub files: SearchFiles,
}

/// A percentile of the response as the search's forecast has it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PredictedTail {
    /// The percentile and its limit.
    pub objective: Objective,
    /// Under which load.
    #[serde(flatten)]
    pub load: Load,
    /// Price of the features and the forecast percentile.
    pub predicted_ms: f64,
}

/// Over all features and paths, as probable as the search left them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ExpectedLatency {
    /// Σθ.
    pub features: f64,
    /// Equation (4).
    pub feature_ms: f64,
    /// Equation (6).
    pub network_ms: f64,
}

/// Files of a search, from the run's folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchFiles {
    /// Folder of the teachers' weights and metrics.
    pub teacher: String,
    /// The table that was paid with.
    pub table: String,
    /// θ, p and every epoch.
    pub search: String,
    /// The network that was found.
    pub subnet: String,
}

/// The networks that the rounds of the run in `folder` have found so far, each once, in the order of the rounds. Whether the
/// run is that of the space's schema is for the caller to know.
///
/// Fails when a choice is none of the space.
pub fn found_networks(folder: &Path, space: &SearchSpace) -> Result<Vec<Subnet>> {
    let journal = Journal::followed(folder);
    let mut networks: Vec<Subnet> = Vec::new();
    for file in (FIRST_ROUND..).map(|round| subnet_file(&round_folder(round))) {
        let Some(Searched { subnet, .. }) = journal.recall(&file)? else { break };
        space.verify(&subnet, &journal.path(&file))?;
        if !networks.contains(&subnet) {
            networks.push(subnet);
        }
    }
    Ok(networks)
}

impl Run<'_> {
    /// What the first round's search came to.
    pub(super) fn search_summary(
        &self,
        guide: &Guide,
        table: &LatencyTable,
        latency: &dyn LatencyTarget,
        outcome: &SearchOutcome,
        searched: &Searched,
    ) -> Result<SearchSummary> {
        let subnet = &searched.subnet;
        let target = &self.settings.target;
        let predicted_ms = target.engines.iter().map(|&engine| {
            let prices = table.prices(&self.meter.context(engine)?, target.candidates)?;
            Ok((engine, subnet_ms(&self.space, subnet, &prices)?))
        });
        let predicted_ms: BTreeMap<EngineName, f64> = predicted_ms.collect::<Result<_>>()?;
        let feature_ms = self.feature_ms(subnet);
        let tail = self.objective().map(|objective| PredictedTail {
            objective,
            load: self.load(),
            predicted_ms: feature_ms + latency.of_mean(predicted_ms[&target.engine]).ms,
        });
        Ok(SearchSummary {
            schema_version: SCHEMA_VERSION,
            teacher: TeacherSummary::of(guide),
            table_version: searched.table_version,
            probes: self.probe_summaries(table)?,
            subnet: subnet.id(&self.space),
            features: subnet.feature_names(&self.space).into_iter().map(str::to_owned).collect(),
            operators: subnet.operators.clone(),
            layers: subnet.layer_widths(),
            feature_ms,
            predicted_ms,
            tail,
            repair: searched.repair.clone(),
            finalists: searched.finalists.clone(),
            expected: self.expected(outcome)?,
            files: SearchFiles {
                teacher: "teacher".to_owned(),
                table: self.first_table_file().to_owned(),
                search: outcome_file(&round_folder(FIRST_ROUND)),
                subnet: subnet_file(&round_folder(FIRST_ROUND)),
            },
        })
    }

    /// What the first round's search paid when it ended.
    fn expected(&self, outcome: &SearchOutcome) -> Result<ExpectedLatency> {
        let last = outcome.epochs.last().ok_or_else(|| {
            Error::input(
                self.journal.path(&outcome_file(&round_folder(FIRST_ROUND))),
                Place::field("epochs"),
                "a search has at least one",
                "remove the file to search again",
            )
        })?;
        Ok(ExpectedLatency {
            features: last.expected_features,
            feature_ms: last.feature_ms,
            network_ms: last.network_ms,
        })
    }
}

impl SearchSummary {
    /// The summary as text, with paths from `run`.
    pub fn to_text(&self, run: &Path) -> String {
        let mut text = format!("teacher r(x): AUC {}\n", auc(&self.teacher.metrics));
        for (label, metrics) in &self.teacher.metrics.other_labels {
            text += &format!("AUC for the label {label}: {}\n", auc(metrics));
        }
        let operators: Vec<String> = self.operators.iter().map(ToString::to_string).collect();
        text += &format!(
            "\nfound {}: {} features, operators {}\nfeatures: {}\n\n",
            self.subnet,
            self.features.len(),
            operators.join(", "),
            self.features.join(", ")
        );
        for (engine, ms) in &self.predicted_ms {
            text +=
                &format!("predicted service time, {engine}: {ms:.3} ms (table v{})\n", self.table_version);
        }
        for (&engine, probes) in &self.probes {
            text += &probes.doubt(engine);
        }
        text += &format!("price of the features: {:.3} ms\n", self.feature_ms);
        if let Some(PredictedTail { objective, load, predicted_ms }) = self.tail {
            let percentile = objective.percentile.name();
            text += &format!(
                "with them {percentile} {predicted_ms:.3} ms predicted at {load}, for {objective}\n"
            );
        }
        if let Some(repair) = &self.repair {
            text += &format!("{repair}\n");
        }
        for (at, finalist) in self.finalists.iter().enumerate() {
            let what = finalist.part(at, &self.subnet).map_or(String::new(), |part| format!("{part}: "));
            let Finalist { subnet, price_ms, quality: Quality { auc, logloss }, .. } = finalist;
            text += &format!(
                "{what}{subnet}, {price_ms:.3} ms, cross-validated AUC {auc:.4}, logloss {logloss:.4}\n"
            );
        }
        let ExpectedLatency { features, feature_ms, network_ms } = self.expected;
        text += &format!(
            "expected when the search ended: {features:.1} features for {feature_ms:.3} ms, network {network_ms:.3} ms\n\n"
        );
        let files = &self.files;
        for (what, file) in [
            ("subnet", &files.subnet),
            ("search", &files.search),
            ("table", &files.table),
            ("teacher", &files.teacher),
        ] {
            text += &format!("{:<9}{}\n", format!("{what}:"), run.join(file).display());
        }
        text
    }
}
