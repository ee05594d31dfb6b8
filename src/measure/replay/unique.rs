//! Whether request ids are unique, in little memory: neighbours that count upwards are one range, so that the ids of most
//! traces are a single one, and any others are sorted outside the memory.

use crate::{base::Result, data::distinct::Distinct};

/// Ids that are being collected.
#[derive(Debug, Default)]
pub(super) struct Unique {
    /// First id, last id, position of the first.
    ranges: Distinct<[u64; 3]>,
    current: Option<[u64; 3]>,
    seen: u64,
}

/// An id that came twice.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Repeated {
    pub(super) id: u64,
    /// Position of the earlier request that has it, from 0.
    pub(super) first: u64,
    /// Of the later one.
    pub(super) again: u64,
}

impl Unique {
    pub(super) fn push(&mut self, id: u64) -> Result<()> {
        match &mut self.current {
            Some([_, last, _]) if last.checked_add(1) == Some(id) => *last = id,
            current => {
                if let Some(range) = current.replace([id, id, self.seen]) {
                    self.ranges.push(range)?;
                }
            }
        }
        self.seen += 1;
        Ok(())
    }

    /// The smallest id that came twice.
    pub(super) fn repeated(mut self) -> Result<Option<Repeated>> {
        if let Some(range) = self.current.take() {
            self.ranges.push(range)?;
        }
        let mut widest: Option<[u64; 3]> = None;
        for range @ [first, _, position] in self.ranges.ascending()? {
            if let Some([begin, end, before]) = widest
                && first <= end
            {
                let (one, other) = (before + (first - begin), position);
                return Ok(Some(Repeated { id: first, first: one.min(other), again: one.max(other) }));
            }
            widest = Some(range);
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repeated(ids: impl IntoIterator<Item = u64>) -> Option<Repeated> {
        let mut unique = Unique::default();
        ids.into_iter().for_each(|id| unique.push(id).unwrap());
        unique.repeated().unwrap()
    }

    #[test]
    fn ids_that_come_twice_are_found_with_both_places_in_any_order() {
        assert_eq!(repeated(0..1000), None);
        assert_eq!(repeated([7, 3, 5, u64::MAX, 0]), None);
        assert_eq!(repeated([1, 2, 3, 9, 2]), Some(Repeated { id: 2, first: 1, again: 4 }));
        assert_eq!(repeated([5, 5]), Some(Repeated { id: 5, first: 0, again: 1 }));
        assert_eq!(repeated([8, 4, 5, 6, 7, 8, 9]), Some(Repeated { id: 8, first: 0, again: 5 }));
        // Too many ranges for the memory: all even ids downwards, then one of them again.
        let many = 100_000;
        let ids = (0..many).rev().map(|i| 2 * i).chain([2 * 777]);
        assert_eq!(repeated(ids), Some(Repeated { id: 1554, first: many - 1 - 777, again: many }));
    }
}
