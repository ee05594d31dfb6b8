//! `completions`: what a shell needs to complete verbs, options and their values.

use super::{
    Cli, PROGRAM,
    output::{self, Format},
};
use crate::base::Error;
use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  autofas-bench completions bash > ~/.local/share/bash-completion/completions/autofas-bench
  autofas-bench completions zsh > ~/.zfunc/_autofas-bench            # a folder of $fpath
  autofas-bench completions fish > ~/.config/fish/completions/autofas-bench.fish
  source <(autofas-bench completions bash)                          # for this shell alone")]
pub struct CompletionsArgs {
    /// Whose script it is
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

impl CompletionsArgs {
    pub fn run(self, format: Format) -> anyhow::Result<()> {
        if format == Format::Json {
            return Err(Error::usage("a shell reads no JSON", "leave --json out").into());
        }
        let mut script = Vec::new();
        let mut command = shown();
        match self.shell {
            Shell::Bash => {
                // The script for a name with a dash loses verbs of verbs (clap_complete 4.6), so it is made for another name, of
                // which only the command that it serves is changed.
                let plain = PROGRAM.replace('-', "_");
                clap_complete::generate(self.shell, &mut command, &plain, &mut script);
                let served = |name: &str| format!(" -o default {name}\n");
                output::print_text(&String::from_utf8(script)?.replace(&served(&plain), &served(PROGRAM)))
            }
            _ => {
                clap_complete::generate(self.shell, &mut command, PROGRAM, &mut script);
                output::print_text(&String::from_utf8(script)?)
            }
        }
    }
}

/// The program without what its help hides.
fn shown() -> Command {
    let all = Cli::command();
    let verbs = all.get_subcommands().filter(|verb| !verb.is_hide_set()).cloned();
    Command::new(PROGRAM)
        .version(env!("CARGO_PKG_VERSION"))
        .args(all.get_arguments().cloned())
        .subcommands(verbs)
}
