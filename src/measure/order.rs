//! How far a quantile that was found in n samples may lie from the true one, without assuming any distribution: by order
//! statistics, as the early stopping of MLPerf's LoadGen has it.
//!
//! Of n independent samples, the number B that lie at or below the true quantile of level q is binomial: B ~ Bin(n, q). The
//! k-th smallest sample X₍ₖ₎ lies at or below the true quantile exactly when B ≥ k, so that
//!
//! - X₍ᵤ₎ is an upper bound with confidence P(B < u) = Σ_{i<u} C(n, i) qⁱ (1 − q)ⁿ⁻ⁱ: the smallest such u with at least
//!   [`CONFIDENCE`] is taken;
//! - X₍ₗ₎ is a lower bound with confidence P(B ≥ l): the largest such l with at least [`CONFIDENCE`] is taken.
//!
//! Each bound holds with 99 %, both together with at least 98 %. The upper one exists exactly from the sample count on that
//! earns the quantile at all, because P(B < n) = 1 − qⁿ.
//!
//! Requests that wait in one queue are not independent: a burst makes many of them late together. For response times under
//! load the true uncertainty is therefore larger than these bounds say; the spread of repeated passes shows it.

/// Of every bound alone.
pub const CONFIDENCE: f64 = 0.99;

/// One-based ranks of the order statistics that bound a quantile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ranks {
    /// Of the lower bound.
    pub lower: u64,
    /// Of the upper bound.
    pub upper: u64,
}

/// The ranks for `quantile` in `samples` samples; none where there are too few for either bound.
pub fn ranks(samples: u64, quantile: f64) -> Option<Ranks> {
    if samples == 0 || !(0.0 < quantile && quantile < 1.0) {
        return None;
    }
    let binomial = Binomial::new(samples, quantile);
    // P(B < u) ≥ c is P(B ≤ u − 1) ≥ c: u − 1 is the smallest value whose cumulated probability reaches c.
    let upper = binomial.smallest_reaching(CONFIDENCE) + 1;
    // P(B ≥ l) ≥ c is P(B ≤ l − 1) ≤ 1 − c.
    let lower = binomial.values_within(1.0 - CONFIDENCE);
    (lower >= 1 && upper <= samples).then_some(Ranks { lower, upper })
}

/// The probabilities of Bin(n, q) around its mode, as far as they add anything to a sum of doubles.
struct Binomial {
    /// The value that the first probability belongs to.
    first: u64,
    probabilities: Vec<f64>,
}

/// Relative to the mode's; a sum of the many that are left out stays below the last digit of a double.
const NOTHING: f64 = 1e-22;

impl Binomial {
    /// Ratios of neighbours, p(i + 1) / p(i) = (n − i) / (i + 1) · q / (1 − q), from the mode in both directions, then made
    /// to add up to 1: exact without factorials, and no more than some tens of standard deviations long.
    fn new(n: u64, q: f64) -> Self {
        let odds = q / (1.0 - q);
        let mode = (((n + 1) as f64 * q) as u64).min(n);
        let mut below = Vec::new();
        let (mut i, mut weight) = (mode, 1.0);
        while i > 0 && weight > NOTHING {
            weight *= i as f64 / ((n - i + 1) as f64 * odds);
            below.push(weight);
            i -= 1;
        }
        let first = i;
        let mut probabilities: Vec<f64> = below.into_iter().rev().collect();
        probabilities.push(1.0);
        let (mut i, mut weight) = (mode, 1.0);
        while i < n && weight > NOTHING {
            weight *= (n - i) as f64 * odds / (i + 1) as f64;
            probabilities.push(weight);
            i += 1;
        }
        let total: f64 = probabilities.iter().sum();
        probabilities.iter_mut().for_each(|p| *p /= total);
        Self { first, probabilities }
    }

    /// The smallest k with P(B ≤ k) ≥ `confidence`. Summed from above, where the numbers are small.
    fn smallest_reaching(&self, confidence: f64) -> u64 {
        let mut above = 0.0;
        for (i, p) in self.probabilities.iter().enumerate().rev() {
            // P(B > i) is `above`; with p(i) it becomes P(B > i − 1).
            above += p;
            if above > 1.0 - confidence {
                return self.first + i as u64;
            }
        }
        self.first
    }

    /// How many of the values 0, 1, 2 … have P(B ≤ value) ≤ `probability`.
    fn values_within(&self, probability: f64) -> u64 {
        let mut below = 0.0;
        for (i, p) in self.probabilities.iter().enumerate() {
            below += p;
            if below > probability {
                return self.first + i as u64;
            }
        }
        self.first + self.probabilities.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::latency::samples_needed;

    /// P(B ≤ k) by enumeration of all 2ⁿ outcomes' classes: Pascal's triangle in whole numbers.
    fn cumulated(n: u32, q: f64, k: u64) -> f64 {
        let mut row = vec![1u128];
        for _ in 0..n {
            let inner = row.windows(2).map(|pair| pair[0] + pair[1]).collect::<Vec<_>>();
            row = [vec![1], inner, vec![1]].concat();
        }
        let term = |i: usize| row[i] as f64 * q.powi(i as i32) * (1.0 - q).powi((n as usize - i) as i32);
        (0..=k as usize).map(term).sum()
    }

    #[test]
    fn ranks_are_the_tightest_that_keep_the_confidence_by_exact_sums() {
        for n in 1..=110u32 {
            for q in [0.3, 0.5, 0.9, 0.95] {
                let upper = (1..=u64::from(n)).find(|u| cumulated(n, q, u - 1) >= CONFIDENCE);
                let lower = (1..=u64::from(n)).rev().find(|l| cumulated(n, q, l - 1) <= 1.0 - CONFIDENCE);
                let expected = lower.zip(upper).map(|(lower, upper)| Ranks { lower, upper });
                assert_eq!(ranks(n.into(), q), expected, "{n} samples, {q}");
            }
        }
    }

    #[test]
    fn ranks_of_a_coin_that_anybody_can_check() {
        // Of 10 samples the median lies below the second largest with 1013/1024 = 98.9 %, below the largest with 99.9 %.
        assert_eq!(ranks(10, 0.5), Some(Ranks { lower: 1, upper: 10 }));
        // Tables of the sign test: 100 samples, one-sided 1 %: at most 37.
        assert_eq!(ranks(100, 0.5), Some(Ranks { lower: 38, upper: 63 }));
    }

    #[test]
    fn bounds_exist_exactly_from_the_samples_that_earn_the_quantile() {
        for q in [0.5, 0.9, 0.99, 0.999] {
            let needed = samples_needed(q);
            assert_eq!(ranks(needed - 1, q), None);
            assert_eq!(ranks(needed, q).unwrap().upper, needed);
        }
        assert_eq!(ranks(0, 0.5), None);
    }

    #[test]
    fn many_samples_agree_with_the_normal_limit() {
        // u ≈ nq + z √(nq(1 − q)) with z = 2.3263 for 99 %; the next term of the expansion is of order 1.
        for (n, q) in [(1_000_000u64, 0.99), (50_000_000, 0.999), (10_000_000, 0.5)] {
            let (mean, deviation) = (n as f64 * q, (n as f64 * q * (1.0 - q)).sqrt());
            let found = ranks(n, q).unwrap();
            assert!((found.upper as f64 - mean - 2.3263 * deviation).abs() < 3.0, "{found:?}");
            assert!((found.lower as f64 - mean + 2.3263 * deviation).abs() < 3.0, "{found:?}");
        }
    }
}
