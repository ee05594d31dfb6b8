//! How several processes divide a batch: contiguous shares in the order of the ranks, larger ones first.

use super::{
    dataset::{Batch, Dataset},
    lists::Listed,
};
use std::ops::Range;

/// One of several processes that train together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Which one, from 0.
    pub rank: usize,
    /// How many there are.
    pub size: usize,
}

impl Place {
    /// The only process.
    pub const ALONE: Self = Self { rank: 0, size: 1 };

    /// The share of `count` things that falls to this rank. Shares differ by one at most; a rank may get nothing, but
    /// never rank 0 while there is anything.
    pub fn share(self, count: usize) -> Range<usize> {
        let (each, more) = (count / self.size, count % self.size);
        let start = self.rank * each + self.rank.min(more);
        start..start + each + usize::from(self.rank < more)
    }
}

/// What the rows of a shard are of the batch that all ranks train on together.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// Rows of the batch before the shard.
    pub first_row: usize,
    /// Rows of the whole batch.
    pub rows: usize,
    /// What a sum over rows is divided by: the rows of the whole batch.
    pub row_total: f64,
    /// What a weighted sum is divided by: Σw of the whole batch.
    pub weight_total: f64,
    /// What a sum over lists is divided by: the lists of the whole batch.
    pub list_total: f64,
    /// Rows of each partition before the shard.
    pub before: Vec<usize>,
    /// Rows of each partition in the whole batch.
    pub of_partition: Vec<usize>,
}

impl Batch {
    /// The share of the rows of `index` that falls to `place`, which knows what it is a part of.
    ///
    /// Where the rows do not suffice for all ranks, the others get the first row with infinite totals: it takes part in
    /// everything and counts nothing, so that every rank goes the same way.
    pub fn shard(data: &Dataset, index: &[u32], place: Place) -> Self {
        if place.size == 1 {
            return Self::of(data, index);
        }
        Self::part_of(data, index, place.share(index.len()), 0)
    }

    /// [`Batch::shard`] of a batch of whole lists, of which `place` gets whole ones.
    pub fn shard_of_lists(data: &Dataset, listed: &Listed, place: Place) -> Self {
        let Listed { index, ends } = listed;
        if place.size == 1 {
            return Self { lists: ends.clone(), ..Self::of(data, index) };
        }
        let share = place.share(ends.len());
        let begin_of = |list: usize| if list == 0 { 0 } else { ends[list - 1] as usize };
        let rows = begin_of(share.start)..begin_of(share.end);
        let lists = match share.is_empty() {
            true => vec![index.len().min(1) as u32],
            false => ends[share].iter().map(|&end| end - rows.start as u32).collect(),
        };
        Self { lists, ..Self::part_of(data, index, rows, ends.len()) }
    }

    /// The rows of `index` at `share`, with what they are a part of.
    fn part_of(data: &Dataset, index: &[u32], mut share: Range<usize>, lists: usize) -> Self {
        let mut part = Part {
            first_row: share.start,
            rows: index.len(),
            row_total: index.len() as f64,
            // Where nothing weighs anything, the loss is 0.
            weight_total: index
                .iter()
                .map(|&row| f64::from(data.weights[row as usize]))
                .sum::<f64>()
                .max(f64::from(f32::MIN_POSITIVE)),
            list_total: lists as f64,
            before: count_partitions(data, &index[..share.start]),
            of_partition: count_partitions(data, index),
        };
        if share.is_empty() {
            share = 0..index.len().min(1);
            part.first_row = 0;
            part.before.fill(0);
            (part.row_total, part.weight_total, part.list_total) =
                (f64::INFINITY, f64::INFINITY, f64::INFINITY);
        }
        Self { part: Some(part), ..Self::of(data, &index[share]) }
    }
}

