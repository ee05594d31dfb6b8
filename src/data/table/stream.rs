//! A table piece by piece, for data that are larger than the memory.

use super::{Format, Part, RawColumn, RawTable, csv, join, lines::RowLines, no_rows, parquet};
use crate::base::Result;
use std::path::{Path, PathBuf};

/// Rows of a piece: enough to keep the cores busy, few enough for the memory.
pub const PIECE_ROWS: usize = 1 << 14;

/// A data set that is read in pieces, any number of times.
#[derive(Debug, Clone)]
pub struct TableFiles {
    path: PathBuf,
    files: Vec<(PathBuf, Format)>,
}

impl TableFiles {
    /// The file, or the files of the folder, at `path`.
    pub fn find(path: &Path) -> Result<Self> {
        Ok(Self { path: path.to_owned(), files: Format::files(path)? })
    }

    /// Hands `columns` of all rows to `take`, some ten thousand at a time and in their order. Fails when there are no
    /// rows.
    pub fn each_piece(&self, columns: &[&str], mut take: impl FnMut(&RawTable) -> Result<()>) -> Result<()> {
        let mut types: Vec<join::Seen> = columns.iter().map(|_| join::Seen::default()).collect();
        self.each_as_read(columns, |piece| {
            for (seen, (name, column)) in types.iter_mut().zip(piece.columns()) {
                seen.check(column, name, &piece.parts[0].file)?;
            }
            take(&piece)
        })
    }

    /// At most `most` rows, or one piece, evenly spread over all of them: every n-th piece. With them goes the number of all rows.
    ///
    /// Every row is read and no more than twice as many are held, so that a log in order of time is looked at from its beginning to its
    /// end, whatever its size.
    pub fn spread(&self, columns: &[&str], most: usize) -> Result<(RawTable, usize)> {
        let (mut kept, mut step, mut pieces, mut rows) = (Vec::<RawTable>::new(), 1, 0, 0);
        self.each_as_read(columns, |piece| {
            rows += piece.rows();
            if pieces % step == 0 {
                kept.push(piece);
                while kept.len() > 1 && kept.iter().map(RawTable::rows).sum::<usize>() > most {
                    kept = std::mem::take(&mut kept).into_iter().step_by(2).collect();
                    step *= 2;
                }
            }
            pieces += 1;
            Ok(())
        })?;
        Ok((RawTable::joined(kept)?, rows))
    }

    /// [`TableFiles::each_piece`] with every piece of the type that its own file gives it.
    fn each_as_read(&self, columns: &[&str], mut take: impl FnMut(RawTable) -> Result<()>) -> Result<()> {
        let mut passed = 0;
        for (file, format) in &self.files {
            let mut first_row = 0;
            let mut piece = |read: Vec<RawColumn>, lines: Option<RowLines>| {
                let rows = read.first().map_or(0, RawColumn::len);
                let part = Part { file: file.clone(), first_row, rows, lines };
                let columns = columns.iter().map(|&name| name.to_owned()).zip(read).collect();
                first_row += rows;
                passed += rows;
                take(RawTable { parts: vec![part], columns })
            };
            match format {
                Format::Parquet => {
                    let mut pieces = parquet::Columns::open(file, columns)?.pieces(PIECE_ROWS)?;
                    while let Some(read) = pieces.next()? {
                        piece(read, None)?;
                    }
                }
                Format::Separated { delimiter } => {
                    let mut rows = csv::Rows::open(file, *delimiter, columns)?;
                    while let Some(read) = rows.next(PIECE_ROWS)? {
                        piece(read, Some(rows.take_lines()))?;
                    }
                }
            }
        }
        if passed == 0 { Err(no_rows(&self.path)) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// No piece carries the lines of those before it: that would be the square of all rows.
    #[test]
    fn rows_of_several_lines_are_named_by_them_in_every_piece() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv");
        let mut file = std::io::BufWriter::new(std::fs::File::create(&path).unwrap());
        writeln!(file, "x").unwrap();
        (0..2 * PIECE_ROWS + 10).for_each(|i| writeln!(file, "\"{i}\nand more\"").unwrap());
        drop(file);
        let mut pieces = 0;
        TableFiles::find(&path)
            .unwrap()
            .each_piece(&["x"], |piece| {
                for row in [0, piece.rows() - 1] {
                    let error = piece.cell_error("x", row, "odd", "mend it").to_string();
                    let line = 2 + 2 * (pieces * PIECE_ROWS + row);
                    assert!(error.contains(&format!("`x`, line {line}: odd")), "{error}");
                }
                pieces += 1;
                Ok(())
            })
            .unwrap();
        assert_eq!(pieces, 3);
    }

    #[test]
    fn the_pieces_are_the_table_and_know_their_rows() {
        let folder = tempfile::tempdir().unwrap();
        let rows = PIECE_ROWS + 10;
        for (name, begin) in [("a.csv", 0), ("b.csv", rows)] {
            let mut file = std::fs::File::create(folder.path().join(name)).unwrap();
            writeln!(file, "x").unwrap();
            (begin..begin + rows).for_each(|i| writeln!(file, "{i}").unwrap());
        }
        let files = TableFiles::find(folder.path()).unwrap();
        let (mut sizes, mut texts, mut error) = (Vec::new(), Vec::new(), String::new());
        files
            .each_piece(&["x"], |piece| {
                sizes.push(piece.rows());
                let RawColumn::Text(column) = piece.column("x")? else { panic!("CSV is text") };
                texts.extend(column.iter().map(|text| text.unwrap().to_owned()));
                error = piece.cell_error("x", piece.rows() - 1, "odd", "mend it").to_string();
                Ok(())
            })
            .unwrap();
        assert_eq!(sizes, [PIECE_ROWS, 10, PIECE_ROWS, 10]);
        assert!(texts.iter().enumerate().all(|(i, text)| *text == i.to_string()));
        // The header is line 1.
        assert!(error.contains(&format!("b.csv, `x`, line {}: odd", rows + 1)), "{error}");
        // Of four pieces the first and the third.
        for (most, expected) in [(usize::MAX, 2 * rows), (2 * rows - 1, 2 * PIECE_ROWS), (1, PIECE_ROWS)] {
            let (table, all) = files.spread(&["x"], most).unwrap();
            assert_eq!((table.rows(), all), (expected, 2 * rows));
        }
        let (spread, _) = files.spread(&["x"], 2 * rows - 1).unwrap();
        let RawColumn::Text(column) = spread.column("x").unwrap() else { panic!("CSV is text") };
        assert_eq!(
            (column.value(PIECE_ROWS - 1), column.value(PIECE_ROWS)),
            ("16383", rows.to_string().as_str())
        );
        let odd = spread.cell_error("x", PIECE_ROWS, "odd", "mend it").to_string();
        assert!(odd.contains("b.csv, `x`, line 2: odd"), "{odd}");
        let one = TableFiles::find(&folder.path().join("a.csv")).unwrap();
        assert!(one.each_piece(&["y"], |_| Ok(())).unwrap_err().to_string().contains("no such column"));
    }
}
