//! Whether a run goes on with the settings that it was begun with, and which differ where it does not.

use crate::{
    app::config::differing,
    base::{Error, Result, error::Place},
};
use std::path::Path;
use toml::{Table, Value};

/// So many settings are told in one message.
const TOLD: usize = 5;

/// Fails where the settings `now` would give other results than those of the run's file, which are `before`; names those that differ.
pub(super) fn check_same(file: &Path, before: &str, now: &str) -> Result<()> {
    let [before, now] = [before, now].map(deciding);
    if before == now {
        return Ok(());
    }
    let [before, now] = [before, now].map(Option::unwrap_or_default);
    let written = |value: Option<Value>| value.map_or("absent".to_owned(), |value| value.to_string());
    let differing = differing(&before, &now);
    let told = differing.iter().take(TOLD).cloned();
    let mut told: Vec<String> = told
        .map(|(key, before, now)| format!("{key}: {} in the run, {} now", written(before), written(now)))
        .collect();
    if differing.len() > TOLD {
        told.push(format!("and {} more", differing.len() - TOLD));
    }
    Err(Error::input(
        file,
        Place::whole(),
        format!("the run was started with other settings ({})", told.join("; ")),
        "resume it with the same --config and options, or start a new run with another --out",
    ))
}

/// Settings that decide results, without the comments that tell where each came from.
fn deciding(config: &str) -> Option<Table> {
    let mut table: Table = config.parse().ok()?;
    // How often a state is saved changes no result.
    table.remove("checkpoints");
    // Nor do trainings depend on which others they are compared with.
    if let Some(Value::Table(compare)) = table.get_mut("compare") {
        ["systems", "budgets_ms", "seeds", "resamples"].iter().for_each(|key| drop(compare.remove(*key)));
    }
    Some(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_differ_are_named_and_of_many_some() {
        let before = "a = 1\nb = 2\n[rounds]\ncount = 1\n[checkpoints]\nkeep = 1";
        check_same(Path::new("config.toml"), before, &before.replace("keep = 1", "keep = 2")).unwrap();
        let now = "b = 2\nc = \"x\"\n[rounds]\ncount = 3";
        let said = check_same(Path::new("config.toml"), before, now).unwrap_err().to_string();
        assert!(
            said.contains(
                "(a: 1 in the run, absent now; rounds.count: 1 in the run, 3 now; c: absent in the run, \"x\" now); resume it"
            ),
            "{said}"
        );
        let many = |value: usize| (0..8).map(|key| format!("k{key} = {value}\n")).collect::<String>();
        let said = check_same(Path::new("config.toml"), &many(1), &many(2)).unwrap_err().to_string();
        assert!(said.contains("k4: 1 in the run, 2 now; and 3 more)") && !said.contains("k5"), "{said}");
    }
}
