//! The networks that are trained from scratch: the plain DNN, and what the search derives.

use super::{Guide, Run, Teaching, package::Finished};
use crate::{
    app::config::Stage,
    base::{Result, progress::Progress},
    data::dataset::Split,
    learn::{
        checkpoint::Keeper,
        embedding::input_features,
        exchange::by_leader,
        metrics::Metrics,
        network::Network,
        settings::TrainSettings,
        student::{Lesson, Student},
        train::{FitReport, Rows, fit},
    },
    space::Subnet,
};
use std::path::PathBuf;

/// What the folder of the plain DNN begins with.
pub(in crate::app) const PLAIN: &str = "baseline-";

/// A network that was trained in this run.
pub(in crate::app) struct Trained {
    /// What it is.
    pub(super) finished: Finished,
    /// How its training went.
    pub(super) fit: FitReport,
}

impl Run<'_> {
    /// The plain DNN on all features that the winner is set beside.
    pub(super) fn baseline(&self) -> Result<Trained> {
        let (name, subnet) = self.baseline_subnet();
        let fit = self.plain(&name, &subnet)?;
        self.finished(&name, &subnet, fit, None)
    }

    /// The plain DNN, and its folder under `networks/`.
    pub(super) fn baseline_subnet(&self) -> (String, Subnet) {
        let subnet = self.space.plain(&self.settings.baseline.widths);
        // A search may derive the same network, which then learns another lesson.
        (format!("{PLAIN}{}", subnet.id(&self.space)), subnet)
    }

    /// Trains the network that was found from scratch and exports it. Rounds that find the same network share it.
    pub(super) fn retrain(&self, guide: &Guide, subnet: &Subnet, table_version: u32) -> Result<Trained> {
        let name = subnet.id(&self.space);
        let fit = self.derived(&name, subnet, &guide.teaching)?;
        self.finished(&name, subnet, fit, Some(table_version))
    }

    /// Exports and proves the network in the folder `name` under `networks/`.
    fn finished(
        &self,
        name: &str,
        subnet: &Subnet,
        fit: FitReport,
        table_version: Option<u32>,
    ) -> Result<Trained> {
        let finish = || self.finish(name, subnet, self.network(name)?, &fit, table_version);
        let finished = by_leader(self.ranks, finish)?;
        Ok(Trained { finished, fit })
    }

    /// Trains a network as `[baseline]` says, on the labels alone, into the folder `name` under `networks/`.
    pub(in crate::app) fn plain(&self, name: &str, subnet: &Subnet) -> Result<FitReport> {
        let (settings, seed) = (&self.settings.baseline.train, self.seed(Stage::Baseline));
        self.fitted(name, |curves, keeper| {
            let mut student = self.student(subnet, settings, Lesson::Labels, seed)?;
            let report = fit(&mut student, self.rows(), settings, seed, curves, keeper)?;
            Ok((report, student.to_network()?))
        })
    }

    /// Trains a network as `[retrain]` says into the folder `name` under `networks/`.
    pub(in crate::app) fn derived(
        &self,
        name: &str,
        subnet: &Subnet,
        teaching: &Teaching,
    ) -> Result<FitReport> {
        self.fitted(name, |curves, keeper| self.taught(subnet, teaching, &self.loaded.split, curves, keeper))
    }

    /// Trains a network as `[retrain]` says, on the rows of `split`.
    pub(super) fn taught(
        &self,
        subnet: &Subnet,
        teaching: &Teaching,
        split: &Split,
        curves: &dyn Progress,
        keeper: &mut Keeper,
    ) -> Result<(FitReport, Network)> {
        let (settings, seed) = (&self.settings.retrain.train, self.seed(Stage::Retrain));
        let course = self.course(teaching, split)?;
        let rows = Rows { data: course.data(self), split: &course.split, ranks: self.ranks };
        let mut student = self.student(subnet, settings, course.lesson(&self.settings.retrain), seed)?;
        let report = fit(&mut student, rows, settings, seed, curves, keeper)?;
        Ok((report, student.to_network()?))
    }

    /// How `train` made the network in the folder `name` under `networks/`, now or in an earlier start.
    pub(super) fn fitted(
        &self,
        name: &str,
        train: impl FnOnce(&dyn Progress, &mut Keeper) -> Result<(FitReport, Network)>,
    ) -> Result<FitReport> {
        let file = format!("networks/{name}/fit.json");
        let report = self.journal.remember_training(self.ranks, &file, |keeper| {
            self.progress.stage(&format!("train {name}"), 0);
            let (report, network) = train(&*self.curves(&format!("networks/{name}")), keeper)?;
            self.lead(|| network.save(&self.weights(name)))?;
            Ok(report)
        })?;
        self.say_fit(name, &report);
        Ok(report)
    }

    /// Where the network in the folder `name` under `networks/` is kept.
    pub(super) fn weights(&self, name: &str) -> PathBuf {
        self.journal.path(&format!("networks/{name}/network.safetensors"))
    }

    /// A network that was trained in this run.
    pub(in crate::app) fn network(&self, name: &str) -> Result<Network> {
        Network::load(&self.weights(name))
    }

    /// An untrained network of the search space.
    pub(super) fn student<'s>(
        &self,
        subnet: &Subnet,
        settings: &TrainSettings,
        lesson: Lesson<'s>,
        seed: u64,
    ) -> Result<Student<'s>> {
        let features = input_features(&self.space.features, &subnet.features, &self.loaded.dataset)?;
        Student::new(features, &subnet.layer_widths(), settings, lesson, seed)
    }

    /// A network of the subnet's shape with seeded weights: latency does not depend on training.
    pub(super) fn untrained(&self, subnet: &Subnet) -> Result<Network> {
        let seed = self.seed(Stage::Rounds);
        self.student(subnet, &self.settings.retrain.train, Lesson::Labels, seed)?.to_network()
    }

    pub(super) fn say_fit(&self, what: &str, report: &FitReport) {
        self.progress.say(&format!(
            "{what}: validation AUC {}, logloss {:.4}, best of {} epochs was {}",
            auc(&report.metrics),
            report.metrics.logloss,
            report.epochs.len(),
            report.best_epoch
        ));
    }
}

/// AUC as text; absent when the validation rows have one class.
pub(super) fn auc(metrics: &Metrics) -> String {
    metrics.auc.map_or("undefined".to_owned(), |auc| format!("{auc:.4}"))
}
