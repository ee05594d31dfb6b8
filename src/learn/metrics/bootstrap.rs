//! How much of a difference of two AUCs the choice of users explains: the bootstrap over groups.
//!
//! Rows of one user go together, so users are drawn with replacement and not rows: as many as there are, each with all of its
//! rows (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13: the percentile interval). All models are
//! judged on the same draws, so what a draw does to both of a pair cancels in their difference.

use crate::base::{rank::is_positive, rng};
use rand::RngExt;
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Draws of groups. None of them is kept: where every row is a group of its own, a draw is as large as a column of the data, and
/// drawing it again takes less than reading it through.
#[derive(Debug, Clone, Copy)]
pub struct Draws {
    groups: usize,
    count: usize,
    seed: u64,
}

impl Draws {
    /// `count` draws of as many of `groups` groups as there are, with replacement.
    pub fn new(groups: usize, count: usize, seed: u64) -> Self {
        Self { groups, count, seed }
    }

    /// How often every group comes in the draw of that number.
    fn times(&self, nth: usize) -> Vec<u16> {
        let mut rng = rng::generator(self.seed, &format!("bootstrap/{nth}"));
        let mut times = vec![0u16; self.groups];
        (0..self.groups).for_each(|_| {
            let group = &mut times[rng.random_range(0..self.groups)];
            *group = group.saturating_add(1);
        });
        times
    }
}

/// The rows of one model in order of its scores.
pub struct Ranked {
    /// Group, whether it is a positive, and whether the next row has another score.
    rows: Vec<(u32, bool, bool)>,
}

impl Ranked {
    /// Of scores, labels and the group of every row as a number from 0. None where a score is no number.
    pub fn new(scores: &[f32], labels: &[f32], groups: &[u32]) -> Option<Self> {
        if scores.iter().any(|score| score.is_nan()) {
            return None;
        }
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|&i, &j| scores[i].total_cmp(&scores[j]));
        let ends = |at: usize| order.get(at + 1).is_none_or(|&next| scores[next] != scores[order[at]]);
        let row = |(at, &row): (usize, &usize)| (groups[row], is_positive(labels[row]), ends(at));
        Some(Self { rows: order.iter().enumerate().map(row).collect() })
    }

    /// The AUC where every row counts as often as its group comes; ties count half. None when a class is missing.
    fn auc(&self, times: &[u16]) -> Option<f64> {
        // Whole numbers below 2⁵³ are exact.
        let (mut below, mut ordered, mut positives) = (0.0, 0.0, 0.0);
        let (mut tied_positives, mut tied_negatives) = (0.0, 0.0);
        for &(group, is_positive, ends) in &self.rows {
            let weight = f64::from(times[group as usize]);
            if is_positive {
                tied_positives += weight
            } else {
                tied_negatives += weight
            }
            if ends {
                ordered += tied_positives * (below + tied_negatives / 2.0);
                below += tied_negatives;
                positives += tied_positives;
                (tied_positives, tied_negatives) = (0.0, 0.0);
            }
        }
        let pairs = positives * below;
        (pairs > 0.0).then(|| ordered / pairs)
    }

    /// The AUC in every draw.
    pub fn aucs(&self, draws: &Draws) -> Vec<Option<f64>> {
        (0..draws.count).into_par_iter().map(|nth| self.auc(&draws.times(nth))).collect()
    }
}

/// What draws say of a difference.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Bootstrap {
    /// Draws in which both classes were there.
    pub draws: usize,
    /// The middle 95 % of the differences.
    pub interval_95: [f64; 2],
    /// Share of the draws in which the difference is above 0.
    pub share_above_zero: f64,
}

