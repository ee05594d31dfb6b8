//! The experiment file through `iterate`.

use crate::world::{failure, output};
use std::{fs, path::Path};

fn experiment(folder: &Path, text: &str) {
    fs::write(folder.join("e.toml"), format!("[data]\nschema = \"s.toml\"\n{text}")).unwrap();
}

const PRINT: [&str; 4] = ["iterate", "--config", "e.toml", "--print-config"];

#[test]
fn print_config_shows_every_value_with_its_origin() {
    let folder = tempfile::tempdir().unwrap();
    experiment(folder.path(), "[derive]\nrule = \"top_k\"\nk = 12");
    let options =
        ["--data", "d.csv", "--rounds", "5", "--set", "search.gate.kind=relaxed", "--set", "seeds.teacher=9"];
    let printed = output(folder.path(), &[&PRINT[..], &options].concat());
    let values: Vec<_> = printed.lines().filter(|line| !line.is_empty() && !line.starts_with('[')).collect();
    let of = |origin: &str| values.iter().filter(|line| line.ends_with(&format!(" # {origin}"))).count();
    assert_eq!(of("default") + of("file") + of("command line"), values.len(), "{printed}");
    assert!(values.iter().any(|line| line.starts_with("batch_size = ")), "{printed}");
    // The defaults move as they are tuned; what the user wrote does not.
    let written = printed.lines().filter(|line| !line.ends_with(" # default")).collect::<Vec<_>>().join("\n");
    insta::assert_snapshot!(written);
}

#[test]
fn a_wrong_key_ends_with_the_file_and_the_nearest_key() {
    let folder = tempfile::tempdir().unwrap();
    experiment(folder.path(), "[teacher]\nensembel = 3");
    let message = failure(folder.path(), 1, &PRINT);
    assert_eq!(
        message.trim(),
        "error: e.toml, `teacher.ensembel`: unknown key; did you mean `teacher.ensemble`?"
    );
}

#[test]
fn a_wrong_override_is_wrong_usage() {
    let folder = tempfile::tempdir().unwrap();
    experiment(folder.path(), "");
    for (set, expected) in [
        ("teacher.ensembel=3", "teacher.ensemble"),
        ("teacher.ensemble=many", "such as `1`"),
        ("teacher.ensemble", "key.path=value"),
    ] {
        let message = failure(folder.path(), 2, &[&PRINT[..], &["--set", set]].concat());
        assert!(message.contains(expected), "{message}");
    }
}
