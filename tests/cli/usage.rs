//! Help, versions and exit codes.

use crate::world::{failure, output, program};
use std::{path::Path, process::Stdio};

const VERBS: [&[&str]; 24] = [
    &["iterate"],
    &["search"],
    &["compare"],
    &["export"],
    &["table", "probe"],
    &["table", "check"],
    &["table", "predict"],
    &["table", "merge"],
    &["replay"],
    &["forecast"],
    &["report"],
    &["trace", "make"],
    &["trace", "show"],
    &["store", "load"],
    &["store", "show"],
    &["store", "price"],
    &["table", "show"],
    &["evaluate"],
    &["importance"],
    &["data", "synth"],
    &["data", "draft"],
    &["data", "inspect"],
    &["doctor"],
    &["engine-child"],
];

#[test]
fn every_verb_shows_an_example_of_itself() {
    for verb in VERBS {
        let help = output(Path::new("."), &[verb, &["--help"]].concat());
        let example = format!("autofas-bench {}", verb.join(" "));
        let examples = help.split("Example").nth(1).unwrap_or_else(|| panic!("{verb:?} has no example"));
        assert!(examples.contains(&example), "{verb:?}: {help}");
        assert!(help.contains("--json"), "{verb:?}");
    }
}

#[test]
fn the_overview_names_the_verbs() {
    insta::assert_snapshot!(output(Path::new("."), &["--help"]));
}

#[test]
fn wrong_usage_ends_with_2() {
    let folder = tempfile::tempdir().unwrap();
    for args in [&[][..], &["no-such-verb"], &["replay"], &["trace", "show"], &["doctor", "--what"]] {
        failure(folder.path(), 2, args);
    }
}

#[test]
fn a_file_that_is_not_there_ends_with_1_and_its_name() {
    let folder = tempfile::tempdir().unwrap();
    for args in [&["trace", "show", "gone.parquet"][..], &["table", "show", "gone.json"]] {
        let message = failure(folder.path(), 1, args);
        assert!(message.starts_with("error: ") && message.contains("gone."), "{message}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = std::process::Command::new(program(folder.path()).get_program())
        .args(["doctor", "--json"])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
}
