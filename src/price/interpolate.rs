//! Prices at candidate counts that were not probed.
//!
//! A service time grows nearly in proportion to the number of candidates, but not quite: small requests pay for the call, large
//! ones leave the caches. So prices between two probed counts lie on the line between theirs. How far that may be off
//! is known from the counts that have one on either side: leave them out, interpolate, compare. Of the two ends of a gap, the one
//! that tells better counts. A gap has no prices where neither end tells anything, or the better one tells of more than
//! 10 %; neither has what lies outside.

use super::{
    resolved::TablePrices,
    table::{Bucket, LatencyTable, TableContext},
};
use crate::base::{Error, Result};

/// No prices are read off a line that is known to miss by more than this on the average, in percent.
const MAX_ERROR_PCT: f64 = 10.0;

/// How well the two neighbours of a probed candidate count would have stood for it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LeftOut {
    /// The count that is left out.
    pub candidates: usize,
    /// Probed layers that all three hold.
    pub layers: usize,
    /// Mean |error| over them, in percent.
    pub mape_pct: f64,
    /// The largest |error|, in percent.
    pub worst_pct: f64,
}

/// One line per probed candidate count that has neighbours on both sides, ascending.
pub fn left_out(table: &LatencyTable, context: &TableContext) -> Vec<LeftOut> {
    let buckets: Vec<&Bucket> = of(table, context);
    buckets.windows(3).filter_map(|three| leave_out(three[0], three[1], three[2])).collect()
}

fn of<'a>(table: &'a LatencyTable, context: &TableContext) -> Vec<&'a Bucket> {
    table.buckets.iter().filter(|bucket| bucket.context == *context).collect()
}

fn leave_out(low: &Bucket, middle: &Bucket, high: &Bucket) -> Option<LeftOut> {
    let value = |bucket: &Bucket, operation| {
        let at = bucket.entries.binary_search_by_key(&operation, |entry| entry.operation).ok()?;
        Some(bucket.entries[at].mean_ms)
    };
    let share = share(low.candidates, high.candidates, middle.candidates);
    let errors: Vec<f64> = middle
        .entries
        .iter()
        .filter_map(|entry| {
            let line = (1.0 - share) * value(low, entry.operation)? + share * value(high, entry.operation)?;
            (entry.mean_ms > 0.0).then(|| 100.0 * (line / entry.mean_ms - 1.0).abs())
        })
        .collect();
    (!errors.is_empty()).then(|| LeftOut {
        candidates: middle.candidates,
        layers: errors.len(),
        mape_pct: errors.iter().sum::<f64>() / errors.len() as f64,
        worst_pct: errors.iter().fold(0.0, |most, error| most.max(*error)),
    })
}

/// How far on the way from `low` to `high` a count lies.
fn share(low: usize, high: usize, candidates: usize) -> f64 {
    (candidates as f64 - low as f64) / (high as f64 - low as f64)
}

impl LatencyTable {
    /// The prices under these circumstances, with this version's correction applied: those that were probed at
    /// `candidates`, or the line between its two probed neighbours where the error of that is known and small.
    ///
    /// Fails with the command to run when the table has none.
    pub fn prices(&self, context: &TableContext, candidates: usize) -> Result<TablePrices> {
        self.expected_prices(context, &[(candidates, 1.0)])
    }

    /// Expected prices over requests of different numbers of candidates: `counts` holds each number with its weight, such
    /// as how often it comes in a trace. Σ p_n·T_n for every layer, so that what a network costs at these prices is what it
    /// costs in the mean.
    ///
    /// Fails as [`LatencyTable::prices`] does when any of the counts has no prices, and without counts.
    pub fn expected_prices(&self, context: &TableContext, counts: &[(usize, f64)]) -> Result<TablePrices> {
        let total: f64 = counts.iter().map(|(_, weight)| weight).sum();
        if !total.is_finite() || total <= 0.0 || counts.iter().any(|(_, weight)| *weight < 0.0) {
            return Err(Error::usage(
                "an expectation over candidate counts needs counts with weights that are not negative",
                "give a trace that has requests",
            ));
        }
        let mut parts: Vec<(&Bucket, f64)> = Vec::new();
        for &(candidates, weight) in counts.iter().filter(|(_, weight)| *weight > 0.0) {
            for (bucket, share) in self.between(context, candidates)? {
                let part = share * weight / total;
                match parts.iter_mut().find(|(known, _)| known.candidates == bucket.candidates) {
                    Some((_, sum)) => *sum += part,
                    None => parts.push((bucket, part)),
                }
            }
        }
        parts.sort_by_key(|(bucket, _)| bucket.candidates);
        Ok(TablePrices::mixed(context, &parts))
    }

    /// The buckets that [`LatencyTable::prices`] reads its values from.
    pub fn priced_from(&self, context: &TableContext, candidates: usize) -> Result<Vec<&Bucket>> {
        Ok(self.between(context, candidates)?.into_iter().map(|(bucket, _)| bucket).collect())
    }

