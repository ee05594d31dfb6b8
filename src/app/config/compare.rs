//! `[compare]`: which systems are trained and measured beside each other, and how each of them is tuned.

use crate::{
    base::{
        check::{self, Checked, Violation},
        names::named,
    },
    data::split::SplitSettings,
    learn::settings::{ColdSettings, FscdSettings, PermutationSettings},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::PathBuf};

named! {
    /// A system that takes part in a comparison. The order is that of tables.
    SystemName {
        /// The joint search as `[search]`, `[derive]` and `[retrain]` state it.
        Autofas = "autofas",
        /// The search and the retraining without the teacher's scores.
        NoDistillation = "no-distillation",
        /// The search without a price, cut to the budget afterwards.
        NoLatency = "no-latency",
        /// The search whose Loss2 moves θ too.
        NoGradientBlock = "no-gradient-block",
        /// Features are searched, layers are hand-chosen.
        FeaturesOnly = "features-only",
        /// Layers are searched, features are taken as the schema declares them.
        LayersOnly = "layers-only",
        /// The best of some random choices that fill the budget.
        RandomSearch = "random-search",
        /// Hand-chosen layers on the features that fit, in the schema's order, taught by the teacher.
        Rd = "rd",
        /// Hand-chosen layers on the features of the highest first-order Taylor importance to the teacher (SHARK).
        Taylor = "taylor",
        /// The same on the features whose permutation costs the teacher most.
        Permutation = "permutation",
        /// The same on the features of the largest squeeze-and-excitation weights (COLD).
        Cold = "cold",
        /// The same on the features of the strongest gates under a prior by complexity (FSCD).
        Fscd = "fscd",
        /// The same on the features of the largest gain to gradient boosted trees (LightGBM's importance).
        Gain = "gain",
        /// Hand-chosen layers on all features, taught by the teacher.
        RdAll = "rd-all",
        /// The plain DNN of `[baseline]` on all features.
        PlainDnn = "plain-dnn",
        /// The two-tower network of `[two_tower]` on all features.
        TwoTower = "two-tower",
        /// The gradient boosted trees of `[gbdt]` on all features.
        Gbdt = "gbdt",
        /// The ranking network itself, the first of an ensemble.
        Teacher = "teacher",
    }
}

impl SystemName {
    /// What is tried where the experiment file says nothing else: the defaults first, then one change at a time.
    fn usual_grid(self) -> Vec<Vec<String>> {
        let changes: [&str; 2] = match self {
            Self::Teacher => ["teacher.feature_dropout=0.1", "teacher.embedding_dropout=0.2"],
            Self::PlainDnn => ["baseline.embedding_dropout=0.2", "baseline.dropout=0.4"],
            Self::TwoTower => ["two_tower.embedding_dropout=0.2", "two_tower.distillation=0.3"],
            Self::Gbdt => ["gbdt.learning_rate=0.03", "gbdt.smoothing=100.0"],
            Self::Autofas | Self::NoDistillation | Self::NoGradientBlock | Self::FeaturesOnly => {
                ["retrain.embedding_dropout=0.2", "search.theta_learning_rate=0.05"]
            }
            Self::NoLatency | Self::LayersOnly => ["retrain.embedding_dropout=0.2", "search.epochs=3"],
            Self::RandomSearch | Self::Rd | Self::RdAll | Self::Taylor | Self::Permutation => {
                ["retrain.embedding_dropout=0.2", "retrain.dropout=0.0"]
            }
            Self::Cold => ["retrain.embedding_dropout=0.2", "compare.cold.embedding_dropout=0.2"],
            Self::Fscd => ["retrain.embedding_dropout=0.2", "compare.fscd.prior_weight=0.001"],
            Self::Gain => ["retrain.embedding_dropout=0.2", "gbdt.ids=rank"],
        };
        let changes = changes.map(|change| vec![change.to_owned()]);
        std::iter::once(Vec::new()).chain(changes).collect()
    }
}

