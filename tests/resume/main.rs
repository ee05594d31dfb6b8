//! `iterate` killed again and again ends with the same bytes as one that was left alone.
//!
//! The killed program is this test program itself, started as a child: it runs the library's loop with an engine of
//! scripted latencies and ends itself with SIGKILL where `kills` says. The product holds no switch for it but a place in
//! `base::fsio` from which writes are seen.

#![cfg(unix)]

mod budgets;
mod dear;
mod divided;
mod full;
mod kills;
mod scripted;
mod shared;
mod systems;
mod tail;
mod versions;

use autofas_bench::{
    app::{
        config::{Experiment, Override},
        iterate::{Existing, Meter, RunRequest, iterate},
    },
    data::synth::{self, SynthSettings},
};
use kills::{Kills, Place};
use scripted::ScriptedMeter;
use std::{
    collections::BTreeMap,
    fs,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// Where the child works; set for the child alone.
const FOLDER: &str = "AUTOFAS_BENCH_KILL_TEST";
/// Number of the child.
const LEG: &str = "AUTOFAS_BENCH_KILL_TEST_LEG";

const EXPERIMENT: &str = r#"
[data]
schema = "log/schema.toml"
path = "log/log.parquet"
[space]
mixops = [[16, 8, "zero"], [8, "zero"]]
[teacher]
shared = [12]
partition = [8]
max_epochs = 3
patience = 3
batch_size = 64
feature_dropout = 0.1
trees = true
[search]
epochs = 3
warmup_epochs = 1
batch_size = 64
[derive]
rule = "top_k"
k = 9
[finals]
folds = 2
[retrain]
max_epochs = 3
patience = 3
batch_size = 64
[baseline]
widths = [16, 8]
max_epochs = 3
patience = 3
batch_size = 64
[target]
engine = "tract"
engines = ["tract", "null"]
candidates = 20
[traffic]
requests = 20
candidates = 20
[rounds]
count = 2
diverse = 3
held_out = 2
"#;

/// The experiment with a cadence of checkpoints, which changes no result.
fn experiment(folder: &Path, every_seconds: &str) -> Experiment {
    let cadence = Override::parse("checkpoints.every_seconds", every_seconds);
    Experiment::parse(&folder.join("e.toml"), EXPERIMENT, &[cadence]).unwrap()
}

/// A run that goes on where it stopped, if it has begun.
fn resumed<'a>(experiment: &'a Experiment, run: &'a Path, meter: &'a dyn Meter) -> RunRequest<'a> {
    RunRequest { existing: Existing::Resume, ..RunRequest::new(experiment, run, meter) }
}

/// Every file of a run.
fn all_files(run: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fn walk(folder: &Path, root: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => walk(&path, root, found),
                false => {
                    found.insert(path.strip_prefix(root).unwrap().to_owned(), fs::read(&path).unwrap());
                }
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(run, run, &mut found);
    found
}

/// Every file of a run but those that hold times, hosts and paths, and the settings, which hold the cadence.
fn files(run: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = all_files(run);
    for outside in ["environment.json", "paths.json", "config.toml"] {
        assert!(found.remove(Path::new(outside)).is_some(), "{outside}");
    }
    // Curves carry times, and the points after the last checkpoint twice.
    found.retain(|path, _| !path.starts_with("tensorboard"));
    found
}

fn leg(folder: &Path, number: usize) -> Output {
    child("the_child_of_the_kill_test", folder, number).output().unwrap()
}

/// This test program as another process, which does what the ignored test of this name does.
fn child(test: &str, folder: &Path, number: usize) -> Command {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child
        .args(["--ignored", "--exact", test, "--nocapture"])
        .env(FOLDER, folder)
        .env(LEG, number.to_string());
    child
}

/// `log/` for [`EXPERIMENT`], and what a run leaves that nobody disturbs, in `undisturbed/`.
fn left_alone(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let log = SynthSettings { requests: 120, candidates: 10, users: 60, items: 80, ..Default::default() };
    synth::write(&log, &folder.join("log")).unwrap();
    let undisturbed = folder.join("undisturbed");
    let meter = ScriptedMeter { at: &|_| {} };
    let left_alone = experiment(folder, "3600.0");
    iterate(RunRequest::new(&left_alone, &undisturbed, &meter)).unwrap();
    files(&undisturbed)
}

/// Two runs left the same files with the same bytes.
fn assert_same(found: &BTreeMap<PathBuf, Vec<u8>>, wanted: &BTreeMap<PathBuf, Vec<u8>>) {
    let names = |files: &BTreeMap<PathBuf, _>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(found), names(wanted));
    for (name, bytes) in wanted {
        assert!(found[name] == *bytes, "{} differs", name.display());
    }
}

#[test]
#[ignore = "the kill test starts it"]
fn the_child_of_the_kill_test() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let number = std::env::var(LEG).unwrap().parse().unwrap();
    let kills = Kills::begin(&folder, number);
    let meter = ScriptedMeter { at: &|place| kills.reach(place) };
    // By turns after every step, so that a training goes on where it was killed, and some steps before that.
    let experiment = experiment(&folder, if number % 2 == 0 { "0.0" } else { "0.02" });
    let run = folder.join("killed");
    iterate(RunRequest { progress: kills, ..resumed(&experiment, &run, &meter) }).unwrap();
}

#[test]
fn a_run_that_is_killed_at_many_moments_ends_with_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let wanted = left_alone(folder);
    let (mut killed, mut words) = (0, String::new());
    for number in 0.. {
        assert!(number < 100, "no end after {killed} kills:\n{words}");
        let child = leg(folder, number);
        words += &String::from_utf8_lossy(&child.stderr);
        match child.status.signal() {
            Some(9) => killed += 1,
            _ => {
                assert!(child.status.success(), "{:?} after {killed} kills:\n{words}", child.status);
                break;
            }
        }
    }
    println!("{killed} kills, {} of them at random", kills::struck(folder, Place::Anywhere));
    assert!(killed >= 25, "only {killed} kills:\n{words}");
    for place in [Place::Checkpoint, Place::Export, Place::Replay, Place::Table, Place::Anywhere] {
        let struck = kills::struck(folder, place);
        assert!(struck >= 3, "only {struck} kills at {place:?}");
    }
    assert!(words.matches("goes on from").count() >= 3, "hardly any training went on:\n{words}");
    assert_same(&files(&folder.join("killed")), &wanted);
}
