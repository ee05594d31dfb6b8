//! The order in which rows are trained on, and making batches ahead of their use.
//!
//! Rows are shuffled in windows, so that a set on the disk is read nearly in order: the rows are cut into blocks of
//! neighbours, the blocks are shuffled, and the rows of some hundred blocks at a time are shuffled among each other. A
//! set of one window, up to 262,144 rows, is shuffled as a whole.

use crate::base::{
    Result,
    rng::{self, Generator},
};
use std::sync::mpsc::sync_channel;

/// Neighbouring rows that are read together.
pub(super) const BLOCK_ROWS: usize = 1 << 10;
/// Blocks whose rows are shuffled among each other.
const WINDOW_BLOCKS: usize = 1 << 8;
/// Rows that are shuffled among each other.
pub(super) const WINDOW_ROWS: usize = WINDOW_BLOCKS * BLOCK_ROWS;
/// Batches that are made ahead: one in use, one ready, one in the making.
const AHEAD: usize = 2;

/// The batches of one epoch: all `rows` in an order of `seed` and `epoch`, `batch_size` at a time (0 counts as 1); the last
/// batch may be smaller.
///
/// Every epoch has its own stream, so a run that resumes in epoch 7 needs no draws of the epochs before.
pub fn epoch_batches(rows: &[u32], batch_size: usize, seed: u64, epoch: usize) -> EpochBatches<'_> {
    let mut rng = rng::generator(seed, &format!("batches of epoch {epoch}"));
    let mut blocks: Vec<usize> = (0..rows.len().div_ceil(BLOCK_ROWS)).collect();
    if blocks.len() > WINDOW_BLOCKS {
        rng::shuffle(&mut blocks, &mut rng);
    }
    let size = batch_size.max(1);
    EpochBatches { rows, size, left: rows.len().div_ceil(size), blocks, opened: 0, window: Vec::new(), rng }
}

/// See [`epoch_batches`].
pub struct EpochBatches<'a> {
    rows: &'a [u32],
    size: usize,
    /// Batches to come.
    left: usize,
    blocks: Vec<usize>,
    /// Blocks that have been in a window.
    opened: usize,
    /// What is left of the present window, the next row last.
    window: Vec<u32>,
    rng: Generator,
}

impl EpochBatches<'_> {
    fn open_window(&mut self) {
        let blocks = &self.blocks[self.opened..self.blocks.len().min(self.opened + WINDOW_BLOCKS)];
        self.opened += blocks.len();
        for block in blocks {
            let end = self.rows.len().min((block + 1) * BLOCK_ROWS);
            self.window.extend_from_slice(&self.rows[block * BLOCK_ROWS..end]);
        }
        rng::shuffle(&mut self.window, &mut self.rng);
        self.window.reverse();
    }
}

impl Iterator for EpochBatches<'_> {
    type Item = Vec<u32>;

    fn next(&mut self) -> Option<Vec<u32>> {
        self.left = self.left.checked_sub(1)?;
        let mut batch = Vec::with_capacity(self.size);
        while batch.len() < self.size {
            if self.window.is_empty() {
                self.open_window();
            }
            if self.window.is_empty() {
                break;
            }
            let rest = self.window.len().saturating_sub(self.size - batch.len());
            batch.extend(self.window.drain(rest..).rev());
        }
        Some(batch)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for EpochBatches<'_> {}

/// Hands `items` to `consume` until it fails. They are made on a thread of their own while the ones before are in use.
pub fn ahead<T: Send>(
    items: impl Iterator<Item = T> + Send,
    consume: impl FnMut(T) -> Result<()>,
) -> Result<()> {
    std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel(AHEAD - 1);
        scope.spawn(move || {
            for item in items {
                // Who consumes no more has dropped the other end.
                if sender.send(item).is_err() {
                    break;
                }
            }
        });
        receiver.into_iter().try_for_each(consume)
    })
}

/// Rows that are scored at once: enough to keep the cores busy, few enough for the memory.
const SCORED_ROWS: usize = 4096;

/// The rows in their own order, some thousands at a time, for evaluation.
pub fn chunks(rows: &[u32]) -> std::slice::Chunks<'_, u32> {
    rows.chunks(SCORED_ROWS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Error;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn epoch(seed: u64, epoch: usize) -> Vec<Vec<u32>> {
        let rows: Vec<u32> = (100..350).collect();
        epoch_batches(&rows, 64, seed, epoch).collect()
    }

    #[test]
    fn a_set_of_many_windows_is_visited_once_and_a_window_holds_whole_blocks() {
        let count = 2 * WINDOW_ROWS + 700;
        let rows: Vec<u32> = (0..count as u32).collect();
        let order = epoch_batches(&rows, 5000, 3, 1).collect::<Vec<_>>().concat();
        // One block is shorter, so a window may end this much earlier.
        let first = &order[..(WINDOW_BLOCKS - 1) * BLOCK_ROWS];
        let mut blocks: Vec<u32> = first.iter().map(|row| row / BLOCK_ROWS as u32).collect();
        blocks.sort_unstable();
        blocks.dedup();
        assert!(blocks.len() <= WINDOW_BLOCKS, "{}", blocks.len());
        assert!(blocks.last().unwrap() - blocks[0] > 400, "blocks come from the whole set");
        let neighbours = order.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) < 1024).count();
        assert!(neighbours < order.len() / 100, "{neighbours} neighbours");
        let mut sorted = order;
        sorted.sort_unstable();
        assert_eq!(sorted, rows);
    }

    #[test]
    fn a_set_of_one_window_is_shuffled_as_a_whole() {
        let rows: Vec<u32> = (0..5000).collect();
        let mut whole = rows.clone();
        rng::shuffle(&mut whole, &mut rng::generator(1, "batches of epoch 2"));
        assert_eq!(epoch_batches(&rows, 77, 1, 2).collect::<Vec<_>>().concat(), whole);
    }

    #[test]
    fn what_is_made_ahead_comes_in_order_and_stops_when_nobody_takes_it() {
        let mut all = Vec::new();
        let keep = |item| {
            all.push(item);
            Ok(())
        };
        ahead(0..100, keep).unwrap();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
        let made = AtomicUsize::new(0);
        let endless = std::iter::repeat_with(|| made.fetch_add(1, Ordering::SeqCst));
        let third = |item| if item < 2 { Ok(()) } else { Err(Error::usage("enough", "stop")) };
        assert!(ahead(endless, third).is_err());
        assert!(made.into_inner() <= 3 + AHEAD + 1);
    }

    #[test]
    fn an_epoch_visits_every_row_once() {
        let batches = epoch(1, 0);
        assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [64, 64, 64, 58]);
        let mut rows = batches.concat();
        assert_ne!(rows, (100..350).collect::<Vec<_>>());
        rows.sort_unstable();
        assert_eq!(rows, (100..350).collect::<Vec<_>>());
    }

    #[test]
    fn the_order_repeats_by_seed_and_epoch() {
        assert_eq!(epoch(1, 3), epoch(1, 3));
        assert_ne!(epoch(1, 3), epoch(1, 4));
        assert_ne!(epoch(1, 3), epoch(2, 3));
    }

    #[test]
    fn evaluation_keeps_the_order() {
        let rows: Vec<u32> = (0..10_000).rev().collect();
        assert_eq!(chunks(&rows).map(<[u32]>::len).collect::<Vec<_>>(), [4096, 4096, 1808]);
        assert_eq!(chunks(&rows).collect::<Vec<_>>().concat(), rows);
        assert_eq!(epoch_batches(&[3, 1, 2], 0, 1, 0).len(), 3);
    }
}
