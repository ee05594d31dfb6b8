//! Batches that keep the rows of a list together: those of one request, or of one group where a log names no requests.

use super::dataset::Dataset;
use crate::base::{
    Error, Result,
    rng::{self, Generator},
};
use std::sync::Arc;

/// The rows of a split, list by list. Takes four bytes a row, and the keys of all rows while it is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lists {
    /// One list after the other.
    rows: Vec<u32>,
    /// Where each ends.
    ends: Vec<u32>,
    /// Of an epoch.
    batches: usize,
}

/// The rows of a batch, whole lists one after the other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listed {
    /// Rows of the data set.
    pub index: Vec<u32>,
    /// Where each list ends in `index`.
    pub ends: Vec<u32>,
}

impl Lists {
    /// The lists of `rows`, for batches of about `batch_size` rows.
    ///
    /// A list of more than `longest` rows, or than a batch has, is dealt in turn to as few lists as that takes, so that each of them is a
    /// sample of it. Fails where the data name neither requests nor groups, or no two rows share one.
    pub fn of(data: &Dataset, rows: &[u32], longest: usize, batch_size: usize) -> Result<Self> {
        let keys = keys(data)?;
        let batches = rows.len().div_ceil(batch_size.max(1)).max(1);
        let longest = longest.min(rows.len() / batches).max(1);
        let mut sorted = rows.to_vec();
        sorted.sort_by_key(|&row| (keys[row as usize], row));
        let mut lists = Self { rows: Vec::with_capacity(rows.len()), ends: Vec::new(), batches };
        for list in sorted.chunk_by(|&a, &b| keys[a as usize] == keys[b as usize]) {
            let pieces = list.len().div_ceil(longest);
            for piece in 0..pieces {
                lists.rows.extend(list.iter().skip(piece).step_by(pieces));
                lists.ends.push(lists.rows.len() as u32);
            }
        }
        if !rows.is_empty() && lists.ends.len() == rows.len() {
            return Err(Error::usage(
                "every list holds a single row, so there is no order within lists to learn",
                "name the column that joins the rows of a request as `request` in [data] of the schema, or take the pointwise loss",
            ));
        }
        Ok(lists)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.ends.len()
    }

    /// All lists in an order of `seed` and `epoch`, in as many batches as [`super::batches::epoch_batches`] makes of their rows. A list
    /// belongs to the batch that its first row would be in if batches were of equal size, so that a batch has a list more or
    /// less, and none is empty.
    pub fn epoch(self: &Arc<Self>, seed: u64, epoch: usize) -> ListBatches {
        let mut rng: Generator = rng::generator(seed, &format!("lists of epoch {epoch}"));
        let mut order: Vec<u32> = (0..self.ends.len() as u32).collect();
        rng::shuffle(&mut order, &mut rng);
        ListBatches { lists: Arc::clone(self), order, next: 0, passed: 0, batch: 0 }
    }

    fn list(&self, list: u32) -> &[u32] {
        let start = if list == 0 { 0 } else { self.ends[list as usize - 1] };
        &self.rows[start as usize..self.ends[list as usize] as usize]
    }
}

/// See [`Lists::epoch`].
#[derive(Debug)]
pub struct ListBatches {
    lists: Arc<Lists>,
    order: Vec<u32>,
    /// The next list, in the order.
    next: usize,
    /// Rows before it.
    passed: usize,
    /// Batches so far.
    batch: usize,
}

impl Iterator for ListBatches {
    type Item = Listed;

    fn next(&mut self) -> Option<Listed> {
        let rows = self.lists.rows.len();
        let mut listed = Listed::default();
        while let Some(&list) = self.order.get(self.next) {
            if self.passed as u128 * self.lists.batches as u128 / rows as u128 > self.batch as u128 {
                break;
            }
            listed.index.extend_from_slice(self.lists.list(list));
            listed.ends.push(listed.index.len() as u32);
            self.passed += self.lists.list(list).len();
            self.next += 1;
        }
        self.batch += 1;
        (!listed.ends.is_empty()).then_some(listed)
    }
}

