//! The order in which rows are trained on.

use crate::base::rng;

/// The batches of one epoch: all `rows` in an order of `seed` and `epoch`, `batch_size` at a time (0 counts as 1); the last
/// batch may be smaller.
///
/// Every epoch has its own stream, so a run that resumes in epoch 7 needs no draws of the epochs before.
pub fn epoch_batches(
    rows: &[u32],
    batch_size: usize,
    seed: u64,
    epoch: usize,
) -> impl ExactSizeIterator<Item = Vec<u32>> + use<> {
    let mut order = rows.to_vec();
    rng::shuffle(&mut order, &mut rng::generator(seed, &format!("batches of epoch {epoch}")));
    let size = batch_size.max(1);
    let count = order.len().div_ceil(size);
    (0..count).map(move |batch| order[batch * size..order.len().min((batch + 1) * size)].to_vec())
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

    fn epoch(seed: u64, epoch: usize) -> Vec<Vec<u32>> {
        let rows: Vec<u32> = (100..350).collect();
        epoch_batches(&rows, 64, seed, epoch).collect()
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
