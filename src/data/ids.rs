//! The ids of all rows, packed: every slot has as many bytes as its largest id needs.
//!
//! A row's ids stand side by side, so that a batch drawn from anywhere touches few cache lines and few pages. Most
//! features of a log have fewer than 256 values: KuaiRand's 108 ids take 114 bytes instead of 432.

use super::column::Column;
use std::ops::Range;

/// Where an id stands in a packed row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    at: usize,
    width: Width,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Width {
    One = 1,
    Two = 2,
    Four = 4,
}

impl Width {
    fn of(cardinality: u32) -> Self {
        match cardinality {
            0..=0x100 => Self::One,
            0x101..=0x1_0000 => Self::Two,
            _ => Self::Four,
        }
    }
}

/// Bytes that a packed id takes when all ids of its slot are below `cardinality`: 1, 2 or 4.
pub fn id_bytes(cardinality: u32) -> usize {
    Width::of(cardinality) as usize
}

/// Where the ids of a row stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Packing {
    places: Vec<Place>,
    stride: usize,
}

/// `rows × slots` ids, row after row.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ids {
    packing: Packing,
    bytes: Column<u8>,
}

impl Packing {
    /// One slot per entry of `cardinalities`, whose ids are below it.
    pub fn new(cardinalities: impl IntoIterator<Item = u32>) -> Self {
        let mut stride = 0;
        let place = |cardinality: u32| {
            let width = Width::of(cardinality);
            let at = stride;
            stride += width as usize;
            Place { at, width }
        };
        let places = cardinalities.into_iter().map(place).collect();
        Self { places, stride }
    }

    /// Ids per row.
    pub fn slots(&self) -> usize {
        self.places.len()
    }

    /// Bytes per row.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// Writes one slot of consecutive packed rows.
    pub fn write(&self, slot: usize, rows: &mut [u8], ids: impl Iterator<Item = u32>) {
        let Place { at, width } = self.places[slot];
        let rows = rows.chunks_exact_mut(self.stride).zip(ids);
        // The match stands outside the loop: this writes every id of a data set.
        match width {
            Width::One => rows.for_each(|(row, id)| row[at] = id as u8),
            Width::Two => {
                rows.for_each(|(row, id)| row[at..at + 2].copy_from_slice(&(id as u16).to_le_bytes()))
            }
            Width::Four => rows.for_each(|(row, id)| row[at..at + 4].copy_from_slice(&id.to_le_bytes())),
        }
    }
}

impl Place {
    fn read(self, row: &[u8]) -> u32 {
        let byte = |i: usize| row[self.at + i];
        match self.width {
            Width::One => u32::from(byte(0)),
            Width::Two => u32::from(u16::from_le_bytes([byte(0), byte(1)])),
            Width::Four => u32::from_le_bytes([byte(0), byte(1), byte(2), byte(3)]),
        }
    }
}

impl Ids {
    /// Ids that are packed already.
    pub fn packed(packing: Packing, bytes: Column<u8>) -> Self {
        Self { packing, bytes }
    }

    /// Packs rows of `slots` ids.
    pub fn from_rows(slots: usize, ids: &[u32]) -> Self {
        let column = |slot: usize| ids.iter().skip(slot).step_by(slots).copied();
        let packing =
            Packing::new((0..slots).map(|slot| column(slot).max().map_or(0, |id| id.saturating_add(1))));
        let mut bytes = vec![0; ids.len() / slots.max(1) * packing.stride];
        (0..slots).for_each(|slot| packing.write(slot, &mut bytes, column(slot)));
        Self { packing, bytes: bytes.into() }
    }

    /// These rows, and then those of `other`, whose ids are of the same slots.
    pub fn followed_by(&self, other: &Self) -> Self {
        let mut bytes = self.bytes.to_vec();
        let rows = other.bytes.len() / other.packing.stride.max(1);
        let begin = bytes.len();
        bytes.resize(begin + rows * self.packing.stride, 0);
        for slot in 0..self.slots() {
            self.packing.write(slot, &mut bytes[begin..], (0..rows).map(|row| other.at(row, slot)));
        }
        Self { packing: self.packing.clone(), bytes: bytes.into() }
    }

    /// How rows are packed.
    pub fn packing(&self) -> &Packing {
        &self.packing
    }

    /// Ids per row.
    pub fn slots(&self) -> usize {
        self.packing.slots()
    }

    /// All packed rows.
    pub fn bytes(&self) -> &Column<u8> {
        &self.bytes
    }

    /// One id.
    pub fn at(&self, row: usize, slot: usize) -> u32 {
        self.packing.places[slot].read(self.packed_row(row))
    }

    /// The ids of neighbouring slots of a row.
    pub fn of(&self, row: usize, slots: Range<usize>) -> impl Iterator<Item = u32> + Clone + '_ {
        let packed = self.packed_row(row);
        self.packing.places[slots].iter().map(|place| place.read(packed))
    }

    /// All ids of a row.
    pub fn of_row(&self, row: usize) -> impl Iterator<Item = u32> + Clone + '_ {
        self.of(row, 0..self.slots())
    }

    fn packed_row(&self, row: usize) -> &[u8] {
        let stride = self.packing.stride;
        &self.bytes[row * stride..(row + 1) * stride]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_every_width_come_back() {
        let rows = [[0, 255, 256, 65_535, 65_536], [1, 0, 7, 300, u32::MAX - 1], [255, 9, 0, 0, 0]];
        let ids = Ids::from_rows(5, rows.as_flattened());
        assert_eq!(ids.packing().stride(), 1 + 1 + 2 + 2 + 4);
        for (r, row) in rows.iter().enumerate() {
            assert_eq!(ids.of_row(r).collect::<Vec<_>>(), row);
            assert_eq!(ids.of(r, 2..4).collect::<Vec<_>>(), row[2..4]);
            assert_eq!((0..5).map(|slot| ids.at(r, slot)).collect::<Vec<_>>(), row);
        }
    }

    #[test]
    fn rows_that_follow_are_packed_like_those_before() {
        let (first, second) = ([[0, 70_000], [300, 2]], [[7, 1], [1, 9]]);
        let both =
            Ids::from_rows(2, first.as_flattened()).followed_by(&Ids::from_rows(2, second.as_flattened()));
        assert_eq!(both, Ids::from_rows(2, [first, second].as_flattened().as_flattened()));
    }

    #[test]
    fn a_slot_has_the_bytes_that_its_cardinality_needs() {
        let stride = |cardinality| Packing::new([cardinality]).stride();
        assert_eq!([0, 256, 257, 65_536, 65_537].map(stride), [1, 1, 2, 2, 4]);
        assert_eq!(Ids::from_rows(0, &[]).slots(), 0);
    }
}
