//! Requests by their number of candidates: what an engine has to meet once before it is timed, since it may make a plan,
//! choose kernels or grow buffers by it.

use super::Workload;
use crate::measure::engine::{CandidateCounts, bucket_of};

/// Requests whose numbers of candidates are alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// The most candidates that a request of it may have.
    pub candidates: usize,
    /// The request with the most candidates.
    pub largest: usize,
    /// Its first requests.
    pub first: Vec<usize>,
}

/// The buckets of a workload, in ascending order, with at most `keep` requests of each: those that an engine may have plans for.
pub fn of(workload: &dyn Workload, keep: usize) -> Vec<Bucket> {
    let counts = || (0..workload.requests()).map(|request| workload.candidates(request));
    let empty = |candidates| Bucket { candidates, largest: 0, first: Vec::new() };
    let mut buckets: Vec<Bucket> = CandidateCounts::of(counts()).buckets().into_iter().map(empty).collect();
    let mut largest = vec![None; buckets.len()];
    for (request, count) in counts().enumerate() {
        let Some(at) = bucket_of(&buckets, |bucket| bucket.candidates, count) else { continue };
        let bucket = &mut buckets[at];
        if bucket.first.len() < keep {
            bucket.first.push(request);
        }
        if largest[at].is_none_or(|known| count > known) {
            (bucket.largest, largest[at]) = (request, Some(count));
        }
    }
    buckets
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::replay::examples::Counts;

    fn bucket(candidates: usize, largest: usize, first: &[usize]) -> Bucket {
        Bucket { candidates, largest, first: first.to_vec() }
    }

    #[test]
    fn few_numbers_of_candidates_are_a_bucket_each() {
        let found = of(&Counts(vec![100, 50, 100, 100, 50, 7]), 2);
        assert_eq!(found, [bucket(7, 5, &[5]), bucket(50, 1, &[1, 4]), bucket(100, 0, &[0, 2])]);
        let eight = of(&Counts((1..=8).collect()), 1);
        assert_eq!(eight.len(), 8);
    }

    #[test]
    fn many_share_the_buckets_of_plans_and_the_largest_of_each_is_known() {
        // Up to 16 | 17 to 20 | 21 to 22, one request each in descending order.
        let found = of(&Counts((14..=22).rev().collect()), 2);
        let expected = [bucket(16, 6, &[6, 7]), bucket(20, 2, &[2, 3]), bucket(22, 0, &[0, 1])];
        assert_eq!(found, expected);
    }
}
