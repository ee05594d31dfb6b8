//! How long trainings took, over all starts, and how long the rest will take.

use crate::{
    app::{config::SystemName, iterate::Journal, plan::span},
    base::{Result, fsio},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Instant};

/// Seconds of work that was begun.
#[derive(Serialize, Deserialize)]
struct Spent {
    schema_version: u32,
    seconds: f64,
}

const SCHEMA_VERSION: u32 = 1;

fn spent_file(name: &str) -> String {
    format!("{name}.seconds.json")
}

/// Seconds of the work that is called `name`, as far as it went.
pub(super) fn spent_s(journal: &Journal, name: &str) -> Result<f64> {
    let spent: Option<Spent> = journal.recall_document(&spent_file(name), SCHEMA_VERSION)?;
    Ok(spent.map_or(0.0, |spent| spent.seconds))
}

/// Does `work` and tells how many seconds it took, those of earlier starts that were stopped in it included. What a killed
/// one spent is not known.
pub(super) fn timed<T>(journal: &Journal, name: &str, work: impl FnOnce() -> Result<T>) -> Result<(T, f64)> {
    let (path, before) = (journal.path(&spent_file(name)), spent_s(journal, name)?);
    let begun = Instant::now();
    let done = work();
    let seconds = before + begun.elapsed().as_secs_f64();
    let kept = fsio::write_json(&path, &Spent { schema_version: SCHEMA_VERSION, seconds });
    let done = done?;
    kept?;
    Ok((done, seconds))
}

/// One kind of work, by system.
#[derive(Default)]
struct Work {
    /// Of each system: how often it is to be done, how often it was, and in how many seconds.
    systems: BTreeMap<SystemName, (usize, usize, f64)>,
}

impl Work {
    fn of(units: impl Iterator<Item = SystemName>) -> Self {
        let mut work = Self::default();
        units.for_each(|name| work.systems.entry(name).or_default().0 += 1);
        work
    }

    fn done(&mut self, name: SystemName, seconds: f64) {
        let (_, done, sum) = self.systems.entry(name).or_default();
        (*done, *sum) = (*done + 1, *sum + seconds);
    }

    /// Done and all.
    fn count(&self) -> (usize, usize) {
        self.systems.values().fold((0, 0), |(done, all), own| (done + own.1, all + own.0))
    }

    /// Mean seconds of a system.
    fn usual_s(&self, name: SystemName) -> Option<f64> {
        self.systems.get(&name).filter(|own| own.1 > 0).map(|&(_, done, sum)| sum / done as f64)
    }

    /// Each system that is not done, and how often it is to be.
    fn left(&self) -> impl Iterator<Item = (SystemName, f64)> {
        self.systems.iter().map(|(&name, &(all, done, _))| (name, all.saturating_sub(done) as f64))
    }
}

/// Trials and trainings, done and to do.
pub(super) struct Pace {
    trials: Work,
    trainings: Work,
}

impl Pace {
    pub(super) fn new(
        trials: impl Iterator<Item = SystemName>,
        trainings: impl Iterator<Item = SystemName>,
    ) -> Self {
        Self { trials: Work::of(trials), trainings: Work::of(trainings) }
    }

    /// A trial is done.
    pub(super) fn tried(&mut self, name: SystemName, seconds: f64) {
        self.trials.done(name, seconds);
    }

    /// A training is done.
    pub(super) fn trained(&mut self, name: SystemName, seconds: f64) {
        self.trainings.done(name, seconds);
    }

    /// The line before the next trial.
    pub(super) fn next_trial(&self, name: SystemName, settings: &str) -> String {
        let (done, all) = self.trials.count();
        format!("trial {} of {all}: {name}, {settings}{}", done + 1, self.rest())
    }

    /// The line before the next training.
    pub(super) fn next_training(&self, unit: &str, seed: u32) -> String {
        let (done, all) = self.trainings.count();
        format!("training {} of {all}: {unit}, seed {seed}{}", done + 1, self.rest())
    }

    fn rest(&self) -> String {
        self.rest_s().map_or(String::new(), |seconds| format!(", about {} to go", span(seconds)))
    }

    /// What is left takes as long as its system took in the mean: a training where none was made as long as a trial, and both of a
    /// new system as long as those of all others.
    fn rest_s(&self) -> Option<f64> {
        let known = |name| self.trainings.usual_s(name).or_else(|| self.trials.usual_s(name));
        let names = self.trainings.systems.keys().chain(self.trials.systems.keys());
        let all: Vec<f64> = names.filter_map(|&name| known(name)).collect();
        let usual = (!all.is_empty()).then(|| all.iter().sum::<f64>() / all.len() as f64)?;
        let trials = self.trials.left();
        let trials = trials.map(|(name, left)| left * self.trials.usual_s(name).unwrap_or(usual));
        let trainings = self.trainings.left().map(|(name, left)| left * known(name).unwrap_or(usual));
        Some(trials.chain(trainings).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Error;
    use SystemName::{Autofas, Rd, Teacher};

    #[test]
    fn the_rest_takes_what_its_systems_took_and_new_ones_the_mean() {
        let mut pace = Pace::new([].into_iter(), [Autofas, Autofas, Rd, Teacher].into_iter());
        assert_eq!(pace.next_training("rd", 0), "training 1 of 4: rd, seed 0");
        pace.trained(Autofas, 100.0);
        pace.trained(Rd, 20.0);
        // One more autofas of 100 s, and a teacher of (100 + 20) / 2.
        assert_eq!(
            pace.next_training("autofas-2ms", 1),
            "training 3 of 4: autofas-2ms, seed 1, about 2 min 40 s to go"
        );
    }

    #[test]
    fn trials_tell_how_long_trainings_will_take() {
        let mut pace = Pace::new([Autofas, Autofas, Rd].into_iter(), [Autofas, Rd, Teacher].into_iter());
        assert_eq!(pace.next_trial(Autofas, "as it is"), "trial 1 of 3: autofas, as it is");
        pace.tried(Autofas, 40.0);
        // Everything at 40 s: two trials and three trainings.
        assert_eq!(pace.next_trial(Rd, "x=1"), "trial 2 of 3: rd, x=1, about 3 min 20 s to go");
        pace.tried(Autofas, 60.0);
        pace.tried(Rd, 10.0);
        // 50 and 10 s, and a teacher of their mean.
        assert!(pace.next_training("autofas", 0).ends_with("about 1 min 30 s to go"));
        pace.trained(Autofas, 100.0);
        // 10 s, and (100 + 10 + 100 + 10) / 4.
        assert!(pace.next_training("rd", 0).ends_with("about 1 min 5 s to go"));
    }

    #[test]
    fn work_that_was_stopped_counts_with_its_first_part() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::followed(folder.path());
        let stopped: Result<((), f64)> = timed(&journal, "x", || Err(Error::usage("stopped", "go on")));
        assert!(stopped.is_err());
        let path = folder.path().join("x.seconds.json");
        fsio::write_json(&path, &Spent { schema_version: 1, seconds: 50.0 }).unwrap();
        let (value, seconds) = timed(&journal, "x", || Ok(7)).unwrap();
        assert!(value == 7 && (50.0..55.0).contains(&seconds), "{seconds}");
    }
}
