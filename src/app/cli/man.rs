//! `man`: the help of every verb as a manual page.

use super::{
    Cli,
    output::{self, Format},
};
use crate::base::fsio;
use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;
use serde::Serialize;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  autofas-bench man --out ~/.local/share/man/man1
  man autofas-bench-table-probe")]
pub struct ManArgs {
    /// Folder for the pages: autofas-bench.1, autofas-bench-iterate.1 and so on
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// What was written.
#[derive(Debug, Serialize)]
struct Written {
    schema_version: u32,
    pages: Vec<PathBuf>,
}

impl ManArgs {
    pub fn run(self, format: Format) -> anyhow::Result<()> {
        let mut command = Cli::command().disable_help_subcommand(true);
        command.build();
        let mut pages = Vec::new();
        self.write(&command, &mut pages)?;
        output::print(format, &Written { schema_version: 1, pages }, |written| {
            format!("{} pages in {}", written.pages.len(), self.out.display())
        })
    }

    /// The page of `command`, and those of its verbs.
    fn write(&self, command: &Command, pages: &mut Vec<PathBuf>) -> anyhow::Result<()> {
        let page = Man::new(command.clone().after_help(None::<&str>))
            .source(concat!("autofas-bench ", env!("CARGO_PKG_VERSION")))
            .manual("autofas-bench");
        let mut text = Vec::new();
        page.render(&mut text)?;
        text.extend(
            command.get_after_help().map(|help| after(&help.to_string())).unwrap_or_default().bytes(),
        );
        let path = self.out.join(page.get_filename());
        fsio::write(&path, &text)?;
        pages.push(path);
        command
            .get_subcommands()
            .filter(|verb| !verb.is_hide_set())
            .try_for_each(|verb| self.write(verb, pages))
    }
}

/// What stands after the options: commands keep their lines, and the rest is filled.
fn after(help: &str) -> String {
    let mut text = ".SH EXAMPLES\n".to_owned();
    for (at, paragraph) in help.split("\n\n").enumerate() {
        let examples = paragraph.strip_prefix("Examples:").or_else(|| paragraph.strip_prefix("Example:"));
        text += &match (examples, at) {
            (Some(examples), _) => format!(".nf\n{}\n.fi\n", escaped(examples.trim_start_matches('\n'))),
            (None, 0) => format!("{}\n", escaped(paragraph)),
            (None, _) => format!(".PP\n{}\n", escaped(paragraph)),
        };
    }
    text
}

/// As roff shows it and nobody takes it for a request; dashes are those that can be copied into a shell.
fn escaped(text: &str) -> String {
    let line = |line: &str| {
        let line = line.replace('\\', "\\e").replace('-', "\\-");
        if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line }
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_keep_their_lines_and_dashes_and_the_rest_is_filled() {
        let help = "Examples:\n  a-b c --out d \\\n    --e\n\n.Some words,\nand more.";
        let wanted = ".SH EXAMPLES\n.nf\n  a\\-b c \\-\\-out d \\e\n    \\-\\-e\n.fi\n.PP\n\\&.Some words,\nand more.\n";
        assert_eq!(after(help), wanted);
    }
}
