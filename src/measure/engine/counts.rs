//! Candidate counts that are known before a session is made, and the buckets that they fall into: of each a session may make a
//! plan, and each is met once before a clock starts.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The candidate counts of the requests to come, as far as they are known.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CandidateCounts {
    /// Every count once, ascending; none where nothing is known.
    pub distinct: Vec<usize>,
    /// That of the middle request; 0 where nothing is known.
    pub median: usize,
}

/// Up to so many different counts get a plan each, without any padding.
const EXACT: usize = 8;
/// Counts up to here share a bucket: what a run costs without its candidates outweighs them.
const SMALLEST: usize = 16;

impl CandidateCounts {
    /// Nothing is known.
    pub const UNKNOWN: Self = Self { distinct: Vec::new(), median: 0 };

    /// All requests have this one.
    pub fn one(count: usize) -> Self {
        Self { distinct: vec![count], median: count }
    }

    /// One count per request.
    pub fn of(counts: impl IntoIterator<Item = usize>) -> Self {
        // Counted and not kept: a trace may have millions of requests, but not of different counts.
        let mut requests: BTreeMap<usize, u64> = BTreeMap::new();
        counts.into_iter().for_each(|count| *requests.entry(count).or_default() += 1);
        let middle = requests.values().sum::<u64>() / 2;
        let mut passed = 0;
        let median = requests.iter().find(|(_, share)| {
            passed += **share;
            passed > middle
        });
        Self { median: median.map_or(0, |(count, _)| *count), distinct: requests.into_keys().collect() }
    }

    /// The smallest count and the largest.
    pub fn range(&self) -> Option<(usize, usize)> {
        Some((*self.distinct.first()?, *self.distinct.last()?))
    }

    /// Candidate counts to make plans for, ascending: every count there is, where these are few. Otherwise the next of
    /// four steps per power of two (16, 20, 24, 28, 32, 40, …), so that a request is padded by less than a quarter and
    /// thousands of counts need a few dozen plans; the largest bucket is the largest count.
    pub fn buckets(&self) -> Vec<usize> {
        if self.distinct.len() <= EXACT {
            return self.distinct.clone();
        }
        let largest = self.distinct.last().copied().unwrap_or(0);
        let mut buckets: Vec<usize> = self.distinct.iter().map(|&count| step(count).min(largest)).collect();
        buckets.dedup();
        buckets
    }
}

/// The place of the bucket that serves a request, of buckets whose largest counts (`end`) ascend: the smallest that holds it,
/// unless a plan for any count would do with much less padding, as for a small request when one large count was known. Every
/// count that the buckets were made of has one.
pub fn bucket_of<B>(buckets: &[B], end: impl Fn(&B) -> usize, candidates: usize) -> Option<usize> {
    let at = buckets.partition_point(|bucket| end(bucket) < candidates);
    let end = end(buckets.get(at)?);
    (end == candidates || end <= step(candidates)).then_some(at)
}

/// The next of four steps per power of two, from [`SMALLEST`] on.
fn step(count: usize) -> usize {
    if count <= SMALLEST {
        return SMALLEST;
    }
    let power = 1usize << count.ilog2();
    let quarter = power / 4;
    power + (count - power).div_ceil(quarter) * quarter
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_four_per_power_of_two() {
        let steps: Vec<_> = [1, 16, 17, 20, 21, 28, 29, 32, 33, 1000, 1024, 1025].map(step).into();
        assert_eq!(steps, [16, 16, 20, 20, 24, 28, 32, 32, 40, 1024, 1024, 1280]);
        for count in 16..5000 {
            let step = step(count);
            assert!(step >= count && step * 4 < count * 5 + 4, "{count} is padded to {step}");
        }
    }

    #[test]
    fn few_counts_are_their_own_buckets_and_many_share_them_up_to_the_largest() {
        assert_eq!(CandidateCounts::of([300, 100, 300, 1000]).buckets(), [100, 300, 1000]);
        assert_eq!(CandidateCounts::one(7).buckets(), [7]);
        assert!(CandidateCounts::UNKNOWN.buckets().is_empty());
        let many = CandidateCounts::of(1..=30);
        assert_eq!(many.buckets(), [16, 20, 24, 28, 30]);
        assert!(CandidateCounts::of(1..3000).buckets().len() < 40);
    }

    #[test]
    fn a_request_goes_to_the_next_bucket_unless_that_is_far_larger() {
        let place = |n| bucket_of(&[20, 100, 1000], |end| *end, n);
        let places = [1, 16, 17, 20, 21, 80, 81, 100, 101, 999, 1000, 1001].map(place);
        let (a, b, c) = (Some(0), Some(1), Some(2));
        // 16 would be padded by a quarter at most; 20, 112 and 1,024 are the next steps of 17, 100 and 999.
        assert_eq!(places, [None, None, a, a, None, None, None, b, None, c, c, None]);
    }

    #[test]
    fn every_count_that_buckets_were_made_of_has_one() {
        for counts in [vec![3, 500, 70_000], (1..3000).step_by(7).collect()] {
            let buckets = CandidateCounts::of(counts.iter().copied()).buckets();
            assert!(counts.iter().all(|&count| bucket_of(&buckets, |end| *end, count).is_some()));
        }
    }

    #[test]
    fn the_median_is_that_of_the_requests_and_not_of_the_counts() {
        let counts = CandidateCounts::of([1, 2, 9, 9, 9]);
        assert_eq!((counts.median, counts.range()), (9, Some((1, 9))));
        assert_eq!(CandidateCounts::of([]), CandidateCounts::UNKNOWN);
    }
}