fn count_partitions(data: &Dataset, index: &[u32]) -> Vec<usize> {
    let mut counts = vec![0; data.partition_count as usize];
    for &row in index {
        counts[data.partitions[row as usize] as usize] += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(rows: usize) -> Dataset {
        let mut data = Dataset { partition_count: 3, ..Dataset::default() };
        data.labels = vec![0.0; rows].into();
        data.weights = (0..rows).map(|row| row as f32 + 0.5).collect();
        data.partitions = (0..rows as u32).map(|row| row % 3).collect();
        data
    }

    fn shards(rows: usize, size: usize) -> Vec<Batch> {
        let data = data(rows);
        let index: Vec<u32> = (0..rows as u32).rev().collect();
        (0..size).map(|rank| Batch::shard(&data, &index, Place { rank, size })).collect()
    }

    #[test]
    fn the_shards_are_the_batch_in_order() {
        for (rows, size) in [(10, 3), (8, 4), (7, 7), (9, 2)] {
            let all: Vec<u32> = shards(rows, size).iter().flat_map(|shard| shard.index.clone()).collect();
            assert_eq!(all, (0..rows as u32).rev().collect::<Vec<_>>(), "{rows} rows, {size} ranks");
        }
    }

    #[test]
    fn a_shard_knows_what_it_is_a_part_of() {
        let shards = shards(7, 3);
        let firsts: Vec<usize> = shards.iter().map(|shard| shard.part.as_ref().unwrap().first_row).collect();
        assert_eq!(firsts, [0, 3, 5]);
        for shard in &shards {
            let part = shard.part.as_ref().unwrap();
            assert_eq!((part.rows, part.row_total, part.weight_total), (7, 7.0, 24.5));
            assert_eq!(part.of_partition, [3, 2, 2]);
        }
        // The rows are 6, 5, 4 and then 3, 2: partitions 0, 2, 1 and 0, 2.
        assert_eq!(shards[1].part.as_ref().unwrap().before, [1, 1, 1]);
        assert_eq!(shards[2].part.as_ref().unwrap().before, [2, 1, 2]);
    }

    #[test]
    fn a_rank_without_rows_gets_one_that_counts_nothing() {
        let shards = shards(2, 4);
        assert_eq!(shards.iter().map(Batch::rows).collect::<Vec<_>>(), [1; 4]);
        let totals: Vec<f64> = shards.iter().map(|shard| shard.part.as_ref().unwrap().row_total).collect();
        assert_eq!(totals, [2.0, 2.0, f64::INFINITY, f64::INFINITY]);
    }

    #[test]
    fn shards_of_lists_are_whole_lists_in_order() {
        let data = data(9);
        let listed = Listed { index: vec![8, 1, 4, 2, 7, 0], ends: vec![3, 4, 6] };
        for size in [1, 2, 3, 5] {
            let shards: Vec<Batch> =
                (0..size).map(|rank| Batch::shard_of_lists(&data, &listed, Place { rank, size })).collect();
            let (counting, idle): (Vec<&Batch>, Vec<&Batch>) = shards
                .iter()
                .partition(|shard| shard.part.as_ref().is_none_or(|part| part.list_total == 3.0));
            assert_eq!((counting.len(), idle.len()), (size.min(3), size - size.min(3)));
            assert_eq!(
                counting.iter().flat_map(|shard| shard.index.clone()).collect::<Vec<_>>(),
                listed.index
            );
            let lengths = counting.iter().flat_map(|shard| {
                let starts = std::iter::once(0).chain(shard.lists.iter().copied());
                starts.zip(&shard.lists).map(|(start, end)| end - start).collect::<Vec<_>>()
            });
            assert_eq!(lengths.collect::<Vec<_>>(), [3, 1, 2], "{size} ranks");
            for shard in idle {
                assert_eq!((&shard.index[..], &shard.lists[..]), (&[8][..], &[1][..]));
            }
        }
    }

    #[test]
    fn a_single_process_gets_the_batch_itself() {
        assert_eq!(shards(5, 1)[0].part, None);
    }
}
