//! `store load`, `store show` and `replay --store`.

use crate::world::{World, failure, json, output, program, replayed};
use serde_json::Value;
use std::fs;

mod price;
mod redis;
mod slow;
mod tls;

const LOAD: [&str; 8] =
    ["store", "load", "--model", "model/model.onnx", "--data", "log/log.parquet", "--out", "features"];
const REPLAY: [&str; 13] = [
    "replay",
    "--model",
    "model/model.onnx",
    "--data",
    "log/log.parquet",
    "--engine",
    "tract",
    "--qps",
    "400",
    "--requests",
    "200",
    "--candidates",
    "8",
];

/// A world with the store of its log in `features/`.
fn filled() -> World {
    let world = World::new();
    program(world.path()).args(LOAD).assert().success();
    world
}

#[test]
fn a_store_is_filled_and_described_with_the_groups_of_the_schema() {
    let world = World::new();
    let loaded = json(world.path(), &LOAD);
    let shown = json(world.path(), &["store", "show", "features"]);
    assert_eq!(loaded, shown);
    let content = &shown["content"];
    assert_eq!(content["users"].as_u64().unwrap(), 30.min(content["users"].as_u64().unwrap()));
    assert!(
        content["items"].as_u64().unwrap() <= 40 && content["pairs"].as_u64().unwrap() <= 600,
        "{content}"
    );
    let groups = content["groups"].as_array().unwrap();
    let stored: usize = groups.iter().map(|group| group["features"].as_array().unwrap().len()).sum();
    let schema = world.read_json("model/schema.json");
    let of_store = |feature: &&Value| feature["source"] == "store";
    assert_eq!(stored, schema["features"].as_array().unwrap().iter().filter(of_store).count());
    let text = output(world.path(), &["store", "show", "features"]);
    assert!(text.contains("bytes per row") && text.contains("MB on the disk"), "{text}");
    let left: Vec<_> = fs::read_dir(world.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with('.')), "{left:?}");
    assert!(failure(world.path(), 2, &LOAD).contains("features is not an empty folder"));
}

#[test]
fn a_replay_fetches_from_either_store_and_reports_it_and_one_without_a_store_does_not() {
    let world = filled();
    for (store, kind) in
        [("memory:features", "memory"), ("features", "memory"), ("embedded:features", "embedded")]
    {
        let files = ["--store", store, "--hlog", "r.hlog", "--csv", "r.csv", "--plot", "r.html"];
        let (result, _) = replayed(world.path(), &[&REPLAY[..], &files].concat());
        let summary = &result["store"];
        assert_eq!((&summary["kind"], &summary["place"]), (&kind.into(), &"features".into()));
        assert!(summary["bytes_per_request"].as_f64().unwrap() > 8.0, "{summary}");
        let fetches = &summary["fetches"];
        assert_eq!((&fetches["requests"], &fetches["failures"]), (&600.into(), &0.into()));
        // The trace was made of the rows that fill the store.
        assert_eq!((&fetches["users"]["missing"], &fetches["items"]["missing"]), (&0.into(), &0.into()));
        assert_eq!(result["fetch_us"]["count"], 600);
        assert_eq!(result["errors"], 0);
        let logged = fs::read_to_string(world.file("r.hlog")).unwrap();
        assert!(logged.contains("Tag=fetch,"), "{logged}");
        assert!(fs::read_to_string(world.file("r.csv")).unwrap().contains("fetch"));
    }
    let text = program(world.path()).args(REPLAY).args(["--store", "features"]).output().unwrap().stdout;
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("features of") && text.contains("groups from the memory store features"), "{text}");
    let (result, _) = replayed(world.path(), &REPLAY);
    assert!(result.get("store").is_none() && result.get("fetch_us").is_none());
}

#[test]
fn a_store_that_is_not_there_or_is_damaged_or_of_something_else_is_a_clear_error() {
    let world = filled();
    let refused = |store: &str, expected: &[&str]| {
        let said = failure(world.path(), 1, &[&REPLAY[..], &["--store", store]].concat());
        assert!(expected.iter().all(|expected| said.contains(expected)), "{said}");
    };
    refused("gone", &["gone/store.json", "check the path"]);
    fs::create_dir(world.file("empty")).unwrap();
    refused("embedded:empty", &["empty: it holds no store.json", "store load"]);

    let rows = fs::read(world.file("features/rows.mdb")).unwrap();
    fs::write(world.file("features/rows.mdb"), &rows[..rows.len() - 4096]).unwrap();
    refused("features", &["features/rows.mdb:", "bytes where", "store load"]);
    let mut damaged = rows.clone();
    damaged[rows.len() / 2] ^= 1;
    fs::write(world.file("features/rows.mdb"), damaged).unwrap();
    refused("embedded:features", &["rows.mdb: its content is not the one that store.json tells of"]);
    fs::write(world.file("features/rows.mdb"), &rows).unwrap();

    let manifest = world.read_json("features/store.json");
    let changed = |path: &[&str], value: Value| {
        let mut changed = manifest.clone();
        *path.iter().fold(&mut changed, |at, key| &mut at[*key]) = value;
        fs::write(world.file("features/store.json"), changed.to_string()).unwrap();
    };
    changed(&["content", "encoder_hash"], "ab".into());
    refused(
        "features",
        &["features: the store was filled with other encoders than the model's", "store load"],
    );
    changed(&["content", "schema_hash"], "ab".into());
    refused("features", &["another schema than the model's"]);
    changed(&["content", "schema_version"], 9.into());
    refused("features", &["`schema_version`: is 9, this program reads 1"]);
    let mut groups = manifest["content"]["groups"].clone();
    groups.as_array_mut().unwrap().remove(0);
    changed(&["content", "groups"], groups);
    refused("embedded:features", &["features, `", "no group holds it", "store load"]);
    fs::write(world.file("features/store.json"), manifest.to_string()).unwrap();
    fs::remove_file(world.file("features/rows.mdb")).unwrap();
    refused("features", &["cannot read features/rows.mdb"]);
}

#[test]
fn a_store_is_not_filled_from_data_without_keys() {
    let world = World::new();
    let schema = fs::read_to_string(world.file("log/schema.toml")).unwrap();
    let without: Vec<&str> = schema.lines().filter(|line| !line.starts_with("item_key")).collect();
    fs::write(world.file("s.toml"), without.join("\n")).unwrap();
    let said = failure(world.path(), 2, &[&LOAD[..], &["--schema", "s.toml"]].concat());
    assert!(said.contains("`user_key` and `item_key`"), "{said}");
    assert!(!world.file("features").exists());
}

#[test]
fn no_store_is_none_to_be_filled_which_is_said_before_anything_is_read() {
    let world = World::new();
    let files = ["--model", "model/model.onnx", "--data", "missing.parquet", "--out", "none"];
    let said = failure(world.path(), 2, &[&["store", "load"], &files[..]].concat());
    assert!(said.contains("`none` is no store") && said.contains("redis://host"), "{said}");
}
