//! r(x): networks and trees that learn from some training rows, and the mean of their scores.

use super::{
    Guide, Run,
    grown::{Grown, join},
    training::auc,
};
use crate::{
    app::config::Stage,
    base::{Result, fsio, rng},
    data::{column::Column, dataset::Split},
    learn::{
        embedding::input_features,
        exchange::share_params,
        metrics::Metrics,
        teacher::Teacher,
        train::{Rows, Trainable, fit, score_together},
    },
};

/// Rows whose scores are in memory at once.
const SCORED_TOGETHER: usize = 1 << 18;

/// Where the guide's are kept in a run.
pub(super) const FOLDER: &str = "teacher";

/// Teachers of some rows only are kept in folders of this one, by the hash of the rows.
pub(super) const APART: &str = "judged/teachers";

/// Where teachers are kept that learn from the rows of `split` alone.
pub(super) fn apart_folder(split: &Split) -> String {
    format!("{APART}/{}", &split.hash()[..12])
}

/// Those whose mean score is r(x).
pub(super) struct Ensemble {
    pub(super) networks: Vec<Teacher>,
    /// The trees beside them, where there are some.
    pub(super) grown: Option<Grown>,
}

/// What derived networks are taught by.
pub(in crate::app) struct Teaching {
    pub(super) ensemble: Ensemble,
    /// r(x) of every row: the mean over the ensemble, or what was given.
    pub(super) soft: Column<f32>,
}

impl Teaching {
    /// r(x) of rows that are not the run's.
    pub(super) fn scores(&self, rows: Rows, index: &[u32]) -> Result<Vec<f32>> {
        let Ensemble { networks, grown } = &self.ensemble;
        let trees = grown.as_ref().map(|grown| grown.score(rows.data, index)).transpose()?;
        mean_scores(networks, trees.as_deref(), rows, index)
    }

    /// The validation rows' metrics of the trees that teach, alone.
    pub(super) fn trees_metrics(&self) -> Option<&Metrics> {
        self.ensemble.grown.as_ref().map(|grown| &grown.metrics)
    }
}

/// Where the scores of the teachers in a folder are kept.
pub(super) fn soft_file(folder: &str) -> String {
    format!("{folder}/soft.bin")
}

/// Where the scores of the first of them are, if there are others.
pub(super) fn first_scores_file(folder: &str) -> String {
    format!("{folder}/own.bin")
}

/// Mean scores of some teachers, and of trees that gave these.
fn mean_scores(teachers: &[Teacher], trees: Option<&[f32]>, rows: Rows, index: &[u32]) -> Result<Vec<f32>> {
    let share = 1.0 / teachers.len() as f32;
    let mut soft = vec![0.0; index.len()];
    for teacher in teachers {
        let scores = score_together(teacher, rows, index)?;
        soft.iter_mut().zip(scores).for_each(|(sum, score)| *sum += share * score);
    }
    if let Some(trees) = trees {
        join(&mut soft, teachers.len(), trees);
    }
    Ok(soft)
}

impl Run<'_> {
    /// Trains the teacher number `member` on the rows of `split`, or reads that of an earlier start.
    pub(super) fn teacher(
        &self,
        folder: &str,
        member: usize,
        split: &Split,
        given: Option<&Column<f32>>,
    ) -> Result<Teacher> {
        let (settings, data) = (&self.settings.teacher, &self.loaded.dataset);
        let every: Vec<usize> = (0..self.space.features.len()).collect();
        let seed = rng::derive(self.seed(Stage::Teacher), &format!("teacher {member}"));
        let features = input_features(&self.space.features, &every, data)?;
        let mut teacher = Teacher::new(features, data.partition_count, settings, seed)?;
        if let Some(given) = given {
            teacher.learn_from(given.clone());
        }
        let name = format!("{folder}/{member}");
        let weights = self.journal.path(&format!("{name}.safetensors"));
        let report = self.journal.remember_training(self.ranks, &format!("{name}.json"), |keeper| {
            // Scores of another teacher than this one.
            self.lead(|| {
                [soft_file(folder), first_scores_file(folder)]
                    .iter()
                    .try_for_each(|file| fsio::remove(&self.journal.path(file)))
            })?;
            self.progress.stage(&format!("{folder} {} of {}", member + 1, self.members()), 0);
            let rows = Rows { data, split, ranks: self.ranks };
            let report = fit(&mut teacher, rows, &settings.train, seed, &*self.curves(&name), keeper)?;
            self.lead(|| teacher.params().save(&weights))?;
            Ok(report)
        })?;
        self.lead(|| teacher.params().load(&weights))?;
        share_params(self.ranks, teacher.params())?;
        self.say_fit(folder, &report);
        Ok(teacher)
    }

    /// The mean over `networks` and the trees that learn from the rows of `split`, where some teach.
    pub(super) fn mean_teaching(
        &self,
        folder: &str,
        networks: Vec<Teacher>,
        split: &Split,
    ) -> Result<Teaching> {
        let grown = self.grown(folder, split)?;
        if let Some(grown) = &grown {
            self.progress.say(&format!("trees that teach: validation AUC {}", auc(&grown.metrics)));
        }
        let ensemble = Ensemble { networks, grown };
        let soft = self.scores_of_all(&soft_file(folder), &ensemble.networks, ensemble.grown.as_ref())?;
        Ok(Teaching { ensemble, soft })
    }

    /// What teachers teach that learn from the rows of `split` alone, as those of `guide` learn from the run's. Where a network is judged on
    /// training rows, its teachers must not have seen these: what they know by heart would be found again in what they taught. None
    /// where r(x) teaches nothing, or is given: what a given teacher saw, nobody can tell.
    ///
    /// They are kept beside the guide's, so that trainings that share a guide share them, too.
    pub(in crate::app) fn teaching_apart(&self, guide: &Guide, split: &Split) -> Result<Option<Teaching>> {
        if !self.teaches_apart() {
            return Ok(None);
        }
        let run = self.variant(&guide.experiment, "")?.kept_in(guide.journal.clone());
        let folder = apart_folder(split);
        let networks = (0..run.members()).map(|member| run.teacher(&folder, member, split, None));
        run.mean_teaching(&folder, networks.collect::<Result<_>>()?, split).map(Some)
    }

    /// How many ranking networks teach.
    pub(in crate::app) fn members(&self) -> usize {
        if self.is_given() { 1 } else { self.settings.teacher.ensemble }
    }

    /// Whether networks that are judged on training rows are taught by teachers of their own.
    pub(in crate::app) fn teaches_apart(&self) -> bool {
        self.settings.retrain.distillation > 0.0 && !self.is_given()
    }

    /// Mean scores of all rows, kept in `file`.
    pub(super) fn scores_of_all(
        &self,
        file: &str,
        networks: &[Teacher],
        grown: Option<&Grown>,
    ) -> Result<Column<f32>> {
        let rows = self.loaded.dataset.rows();
        let path = self.journal.path(file);
        if self.ranks.place().size == 1 && path.exists() {
            return Column::map(&path, rows, "remove it to score the rows again");
        }
        self.progress.stage("score all rows with the teachers", rows as u64);
        let pieces = (0..rows).step_by(SCORED_TOGETHER).map(|begin| {
            let index: Vec<u32> = (begin as u32..rows.min(begin + SCORED_TOGETHER) as u32).collect();
            let trees = grown.map(|grown| &grown.scores[begin..]);
            let soft = mean_scores(networks, trees, self.rows(), &index)?;
            self.progress.advance((begin + index.len()) as u64, "");
            Ok(soft)
        });
        self.kept(file, pieces)
    }
}