impl Bootstrap {
    /// Of the differences of as many pairs as there are draws. None without any.
    pub fn of(differences: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = differences.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().checked_sub(1)?;
        let at = |share: f64| {
            let place = share * last as f64;
            let (low, rest) = (place.floor() as usize, place.fract());
            sorted[low] + rest * (sorted[(low + 1).min(last)] - sorted[low])
        };
        let above = sorted.iter().filter(|&&difference| difference > 0.0).count();
        Some(Self {
            draws: sorted.len(),
            interval_95: [at(0.025), at(0.975)],
            share_above_zero: above as f64 / sorted.len() as f64,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::metrics::auc;

    #[test]
    fn the_auc_of_a_draw_is_that_of_its_rows_written_out() {
        let mut rng = rng::generator(3, "test");
        let rows = 200;
        let scores: Vec<f32> = (0..rows).map(|_| rng.random_range(0..30) as f32 / 30.0).collect();
        let labels: Vec<f32> = (0..rows).map(|_| f32::from(rng.random_bool(0.3))).collect();
        let groups: Vec<u32> = (0..rows).map(|_| rng.random_range(0..25)).collect();
        let ranked = Ranked::new(&scores, &labels, &groups).unwrap();
        let draws = Draws::new(25, 20, 1);
        let found = ranked.aucs(&draws);
        assert_eq!(found.len(), 20);
        for (nth, found) in found.into_iter().enumerate() {
            let times = draws.times(nth);
            assert_eq!(times.iter().map(|&t| usize::from(t)).sum::<usize>(), 25);
            let picked: Vec<usize> = (0..rows)
                .flat_map(|row| std::iter::repeat_n(row, times[groups[row] as usize].into()))
                .collect();
            let of = |values: &[f32]| picked.iter().map(|&row| values[row]).collect::<Vec<_>>();
            let wanted = auc(&of(&scores), &of(&labels)).unwrap();
            assert!((found.unwrap() - wanted).abs() < 1e-12);
        }
        assert!(Ranked::new(&[f32::NAN], &[1.0], &[0]).is_none());
        assert_eq!(Ranked::new(&[0.5], &[1.0], &[0]).unwrap().aucs(&Draws::new(1, 1, 1)), [None]);
    }

    #[test]
    fn an_interval_is_between_the_quantiles_of_the_draws() {
        let found = Bootstrap::of((0..=200).map(|i| f64::from(i) - 50.0)).unwrap();
        assert_eq!((found.draws, found.interval_95), (201, [-45.0, 145.0]));
        assert!((found.share_above_zero - 150.0 / 201.0).abs() < 1e-12);
        assert_eq!(Bootstrap::of([]), None);
    }

    /// Two models whose scores are normal with distances 1 and 0.7 between the classes: AUCs of Φ(1/√2) and Φ(0.7/√2). Users
    /// have habits: half of the noise of a score belongs to its user.
    #[test]
    fn ninety_five_of_a_hundred_intervals_hold_the_true_difference() {
        // scipy.stats.norm.cdf(1 / 2**.5) - scipy.stats.norm.cdf(.7 / 2**.5)
        const TRUE: f64 = 0.760_249_938_9 - 0.689_691_026_8;
        let (users, of_each, worlds) = (60, 8, 200);
        let covered = (0..worlds).filter(|&world| {
            let mut rng = rng::generator(world, "bootstrap test");
            let rows = users * of_each;
            let labels: Vec<f32> = (0..rows).map(|_| f32::from(rng.random_bool(0.5))).collect();
            let groups: Vec<u32> = (0..rows).map(|row| (row / of_each) as u32).collect();
            let habits = rng::normals(users, 0.5f32.sqrt(), &mut rng);
            let model = |distance: f32, rng: &mut rng::Generator| {
                let noise = rng::normals(rows, 0.5f32.sqrt(), rng);
                let score = |row: usize| distance * labels[row] + habits[row / of_each] + noise[row];
                let scores: Vec<f32> = (0..rows).map(score).collect();
                Ranked::new(&scores, &labels, &groups).unwrap().aucs(&Draws::new(users, 300, world))
            };
            let (a, b) = (model(1.0, &mut rng), model(0.7, &mut rng));
            let differences = a.into_iter().zip(b).filter_map(|(a, b)| Some(a? - b?));
            let [low, high] = Bootstrap::of(differences).unwrap().interval_95;
            (low..=high).contains(&TRUE)
        });
        let covered = covered.count();
        // Percentile intervals of 60 users are a little short: 187 ± three deviations of 3.5.
        assert!((177..=198).contains(&covered), "{covered} of {worlds}");
    }
}
