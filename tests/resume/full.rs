//! A run that is out of room again and again: a limit on the size of files stands for the full disk.

use crate::{
    FOLDER, LEG, all_files, assert_same, child, experiment, files, left_alone, resumed,
    scripted::ScriptedMeter,
};
use autofas_bench::{app::iterate::iterate, base::fsio::TEMPORARY};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

/// KiB that a file may have at most, in one life of the program after the other.
const LIMITS: [usize; 8] = [1, 2, 4, 8, 16, 32, 64, 1 << 20];

#[test]
#[ignore = "the test below starts it"]
fn the_child_without_room() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let number: usize = std::env::var(LEG).unwrap().parse().unwrap();
    let experiment = experiment(&folder, if number.is_multiple_of(2) { "0.0" } else { "3600.0" });
    let (meter, run) = (ScriptedMeter { at: &|_| {} }, folder.join("cramped"));
    if let Err(error) = iterate(resumed(&experiment, &run, &meter)) {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}

#[test]
fn a_run_that_is_out_of_room_again_and_again_loses_nothing_and_ends_with_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let wanted = left_alone(folder);
    let run = folder.join("cramped");
    let mut refused = Vec::new();
    for (number, limit) in LIMITS.into_iter().enumerate() {
        let before = files_but_checkpoints(&run);
        let child = child("full::the_child_without_room", folder, number);
        let mut limited = Command::new("bash");
        // The shell turns the signal off that would kill a program at the limit; the write fails as on a full disk.
        limited.args(["-c", &format!("trap '' XFSZ; ulimit -f {limit}; exec \"$0\" \"$@\"")]);
        limited.arg(child.get_program()).args(child.get_args());
        limited.envs(child.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let done = limited.output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        let kept = files_but_checkpoints(&run);
        for (name, bytes) in &before {
            assert!(kept.get(name) == Some(bytes), "{limit} KiB: {} was finished", name.display());
        }
        assert!(kept.keys().all(|name| !name.to_string_lossy().contains(TEMPORARY)), "{limit} KiB: {kept:?}");
        if done.status.success() {
            continue;
        }
        let error = said.split_once("error: ").unwrap_or_else(|| panic!("{limit} KiB: {said}")).1;
        let named = error.strip_prefix("cannot write ").unwrap_or_else(|| panic!("{limit} KiB: {said}"));
        assert!(
            named.starts_with(run.to_str().unwrap()) && named.contains("`ulimit -f`"),
            "{limit} KiB: {said}"
        );
        refused.push(limit);
    }
    assert!(refused.len() >= 3 && refused.last() < LIMITS.last(), "{refused:?}");
    assert_same(&files(&run), &wanted);
}

/// What is there to stay.
fn files_but_checkpoints(run: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    // The first one may not have begun.
    let mut kept = if run.exists() { all_files(run) } else { BTreeMap::new() };
    kept.retain(|name, _| !name.starts_with("checkpoints") && !name.starts_with("tensorboard"));
    kept
}
