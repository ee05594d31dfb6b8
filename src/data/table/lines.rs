//! What the bytes of a CSV file say that its records do not: the line on which each row begins, and quotes that do not
//! close where a value ends.

use std::io::{self, Read};

/// The line on which each row of a file begins: from row `.0` of a run on, every row stands one line below the one before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RowLines(Vec<(usize, u64)>);

impl RowLines {
    /// Line of a row; rows that were never noted follow the last one.
    pub(super) fn of(&self, row: usize) -> u64 {
        let run = self.0.partition_point(|&(first, _)| first <= row);
        let (first, line) = run.checked_sub(1).map_or((0, 1), |run| self.0[run]);
        line + (row - first) as u64
    }

    /// Takes out the lines of the rows before `end` that were not taken out yet; those of later rows stay.
    fn take_before(&mut self, end: usize) -> Self {
        let runs = self.0.partition_point(|&(first, _)| first < end);
        let taken = self.0[..runs].to_vec();
        // The last of them may go on.
        self.0.drain(..runs.saturating_sub(1));
        Self(taken)
    }

    /// Notes the line of the next row; rows come in their order.
    fn push(&mut self, row: usize, line: u64) {
        if self.0.is_empty() || self.of(row) != line {
            self.0.push((row, line));
        }
    }
}

/// A quote that does not close where its value ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadQuote {
    /// The file ends inside the value.
    Open {
        /// Line of the opening quote.
        line: u64,
    },
    /// Text follows the closing quote.
    Early {
        /// Line of the opening quote.
        line: u64,
    },
}

/// Where in a record the last byte stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    BeforeRecord,
    BeforeValue,
    InValue,
    InQuotes,
    AfterQuotes,
}

/// Passes bytes on to the CSV reader and follows them.
pub(super) struct Scanned<R> {
    source: R,
    delimiter: u8,
    state: State,
    line: u64,
    /// Records that have begun, the header included.
    records: usize,
    quote_line: u64,
    rows: RowLines,
    early: Option<BadQuote>,
}

impl<R> Scanned<R> {
    pub(super) fn new(source: R, delimiter: u8) -> Self {
        let (state, rows) = (State::BeforeRecord, RowLines::default());
        Self { source, delimiter, state, line: 1, records: 0, quote_line: 0, rows, early: None }
    }

    /// Line of a row that was not taken out, the header not counted as one.
    pub(super) fn line_of(&self, row: usize) -> u64 {
        self.rows.of(row)
    }

    /// Takes out the lines of the rows before `end` that were not taken out yet.
    pub(super) fn take_before(&mut self, end: usize) -> RowLines {
        self.rows.take_before(end)
    }

    /// The first quote that does not close where its value ends, once all bytes were read.
    pub(super) fn bad_quote(&self) -> Option<BadQuote> {
        let open = (self.state == State::InQuotes).then_some(BadQuote::Open { line: self.quote_line });
        self.early.or(open)
    }

    fn follow(&mut self, byte: u8) {
        use State::{AfterQuotes, BeforeRecord, BeforeValue, InQuotes, InValue};
        let ends_line = matches!(byte, b'\n' | b'\r');
        if self.state == BeforeRecord && !ends_line {
            if let Some(row) = self.records.checked_sub(1) {
                self.rows.push(row, self.line);
            }
            self.records += 1;
        }
        self.state = match (self.state, byte) {
            (InQuotes, b'"') => AfterQuotes,
            (InQuotes, _) => InQuotes,
            // Two quotes inside a quoted value stand for one.
            (AfterQuotes, b'"') => InQuotes,
            (_, _) if ends_line => BeforeRecord,
            (_, byte) if byte == self.delimiter => BeforeValue,
            (BeforeRecord | BeforeValue, b'"') => {
                self.quote_line = self.line;
                InQuotes
            }
            (AfterQuotes, _) => {
                self.early = self.early.or(Some(BadQuote::Early { line: self.quote_line }));
                InValue
            }
            _ => InValue,
        };
        self.line += u64::from(byte == b'\n');
    }
}

impl<R: Read> Read for Scanned<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        buffer[..count].iter().for_each(|&byte| self.follow(byte));
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scanned(text: &str) -> Scanned<&[u8]> {
        let mut scanned = Scanned::new(text.as_bytes(), b',');
        io::copy(&mut scanned, &mut io::sink()).unwrap();
        scanned
    }

    #[test]
    fn rows_keep_their_lines_across_blank_lines_and_line_breaks_in_values() {
        let text = "a,b\n1,2\n\n\n3,\"x\ny\"\r\n4,5\n6,7";
        let mut found = scanned(text);
        assert_eq!((0..4).map(|row| found.line_of(row)).collect::<Vec<_>>(), [2, 5, 7, 8]);
        assert_eq!(found.rows.0, [(0, 2), (1, 5), (2, 7)], "runs, not one entry per row");
        assert_eq!(found.bad_quote(), None);
        let taken = [2, 3, 4].map(|end| found.take_before(end).0);
        assert_eq!(
            taken,
            [vec![(0, 2), (1, 5)], vec![(1, 5), (2, 7)], vec![(2, 7)]],
            "no run but the last twice"
        );
        assert_eq!(found.line_of(4), 9);
    }

    #[test]
    fn quotes_close_where_their_value_ends() {
        for (text, expected) in [
            ("a,b\n\"1\",\"say \"\"hi\"\"\"\n", None),
            ("a,b\n5\",2\n", None),
            ("a,b\n1,\"2\n3,4\n", Some(BadQuote::Open { line: 2 })),
            ("a,b\n1,\"2\n3,\"4\"\n", Some(BadQuote::Early { line: 2 })),
            ("a,b\n1,\"2\"", None),
        ] {
            assert_eq!(scanned(text).bad_quote(), expected, "{text}");
        }
    }
}
