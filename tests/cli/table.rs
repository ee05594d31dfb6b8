//! Tables: parts of a probing that are joined, and a table held against networks that it never saw.

use crate::world::{PROBE, failure, json, output, program};
use autofas_bench::{app::check::TableCheck, price::table::LatencyTable};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// A small space, and measurements that take a second.
const EXPERIMENT: &str = r#"
[data]
schema = "log/schema.toml"
[space]
mixops = [[16, 8, "zero"], [8, "zero"]]
[target]
engine = "tract"
engines = ["tract"]
candidates = 20
[probe]
passes = 2
block_ms = 1
repeats = 0
"#;

fn world() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    output(folder.path(), &["data", "synth", "--requests", "20", "--candidates", "5", "--out", "log"]);
    fs::write(folder.path().join("e.toml"), EXPERIMENT).unwrap();
    folder
}

fn probe(here: &Path, out: &str, more: &[&str]) -> LatencyTable {
    output(here, &[&PROBE[..], &["--cardinality", "20", "--out", out], more].concat());
    LatencyTable::load(&here.join(out)).unwrap()
}

/// What a table holds values of.
fn keys(table: &LatencyTable) -> BTreeSet<String> {
    let of = |bucket: &autofas_bench::price::table::Bucket| {
        let entries = bucket.entries.iter().map(|entry| entry.operation.to_string());
        let inputs = bucket.inputs.iter().map(|entry| format!("{:?} {}", entry.input, entry.to));
        let networks = bucket.observations.iter().chain(&bucket.held_out).map(|o| o.network.clone());
        let all: Vec<String> = entries.chain(inputs).chain(networks).collect();
        let place = format!("{} at {}", bucket.context, bucket.candidates);
        all.into_iter().map(move |key| format!("{place}: {key}")).collect::<Vec<_>>()
    };
    table.buckets.iter().flat_map(of).collect()
}

#[test]
fn parts_of_a_probing_join_to_the_whole_with_their_origins() {
    let folder = world();
    let here = folder.path();
    let whole = probe(here, "whole.json", &[]);
    let parts = ["1/2", "2/2"].map(|shard| {
        let file = format!("shard-{}.json", &shard[..1]);
        probe(here, &file, &["--shard", shard])
    });
    assert!(keys(&parts[0]).is_disjoint(&keys(&parts[1])) && parts.iter().all(|part| !keys(part).is_empty()));
    assert!(parts.iter().flat_map(|part| &part.buckets).all(|bucket| bucket.correction.is_none()));
    let merge = ["table", "merge", "shard-1.json", "shard-2.json", "--out", "joined.json"];
    let said = program(here).args(merge).output().unwrap();
    let said = String::from_utf8(said.stderr).unwrap();
    assert!(said.contains(&format!("shard-1.json is table {}", parts[0].id())), "{said}");
    let joined = LatencyTable::load(&here.join("joined.json")).unwrap();
    assert_eq!(keys(&joined), keys(&whole));
    let tables: BTreeSet<_> = joined.origins.iter().filter_map(|origin| origin.table.clone()).collect();
    assert_eq!(tables, parts.iter().map(LatencyTable::id).collect());
    let known = |origin: &autofas_bench::price::origin::Origin| {
        origin.measured_unix_s > Some(1_700_000_000) && origin.inputs.is_some()
    };
    assert!(joined.origins.iter().all(known), "{:?}", joined.origins);
    let shown = output(here, &["table", "show", "joined.json"]);
    assert!(shown.contains(&format!("as table {}", parts[1].id())), "{shown}");
    // Other embedding tables are another thing.
    let other = [&PROBE[..], &["--cardinality", "30", "--out", "other.json"]].concat();
    output(here, &other);
    let refused = failure(here, 2, &["table", "merge", "whole.json", "other.json", "--out", "x.json"]);
    assert!(refused.contains("other features or embedding tables"), "{refused}");
    // So are other sets of features behind the same widths.
    fs::write(here.join("e.toml"), format!("{EXPERIMENT}[seeds]\nprobe = 9\n")).unwrap();
    probe(here, "seed.json", &[]);
    let refused = failure(here, 2, &["table", "merge", "whole.json", "seed.json", "--out", "x.json"]);
    assert!(refused.contains("other features") && refused.contains("seeds.probe"), "{refused}");
    assert!(failure(here, 2, &[&PROBE[..], &["--out", "x.json", "--shard", "3/2"]].concat()).contains("1/8"));
}

#[test]
fn tables_that_contradict_each_other_do_not_join() {
    let folder = world();
    let here = folder.path();
    probe(here, "a.json", &["--shard", "1/2"]);
    let mut table: Value = serde_json::from_slice(&fs::read(here.join("a.json")).unwrap()).unwrap();
    let bucket = table["buckets"].as_array_mut().unwrap().iter_mut().find(|b| b["entries"][0].is_object());
    let entry = &mut bucket.unwrap()["entries"][0];
    entry["mean_ms"] = (entry["mean_ms"].as_f64().unwrap() * 3.0 + 1.0).into();
    entry["noise_pct"] = 0.1.into();
    fs::write(here.join("b.json"), table.to_string()).unwrap();
    let refused = failure(here, 2, &["table", "merge", "a.json", "b.json", "--out", "x.json"]);
    assert!(
        refused.contains("the tables contradict each other") && refused.contains("table probe"),
        "{refused}"
    );
    assert!(!here.join("x.json").exists());
    json(here, &["table", "merge", "a.json", "a.json", "--out", "x.json"]);
}

