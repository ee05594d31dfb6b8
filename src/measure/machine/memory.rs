//! Memory that is read and copied: more than the caches hold, from its beginning to its end.

use std::hint::black_box;

/// Sums that do not wait for each other.
const LANES: usize = 8;

/// Two blocks of equal size.
pub(super) struct Memory {
    from: Vec<u64>,
    to: Vec<u64>,
}

impl Memory {
    /// Of about so many bytes in both blocks together, which are touched, so that the system has given them.
    pub(super) fn new(bytes: usize) -> Self {
        let words = (bytes / (2 * size_of::<u64>())).next_multiple_of(LANES).max(LANES);
        Self { from: vec![1; words], to: vec![2; words] }
    }

    /// What one reading goes through, and what one copying reads and writes.
    pub(super) fn bytes(&self) -> usize {
        (self.from.len() + self.to.len()) * size_of::<u64>()
    }

    /// Reads every word of both blocks.
    pub(super) fn read(&mut self) {
        black_box(sum(black_box(&self.from)).wrapping_add(sum(black_box(&self.to))));
    }

    /// Writes the one block over the other.
    pub(super) fn copy(&mut self) {
        self.to.copy_from_slice(&self.from);
        black_box(&mut self.to);
    }

    #[cfg(test)]
    pub(super) fn is_copied(&self) -> bool {
        self.from == self.to
    }
}

fn sum(words: &[u64]) -> u64 {
    let mut lanes = [0u64; LANES];
    for chunk in words.chunks_exact(LANES) {
        lanes.iter_mut().zip(chunk).for_each(|(lane, &word)| *lane = lane.wrapping_add(word));
    }
    lanes.iter().fold(0, |sum, &lane| sum.wrapping_add(lane))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_and_copied() {
        let mut memory = Memory::new(1000);
        // 1000 bytes are 62.5 words in each block, of which there are whole eights.
        assert_eq!(memory.bytes(), 2 * 64 * 8);
        assert_eq!((sum(&memory.from), sum(&memory.to)), (64, 128));
        assert!(!memory.is_copied());
        memory.copy();
        assert!(memory.is_copied());
        assert_eq!(sum(&memory.to), 64);
    }
}
