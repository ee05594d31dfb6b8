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
  autofas-bench completions bash \\
      > ~/.local/share/bash-completion/completions/autofas-bench
  # a folder of $fpath
  autofas-bench completions zsh > ~/.zfunc/_autofas-bench
  autofas-bench completions fish \\
      > ~/.config/fish/completions/autofas-bench.fish
  # for this shell alone
  source <(autofas-bench completions bash)")]
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
        let generated = |name: &str| {
            let mut script = Vec::new();
            clap_complete::generate(self.shell, &mut shown(), name, &mut script);
            String::from_utf8(script)
        };
        output::print_text(&match self.shell {
            Shell::Bash => {
                // The script for a name with a dash loses verbs of verbs (clap_complete 4.6), so it is made for another name, of
                // which only the command that it serves is changed.
                let plain = PROGRAM.replace('-', "_");
                let served = |name: &str| format!(" -o default {name}\n");
                generated(&plain)?.replace(&served(&plain), &served(PROGRAM))
            }
            Shell::Fish => for_fish(&generated(PROGRAM)?, &shown()),
            _ => generated(PROGRAM)?,
        })
    }
}

/// What fish's script lacks (clap_complete 4.6): the verbs behind `help`, which are offered where no verb is there yet, `help` among them;
/// and the values of arguments without a name.
fn for_fish(script: &str, command: &Command) -> String {
    let behind_help = "__fish_autofas_bench_using_subcommand help; and not __fish_seen_subcommand_from ";
    let lines = script.lines().map(|line| match line.contains(behind_help) {
        true => line.replacen(" help\" ", "\" ", 1),
        false => line.to_owned(),
    });
    let values = command.get_subcommands().flat_map(|verb| {
        let values = verb.get_positionals().flat_map(|argument| argument.get_possible_values());
        values.map(move |value| {
            format!(
                "complete -c {PROGRAM} -n \"__fish_autofas_bench_using_subcommand {}\" -f -a {}",
                verb.get_name(),
                value.get_name()
            )
        })
    });
    lines.chain(values).map(|line| line + "\n").collect()
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
