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
    /// Folder for the pages: autofas-bench.1, autofas-bench-iterate.1, …
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
        let page = Man::new(command.clone());
        let mut text = Vec::new();
        page.render(&mut text)?;
        let path = self.out.join(page.get_filename());
        fsio::write(&path, &text)?;
        pages.push(path);
        command
            .get_subcommands()
            .filter(|verb| !verb.is_hide_set())
            .try_for_each(|verb| self.write(verb, pages))
    }
}