const UPDATE: &str = "AUTOFAS_UPDATE_SCHEMAS=1 cargo test --release --test cli the_schema_in_docs";

fn schema_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schemas/table-check.schema.json")
}

#[test]
fn the_schema_in_docs_of_checks_is_that_of_the_types() {
    let schema = serde_json::to_string_pretty(&schemars::schema_for!(TableCheck)).unwrap() + "\n";
    if std::env::var_os("AUTOFAS_UPDATE_SCHEMAS").is_some() {
        fs::write(schema_path(), &schema).unwrap();
    }
    let kept = fs::read_to_string(schema_path()).unwrap_or_default();
    assert!(kept == schema, "docs/schemas/table-check.schema.json is out of date: {UPDATE}");
}

#[test]
fn a_table_is_checked_in_every_bucket_and_a_limit_that_is_missed_ends_with_3() {
    let folder = world();
    let here = folder.path();
    let table = probe(here, "t.json", &[]);
    let check = ["table", "check", "--table", "t.json", "--config", "e.toml", "--networks", "6"];
    let check = [&check[..], &["--cardinality", "20", "--plot", "c.svg"]].concat();
    let found = json(here, &check);
    let schema: Value = serde_json::from_slice(&fs::read(schema_path()).unwrap()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let wrong: Vec<String> = validator.iter_errors(&found).map(|error| error.to_string()).collect();
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!((&found["table"], &found["schema_version"]), (&table.id().into(), &2.into()));
    let buckets = found["buckets"].as_array().unwrap();
    assert_eq!(buckets.iter().map(|b| &b["candidates"]).collect::<Vec<_>>(), [20, 40]);
    for bucket in buckets {
        assert_eq!((&bucket["networks"], &bucket["context"]["engine"]), (&6.into(), &"tract".into()));
        for field in ["mape_pct", "bias_pct", "within_5_pct", "within_10_pct", "kendall_tau", "noise_pct"] {
            assert!(bucket[field].is_number(), "{field}: {bucket}");
        }
        let share = bucket["within_10_pct"].as_f64().unwrap();
        let networks = bucket["residuals"].as_array().unwrap().iter();
        let within = networks.filter(|r| r["residual_pct"].as_f64().unwrap().abs() <= 10.0).count();
        assert!((share - 100.0 * within as f64 / 6.0).abs() < 1e-9, "in percent of the networks: {share}");
        assert!(bucket["worst"]["measured_ms"].as_f64().unwrap() > 0.0 && bucket["void"].is_boolean());
    }
    let kept: Value = serde_json::from_slice(&fs::read(here.join("t.check.json")).unwrap()).unwrap();
    assert_eq!(kept, found);
    assert!(fs::read_to_string(here.join("c.svg")).unwrap().contains("tract, 40 candidates"));

    // What is there answers at once with --resume only while it is not finished: now it is measured anew.
    let one = [&check[..8], &["--cardinality", "20", "--candidates", "40", "--out", "c.json"]].concat();
    let text = output(here, &one);
    for expected in ["MAPE %", "Kendall τ", "c.json", "never saw"] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let missed = failure(here, 3, &[&one[..], &["--max-mape", "0"]].concat());
    assert!(missed.contains("tract at 40 candidates is"), "{missed}");
    assert!(here.join("c.json").exists(), "the result is written all the same");
    assert!(failure(here, 1, &[&one[..], &["--plot", "c.png"]].concat()).contains(".svg"));
    let gone = failure(here, 1, &[&check[..8], &["--candidates", "999"]].concat());
    assert!(gone.contains("table probe") && gone.contains("--candidates 999"), "{gone}");
}

#[test]
fn what_a_table_lacks_is_added_by_the_command_that_the_error_names_and_nothing_else_changes() {
    let folder = world();
    let here = folder.path();
    let encode = ["data", "encode", "--config", "e.toml", "--data", "log/log.parquet", "--out", "encoded"];
    output(here, &encode);
    let encoders = ["--encoders", "encoded/encoders.json"];
    output(here, &[&PROBE[..], &encoders, &["--out", "t.json"]].concat());
    let before = LatencyTable::load(&here.join("t.json")).unwrap();
    let check = ["table", "check", "--table", "t.json", "--config", "e.toml", "--networks", "2"];
    // The table gathers from the encoders' tables, whatever else is assumed.
    let refused = failure(here, 2, &check);
    assert!(
        refused.contains("other features or embedding tables") && refused.contains("--encoders"),
        "{refused}"
    );

    let asked = [&check[..], &encoders, &["--candidates", "60"]].concat();
    let missing = failure(here, 1, &asked);
    let command = missing.split('`').nth(1).unwrap().replace("E.toml", "e.toml");
    let command = command.replace("TABLE.json", "t.json").replace("ENCODERS.json", "encoded/encoders.json");
    let words: Vec<&str> = command.split_whitespace().collect();
    assert_eq!(words[0], "autofas-bench");
    output(here, &words[1..]);
    let after = LatencyTable::load(&here.join("t.json")).unwrap();
    let counts: Vec<usize> = after.buckets.iter().map(|bucket| bucket.candidates).collect();
    assert_eq!((counts.as_slice(), after.parents.as_slice()), (&[20, 40, 60][..], &[before.id()][..]));
    assert_eq!(after.buckets[..2], before.buckets[..]);
    assert!(
        after.buckets.iter().all(|bucket| bucket.between_widths.is_some()),
        "the error between widths is known"
    );
    assert!(output(here, &["table", "show", "t.json"]).contains("input widths from their neighbours"));
    json(here, &asked);
}