/// Which list every row of the data belongs to: its request, or its group where the schema names no request. An error where it
/// names neither.
pub fn keys(data: &Dataset) -> Result<&[u64]> {
    data.requests.as_deref().or(data.groups.as_deref()).ok_or_else(|| {
        Error::usage(
            "the data have no lists: the schema names neither the request nor the group of a row",
            "name their column as `request` or `group` in [data] of the schema, or take the pointwise loss without unseen candidates",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row i belongs to request i % 7 of the first 50 and to one long list after that.
    fn data() -> Dataset {
        let keys: Vec<u64> = (0..120).map(|row| if row < 50 { row % 7 } else { 99 }).collect();
        Dataset { labels: vec![0.0; 120].into(), requests: Some(keys.into()), ..Dataset::default() }
    }

    fn lists(longest: usize, batch_size: usize) -> Arc<Lists> {
        let rows: Vec<u32> = (0..120).collect();
        Arc::new(Lists::of(&data(), &rows, longest, batch_size).unwrap())
    }

    #[test]
    fn an_epoch_visits_every_row_once_in_whole_lists() {
        let data = data();
        let keys = data.requests.unwrap();
        for (longest, batch_size) in [(16, 25), (16, 120), (100, 64), (3, 7), (1000, 1000)] {
            let lists = lists(longest, batch_size);
            let batches: Vec<Listed> = lists.epoch(1, 1).collect();
            assert_eq!(batches.len(), 120usize.div_ceil(batch_size), "as many as of single rows");
            let mut seen = Vec::new();
            for Listed { index, ends } in &batches {
                assert_eq!(*ends.last().unwrap() as usize, index.len());
                assert!(!index.is_empty() && index.len() <= batch_size + longest, "{} rows", index.len());
                let mut start = 0;
                for &end in ends {
                    let list = &index[start..end as usize];
                    assert!(list.len() <= longest && list.windows(2).all(|w| w[0] < w[1]));
                    assert!(list.iter().all(|&row| keys[row as usize] == keys[list[0] as usize]));
                    start = end as usize;
                }
                seen.extend_from_slice(index);
            }
            seen.sort_unstable();
            assert_eq!(seen, (0..120).collect::<Vec<u32>>());
        }
    }

    #[test]
    fn only_lists_that_are_too_long_are_cut_into_as_few_samples_as_that_takes() {
        // Requests of 7 or 8 rows, and 70 rows that are dealt to five lists of 14.
        let lists = lists(16, 60);
        assert_eq!(lists.count(), 7 + 5);
        assert_eq!(lists.list(7), (0..14).map(|i| 50 + 5 * i).collect::<Vec<u32>>());
        assert_eq!(lists.list(0), [0, 7, 14, 21, 28, 35, 42, 49]);
    }

    #[test]
    fn the_order_repeats_by_seed_and_epoch() {
        let lists = lists(16, 25);
        let epoch = |seed, epoch| lists.epoch(seed, epoch).collect::<Vec<_>>();
        assert_eq!(epoch(1, 3), epoch(1, 3));
        assert_ne!(epoch(1, 3), epoch(1, 4));
        assert_ne!(epoch(1, 3), epoch(2, 3));
    }

    #[test]
    fn groups_stand_in_for_requests_and_data_without_either_or_of_single_rows_are_refused() {
        let grouped = Dataset { requests: None, groups: data().requests, ..data() };
        let rows: Vec<u32> = (0..120).collect();
        assert_eq!(Lists::of(&grouped, &rows, 16, 60).unwrap(), *lists(16, 60));
        let neither = Dataset { requests: None, ..data() };
        let text = Lists::of(&neither, &rows, 16, 60).unwrap_err().to_string();
        assert!(text.contains("neither the request nor the group") && text.contains("`request`"), "{text}");
        let text = Lists::of(&data(), &[0, 1, 2], 16, 60).unwrap_err().to_string();
        assert!(text.contains("a single row") && text.contains("pointwise"), "{text}");
    }
}
