//! Trees that teach beside the ranking networks: one more of those whose mean score is r(x).

use super::{Run, ensemble::soft_file};
use crate::{
    app::config::Stage,
    base::{Error, Result, fsio, rng},
    data::{
        column::Column,
        dataset::{Dataset, Split},
    },
    learn::{
        baseline::trees::{TreesReport, teach},
        metrics::Metrics,
        network::Network,
    },
};

/// Trees that were grown.
pub(super) struct Grown {
    network: Network,
    /// Of every row of the run's data; those that were trained on without what their own labels tell.
    pub(super) scores: Column<f32>,
    /// Of the trees alone, on the validation rows.
    pub(super) metrics: Metrics,
}

impl Grown {
    /// Their scores of rows of other data.
    pub(super) fn score(&self, data: &Dataset, rows: &[u32]) -> Result<Vec<f32>> {
        self.network.score(data, rows)
    }
}

/// Makes the mean over so many networks that over the trees, too.
pub(super) fn join(mean: &mut [f32], networks: usize, trees: &[f32]) {
    let share = 1.0 / (networks + 1) as f32;
    mean.iter_mut().zip(trees).for_each(|(mean, score)| *mean += share * (score - *mean));
}

impl Run<'_> {
    /// Whether trees teach.
    pub(super) fn has_trees(&self) -> bool {
        self.settings.teacher.trees && !self.is_given()
    }

    /// Fails where several ranks would have to grow trees.
    pub(super) fn check_trees(&self) -> Result<()> {
        if self.has_trees() && self.ranks.place().size > 1 {
            return Err(Error::usage(
                "[teacher] trees asks for trees, which one process grows by itself, and several ranks train here",
                "set it to false, or start the program without the launcher",
            ));
        }
        Ok(())
    }

    /// Grows the trees on the training rows of `split`, or reads those of an earlier start; nothing where none teach. How
    /// they grow is not kept on the way: a stopped run grows them again.
    pub(super) fn grown(&self, folder: &str, split: &Split) -> Result<Option<Grown>> {
        if !self.has_trees() {
            return Ok(None);
        }
        let data = &self.loaded.dataset;
        let place = |kind: &str| self.journal.path(&format!("{folder}/trees.{kind}"));
        let (weights, scores) = (place("safetensors"), place("bin"));
        let report: TreesReport = self.journal.remember(&format!("{folder}/trees.json"), || {
            // Scores of other trees than these.
            fsio::remove(&self.journal.path(&soft_file(folder)))?;
            self.progress.stage("grow trees that teach", 0);
            let every: Vec<usize> = (0..self.space.features.len()).collect();
            let seed = rng::derive(self.seed(Stage::Teacher), "trees");
            let (network, report, own) =
                teach(&self.space.features, &every, data, split, &self.settings.gbdt, seed)?;
            network.save(&weights)?;
            Column::keep(&scores, std::iter::once(Ok(own)))?;
            Ok(report)
        })?;
        let scores =
            Column::map(&scores, data.rows(), "remove trees.json beside it to grow the trees again")?;
        Ok(Some(Grown { network: Network::load(&weights)?, scores, metrics: report.metrics }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_count_as_one_more_network() {
        let mut mean = [0.3, 0.6];
        join(&mut mean, 2, &[0.9, 0.0]);
        assert!((mean[0] - 0.5f32).abs() < 1e-6 && (mean[1] - 0.4f32).abs() < 1e-6, "{mean:?}");
    }
}