/// `[compare]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CompareSettings {
    /// Who takes part.
    pub systems: Vec<SystemName>,
    /// Features and mean service time together, in ms: a system that can keep a budget is trained once for each.
    pub budgets_ms: Vec<f64>,
    /// Trainings of every system: the seeds of its stages count from those of `[seeds]`.
    pub seeds: u32,
    /// Hidden layers of the systems whose layers are chosen by hand. Each width stands in the Mixop of its depth, so that it has a
    /// price.
    pub widths: Vec<usize>,
    /// Settings that are tried for every system before its trainings, as many of its `grid`; with 0 the settings stay as they are.
    pub trials: usize,
    /// Share of the training rows, the last ones as the data has them, on which trials (and random choices) are judged.
    pub trial_fraction: f64,
    /// Which of the training rows trials are trained on and judged on, instead of that share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trial_split: Option<SplitSettings>,
    /// Choices that the random search trains for one network.
    pub random_trainings: usize,
    /// Training rows at most on which the teacher is asked what its features are worth.
    pub judged_rows: usize,
    /// How `permutation` ranks.
    pub permutation: PermutationSettings,
    /// The network by which `cold` ranks.
    pub cold: ColdSettings,
    /// The network by which `fscd` ranks.
    pub fscd: FscdSettings,
    /// Requests of the trace whose lists of candidates are compared with the teacher's.
    pub listed_requests: usize,
    /// Where those lists are cut.
    pub at: Vec<usize>,
    /// Draws of the bootstrap over users.
    pub resamples: usize,
    /// An embedded store that replays fetch from, such as `store load` fills; without it the price of fetching is added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<PathBuf>,
    /// By system: settings to try, each a list of `key.path=value`.
    pub grid: BTreeMap<SystemName, Vec<Vec<String>>>,
}

impl Default for CompareSettings {
    fn default() -> Self {
        Self {
            systems: SystemName::ALL.to_vec(),
            budgets_ms: vec![1.0, 2.0, 4.0, 8.0],
            seeds: 5,
            widths: vec![128, 64],
            trials: 3,
            trial_fraction: 0.2,
            trial_split: None,
            random_trainings: 8,
            judged_rows: 20_000,
            permutation: PermutationSettings::default(),
            cold: ColdSettings::default(),
            fscd: FscdSettings::default(),
            listed_requests: 50,
            at: vec![10, 50, 100],
            resamples: 1000,
            store: None,
            grid: SystemName::ALL.iter().map(|&system| (system, system.usual_grid())).collect(),
        }
    }
}

impl CompareSettings {
    /// The first setting outside its range.
    pub fn check(&self) -> Checked {
        let some = |key, empty: bool, fix: &str| check::ensure(!empty, key, "nothing is listed", fix);
        some("systems", self.systems.is_empty(), "list systems such as \"autofas\"")?;
        some("budgets_ms", self.budgets_ms.is_empty(), "list budgets in ms, such as 2.0")?;
        self.budgets_ms.iter().try_for_each(|&budget_ms| check::positive("budgets_ms", budget_ms))?;
        check::at_least("seeds", self.seeds as usize, 1)?;
        check::widths("widths", &self.widths)?;
        check::inside("trial_fraction", self.trial_fraction)?;
        if let Some(split) = &self.trial_split {
            split.check().map_err(|violation| Violation { key: "trial_split", ..violation })?;
        }
        check::at_least("random_trainings", self.random_trainings, 1)?;
        check::at_least("judged_rows", self.judged_rows, 1)?;
        let nested = |checked: Checked, key| checked.map_err(|violation| Violation { key, ..violation });
        nested(self.permutation.check(), "permutation")?;
        nested(self.cold.check(), "cold")?;
        nested(self.fscd.check(), "fscd")?;
        self.at.iter().try_for_each(|&k| check::at_least("at", k, 1))?;
        self.systems.iter().try_for_each(|system| {
            let listed = self.grid.get(system).map_or(0, Vec::len);
            let problem = format!("{listed} settings are listed for {system}, and {} are tried", self.trials);
            let fix = "list as many for every system, or lower compare.trials: all get the same number";
            check::ensure(listed >= self.trials, "grid", problem, fix)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::config::{Experiment, Override};
    use std::path::Path;

    #[test]
    fn a_system_is_written_as_it_is_called() {
        for &system in SystemName::ALL {
            assert_eq!(serde_json::to_value(system).unwrap(), system.name());
        }
    }

    #[test]
    fn what_is_tried_are_settings_within_their_ranges() {
        let path = Path::new("e.toml");
        let first = Experiment::parse(path, "data.schema = \"s.toml\"", &[]).unwrap();
        for &system in SystemName::ALL {
            let mut tried = Vec::new();
            for settings in system.usual_grid() {
                let settings: Vec<_> =
                    settings.iter().map(|text| Override::assignment(text).unwrap()).collect();
                let changed = first.with(path, &settings).unwrap().settings;
                assert!(!tried.contains(&changed), "{system}: {settings:?}");
                tried.push(changed);
            }
        }
    }

    #[test]
    fn every_system_gets_the_same_number_of_trials() {
        let mut settings = CompareSettings::default();
        settings.check().unwrap();
        settings.trials = 4;
        let violation = settings.check().unwrap_err();
        assert!(violation.problem.contains("3 settings are listed for autofas, and 4 are tried"));
        settings.grid.values_mut().for_each(|grid| grid.push(vec![]));
        settings.check().unwrap();
    }
}
