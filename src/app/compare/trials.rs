//! Tuning on training rows: every system tries as many settings of its grid, and the best validated one is taken.
//!
//! Rows are divided inside of the training part, so the rows that systems are compared on are in no trial. Encoders are those of
//! the whole training part, which know no labels. The teacher is tuned first and guides the trials of all others.

use super::{
    pace::{Pace, timed},
    result::{Guided, Trial, TrialLog},
    scene::{Chosen, Scene, Stage, experiment_of, guiding},
    systems::system,
};
use crate::{
    app::{
        config::{CompareSettings, Experiment, Stage as Seed, SystemName},
        iterate::{Guide, Run},
    },
    base::{Error, Result, fsio},
    data::{self, dataset::Split},
};

/// The file of the teachers that guide trials, among the logs of trials.
pub(super) const GUIDE: &str = "guide.json";
/// Where those teachers are kept while trials are made.
pub(super) const GUIDE_FOLDER: &str = "trials/work/guide";

/// The training rows, divided as `compare.trial_split` says or by the share of the last ones.
pub(super) fn rows(root: &Run, experiment: &Experiment) -> Result<Split> {
    let settings = &root.settings.compare;
    let train = &root.loaded.split.train;
    let Some(split) = &settings.trial_split else { return last_share(train, settings.trial_fraction) };
    let (path, seed) = (experiment.named_data()?, root.seed(Seed::Split));
    let (_, inner) = data::load_divided(&root.schema, &path, &root.loaded.encoders, split, seed)?;
    let outside = inner.train.iter().chain(inner.valid.iter()).any(|row| train.binary_search(row).is_err());
    if outside {
        return Err(Error::usage(
            "`compare.trial_split` takes rows that are not trained on, so settings would be chosen on rows that systems are compared on",
            "let its bounds end before those of [split], or state compare.trial_fraction",
        ));
    }
    Ok(inner)
}

/// The last `share` of ascending rows, at least one, for validation, and the others.
pub(super) fn last_share(rows: &[u32], share: f64) -> Result<Split> {
    let last = ((rows.len() as f64 * share).round() as usize).max(1);
    if last >= rows.len() {
        return Err(Error::usage(
            format!("{} training rows cannot be divided for trials", rows.len()),
            "give more rows, or lower compare.trial_fraction",
        ));
    }
    let (train, valid) = rows.split_at(rows.len() - last);
    Ok(Split { train: train.to_vec().into(), valid: valid.to_vec().into() })
}

/// What is tried for every system, the teacher first: it guides the trials of all others, whether it is compared or not.
pub(super) fn grids(settings: &CompareSettings) -> Vec<(SystemName, Vec<Vec<String>>)> {
    let mut others: Vec<_> = settings.systems.clone();
    others.retain(|&name| name != SystemName::Teacher);
    others.sort_unstable();
    others.dedup();
    let grid = |name| {
        let mut grid = settings.grid.get(&name).cloned().unwrap_or_default();
        grid.truncate(settings.trials);
        (name, grid)
    };
    std::iter::once(SystemName::Teacher).chain(others).map(grid).collect()
}

/// What was chosen for systems so far: by trials that are over, or because there is nothing to choose from.
pub(super) fn chosen_so_far(root: &Run) -> Result<Chosen> {
    let mut chosen = Chosen::new();
    for (name, mut grid) in grids(&root.settings.compare) {
        let log = || root.journal.recall::<TrialLog>(&log_file(name));
        let settings = if grid.len() == 1 { grid.pop() } else { log()?.map(|log| log.chosen) };
        chosen.extend(settings.map(|settings| (name, settings)));
    }
    Ok(chosen)
}

/// What is kept of trials, those of systems that are not tuned to their end included.
pub(super) fn tried_so_far(root: &Run) -> Result<Vec<(SystemName, Trial)>> {
    let mut tried = Vec::new();
    for (name, grid) in grids(&root.settings.compare) {
        let trials = match root.journal.recall::<TrialLog>(&log_file(name))? {
            Some(log) => log.trials,
            None => {
                let kept = (0..grid.len()).map(|nth| root.journal.recall(&trial_file(name, nth)));
                kept.flat_map(Result::transpose).collect::<Result<_>>()?
            }
        };
        tried.extend(trials.into_iter().map(|trial| (name, trial)));
    }
    Ok(tried)
}

/// Where is kept what was tried for a system.
pub(super) fn log_file(name: SystemName) -> String {
    format!("trials/{name}.json")
}

/// Where a system's `nth` trial works, until all of its trials are made.
fn trial_folder(name: SystemName, nth: usize) -> String {
    format!("trials/work/{name}/{nth}")
}

/// What that trial came to.
fn trial_file(name: SystemName, nth: usize) -> String {
    format!("{}/trial.json", trial_folder(name, nth))
}

