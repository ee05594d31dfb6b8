//! How fast networks train and models are measured on this machine: a few batches, or a few models, and the time that they took.

use super::{Seconds, span};
use crate::{
    base::{Result, progress::Progress, rank::is_positive},
    data::dataset::{Dataset, Split},
    learn::{
        checkpoint::Keeper,
        settings::TrainSettings,
        train::{Rows, Trainable, fit, score_rows},
    },
};
use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

/// Time that a rate is measured for, about.
const ENOUGH: Duration = Duration::from_millis(500);
/// Batches, at most.
const MOST_BATCHES: usize = 32;
/// Rows that scoring is timed on, at most.
const SCORED: usize = 1 << 14;
/// Rows that a validation between two batches needs.
const VALIDATED: usize = 64;

/// Writes down when steps end.
#[derive(Default)]
pub struct Watch {
    ends: Mutex<Vec<Instant>>,
}

impl Progress for Watch {
    fn stage(&self, _: &str, _: u64) {}

    fn advance(&self, _: u64, _: &str) {
        self.ends.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(Instant::now());
    }

    fn say(&self, _: &str) {}
}

impl Watch {
    /// Seconds of a step: the mean after the first, which allocates; the time since `begun` where there is only one.
    fn step_s(&self, begun: Instant) -> f64 {
        let ends = self.ends.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match ends.as_slice() {
            [first, .., last] => (*last - *first).as_secs_f64() / (ends.len() - 1) as f64,
            _ => begun.elapsed().as_secs_f64(),
        }
    }
}

/// Seconds of one step of `train`, which is given some rows to train and validate on and told to say when each of its batches ends.
pub fn step_s(
    data: &Dataset,
    split: &Split,
    batch_size: usize,
    mut train: impl FnMut(&Split, &Watch) -> Result<()>,
) -> Result<f64> {
    let all = split.train.len().div_ceil(batch_size);
    let mut batches = 2.min(all);
    loop {
        let (few, watch, begun) =
            (few_rows(data, split, batches * batch_size), Watch::default(), Instant::now());
        train(&few, &watch)?;
        let step_s = watch.step_s(begun);
        let enough = (ENOUGH.as_secs_f64() / step_s) as usize;
        let wanted = enough.clamp(2, MOST_BATCHES).min(all);
        if wanted <= batches {
            return Ok(step_s);
        }
        batches = wanted;
    }
}

/// The first training rows, and a few validation rows of both classes: without both there is no AUC.
fn few_rows(data: &Dataset, split: &Split, rows: usize) -> Split {
    let mut valid: Vec<u32> = split.valid.iter().copied().take(VALIDATED).collect();
    for wanted in [true, false] {
        let of_class = |row: &&u32| is_positive(data.labels[**row as usize]) == wanted;
        valid.extend(split.valid.iter().find(of_class));
    }
    valid.sort_unstable();
    valid.dedup();
    Split { train: split.train[..rows.min(split.train.len())].to_vec().into(), valid: valid.into() }
}

/// How fast a network of one kind is trained and scored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FitRate {
    /// Seconds to train on a row.
    pub trained_s: f64,
    /// Seconds to score a row.
    pub scored_s: f64,
}

impl FitRate {
    /// Trains a network that `make` makes on a few batches.
    pub fn of(
        mut make: impl FnMut() -> Result<Box<dyn Trainable>>,
        rows: Rows,
        settings: &TrainSettings,
    ) -> Result<Self> {
        let once = TrainSettings { max_epochs: 1, ..settings.clone() };
        let batch_size = settings.batch_size.min(rows.split.train.len()).max(1);
        let step_s = step_s(rows.data, rows.split, batch_size, |split, watch| {
            let (mut network, few) = (make()?, Rows { split, ..rows });
            fit(&mut *network, few, &once, 0, watch, &mut Keeper::none()).map(drop)
        })?;
        let scored = &rows.split.train[..SCORED.min(rows.split.train.len())];
        let network = make()?;
        let begun = Instant::now();
        score_rows(&*network, rows.data, scored)?;
        let scored_s = begun.elapsed().as_secs_f64() / scored.len().max(1) as f64;
        Ok(Self { trained_s: step_s / batch_size as f64, scored_s })
    }

    /// What a training takes: it ends at the earliest when its patience does.
    pub fn seconds(&self, settings: &TrainSettings, train: usize, valid: usize) -> Seconds {
        let epoch_s = self.trained_s * train as f64 + self.scored_s * valid as f64;
        let fewest = (1 + settings.patience).min(settings.max_epochs);
        Seconds { least_s: epoch_s * fewest as f64, most_s: Some(epoch_s * settings.max_epochs as f64) }
    }

