//! Colours of what is said on the standard error stream: on a terminal alone, and not where `NO_COLOR` is set. What a result
//! says stands on the standard output without any.

use clap::builder::styling::{AnsiColor, Style};

/// Beginnings of lines, and what is made of them.
const MARKED: [(&str, Style); 3] = [
    ("error:", AnsiColor::Red.on_default().bold()),
    ("warning:", AnsiColor::Yellow.on_default().bold()),
    ("note:", AnsiColor::Cyan.on_default().bold()),
];

/// Says a line, with a coloured beginning where it has one of those.
pub fn say(line: &str) {
    anstream::eprintln!("{}", marked(line));
}

fn marked(line: &str) -> String {
    let text = line.trim_start();
    let indent = &line[..line.len() - text.len()];
    let mark = MARKED.iter().find_map(|(mark, style)| Some((mark, style, text.strip_prefix(mark)?)));
    match mark {
        Some((mark, style, rest)) => format!("{indent}{style}{mark}{style:#}{rest}"),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_is_coloured_and_nothing_is_lost() {
        let told = marked("  warning: a note: of 3");
        assert_eq!(told, "  \u{1b}[1m\u{1b}[33mwarning:\u{1b}[0m a note: of 3");
        assert_eq!(marked("the warning: is none"), "the warning: is none");
    }
}