impl Stage<'_> {
    /// What every system is trained with beside the experiment's settings.
    pub(super) fn tune(&self, pace: &mut Pace) -> Result<Chosen> {
        let (mut chosen, mut guide) = (Chosen::new(), None);
        for (name, mut grid) in grids(&self.root.settings.compare) {
            let file = log_file(name);
            let log = match grid.len() {
                0 => continue,
                1 => TrialLog { system: name, budget_ms: None, trials: Vec::new(), chosen: grid.remove(0) },
                _ => match self.root.journal.recall::<TrialLog>(&file)? {
                    Some(log) => log,
                    None => {
                        if guide.is_none() && name != SystemName::Teacher {
                            guide = Some(self.trial_guide(&chosen)?);
                        }
                        let all = || self.try_all(name, &grid, guide.as_ref(), pace);
                        self.root.journal.remember(&file, all)?
                    }
                },
            };
            chosen.insert(name, log.chosen);
        }
        // What was tried can be tried again: the logs stay.
        fsio::remove_dir(&self.root.journal.path("trials/work"))?;
        Ok(chosen)
    }

    /// The teacher of the trials: the one whose settings were taken.
    fn trial_guide(&self, chosen: &Chosen) -> Result<Guide> {
        let experiment = guiding(self.experiment, chosen)?;
        let run = self.root.variant(&experiment, GUIDE_FOLDER)?.on(self.trial_rows.clone());
        let (guide, seconds) = timed(&run.journal, "guide", || run.guide())?;
        let guided = Guided { metrics: guide.metrics.clone(), seconds };
        self.root.journal.remember(&format!("trials/{GUIDE}"), || Ok(guided))?;
        Ok(guide)
    }

    fn try_all(
        &self,
        name: SystemName,
        grid: &[Vec<String>],
        guide: Option<&Guide>,
        pace: &mut Pace,
    ) -> Result<TrialLog> {
        let mut budgets = self.root.settings.compare.budgets_ms.clone();
        budgets.sort_by(f64::total_cmp);
        let budget_ms = system(name).budgeted().then(|| budgets[budgets.len() / 2]);
        let mut trials = Vec::new();
        for (nth, settings) in grid.iter().enumerate() {
            let file = trial_file(name, nth);
            if let Some(known) = self.root.journal.recall(&file)? {
                trials.push(known);
                continue;
            }
            let described = if settings.is_empty() { "as it is".to_owned() } else { settings.join(", ") };
            self.root.progress.say(&pace.next_trial(name, &described));
            let trial = self.root.journal.remember(&file, || {
                self.try_one(name, settings, budget_ms, &trial_folder(name, nth), guide)
            })?;
            pace.tried(name, trial.seconds);
            trials.push(trial);
        }
        let best = trials.iter().enumerate().rev().max_by(|(_, a), (_, b)| a.auc.total_cmp(&b.auc));
        let chosen = best.map_or_else(Vec::new, |(_, trial)| trial.settings.clone());
        let said = if chosen.is_empty() { "no change".to_owned() } else { chosen.join(", ") };
        self.root.progress.say(&format!("{name}: of {} trials the best is {said}", grid.len()));
        Ok(TrialLog { system: name, budget_ms, trials, chosen })
    }

    fn try_one(
        &self,
        name: SystemName,
        settings: &[String],
        budget_ms: Option<f64>,
        folder: &str,
        guide: Option<&Guide>,
    ) -> Result<Trial> {
        let experiment = experiment_of(self.experiment, name, settings, budget_ms)?;
        let run = self.root.variant(&experiment, folder)?.on(self.trial_rows.clone());
        let inner = last_share(&self.trial_rows.train, self.root.settings.compare.trial_fraction)?;
        let (found, seconds) = timed(&run.journal, "trial", || {
            // The teacher is tuned by what it teaches.
            let Some(guide) = guide else { return Ok(Some(run.guide()?.metrics)) };
            let shared = run.journal.inside("shared");
            let scene = Scene {
                run: &run,
                experiment: &experiment,
                guide,
                table: &self.table,
                inner: &inner,
                shared,
            };
            match system(name).build(&scene) {
                Ok(built) => Ok(Some(built.metrics)),
                Err(Error::Limit { .. }) if budget_ms.is_some() => Ok(None),
                Err(error) => Err(error),
            }
        })?;
        let (auc, logloss) = found.map_or((0.0, None), |m| (m.auc.unwrap_or(0.0), Some(m.logloss)));
        Ok(Trial { settings: settings.to_vec(), auc, logloss, seconds })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_rows_judge_and_the_others_train() {
        let split = last_share(&[2, 3, 5, 8, 13], 0.4).unwrap();
        assert_eq!((&*split.train, &*split.valid), (&[2, 3, 5][..], &[8, 13][..]));
        assert_eq!(*last_share(&[2, 3], 0.01).unwrap().valid, [3]);
        assert!(last_share(&[2], 0.5).unwrap_err().to_string().contains("trial_fraction"));
    }
}
