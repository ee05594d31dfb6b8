//! `store price`, and a run that pays what it has measured.

use crate::world::{World, failure, json, paid_ms, program};
use serde_json::Value;
use std::fs;

const PRICE: [&str; 14] = [
    "store",
    "price",
    "--store",
    "features",
    "--model",
    "model/model.onnx",
    "--data",
    "log/log.parquet",
    "--passes",
    "2",
    "--block",
    "2",
    "--out",
    "fetch.json",
];

const EXPERIMENT: &str = r#"
[data]
schema = "log/schema.toml"
path = "log/log.parquet"
[split]
by = "shuffle"
valid_fraction = 0.2
[space]
mixops = [[8, "zero"]]
[teacher]
shared = [8]
partition = [8]
max_epochs = 1
[search]
epochs = 1
[derive]
rule = "top_k"
k = 9
[retrain]
max_epochs = 1
[baseline]
widths = [8]
max_epochs = 1
[target]
engine = "tract"
engines = ["tract"]
candidates = 20
fetch_prices = "fetch.json"
[traffic]
requests = 20
candidates = 20
qps = 200
[probe]
passes = 2
block_ms = 10
repeats = 0
[rounds]
count = 1
diverse = 1
held_out = 1
"#;

#[test]
fn a_run_pays_measured_prices_and_refuses_those_of_something_else() {
    let world = World::new();
    let load =
        ["store", "load", "--model", "model/model.onnx", "--data", "log/log.parquet", "--out", "features"];
    program(world.path()).args(load).assert().success();
    let first = json(world.path(), &[&PRICE[..], &["--candidates", "10"]].concat());
    assert_eq!((&first["workers"], &first["layout"]), (&2.into(), &"user-once".into()));
    let both = ["--candidates", "10,30", "--resume"];
    let table = json(world.path(), &[&PRICE[..], &both].concat());
    assert_eq!(table["buckets"][0], first["buckets"][0], "what was measured is not measured again");
    assert_eq!(
        (&table["buckets"][1]["candidates"], &table["unfinished"]),
        (&30.into(), &Value::Array(Vec::new()))
    );
    assert_eq!(world.read_json("fetch.json"), table);
    let more = failure(world.path(), 2, &[&PRICE[..], &["--candidates", "10,41", "--resume"]].concat());
    assert!(more.contains("the data has") && more.contains("no request for 41"), "{more}");

    fs::write(world.file("e.toml"), EXPERIMENT).unwrap();
    let iterate = ["iterate", "--config", "e.toml", "--out", "run"];
    let refused = |code: i32, change: &dyn Fn(&mut Value), set: &[&str], expected: &[&str]| {
        let mut changed = table.clone();
        change(&mut changed);
        fs::write(world.file("fetch.json"), changed.to_string()).unwrap();
        let said = failure(world.path(), code, &[&iterate[..], set].concat());
        assert!(expected.iter().all(|expected| said.contains(expected)), "{said}");
        assert!(!world.file("run").exists(), "a run that is refused takes no folder");
    };
    refused(
        1,
        &|table| table["host"] = "ab".into(),
        &[],
        &["fetch.json, `host`: it was measured on host ab"],
    );
    refused(1, &|table| table["unfinished"] = vec![70].into(), &[], &["`unfinished`", "--resume"]);
    let workers = ["--set", "traffic.workers=3"];
    refused(2, &|_| {}, &workers, &["with 2 workers at once, and 3 serve", "store price --workers 3"]);
    let concat = ["--set", "target.layout=concat"];
    refused(2, &|_| {}, &concat, &["requests come in concat", "store price --layout concat"]);
    let objective =
        EXPERIMENT.replace("rule = \"top_k\"\nk = 9", "rule = \"budget\"\nobjective = \"p99=9ms\"");
    fs::write(world.file("o.toml"), objective).unwrap();
    let under_load = ["iterate", "--config", "o.toml", "--out", "run"];
    let said = failure(world.path(), 1, &under_load);
    assert!(said.contains("`target.fetch_prices`") && said.contains("derive.budget_ms"), "{said}");
    assert!(!world.file("run").exists());

    fs::write(world.file("fetch.json"), table.to_string()).unwrap();
    let summary = json(world.path(), &iterate);
    let chosen = summary["winner"]["features"].as_array().unwrap();
    let chosen: Vec<&str> = chosen.iter().map(|name| name.as_str().unwrap()).collect();
    assert_eq!(chosen.len(), 9);
    // 20 candidates are in the middle between 10 and 30.
    let paid_ms = |bucket: usize| paid_ms(&table["buckets"][bucket]["displaced"]["groups"], &chosen);
    let expected = (paid_ms(0) + paid_ms(1)) / 2.0;
    let found = summary["rounds"][0]["feature_ms"].as_f64().unwrap();
    assert!(expected > 0.0 && (found - expected).abs() < 1e-9, "{found} ms, not {expected}");
    assert!(world.file("run/tables/fetch.json").exists());
}
