//! The distinct ones of any number of values, in ascending order and in little memory: sorted runs are put aside in a temporary
//! file and merged at the end.

use super::{column::Column, growing::Growing};
use crate::base::Result;
use bytemuck::Pod;
use std::{cmp::Reverse, collections::BinaryHeap};

/// Memory of the run that is being collected.
const RUN_BYTES: usize = 1 << 18;

/// Values that are being collected.
#[derive(Debug)]
pub struct Distinct<T> {
    run: Vec<T>,
    runs: Growing<T>,
    ends: Vec<usize>,
}

impl<T> Default for Distinct<T> {
    fn default() -> Self {
        Self { run: Vec::new(), runs: Growing::default(), ends: Vec::new() }
    }
}

impl<T: Pod + Ord> Distinct<T> {
    const RUN: usize = RUN_BYTES / size_of::<T>();

    /// Takes one more.
    pub fn push(&mut self, value: T) -> Result<()> {
        if self.run.len() == Self::RUN {
            self.tidy();
            // Few distinct values never leave the memory.
            if self.run.len() > Self::RUN / 2 {
                self.put_aside()?;
            }
        }
        self.run.push(value);
        Ok(())
    }

    /// All of them, each once.
    pub fn ascending(mut self) -> Result<Ascending<T>> {
        self.tidy();
        self.put_aside()?;
        let values = self.runs.finish()?;
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        let heads = begins.zip(&self.ends).filter(|(begin, end)| begin < end);
        let heads = heads.map(|(begin, &end)| Reverse((values[begin], begin, end))).collect();
        Ok(Ascending { values, heads, last: None })
    }

    fn tidy(&mut self) {
        self.run.sort_unstable();
        self.run.dedup();
    }

    fn put_aside(&mut self) -> Result<()> {
        self.runs.extend(&self.run)?;
        self.ends.push(self.runs.len());
        self.run.clear();
        Ok(())
    }
}

/// The merged runs.
#[derive(Debug)]
pub struct Ascending<T> {
    values: Column<T>,
    /// The next value of every run, where it stands, and where its run ends.
    heads: BinaryHeap<Reverse<(T, usize, usize)>>,
    last: Option<T>,
}

impl<T: Pod + Ord> Iterator for Ascending<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        while let Some(Reverse((value, at, end))) = self.heads.pop() {
            if at + 1 < end {
                self.heads.push(Reverse((self.values[at + 1], at + 1, end)));
            }
            if self.last.replace(value) != Some(value) {
                return Some(value);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_once_and_in_order_within_a_run_and_over_many() {
        for count in [0, 10, 5 * Distinct::<u64>::RUN as u64] {
            let mut distinct = Distinct::default();
            // Every residue twice, far from each other and out of order.
            for i in (0..count).chain(0..count) {
                distinct.push(i * 7919 % count * 3).unwrap();
            }
            assert!(distinct.run.len() <= Distinct::<u64>::RUN);
            let expected = (0..count).map(|i| i * 3);
            assert!(distinct.ascending().unwrap().eq(expected), "{count} values");
        }
    }

    #[test]
    fn few_values_that_come_often_are_never_put_aside() {
        let mut distinct = Distinct::default();
        for i in 0..4 * Distinct::<u64>::RUN as u64 {
            distinct.push(i % 100).unwrap();
        }
        assert!(distinct.ends.is_empty());
        assert_eq!(distinct.ascending().unwrap().count(), 100);
    }
}
