//! `data synth` and `data inspect`.

use crate::world::{World, failure, json};
use std::fs;

const SMALL: [&str; 10] =
    ["data", "synth", "--requests", "50", "--candidates", "5", "--users", "20", "--items", "30"];

#[test]
fn a_synthetic_log_is_written_whole_and_repeats_by_seed() {
    let folder = tempfile::tempdir().unwrap();
    let synth = |out: &str, seed: &str| {
        json(folder.path(), &[&SMALL[..], &["--out", out, "--seed", seed]].concat());
        fs::read(folder.path().join(out).join("log.parquet")).unwrap()
    };
    assert_eq!(synth("a", "1"), synth("b", "1"));
    assert_ne!(synth("c", "2"), synth("a", "1"));
    for file in ["schema.toml", "truth.json"] {
        assert!(folder.path().join("a").join(file).is_file(), "{file}");
    }
}

#[test]
fn inspect_counts_what_was_written() {
    let world = World::new();
    let found =
        json(world.path(), &["data", "inspect", "--data", "log/log.parquet", "--schema", "log/schema.toml"]);
    assert_eq!((found["rows"].as_u64(), found["requests"].as_u64()), (Some(600), Some(60)));
    let positive = world.data.labels.iter().filter(|&&label| label == 1.0).count() as f64;
    assert_eq!(found["label_rates"][0]["rate"].as_f64().unwrap(), positive / 600.0);
    assert_eq!(found["features"].as_array().unwrap().len(), world.data.features.len());
}

#[test]
fn a_schema_of_other_data_is_answered_with_file_and_column() {
    let world = World::new();
    fs::write(world.file("small.csv"), "click,other\n1,2\n").unwrap();
    let message =
        failure(world.path(), 1, &["data", "inspect", "--data", "small.csv", "--schema", "log/schema.toml"]);
    assert!(message.contains("small.csv, `"), "{message}");
}

#[test]
fn inspect_warns_of_a_column_that_is_known_only_after_the_label() {
    let world = World::new();
    let rows: String = (0..200).map(|row| format!("{0},{0},{1}\n", row % 3 % 2, row % 7)).collect();
    fs::write(world.file("leak.csv"), format!("click,watched,hour\n{rows}")).unwrap();
    let schema = "[data]\nlabel = \"click\"\n[[feature]]\ncolumns = [\"watched\", \"hour\"]\nkind = \"item\"\n\
        type = \"categorical\"\nfetch_ms = 1\n";
    fs::write(world.file("leak.toml"), schema).unwrap();
    let found = json(world.path(), &["data", "inspect", "--data", "leak.csv", "--schema", "leak.toml"]);
    let alarms = found["alarms"].as_array().unwrap();
    assert_eq!(alarms.len(), 1, "{alarms:?}");
    let (feature, reason) = (alarms[0]["feature"].as_str(), alarms[0]["reason"].as_str());
    assert_eq!(
        (feature, reason, alarms[0]["auc"].as_f64()),
        (Some("watched"), Some("implausible"), Some(1.0))
    );
}
