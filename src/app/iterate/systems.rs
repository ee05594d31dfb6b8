//! Networks beside those that a search derives, trained, exported and proved in a run as every other: what is served can then be
//! replayed and evaluated, whatever it is.

use super::{Guide, Run, RunRequest};
use crate::{
    app::config::Stage,
    base::{Error, Result, hash, names::Precision},
    data::schema::Side,
    learn::{
        baseline::{
            trees::{self, TreeSettings, TreesReport},
            two_tower::TwoTowers,
        },
        embedding::input_features,
        metrics::Metrics,
        settings::TwoTowerSettings,
        student::Lesson,
        teacher::Teacher,
        train::{fit, metrics_of, score_together},
    },
    space::SearchSpace,
};
use serde::Serialize;
use std::{borrow::Borrow, path::PathBuf};

/// A network that a run can make beside those of its searches.
#[derive(Debug, Clone, PartialEq)]
pub enum System {
    /// Two towers over all features that may be selected.
    TwoTower(TwoTowerSettings),
    /// Gradient boosted trees over all features that may be selected.
    Trees(TreeSettings),
    /// The first teacher of the run, itself, over all features.
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

    /// What it reads.
    pub(in crate::app) fn features(&self, space: &SearchSpace) -> Vec<usize> {
        match self {
            Self::TwoTower(_) | Self::Trees(_) => space.selectable(),
            Self::Teacher => (0..space.features.len()).collect(),
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

/// Trains `system` in a run, or reads what an earlier start trained, exports it in the target's layout and proves it in
/// every engine.
///
/// Fails where several ranks would train it.
pub fn system(request: RunRequest, system: &System) -> Result<SystemSummary> {
    request.check_alone("a system is trained")?;
    let run = Run::open(request)?;
    run.check_system(system)?;
    run.begin()?;
    run.system(system)
}

impl Run<'_> {
    /// See [`system`].
    fn system(&self, system: &System) -> Result<SystemSummary> {
        let name = system.name();
        let metrics = self.made(system, || self.guide())?;
        let network = self.network(&name)?;
        let onnx = self.exported(&name, &network, &self.metadata(&name, &metrics, None))?;
        let (parameters, multiply_adds) = (network.parameters(), network.multiply_adds());
        Ok(SystemSummary { name, onnx, parameters, multiply_adds, metrics })
    }

    /// What would otherwise show only after `system` was trained.
    pub(in crate::app) fn check_system(&self, system: &System) -> Result<()> {
        let (layout, precision) = (self.settings.target.layout, self.settings.target.precision);
        let (form, precisions) = match system {
            System::TwoTower(_) => ("a two-tower network", &[Precision::Fp32, Precision::Fp16][..]),
            System::Trees(_) => ("gradient boosted trees", &[Precision::Fp32][..]),
            System::Teacher if self.loaded.dataset.partition_count == 1 => {
                ("a plain network", Precision::ALL)
            }
            System::Teacher => {
                ("a teacher with a head per partition", &[Precision::Fp32, Precision::Fp16][..])
            }
        };
        let plain = precisions.len() == Precision::ALL.len();
        if !plain && layout.rows().is_some() || !precisions.contains(&precision) {
            return Err(Error::usage(
                format!("{form} cannot be exported as {layout} in {precision}"),
                "set target.layout to concat or user-once and target.precision to fp32, or do without that system",
            ));
        }
        let chosen = system.features(&self.space);
        let features = input_features(&self.space.features, &chosen, &self.loaded.dataset)?;
        let on = |side| features.iter().any(|feature| feature.side == side);
        match system {
            System::TwoTower(settings) => {
                settings.check()?;
                if on(Side::User) && on(Side::Item) {
                    return Ok(());
                }
                Err(Error::usage(
                    "a two-tower network needs features of both sides, and one side has none",
                    "declare features of users or context, and of items, without `never`",
                ))
            }
            System::Trees(settings) => Ok(settings.check()?),
            System::Teacher => {
                let settings = &self.settings.teacher;
                Teacher::check_leaving(&features, settings, &self.loaded.dataset, self.told_by())
            }
        }
    }

    /// Trains `system` and keeps its network for [`Run::network`], or reads how an earlier start did: its metrics on the validation
    /// rows. `guide` gives the teachers, where some are asked.
    pub(in crate::app) fn made<G: Borrow<Guide>>(
        &self,
        system: &System,
        guide: impl FnOnce() -> Result<G>,
    ) -> Result<Metrics> {
        let name = system.name();
        match system {
            System::TwoTower(settings) if settings.distillation > 0.0 => {
                let (guide, lambda1) = (guide()?, settings.distillation);
                let lesson = Lesson::Distilled { teacher: &guide.borrow().teaching.soft, lambda1 };
                self.two_tower(&name, system, settings, lesson)
            }
            System::TwoTower(settings) => self.two_tower(&name, system, settings, Lesson::Labels),
            System::Trees(settings) => self.trees(&name, system, settings),
            System::Teacher => self.teacher_itself(&name, guide()?.borrow()),
        }
    }

    fn two_tower(
        &self,
        name: &str,
        system: &System,
        settings: &TwoTowerSettings,
        lesson: Lesson,
    ) -> Result<Metrics> {
        let seed = self.seed(Stage::Baseline);
        let fit = self.fitted(name, |curves, keeper| {
            let chosen = system.features(&self.space);
            let features = input_features(&self.space.features, &chosen, &self.loaded.dataset)?;
            let mut towers = TwoTowers::new(features, settings, lesson, seed)?;
            let report = fit(&mut towers, self.rows(), &settings.train, seed, curves, keeper)?;
            Ok((report, towers.to_network()?))
        })?;
        Ok(fit.metrics)
    }

    /// How trees grow is not kept on the way: a stopped run grows them again.
    fn trees(&self, name: &str, system: &System, settings: &TreeSettings) -> Result<Metrics> {
        let report: TreesReport = self.journal.remember(&format!("networks/{name}/fit.json"), || {
            self.progress.stage(&format!("grow {name}"), 0);
            let chosen = system.features(&self.space);
            let (data, split) = (&self.loaded.dataset, &self.loaded.split);
            let seed = self.seed(Stage::Baseline);
            let (network, report) = trees::train(&self.space.features, &chosen, data, split, settings, seed)?;
            network.save(&self.weights(name))?;
            Ok(report)
        })?;
        Ok(report.metrics)
    }

    /// The first teacher, which a request's own features have to tell the partition.
    fn teacher_itself(&self, name: &str, guide: &Guide) -> Result<Metrics> {
        let network = guide.teacher().to_network(&self.loaded.dataset, self.told_by())?;
        network.save(&self.weights(name))?;
        let valid = &self.loaded.split.valid;
        let scores = score_together(guide.teacher(), self.rows(), valid)?;
        Ok(metrics_of(&scores, &self.loaded.dataset, valid))
    }

    /// The feature that tells a request's partition.
    fn told_by(&self) -> Option<&str> {
        self.schema.partition_feature().map(|index| self.schema.features[index].name.as_str())
    }
}
