//! `data synth`, `data draft` and `data inspect`.

use crate::world::{World, failure, json, output};
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

#[test]
fn a_draft_is_taken_by_inspect_and_never_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let rows = (0..400).map(|row| {
        let (user, item) = (row * 7 / 3 % 20, row * 11 / 5 % 30);
        format!(
            "{},2024-05-31 12:00:00.5+09:00,u{user},{item},{},{:.3},jp\n",
            row % 3 % 2,
            20 + user,
            item as f64 / 7.0
        )
    });
    let header = "click,when,who,what,age,price,country\n";
    fs::write(folder.path().join("log.csv"), format!("{header}{}", rows.collect::<String>())).unwrap();
    let args = [
        "data", "draft", "--data", "log.csv", "--label", "click", "--time", "when", "--user", "who",
        "--item", "what",
    ];
    let drafted = |prices: &'static str| [&args[..], &["--fetch-ms", prices, "--out", "S.toml"]].concat();

    let message = failure(folder.path(), 1, &drafted("user=0.1"));
    assert!(message.contains("add item=MS to --fetch-ms"), "{message}");
    let message = failure(folder.path(), 2, &drafted("itm=0.1"));
    assert!(message.contains("the kinds are user, context, item, interactive"), "{message}");
    let message = failure(folder.path(), 2, &drafted("item=0.1,user=0.1,item=0.2"));
    assert!(message.contains("--fetch-ms names a kind twice"), "{message}");
    assert!(!folder.path().join("S.toml").exists());

    let found = json(folder.path(), &drafted("user=0.1,item=0.2"));
    let columns = found["columns"].as_array().unwrap();
    let column = |name: &str| columns.iter().find(|column| column["column"] == name).unwrap();
    assert_eq!(column("age")["feature"]["kind"], "user");
    assert_eq!(column("price")["feature"]["type"], "numeric");
    assert_eq!(column("country")["left_out"], "says the same in all rows");

    let inspected = ["data", "inspect", "--data", "log.csv", "--schema", "S.toml"];
    let found = json(folder.path(), &inspected);
    assert_eq!(found["features"].as_array().unwrap().len(), 4);
    assert_eq!(found["unnamed"].as_array().unwrap(), &["country"]);
    let said = output(folder.path(), &inspected);
    assert!(said.contains("of `click` are positive") && said.contains("std. error"), "{said}");
    let message = failure(folder.path(), 1, &drafted("user=0.1,item=0.2"));
    assert!(message.contains("S.toml: a schema is there already"), "{message}");
}
