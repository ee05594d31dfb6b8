//! What goes to the standard output: one JSON document for machines, or text.

use serde::Serialize;
use std::io::{self, Write};

/// Who reads the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A person.
    Text,
    /// A program.
    Json,
}

/// Prints `value` as JSON, or as the text that `describe` makes of it.
pub fn print<T: Serialize>(
    format: Format,
    value: &T,
    describe: impl FnOnce(&T) -> String,
) -> anyhow::Result<()> {
    let text = match format {
        Format::Json => serde_json::to_string_pretty(value)?,
        Format::Text => describe(value),
    };
    print_text(&text)
}

/// Prints text with a final newline. A reader that has seen enough (`| head`) is no error.
pub fn print_text(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{}", text.trim_end()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Rows of cells under a header, columns aligned: text to the left, numbers to the right.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let all =
        || std::iter::once(header.iter().map(|h| (*h).to_owned()).collect()).chain(rows.iter().cloned());
    let cells = |column: usize| all().filter_map(move |row: Vec<String>| row.get(column).cloned());
    let width = |column| cells(column).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let numeric: Vec<bool> = (0..header.len())
        .map(|column| rows.iter().all(|row| row[column] == "-" || row[column].starts_with(is_numeric_start)))
        .collect();
    let line = |row: Vec<String>| {
        let aligned = row.iter().enumerate().map(|(column, cell)| match numeric[column] {
            true => format!("{cell:>width$}", width = widths[column]),
            false => format!("{cell:<width$}", width = widths[column]),
        });
        aligned.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    all().map(line).collect::<Vec<_>>().join("\n")
}

/// A time in ms with three digits, or that there is none.
pub fn ms(us: Option<f64>) -> String {
    us.map_or("-".to_owned(), |us| format!("{:.3}", us / 1e3))
}

fn is_numeric_start(first: char) -> bool {
    first.is_ascii_digit() || first == '+' || first == '-'
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_stand_right_and_text_left() {
        let rows = [vec!["tract".to_owned(), "1.5".to_owned()], vec!["ort".to_owned(), "10.25".to_owned()]];
        let text = super::table(&["engine", "ms"], &rows);
        assert_eq!(text, "engine     ms\ntract     1.5\nort     10.25");
    }
}
