//! A run that another version of the program began.

use crate::{all_files, experiment, left_alone, resumed, scripted::ScriptedMeter};
use autofas_bench::{
    app::{config::Experiment, iterate::iterate},
    base::{Result, fsio},
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

fn goes_on(experiment: &Experiment, run: &Path) -> Result<()> {
    let meter = ScriptedMeter { at: &|_| {} };
    iterate(resumed(experiment, run, &meter)).map(drop)
}

const SUMMARY: &str = "summary.json";
/// What is written at every start, and what only people and other programs read.
const NOT_READ: [&str; 4] = ["schema.json", "encoders.json", "environment.json", "paths.json"];

#[test]
fn a_result_of_another_version_is_named_with_both_and_nothing_is_changed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    left_alone(folder);
    let (run, experiment) = (folder.join("undisturbed"), experiment(folder, "3600.0"));
    let whole = all_files(&run);
    let (mut refused, mut passed_over, mut kinds) = (Vec::new(), 0, BTreeSet::new());
    for (name, bytes) in &whole {
        let text = name.to_string_lossy().into_owned();
        // Packages and shapes are what others read; the run goes by the records beside them.
        let package =
            text.starts_with("networks/") && !text.ends_with("fit.json") && !text.ends_with("parity.json");
        if !text.ends_with(".json")
            || package
            || NOT_READ.contains(&text.as_str())
            || !kinds.insert(kind(&text))
        {
            continue;
        }
        let mut value: Value = serde_json::from_slice(bytes).unwrap();
        let version = value["schema_version"].as_u64().unwrap_or_else(|| panic!("{text} has no version"));
        value["schema_version"] = 99.into();
        // A run that has its summary needs nothing else.
        fs::remove_file(run.join(SUMMARY)).unwrap();
        fsio::write_json(&run.join(name), &value).unwrap();
        let before = all_files(&run);
        let gone_on = goes_on(&experiment, &run);
        let mut changed = changed(&before, &all_files(&run));
        match gone_on {
            // It is a part of a step that was finished, and nobody reads it any more.
            Ok(()) => {
                changed.retain(|name| name != SUMMARY);
                passed_over += 1;
            }
            Err(error) => {
                let error = error.to_string();
                let both = format!("{text}, `schema_version`: is 99, this program reads {version}");
                assert!(error.contains(&both) && error.contains("another --out"), "{error}");
                refused.push(text.clone());
            }
        }
        assert_eq!(changed, [""; 0], "by {text}");
        fsio::write(&run.join(name), bytes).unwrap();
        if refused.last() == Some(&text) {
            fsio::write(&run.join(SUMMARY), &whole[Path::new(SUMMARY)]).unwrap();
        }
        assert!(all_files(&run) == whole, "by {text}");
    }
    for expected in [
        "data.json",
        "teacher/0.json",
        "rounds/1/search.json",
        "tables/v1.json",
        "replay/tract.json",
        "summary.json",
    ] {
        assert!(refused.iter().any(|name| name == expected), "{expected} is not in {refused:?}");
    }
    assert!(refused.len() > passed_over, "{refused:?} and {passed_over}");
    goes_on(&experiment, &run).unwrap();
    assert_eq!(changed(&whole, &all_files(&run)), [""; 0]);
}

/// One file of each is enough: numbers and names of networks do not count.
fn kind(name: &str) -> String {
    let parts = name.split('/').filter(|part| !part.contains('-'));
    parts.map(|part| part.replace(|c: char| c.is_ascii_digit(), "")).collect::<Vec<_>>().join("/")
}

/// Names of what is not the same any more.
fn changed(before: &BTreeMap<PathBuf, Vec<u8>>, after: &BTreeMap<PathBuf, Vec<u8>>) -> Vec<String> {
    let names = before.keys().chain(after.keys()).collect::<BTreeSet<_>>();
    let differ = names.into_iter().filter(|name| before.get(*name) != after.get(*name));
    differ.map(|name| name.display().to_string()).collect()
}
