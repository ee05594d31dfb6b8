//! Where results go: refused before anything is measured where that cannot be, and kept as far as they can where it shows only then.

use crate::{
    stopping,
    world::{MODEL, TRAFFIC, World, failure, program},
};
use std::{fs, os::unix::fs::PermissionsExt};

const PACE: [&str; 8] = ["--engine", "tract", "--repeats", "1", "--min-requests", "1", "--min-duration", "0"];

fn replay(outputs: &[&'static str]) -> Vec<&'static str> {
    [&["replay"][..], &MODEL, &TRAFFIC, &PACE, outputs].concat()
}

#[test]
fn a_place_that_cannot_be_written_is_refused_before_anything_is_measured() {
    let world = World::new();
    let here = world.path();
    fs::create_dir(world.file("run")).unwrap();
    fs::write(world.file("run/config.toml"), "").unwrap();
    fs::write(world.file("e.toml"), "data.schema = \"log/schema.toml\"\ndata.path = \"log/log.parquet\"")
        .unwrap();
    let [folder, file] = ["this is a folder: name a file in it", "a file is where a folder should be"];
    for (outputs, expected) in [
        (&["--out", "model"][..], folder),
        (&["--hlog", "model"], folder),
        (&["--csv", "log/log.parquet/r.csv"], file),
        (&["--out", "r.json", "--plot", "log/log.parquet/r.svg"], file),
    ] {
        for dry in [&[][..], &["--dry-run"]] {
            let said = failure(here, 1, &[&replay(outputs)[..], dry].concat());
            assert!(said.contains(expected) && !said.contains("pass 1"), "{outputs:?} {dry:?}: {said}");
        }
    }
    let store = [&["store", "load"][..], &MODEL, &["--out", "log/log.parquet/store"]].concat();
    let run = ["iterate", "--config", "e.toml", "--out", "log/log.parquet/run"];
    let trace =
        [&["trace", "make"][..], &MODEL, &["--qps", "5", "--out", "log/log.parquet/t.jsonl"]].concat();
    let synth = ["data", "synth", "--out", "log/log.parquet"];
    let probe = ["table", "probe", "--config", "e.toml", "--out", "log/log.parquet/t.json"];
    for (verb, dry) in [(&store[..], true), (&run, true), (&probe, true), (&trace, false), (&synth, false)] {
        let dry = if dry { &["--dry-run"][..] } else { &[] };
        let said = failure(here, if verb == store { 2 } else { 1 }, &[verb, dry].concat());
        assert!(said.contains(file) || said.contains("is not an empty folder"), "{verb:?}: {said}");
    }
    let retrain = ["retrain", "--run", "gone", "--data", "log/log.parquet", "--out", "run"];
    for dry in [&[][..], &["--dry-run"]] {
        let said = failure(here, 2, &[&retrain[..], dry].concat());
        assert!(said.contains("run is a run, whose schema and encoders"), "{said}");
    }
}

#[test]
fn a_replay_that_cannot_write_one_result_writes_the_others_and_prints_all() {
    let world = World::new();
    // The first result makes a folder where the second would be.
    let replay = replay(&["--out", "r/result.json", "--hlog", "r", "--csv", "r.csv", "--json"]);
    let ended = program(world.path()).args(&replay).assert().code(1);
    let [printed, said] = [&ended.get_output().stdout, &ended.get_output().stderr];
    let said = String::from_utf8_lossy(said);
    assert!(said.contains("error: cannot rename into r; this is a folder"), "{said}");
    let printed: serde_json::Value = serde_json::from_slice(printed).unwrap();
    assert_eq!(printed, world.read_json("r/result.json"));
    assert!(fs::read_to_string(world.file("r.csv")).unwrap().contains("response"));
}

#[test]
fn a_run_folder_that_cannot_be_written_is_named_with_the_way_out() {
    let folder = stopping::world();
    let here = folder.path();
    fs::write(here.join("file"), "").unwrap();
    let message = failure(here, 1, &["iterate", "--config", "e.toml", "--out", "file"]);
    assert!(message.contains("file") && message.contains("name another folder"), "{message}");

    let closed = here.join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o555)).unwrap();
    // Whoever may write anywhere, such as root, cannot see this one.
    if fs::write(closed.join("x"), "").is_err() {
        let message = failure(here, 1, &["iterate", "--config", "e.toml", "--out", "closed/run"]);
        assert!(message.contains("closed/run") && message.contains("that you may write to"), "{message}");
    }
}
