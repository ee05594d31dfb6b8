//! Taking some of the training rows out.

use super::selection::{Selection, count};
use crate::{
    base::{Error, Result, check},
    data::batches::{BLOCK_ROWS, WINDOW_ROWS},
};

/// Takes a `share` of `rows` (training rows, ascending) out, drawn by seed and not by time: the latest rows are the ones that
/// a network which must score tomorrow can least do without. Both parts hold at least one row.
///
/// Up to one window of [`batches`](crate::data::batches) (262,144 rows) the rows are drawn one by one. Of more rows, blocks of 1,024
/// neighbours are taken out whole, and the share is met within one block. Such a set may be mapped from the disk, where single rows of
/// a share of 1/10 lie on nearly every page: a window of them would touch ten times as many pages as one of neighbours, more than a
/// small memory holds, and each would be read again for nearly every row of it.
pub fn hold_out(rows: &[u32], share: f64, seed: u64) -> Result<HoldOut<'_>> {
    check::inside("held_out", share)?;
    let wanted = count(rows.len(), share);
    if wanted >= rows.len() {
        return Err(Error::usage(
            format!("{} training rows cannot be divided", rows.len()),
            "give more rows, or hold none out",
        ));
    }
    let block = if rows.len() > WINDOW_ROWS { BLOCK_ROWS } else { 1 };
    let blocks = rows.len().div_ceil(block);
    // Rounded up, so that the last block, which may be shorter, cannot leave more than one block missing.
    let wanted = wanted.div_ceil(block).min(blocks - 1);
    Ok(HoldOut { rows, block, selection: Selection::new(blocks, wanted, seed, "held out") })
}

/// See [`hold_out`]. Both parts are given row by row, for neither need fit into the memory.
pub struct HoldOut<'a> {
    rows: &'a [u32],
    /// Neighbours that go the same way.
    block: usize,
    selection: Selection,
}

impl<'a> HoldOut<'a> {
    /// The rows that are left.
    pub fn rest(&self) -> impl Iterator<Item = u32> + use<'a> {
        self.part(false)
    }

    /// The rows that are held out.
    pub fn taken(&self) -> impl Iterator<Item = u32> + use<'a> {
        self.part(true)
    }

    fn part(&self, taken: bool) -> impl Iterator<Item = u32> + use<'a> {
        let (rows, mut selection) = (self.rows, self.selection.clone());
        rows.chunks(self.block).filter(move |_| selection.chooses() == taken).flatten().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng;
    use rand::RngExt;

    fn taken(rows: &[u32], share: f64, seed: u64) -> Vec<u32> {
        hold_out(rows, share, seed).unwrap().taken().collect()
    }

    #[test]
    fn rows_are_held_out_by_seed_and_none_is_lost() {
        let rows: Vec<u32> = (0..8).map(|i| 2 * i).collect();
        let taken = |seed| taken(&rows, 0.25, seed);
        let rest: Vec<u32> = hold_out(&rows, 0.25, 1).unwrap().rest().collect();
        assert_eq!((rest.len(), taken(1).len()), (6, 2));
        let mut all = [rest, taken(1)].concat();
        all.sort_unstable();
        assert_eq!(all, rows);
        assert_eq!(taken(1), taken(1));
        assert!((2..20).any(|seed| taken(seed) != taken(1)));
        assert!(hold_out(&[0], 0.5, 1).err().unwrap().to_string().contains("hold none out"));
    }

    #[test]
    fn every_row_is_held_out_equally_often() {
        let rows: Vec<u32> = (0..10).collect();
        let mut times = [0; 10];
        for seed in 0..2000 {
            taken(&rows, 0.3, seed).into_iter().for_each(|row| times[row as usize] += 1);
        }
        // 600 ± five deviations of 20.
        assert!(times.iter().all(|&count| (500..=700).contains(&count)), "{times:?}");
    }

    #[test]
    fn a_set_of_one_window_is_drawn_row_by_row() {
        let rows: Vec<u32> = (0..WINDOW_ROWS as u32).map(|i| 3 * i).collect();
        let mut rng = rng::generator(7, "held out");
        let (mut left, mut wanted) = (rows.len(), 26_214);
        let mut drawn = rows.clone();
        drawn.retain(|_| {
            let chosen = rng.random_range(0..left) < wanted;
            left -= 1;
            wanted -= usize::from(chosen);
            chosen
        });
        assert_eq!(drawn.len(), 26_214);
        assert!(taken(&rows, 0.1, 7) == drawn);
    }

    #[test]
    fn of_a_larger_set_whole_blocks_are_held_out_and_none_is_lost() {
        // Sets whose last block is as long as the others, nearly so, or one row.
        for more in [BLOCK_ROWS, BLOCK_ROWS - 1, 1] {
            // Other rows than their places, with gaps as a split leaves them.
            let rows: Vec<u32> = (0..(WINDOW_ROWS + more) as u32).map(|i| 2 * i + i / 5000).collect();
            for (share, seed) in [(0.1, 1), (0.1, 2), (0.5, 3), (0.001, 4), (0.9999, 5)] {
                let parts = hold_out(&rows, share, seed).unwrap();
                let (rest, taken): (Vec<u32>, Vec<u32>) = (parts.rest().collect(), parts.taken().collect());
                let off = (taken.len() as f64 - share * rows.len() as f64).abs();
                assert!(off <= BLOCK_ROWS as f64, "{more} {share}: {off} rows off");
                assert!(!rest.is_empty() && !taken.is_empty());
                for block in rows.chunks(BLOCK_ROWS) {
                    let inside = block.iter().filter(|row| taken.binary_search(row).is_ok()).count();
                    assert!(inside == 0 || inside == block.len(), "{more} {share}: {inside} of a block");
                }
                let mut all = [rest, taken].concat();
                all.sort_unstable();
                assert!(all == rows, "every row is in one part, once");
            }
        }
    }

    #[test]
    fn blocks_are_drawn_by_seed_from_the_whole_set() {
        let rows: Vec<u32> = (0..2 * WINDOW_ROWS as u32).collect();
        let blocks = |seed| {
            let taken = taken(&rows, 0.1, seed);
            taken.chunks(BLOCK_ROWS).map(|block| block[0] as usize / BLOCK_ROWS).collect::<Vec<_>>()
        };
        assert_eq!(blocks(1), blocks(1));
        assert_ne!(blocks(1), blocks(2));
        let mut times = vec![0; 512];
        (0..2000).for_each(|seed| blocks(seed).into_iter().for_each(|block| times[block] += 1));
        // 52 of 512 blocks: 203 ± six deviations of 13.5.
        assert!(times.iter().all(|&count| (122..=284).contains(&count)), "{times:?}");
    }
}
