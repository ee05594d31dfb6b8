//! Columns that grow number by number, and need no more memory when they are long than when they are short.

use super::column::{self, Column};
use crate::base::{Error, Result};
use bytemuck::Pod;
use std::fs::File;

/// What a growing column holds in memory at most; the rest is in a file without a name in the folder for temporary files.
const MEMORY_BYTES: usize = 1 << 18;

/// A column that is being made: in memory while it is short, in a temporary file from then on.
#[derive(Debug)]
pub struct Growing<T> {
    last: Vec<T>,
    file: Option<File>,
    written: usize,
}

impl<T> Default for Growing<T> {
    fn default() -> Self {
        Self { last: Vec::new(), file: None, written: 0 }
    }
}

impl<T: Pod> Growing<T> {
    const IN_MEMORY: usize = MEMORY_BYTES / size_of::<T>();

    /// Appends a number.
    pub fn push(&mut self, value: T) -> Result<()> {
        if self.last.len() == Self::IN_MEMORY {
            self.write_out()?;
        }
        self.last.push(value);
        Ok(())
    }

    /// Appends numbers.
    pub fn extend(&mut self, values: &[T]) -> Result<()> {
        values.iter().try_for_each(|&value| self.push(value))
    }

    /// How many numbers there are.
    pub fn len(&self) -> usize {
        self.written + self.last.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The column.
    pub fn finish(mut self) -> Result<Column<T>> {
        if self.file.is_none() {
            self.last.shrink_to_fit();
            return Ok(self.last.into());
        }
        self.write_out()?;
        let file = self.file.as_ref().expect("just written to");
        Column::of_private(file).map_err(|e| Error::io(std::env::temp_dir(), "map a file in", e))
    }

    fn write_out(&mut self) -> Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(
                tempfile::tempfile()
                    .map_err(|e| Error::io(std::env::temp_dir(), "create a temporary file in", e))?,
            ),
        };
        column::write(file, &self.last)
            .map_err(|e| Error::io(std::env::temp_dir(), "write a temporary file in", e))?;
        self.written += self.last.len();
        self.last.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_what_was_pushed_on_either_side_of_the_memory() {
        for length in [0, 5, Growing::<u64>::IN_MEMORY, 3 * Growing::<u64>::IN_MEMORY + 7] {
            let mut growing = Growing::default();
            growing.push(1).unwrap();
            growing.extend(&(0..length as u64).collect::<Vec<_>>()).unwrap();
            assert_eq!((growing.len(), growing.is_empty()), (length + 1, false));
            assert!(growing.last.len() <= Growing::<u64>::IN_MEMORY);
            let column = growing.finish().unwrap();
            assert_eq!(column[0], 1);
            assert!(column[1..].iter().copied().eq(0..length as u64), "{length}");
        }
        assert!(Growing::<u32>::default().finish().unwrap().is_empty());
    }
}
