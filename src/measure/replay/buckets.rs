//! Requests by their number of candidates: what an engine has to meet once before it is timed, since it may make a plan,
//! choose kernels or grow buffers by it.

use super::Workload;
use std::collections::{BTreeMap, BTreeSet};

/// So many different numbers of candidates are a bucket each; where there are more, buckets end at powers of two.
const FEW: usize = 8;

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

/// The buckets of a workload, in ascending order, with at most `keep` requests of each.
pub fn of(workload: &dyn Workload, keep: usize) -> Vec<Bucket> {
    let counts = || (0..workload.requests()).map(|request| workload.candidates(request));
    let mut distinct = BTreeSet::new();
    let few = counts().all(|count| {
        distinct.insert(count);
        distinct.len() <= FEW
    });
    let mut buckets: BTreeMap<usize, Bucket> = BTreeMap::new();
    for (request, count) in counts().enumerate() {
        let candidates = if few { count } else { count.next_power_of_two() };
        let bucket = buckets.entry(candidates).or_insert_with(|| Bucket {
            candidates,
            largest: request,
            first: Vec::new(),
        });
        if bucket.first.len() < keep {
            bucket.first.push(request);
        }
        if count > workload.candidates(bucket.largest) {
            bucket.largest = request;
        }
    }
    buckets.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{base::Result, measure::engine::Inputs};

    struct Counts(Vec<usize>);

    impl Workload for Counts {
        fn requests(&self) -> usize {
            self.0.len()
        }
        fn candidates(&self, request: usize) -> usize {
            self.0[request]
        }
        fn inputs(&self) -> Inputs {
            Inputs::default()
        }
        fn prepare(&self, _: usize, _: &mut Inputs) -> Result<()> {
            Ok(())
        }
    }

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
    fn many_fall_into_powers_of_two_and_the_largest_of_each_is_known() {
        // 1 | 2 | 3 4 | 5 6 7 8 | 9, one request each in descending order.
        let found = of(&Counts((1..=9).rev().collect()), 2);
        let expected = [
            bucket(1, 8, &[8]),
            bucket(2, 7, &[7]),
            bucket(4, 5, &[5, 6]),
            bucket(8, 1, &[1, 2]),
            bucket(16, 0, &[0]),
        ];
        assert_eq!(found, expected);
    }
}
