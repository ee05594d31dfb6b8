//! Networks beside those that a search derives, trained, exported and proved in a run as every other: what is served can then be
//! replayed and evaluated, whatever it is.

use super::{Existing, Run, meter::Meter};
use crate::{
    app::config::{Experiment, Stage},
    base::{Result, hash, progress::Progress, stop::Stop},
    learn::{
        baseline::{
            trees::{self, TreeSettings, TreesReport},
            two_tower::TwoTowers,
        },
        embedding::input_features,
        exchange::Alone,
        metrics::Metrics,
        network::Network,
        settings::TwoTowerSettings,
        student::Lesson,
        train::{fit, metrics_of, score_together},
    },
};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// A network that a run can make beside those of its searches.
#[derive(Debug, Clone, PartialEq)]
pub enum System {
    /// Two towers over all features.
    TwoTower(TwoTowerSettings),
    /// Gradient boosted trees over all features.
    Trees(TreeSettings),
    /// The first teacher of the run, itself.
    Teacher,
}

impl System {
    /// Its folder under `networks/`: other settings are another network.
    pub fn name(&self) -> String {
        fn of(form: &str, settings: &impl Serialize) -> String {
            let settings = serde_json::to_vec(settings).expect("settings are plain data");
            format!("{form}-{}", &hash::sha256(&settings)[..8])
        }
        match self {
            Self::TwoTower(settings) => of("two-tower", settings),
            Self::Trees(settings) => of("trees", settings),
            Self::Teacher => "teacher".to_owned(),
        }
    }
}

/// What was made of a system.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SystemSummary {
    /// Its folder under `networks/`.
    pub name: String,
    /// The ONNX file, with its companions beside it.
    pub onnx: PathBuf,
    /// Trained numbers.
    pub parameters: usize,
    /// Multiply-adds of the dense layers for one candidate.
    pub multiply_adds: usize,
    /// On the validation rows.
    pub metrics: Metrics,
}

/// Trains `system` in the run in `out`, or reads what an earlier start trained, exports it in the target's layout and proves it in
/// every engine. A process that trains by itself does it; a request to `stop` ends it with [`Error::Interrupted`](crate::base::Error::Interrupted).
pub fn system(
    experiment: &Experiment,
    out: &Path,
    existing: Existing,
    system: &System,
    meter: &dyn Meter,
    progress: &dyn Progress,
    stop: &Stop,
) -> Result<SystemSummary> {
    let run = Run::open(experiment, out, existing, meter, &Alone, progress, stop)?;
    run.begin()?;
    run.system(system)
}

impl Run<'_> {
    /// See [`system`].
    pub(super) fn system(&self, system: &System) -> Result<SystemSummary> {
        let name = system.name();
        let (network, metrics) = match system {
            System::TwoTower(settings) => self.two_tower(&name, settings)?,
            System::Trees(settings) => self.trees(&name, settings)?,
            System::Teacher => self.teacher_itself()?,
        };
        let onnx = self.exported(&name, &network, &self.metadata(&name, &metrics, None))?;
        let (parameters, multiply_adds) = (network.parameters(), network.multiply_adds());
        Ok(SystemSummary { name, onnx, parameters, multiply_adds, metrics })
    }

    /// Two towers over all features, taught by the labels, and by the teacher where the settings say so.
    fn two_tower(&self, name: &str, settings: &TwoTowerSettings) -> Result<(Network, Metrics)> {
        settings.check()?;
        let guide = (settings.distillation > 0.0).then(|| self.guide()).transpose()?;
        let lesson = match &guide {
            Some(guide) => Lesson::Distilled { teacher: &guide.soft, lambda1: settings.distillation },
            None => Lesson::Labels,
        };
        let seed = self.seed(Stage::Baseline);
        let fit = self.fitted(name, |curves, keeper| {
            let every: Vec<usize> = (0..self.space.features.len()).collect();
            let features = input_features(&self.space.features, &every, &self.loaded.dataset)?;
            let mut towers = TwoTowers::new(features, settings, lesson, seed)?;
            let report = fit(&mut towers, self.rows(), &settings.train, seed, curves, keeper)?;
            Ok((report, towers.to_network()?))
        })?;
        Ok((self.network(name)?, fit.metrics))
    }

    /// Trees over all features. How they grow is not kept on the way: a stopped run grows them again.
    fn trees(&self, name: &str, settings: &TreeSettings) -> Result<(Network, Metrics)> {
        let report: TreesReport = self.journal.remember(&format!("networks/{name}/fit.json"), || {
            self.progress.stage(&format!("grow {name}"), 0);
            let every: Vec<usize> = (0..self.space.features.len()).collect();
            let (data, split) = (&self.loaded.dataset, &self.loaded.split);
            let seed = self.seed(Stage::Baseline);
            let (network, report) = trees::train(&self.space.features, &every, data, split, settings, seed)?;
            network.save(&self.weights(name))?;
            Ok(report)
        })?;
        Ok((self.network(name)?, report.metrics))
    }

    /// The first teacher, which a request's own features have to tell the partition.
    fn teacher_itself(&self) -> Result<(Network, Metrics)> {
        let guide = self.guide()?;
        let told_by = self.schema.partition_feature().map(|index| self.schema.features[index].name.as_str());
        let network = guide.teacher.to_network(&self.loaded.dataset, told_by)?;
        network.save(&self.weights(&System::Teacher.name()))?;
        let valid = &self.loaded.split.valid;
        let scores = score_together(&guide.teacher, self.rows(), valid)?;
        Ok((network, metrics_of(&scores, &self.loaded.dataset, valid)))
    }
}
