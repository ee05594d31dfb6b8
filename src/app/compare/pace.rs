//! How long trainings took, over all starts, and how long the rest will take.

use crate::{
    app::{config::SystemName, iterate::Journal},
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

/// Does `work` and tells how many seconds it took, those of earlier starts that were stopped in it included. What a killed
/// one spent is not known.
pub(super) fn timed<T>(journal: &Journal, name: &str, work: impl FnOnce() -> Result<T>) -> Result<(T, f64)> {
    let path = journal.path(&format!("{name}.seconds.json"));
    let before = if path.exists() { fsio::read_json::<Spent>(&path)?.seconds } else { 0.0 };
    let begun = Instant::now();
    let done = work();
    let seconds = before + begun.elapsed().as_secs_f64();
    let kept = fsio::write_json(&path, &Spent { schema_version: 1, seconds });
    let done = done?;
    kept?;
    Ok((done, seconds))
}

/// Trainings done and to do.
pub(super) struct Pace {
    left: BTreeMap<SystemName, usize>,
    spent: BTreeMap<SystemName, (f64, usize)>,
    done: usize,
    all: usize,
}

impl Pace {
    pub(super) fn new(units: impl Iterator<Item = SystemName>) -> Self {
        let mut left = BTreeMap::new();
        units.for_each(|name| *left.entry(name).or_default() += 1);
        Self { all: left.values().sum(), left, spent: BTreeMap::new(), done: 0 }
    }

    /// A training is done, now or before.
    pub(super) fn done(&mut self, name: SystemName, seconds: f64) {
        self.done += 1;
        if let Some(left) = self.left.get_mut(&name) {
            *left = left.saturating_sub(1);
        }
        let (sum, count) = self.spent.entry(name).or_default();
        (*sum, *count) = (*sum + seconds, *count + 1);
    }

    /// The line before the next training.
    pub(super) fn next(&self, unit: &str, seed: u32) -> String {
        let rest = self.rest_s().map_or(String::new(), |seconds| format!(", about {} to go", span(seconds)));
        format!("training {} of {}: {unit}, seed {seed}{rest}", self.done + 1, self.all)
    }

    /// What is left takes as long as its system took in the mean, or as all took where it is new.
    fn rest_s(&self) -> Option<f64> {
        let (sum, count) = self.spent.values().fold((0.0, 0), |(s, n), &(sum, count)| (s + sum, n + count));
        let usual = (count > 0).then(|| sum / count as f64)?;
        let of = |name: &SystemName| self.spent.get(name).map_or(usual, |&(sum, count)| sum / count as f64);
        Some(self.left.iter().map(|(name, &left)| left as f64 * of(name)).sum())
    }
}

/// A time in the two largest of its units.
fn span(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Error;
    use SystemName::{Autofas, Rd, Teacher};

    #[test]
    fn the_rest_takes_what_its_systems_took_and_new_ones_the_mean() {
        let mut pace = Pace::new([Autofas, Autofas, Rd, Teacher].into_iter());
        assert_eq!(pace.next("rd", 0), "training 1 of 4: rd, seed 0");
        pace.done(Autofas, 100.0);
        pace.done(Rd, 20.0);
        // One more autofas of 100 s, and a teacher of (100 + 20) / 2.
        assert_eq!(
            pace.next("autofas-2ms", 1),
            "training 3 of 4: autofas-2ms, seed 1, about 2 min 40 s to go"
        );
        assert_eq!([span(59.4), span(3600.0), span(7500.0)], ["59 s", "1 h 0 min", "2 h 5 min"]);
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
