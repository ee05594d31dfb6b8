//! What is said where something was named wrongly: each with the way out.

use crate::{
    run::csv_log,
    shell::completed,
    world::{MODEL, World, failure, output},
};
use std::{fs, path::Path};

#[test]
fn what_is_not_what_was_meant_is_answered_with_what_to_name() {
    let world = World::new();
    let here = world.path();
    let data = ["--data", "log/log.parquet"];
    let evaluate = |model| [&["evaluate", "--model", model][..], &data].concat();
    assert!(failure(here, 2, &evaluate("model")).contains("name the model in it: model/model.onnx"));
    fs::write(world.file("m.txt"), "no model").unwrap();
    assert!(failure(here, 2, &evaluate("m.txt")).contains("give the model.onnx of a package"));
    let inspect = ["data", "inspect", "--data", "log/log.parquet", "--schema", "s.toml"];
    for (schema, advice) in
        [(&b"\xff\xfe"[..], "this is no text"), (b"", "let `data draft` make a first one")]
    {
        fs::write(world.file("s.toml"), schema).unwrap();
        assert!(failure(here, 1, &inspect).contains(advice), "{advice}");
    }
    let gone = failure(here, 1, &["export", "--run", "gone", "--out", "o"]);
    assert!(gone.contains("cannot look at gone; check the path"), "{gone}");
    let skew = failure(here, 1, &[&["skew"][..], &MODEL].concat());
    assert!(skew.contains("`score`: there is no such column; name the column of the score"), "{skew}");
    let negative = failure(here, 2, &[&["replay"][..], &MODEL, &["--qps", "-5"]].concat());
    assert!(negative.contains("-5") && !negative.contains("unexpected argument"), "{negative}");
}

#[test]
fn settings_out_of_all_proportion_are_refused_before_anything_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    csv_log(here, "0");
    for (set, advice) in [
        ("target.candidates=1000000000", "from 1 to 1000000"),
        ("traffic.candidates=1000000000", "from 1 to 1000000"),
        ("teacher.shared=[100000000]", "from 1 to 65536"),
        ("baseline.widths=[100000000]", "from 1 to 65536"),
        ("space.mixops=[[1000000000,\"zero\"]]", "from 1 to 65536"),
        ("rounds.count=99999999999999999999", "no number is that large"),
    ] {
        let said =
            failure(here, 2, &["iterate", "--config", "c.toml", "--out", "r", "--dry-run", "--set", set]);
        assert!(said.contains(advice), "{set}: {said}");
    }
    let probe = ["table", "probe", "--config", "c.toml", "--out", "t.json", "--candidates", "1000000000"];
    assert!(failure(here, 2, &probe).contains("from 1 to 1000000"));
}

#[test]
fn a_network_is_named_by_any_of_its_options_and_a_failed_export_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    fs::create_dir_all(here.join("run/networks/one")).unwrap();
    for option in ["--candidate", "--subnet", "--network"] {
        for verb in
            [&["export", "--out", "o"][..], &["retrain", "--data", "d", "--out", "o"], &["importance"]]
        {
            let said = failure(here, 2, &[verb, &["--run", "run", option, "two"]].concat());
            assert!(said.contains("the run has no network `two`"), "{verb:?} {option}: {said}");
        }
    }
    assert!(!here.join("o").exists());
}

#[test]
fn bash_offers_systems_and_no_files_where_none_is_asked_for() {
    let script = output(Path::new("."), &["completions", "bash"]);
    assert_eq!(completed(&script, &["autofas-bench", "compare", "--systems", "two"]), ["two-tower"]);
    for option in ["--engine-option", "--set"] {
        let verb = if option == "--set" { "iterate" } else { "replay" };
        // Cargo.toml is in this folder.
        assert_eq!(completed(&script, &["autofas-bench", verb, option, "Cargo"]), ["Cargo"], "{option}");
    }
}
