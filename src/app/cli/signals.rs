//! SIGINT and SIGTERM as a request to stop: the step is finished and saved. A second signal ends the program at once.

use crate::base::{shell, stop::Stop};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};
use std::sync::{Arc, atomic::AtomicBool};

/// A request to stop that either signal makes, with this very command and `--resume` as the way to go on.
pub fn stop_on_signals() -> anyhow::Result<Stop> {
    stop_or_end(Stop::new(resume_command(this_command())))
}

/// A request to stop that either signal makes, for a verb that cannot go on from there: one that writes what it has, and dry runs.
pub fn stop_and_end() -> anyhow::Result<Stop> {
    stop_or_end(Stop::never())
}

/// For a measuring process: its parent gets the signal too, tells it again, and ends it when that takes too long. No second
/// signal ends it with all that it has measured.
pub fn stop_only() -> anyhow::Result<Stop> {
    let stop = Stop::never();
    for signal in [SIGINT, SIGTERM] {
        flag::register_usize(signal, stop.flag(), signal as usize)?;
    }
    Ok(stop)
}

fn stop_or_end(stop: Stop) -> anyhow::Result<Stop> {
    let asked = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal finds the shutdown unarmed, then arms it.
        flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&asked))?;
        flag::register(signal, Arc::clone(&asked))?;
        flag::register_usize(signal, stop.flag(), signal as usize)?;
    }
    Ok(stop)
}

/// The words that this program was started with.
pub fn this_command() -> impl Iterator<Item = String> {
    std::env::args_os().map(|arg| arg.to_string_lossy().into_owned())
}

/// The command as a shell reads it, with `--resume`.
pub fn resume_command(args: impl Iterator<Item = String>) -> String {
    const RESUME: &str = "--resume";
    let mut words: Vec<String> = args.collect();
    if !words.iter().any(|word| word == RESUME) {
        words.push(RESUME.to_owned());
    }
    shell::command(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_repeated_as_a_shell_reads_it() {
        let command = |words: &[&str]| resume_command(words.iter().map(|word| (*word).to_owned()));
        let args = ["autofas-bench", "iterate", "--set", "space.mixops=[[8, \"zero\"]]", "--out", "it's"];
        assert_eq!(
            command(&args),
            r#"autofas-bench iterate --set 'space.mixops=[[8, "zero"]]' --out 'it'\''s' --resume"#
        );
        assert_eq!(command(&["a", "--resume", "--json"]), "a --resume --json");
    }
}