    /// The bucket of a candidate count, or its two neighbours with their shares.
    fn between(&self, context: &TableContext, candidates: usize) -> Result<Vec<(&Bucket, f64)>> {
        let buckets = of(self, context);
        let high = buckets.partition_point(|bucket| bucket.candidates < candidates);
        let exact = buckets.get(high).is_some_and(|bucket| bucket.candidates == candidates);
        if exact || high == 0 || high == buckets.len() {
            return Ok(vec![(self.bucket(context, candidates)?, 1.0)]);
        }
        let (low, high) = (buckets[high - 1], buckets[high]);
        let ends = [low.candidates, high.candidates];
        let known = left_out(self, context).into_iter().filter(|left| ends.contains(&left.candidates));
        let least = known.map(|left| left.mape_pct).min_by(f64::total_cmp);
        let problem = match least {
            Some(error) if error <= MAX_ERROR_PCT => {
                let share = share(low.candidates, high.candidates, candidates);
                return Ok(vec![(low, 1.0 - share), (high, share)]);
            }
            Some(error) => format!("the line between them is known to be {error:.0} % off"),
            None => "how far the line between them is off would show with three counts or more".to_owned(),
        };
        let [low, high] = ends;
        Err(Error::MissingPrice {
            key: format!("{context} at {candidates} candidates (it has {low} and {high}, and {problem})"),
            fix: context.probe_command(candidates),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        price::{
            LayerPrices,
            fixtures::{context, entry},
            path::path_ms,
            table::Operation,
        },
        space::InputWidths,
    };

    const INPUT: InputWidths = InputWidths { user: 4.0, item: 12.0 };

    /// Two layers whose price at n candidates is `at`(n) times 1 and 2.
    fn table(counts: &[usize], at: impl Fn(f64) -> f64) -> LatencyTable {
        let mut table = LatencyTable::new("test");
        let mut insert = |candidates: usize, operation, factor: f64| {
            let mean_ms = factor * at(candidates as f64);
            table.insert(&context(), candidates, entry(operation, 9, mean_ms)).unwrap();
        };
        for &candidates in counts {
            for (user, item) in [(0, 8), (0, 16), (8, 8), (8, 16)] {
                insert(candidates, Operation::First { user, item, to: 4 }, 1.0);
            }
            insert(candidates, Operation::Layer { from: 4, to: 1 }, 2.0);
        }
        table
    }

    fn priced(table: &LatencyTable, candidates: usize) -> Result<f64> {
        path_ms(&[4], INPUT, &table.prices(&context(), candidates)?)
    }

    #[test]
    fn a_cost_that_is_linear_in_the_candidates_is_exact_between_probed_counts() {
        let table = table(&[100, 300, 1000], |n| 0.01 + 0.002 * n);
        for n in [100, 150, 300, 640, 1000] {
            let expected = 3.0 * (0.01 + 0.002 * n as f64);
            assert!((priced(&table, n).unwrap() - expected).abs() < 1e-12, "{n}");
        }
        for left in left_out(&table, &context()) {
            assert_eq!((left.candidates, left.layers), (300, 5));
            assert!(left.mape_pct < 1e-9 && left.worst_pct < 1e-9);
        }
    }

    #[test]
    fn nothing_is_priced_outside_and_the_command_names_the_count() {
        let table = table(&[100, 300, 1000], |n| n);
        for n in [99, 1001] {
            let text = priced(&table, n).unwrap_err().to_string();
            assert!(text.contains(&format!("--candidates {n}")), "{text}");
        }
    }

    #[test]
    fn a_gap_whose_error_is_unknown_or_large_is_refused() {
        let unknown = table(&[100, 1000], |n| n);
        let text = priced(&unknown, 500).unwrap_err().to_string();
        assert!(text.contains("three counts") && text.contains("--candidates 500"), "{text}");
        // n² on the line from 1 to 9 at 2: 5 − 3·1/... is 25 % off.
        let curved = table(&[1, 2, 3], |n| n * n);
        let left = left_out(&curved, &context());
        assert!((left[0].mape_pct - 25.0).abs() < 1e-9, "{left:?}");
        let curved = self::table(&[100, 200, 300], |n| n * n);
        let text = priced(&curved, 150).unwrap_err().to_string();
        assert!(text.contains("25 % off") && text.contains("--candidates 150"), "{text}");
        assert!(priced(&curved, 200).is_ok());
    }

    #[test]
    fn expected_prices_weigh_every_count_as_often_as_it_comes() {
        let table = table(&[100, 300, 1000], |n| 0.01 + 0.002 * n + 1e-8 * n * n);
        let counts = [(100, 3.0), (200, 1.0), (1000, 4.0)];
        let prices = table.expected_prices(&context(), &counts).unwrap();
        let expected =
            counts.iter().map(|&(n, weight)| weight * priced(&table, n).unwrap()).sum::<f64>() / 8.0;
        assert!((path_ms(&[4], INPUT, &prices).unwrap() - expected).abs() < 1e-12);
        let slope = |at: f64| prices.first_ms(InputWidths { user: 4.0, item: at }, 4).unwrap();
        assert!((slope(12.0).d_item - (slope(13.0).ms - slope(12.0).ms)).abs() < 1e-9);
        assert!(table.expected_prices(&context(), &[]).is_err());
        assert!(table.expected_prices(&context(), &[(100, 1.0), (5000, 1.0)]).is_err());
    }
}
