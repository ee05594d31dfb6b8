//! How step sizes, temperatures and ε go over a training.

use crate::base::check::{self, Checked};
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// How a temperature or ε gets from its start to its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Annealing {
    /// By the same factor with every step.
    #[default]
    Geometric,
    /// By the same amount with every step.
    Linear,
    /// Slowly at both ends, along half a period of a cosine.
    Cosine,
}

impl Annealing {
    /// The value once the share `progress` of the steps has passed.
    pub fn at(self, start: f64, end: f64, progress: f64) -> f64 {
        match self {
            Self::Geometric => start * (end / start).powf(progress),
            Self::Linear => start + (end - start) * progress,
            Self::Cosine => end + (start - end) * half_cosine(progress),
        }
    }
}

/// A step size over a training, as a factor of the stated one: it rests, rises linearly, and then holds or falls.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RateSchedule {
    /// Share of the steps before anything moves.
    pub begin: f64,
    /// Share of the steps after that over which the step size rises linearly from 0.
    pub warmup: f64,
    /// How it goes on.
    pub shape: RateShape,
    /// What is left of the step size at the last step, where it falls.
    pub end: f64,
}

/// How a step size goes on once it has risen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RateShape {
    /// It stays.
    Constant,
    /// It falls by the same amount with every step.
    Linear,
    /// It falls along half a period of a cosine (Loshchilov and Hutter 2017).
    Cosine,
}

impl Default for RateSchedule {
    fn default() -> Self {
        Self::CONSTANT
    }
}

impl RateSchedule {
    /// The stated step size from the first step to the last.
    pub const CONSTANT: Self = Self { begin: 0.0, warmup: 0.0, shape: RateShape::Constant, end: 0.0 };

    /// The factor once the share `progress` of the steps has passed; 0 while it rests.
    pub fn factor(&self, progress: f64) -> f64 {
        let since = progress - self.begin;
        if since < 0.0 {
            return 0.0;
        }
        if since < self.warmup {
            return since / self.warmup;
        }
        // What is left after the rise may be nothing.
        let rest = 1.0 - self.begin - self.warmup;
        let passed = if rest > 0.0 { ((since - self.warmup) / rest).min(1.0) } else { 1.0 };
        let falling = |left: f64| self.end + (1.0 - self.end) * left;
        match self.shape {
            RateShape::Constant => 1.0,
            RateShape::Linear => falling(1.0 - passed),
            RateShape::Cosine => falling(half_cosine(passed)),
        }
    }

    /// The first setting outside its range; `keys` are those of the table with this schedule: `begin`, `warmup`, `end`.
    pub fn check(&self, keys: [&'static str; 3]) -> Checked {
        let [begin, warmup, end] = keys;
        check::share_below_one(begin, self.begin)?;
        check::share(warmup, self.warmup)?;
        let problem = format!("{} after {} is more than all steps", self.warmup, self.begin);
        check::ensure(
            self.begin + self.warmup <= 1.0,
            warmup,
            problem,
            "give shares that are 1 at most together",
        )?;
        check::share(end, self.end)
    }
}

/// From 1 at 0 to 0 at 1.
fn half_cosine(progress: f64) -> f64 {
    (1.0 + (PI * progress).cos()) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f64, wanted: f64) -> bool {
        (found - wanted).abs() < 1e-12
    }

    #[test]
    fn every_annealing_begins_at_its_start_and_ends_at_its_end() {
        for (shape, middle) in [
            (Annealing::Geometric, 0.5),
            (Annealing::Linear, 0.625),
            // The cosine is at its middle there too: it differs at the quarters.
            (Annealing::Cosine, 0.625),
        ] {
            let at = |progress| shape.at(1.0, 0.25, progress);
            assert!(near(at(0.0), 1.0) && near(at(0.5), middle) && near(at(1.0), 0.25), "{shape:?}");
        }
        let quarter = Annealing::Cosine.at(1.0, 0.0, 0.25);
        assert!(near(quarter, (1.0 + 0.5f64.sqrt()) / 2.0), "{quarter}");
    }

    #[test]
    fn a_step_size_rests_rises_and_falls() {
        let schedule = RateSchedule { begin: 0.2, warmup: 0.2, shape: RateShape::Linear, end: 0.1 };
        let points = [(0.0, 0.0), (0.19, 0.0), (0.2, 0.0), (0.3, 0.5), (0.4, 1.0), (0.7, 0.55), (1.0, 0.1)];
        for (progress, wanted) in points {
            let found = schedule.factor(progress);
            assert!(near(found, wanted), "{progress}: {found}, not {wanted}");
        }
        let cosine = RateSchedule { shape: RateShape::Cosine, ..RateSchedule::CONSTANT };
        assert!(
            near(cosine.factor(0.0), 1.0) && near(cosine.factor(0.5), 0.5) && near(cosine.factor(1.0), 0.0)
        );
        assert!(near(cosine.factor(0.25), (1.0 + 0.5f64.sqrt()) / 2.0));
        let rising = RateSchedule { warmup: 1.0, ..cosine };
        assert!(near(rising.factor(0.5), 0.5) && near(rising.factor(1.0), 0.0));
    }

    #[test]
    fn the_default_is_the_stated_step_size_bit_for_bit() {
        for progress in [0.0, 0.3, 1.0] {
            assert_eq!(RateSchedule::default().factor(progress), 1.0);
        }
    }

    #[test]
    fn shares_that_do_not_fit_are_refused_by_their_key() {
        let keys = ["s.begin", "s.warmup", "s.end"];
        let check = |begin, warmup, end| {
            RateSchedule { begin, warmup, end, ..RateSchedule::CONSTANT }.check(keys).err().map(|v| v.key)
        };
        assert_eq!(check(0.5, 0.5, 1.0), None);
        assert_eq!(check(1.0, 0.0, 0.0), Some("s.begin"));
        assert_eq!(check(0.0, 1.5, 0.0), Some("s.warmup"));
        assert_eq!(check(0.6, 0.5, 0.0), Some("s.warmup"));
        assert_eq!(check(0.0, 0.0, -0.1), Some("s.end"));
    }
}