    /// In words.
    pub fn basis(&self, what: &str) -> String {
        format!(
            "{what}: {:.0} rows per second trained, {:.0} scored, measured on a few batches",
            1.0 / self.trained_s,
            1.0 / self.scored_s
        )
    }
}

/// How long models take to be measured, from some that were.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ModelRate {
    /// How many were measured.
    pub models: usize,
    /// What they took, with starting and loading.
    pub seconds: f64,
}

impl ModelRate {
    /// How many are measured to tell of all.
    pub const SAMPLE: usize = 5;

    /// Times `measure`, which measures so many models.
    pub fn of(models: usize, measure: impl FnOnce() -> Result<()>) -> Result<Self> {
        let begun = Instant::now();
        measure()?;
        Ok(Self { models, seconds: begun.elapsed().as_secs_f64() })
    }

    /// What each takes; noisy ones are visited up to `repeats` times as often again.
    pub fn each(&self, repeats: usize) -> Seconds {
        let each_s = self.seconds / self.models.max(1) as f64;
        Seconds { least_s: each_s, most_s: Some(each_s * (1 + repeats) as f64) }
    }

    /// In words.
    pub fn basis(&self, what: &str) -> String {
        format!("{what}: {} of them took {}", self.models, span(self.seconds))
    }
}

/// Some of many, evenly spread, the first and the last among them.
pub fn some_of<T: Clone>(all: &[T], count: usize) -> Vec<T> {
    match (all.len(), count) {
        (_, 0) => Vec::new(),
        (len, count) if len <= count => all.to_vec(),
        (_, 1) => all[..1].to_vec(),
        (len, count) => (0..count).map(|at| all[at * (len - 1) / (count - 1)].clone()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_training_takes_its_patience_at_least_and_all_its_epochs_at_most() {
        let rate = FitRate { trained_s: 0.01, scored_s: 0.001 };
        let settings =
            |max_epochs, patience| TrainSettings { max_epochs, patience, ..TrainSettings::default() };
        // 100 rows at 0.01 s and 50 at 0.001 s: 1.05 s an epoch.
        let found = rate.seconds(&settings(6, 1), 100, 50);
        assert!(
            (found.least_s - 2.1).abs() < 1e-9 && (found.most_s.unwrap() - 6.3).abs() < 1e-9,
            "{found:?}"
        );
        assert_eq!(
            rate.seconds(&settings(1, 3), 100, 50).least_s,
            rate.seconds(&settings(1, 1), 100, 50).least_s
        );
    }

    #[test]
    fn models_take_what_some_of_them_took() {
        let rate = ModelRate { models: 5, seconds: 10.0 };
        assert_eq!(rate.each(2), Seconds { least_s: 2.0, most_s: Some(6.0) });
        assert_eq!(some_of(&[0, 1, 2, 3, 4, 5, 6, 7, 8], 3), [0, 4, 8]);
        assert_eq!(some_of(&[7], 3), [7]);
        assert_eq!(some_of(&[7, 8], 1), [7]);
    }

    #[test]
    fn steps_are_timed_without_the_first() {
        let watch = Watch::default();
        let begun = Instant::now();
        let at = |ms| begun + Duration::from_millis(ms);
        *watch.ends.lock().unwrap() = vec![at(900), at(1000), at(1100), at(1200)];
        assert!((watch.step_s(begun) - 0.1).abs() < 1e-9);
    }

    #[test]
    fn a_few_rows_have_both_classes_and_steps_are_as_many_as_the_rows_make() {
        let labels: Vec<f32> = (0..500).map(|row| f32::from(u8::from(row == 499))).collect();
        let data = Dataset { labels: labels.into(), ..Dataset::default() };
        let split = Split {
            train: (0..300).collect::<Vec<u32>>().into(),
            valid: (300..500).collect::<Vec<u32>>().into(),
        };
        let few = few_rows(&data, &split, 100);
        assert_eq!(few.train.len(), 100);
        assert!(few.valid.contains(&499) && few.valid.contains(&300));
        let mut seen = Vec::new();
        let found = step_s(&data, &split, 100, |few, watch| {
            seen.push(few.train.len());
            (0..few.train.len() / 100).for_each(|_| watch.advance(0, ""));
            Ok(())
        });
        assert!(found.unwrap() >= 0.0);
        assert_eq!(seen, [200, 300], "three batches are all there are");
    }
}
