//! Columns of plain numbers: in memory, or mapped from a file that may be larger than the memory.

use crate::base::{Error, Result, error::Place, fsio};
use bytemuck::Pod;
use memmap2::{Advice, Mmap};
use std::{fs::File, io::Write, marker::PhantomData, path::Path, sync::Arc};

/// One number per row or several; read as a slice.
#[derive(Debug, Clone)]
pub struct Column<T>(Source<T>);

#[derive(Debug, Clone)]
enum Source<T> {
    /// Shared by all copies until one of them is changed.
    Owned(Arc<Vec<T>>),
    Mapped(Arc<Mmap>, PhantomData<T>),
}

impl<T: Pod> Column<T> {
    /// Maps the file at `path`, which holds `length` little-endian numbers and is never changed while it is mapped. `fix` is for
    /// a file of another length.
    pub fn map(path: &Path, length: usize, fix: &str) -> Result<Self> {
        let io = |e| Error::io(path, "read", e);
        let file = File::open(path).map_err(io)?;
        let wanted = (length as u64).saturating_mul(size_of::<T>() as u64);
        let found = file.metadata().map_err(io)?.len();
        if found != wanted {
            let problem = format!("{found} bytes where {wanted} belong");
            return Err(Error::input(path, Place::whole(), problem, fix));
        }
        if wanted == 0 {
            return Ok(Self::default());
        }
        // SAFETY: whoever writes such a file, or the folder with it, renames it into place when it is whole, and nobody changes
        // it afterwards.
        let map = unsafe { Mmap::map(&file) }.map_err(io)?;
        // Rows are drawn from all over a window. What the system would read around each (8 MB on some machines) would drive
        // the rest of the window out of a small memory. Only advice: where it fails, reading is slower.
        let _ = map.advise(Advice::Random);
        Ok(Self(Source::Mapped(Arc::new(map), PhantomData)))
    }

    /// The numbers, to be changed; those of a file are copied into memory first.
    pub fn to_mut(&mut self) -> &mut Vec<T> {
        if let Source::Mapped(..) = self.0 {
            self.0 = Source::Owned(Arc::new(self.to_vec()));
        }
        match &mut self.0 {
            Source::Owned(values) => Arc::make_mut(values),
            Source::Mapped(..) => unreachable!("copied above"),
        }
    }

    /// Keeps numbers that come in pieces in a file at `path` and maps them, so that they need no memory.
    pub fn keep(path: &Path, pieces: impl Iterator<Item = Result<Vec<T>>>) -> Result<Self> {
        let mut length = 0;
        fsio::write_made(path, |out| {
            for piece in pieces {
                let values = piece?;
                length += values.len();
                write(out, &values).map_err(|e| Error::io(path, "write", e))?;
            }
            Ok(())
        })?;
        Self::map(path, length, "write it again")
    }

    /// Maps a file that nobody else can open and that holds nothing but numbers, in the order in which they will be read.
    pub(super) fn of_private(file: &File) -> std::io::Result<Self> {
        // SAFETY: the file has no name, and the one who wrote it is done.
        let map = unsafe { Mmap::map(file) }?;
        Ok(Self(Source::Mapped(Arc::new(map), PhantomData)))
    }
}

impl<T: Pod> std::ops::Deref for Column<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match &self.0 {
            Source::Owned(values) => values,
            // A map begins at a page and its length was checked.
            Source::Mapped(map, _) => bytemuck::cast_slice(map),
        }
    }
}

impl<T> Default for Column<T> {
    fn default() -> Self {
        Self(Source::Owned(Arc::default()))
    }
}

impl<T> From<Vec<T>> for Column<T> {
    fn from(values: Vec<T>) -> Self {
        Self(Source::Owned(Arc::new(values)))
    }
}

impl<T> FromIterator<T> for Column<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        Self::from(values.into_iter().collect::<Vec<_>>())
    }
}

impl<T: Pod + PartialEq, const N: usize> PartialEq<[T; N]> for Column<T> {
    fn eq(&self, other: &[T; N]) -> bool {
        **self == *other
    }
}

impl<T: Pod + PartialEq> PartialEq for Column<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Column<u32> {
    /// [`Column::map`] for numbers that have to be below `end`, and are read once to see it.
    pub fn map_below(path: &Path, length: usize, end: usize, fix: &str) -> Result<Self> {
        let column = Self::map(path, length, fix)?;
        let advise = |advice| match &column.0 {
            Source::Mapped(map, _) => drop(map.advise(advice)),
            Source::Owned(_) => {}
        };
        advise(Advice::Sequential);
        let largest = column.iter().max().copied();
        advise(Advice::Random);
        match largest {
            Some(number) if number as usize >= end => {
                let problem = format!("it holds {number} where numbers end before {end}");
                Err(Error::input(path, Place::whole(), problem, fix))
            }
            _ => Ok(column),
        }
    }
}

/// Writes a column that [`Column::map`] reads.
pub fn write<T: Pod>(out: &mut (impl Write + ?Sized), values: &[T]) -> std::io::Result<()> {
    const { assert!(cfg!(target_endian = "little"), "files of columns are little-endian") };
    out.write_all(bytemuck::cast_slice(values))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_column_is_the_one_that_was_written_and_can_be_changed_without_changing_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.u32");
        let values: Vec<u32> = (0..5000).map(|i| i * 7).collect();
        let mut mapped = Column::keep(&path, values.chunks(999).map(|piece| Ok(piece.to_vec()))).unwrap();
        assert_eq!(mapped, Column::from(values.clone()));
        mapped.to_mut()[3] = 1;
        assert_eq!((mapped[2], mapped[3], mapped[4]), (14, 1, 28));
        assert_eq!(*Column::<u32>::map(&path, 5000, "").unwrap(), values);
    }

    #[test]
    fn a_column_whose_numbers_fail_leaves_no_file_and_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.f32");
        let pieces = [Ok(vec![1.0f32]), Err(Error::usage("no score", "train again"))];
        assert!(Column::keep(&path, pieces.into_iter()).unwrap_err().to_string().contains("no score"));
        assert!(!path.exists());
    }

    #[test]
    fn a_file_of_another_length_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.f32");
        std::fs::write(&path, [0; 10]).unwrap();
        let text = Column::<f32>::map(&path, 3, "").unwrap_err().to_string();
        assert!(text.contains("c.f32: 10 bytes where 12 belong"), "{text}");
        std::fs::write(&path, []).unwrap();
        assert!(Column::<f32>::map(&path, 0, "").unwrap().is_empty());
    }
}
