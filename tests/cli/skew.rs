//! `skew`: a log of what was served, in agreement and not.

use crate::world::{failure, json, program};
use autofas_bench::{
    base::names::Layout,
    data::{self, encode::Encoders, schema::Schema, table::RawTable},
    export::{self, Metadata},
    learn::network::{Dense, Embedding, Network, NetworkInput},
    measure::prove,
};
use std::{fs, path::Path};

const SCHEMA: &str = r#"
    [data]
    label = "click"
    [defaults]
    item = { fetch_ms = 0.1 }
    [[feature]]
    column = "brand"
    kind = "item"
    type = "categorical"
    min_count = 1
    [[feature]]
    column = "price"
    kind = "item"
    type = "numeric"
    encoding = "standardize"
    [[feature]]
    column = "tags"
    kind = "item"
    type = "sequence"
    min_count = 1
    length = 2
    separator = "|"
"#;

/// A package whose encoders know the brands a (2) and b (3), the prices 1 and 3 (−1 and 1), and the tags x (2) and y (3).
fn package(folder: &Path) {
    let rows = folder.join("train.csv");
    fs::write(&rows, "click,brand,price,tags\n0,a,1,x|y\n1,b,3,x\n").unwrap();
    let schema = Schema::parse(SCHEMA, "s.toml".as_ref()).unwrap();
    let table = RawTable::read(&rows, &schema.columns()).unwrap();
    let encoders = Encoders::fit(&schema, &table, &[0, 1]).unwrap();
    let dataset = data::load_with(&schema, &rows, &encoders).unwrap();
    let input = |name: &str, embedding| NetworkInput {
        feature: name.to_owned(),
        side: data::schema::Side::Item,
        width: 1,
        embedding,
    };
    let network = Network {
        inputs: vec![
            input("brand", Embedding::Table { rows: vec![0.0, 0.1, 0.2, 0.4] }),
            input("price", Embedding::Number { scale: vec![0.5], missing: vec![0.0] }),
            input("tags", Embedding::Pooled { rows: vec![0.0, 0.1, 0.2, 0.4], length: 2 }),
        ],
        layers: vec![Dense { inputs: 3, outputs: 1, weight: vec![1.0; 3], bias: vec![0.0] }],
    };
    let metadata = Metadata { encoder_hash: encoders.hash(), ..Metadata::default() };
    let model = export::onnx(&network, Layout::UserOnce, &metadata).unwrap();
    let vectors = prove::test_vectors(&network, &model, &dataset, &[0]).unwrap();
    export::write_package(&folder.join("model"), &model, &schema, &encoders, &vectors).unwrap();
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

const SKEW: [&str; 5] = ["skew", "--model", "model/model.onnx", "--data", "log.csv"];

#[test]
fn a_log_that_agrees_has_no_skew_and_no_labels_are_needed() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    package(here);
    // Brand b 0.4, price 3 is 1 · 0.5, tags x and y mean 0.3; then an unknown brand, a missing price, no tag.
    let (one, two) = (sigmoid(1.2), sigmoid(0.1));
    let log = format!(
        "brand,price,tags,score,in_brand,in_price,in_tags\nb,3,x|y,{one},3,1.0,2|3\nnew,,,{two},1,,0|0\n"
    );
    fs::write(here.join("log.csv"), log).unwrap();
    for engine in ["tract", "onnxruntime"] {
        let found = json(here, &[&SKEW[..], &["--inputs", "in_", "--engine", engine]].concat());
        assert_eq!((&found["rows"], &found["differing_scores"]), (&2.into(), &0.into()));
        let features = found["features"].as_array().unwrap();
        assert_eq!(features.len(), 3);
        assert!(features.iter().all(|feature| feature["differing"] == 0), "{found}");
    }
}

#[test]
fn differing_values_and_scores_are_counted_and_named_by_row_and_feature() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    package(here);
    // Served with another brand's id in row 2, with a price that was not standardised in row 3, and without the second tag in row 4.
    let (right, other) = (sigmoid(1.2), sigmoid(1.0));
    let log = format!(
        "brand,price,tags,score,in_brand,in_price,in_tags\nb,3,x|y,{right},3,1,2|3\nb,3,x|y,{other},2,1,2|3\n\
         b,3,x|y,{right},3,3,2|3\nb,3,x|y,,3,1,2|0\n"
    );
    fs::write(here.join("log.csv"), log).unwrap();
    let done = program(here).args(SKEW).args(["--inputs", "in_", "--json"]).output().unwrap();
    assert_eq!(done.status.code(), Some(3));
    let found: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(found["differing_scores"], 2);
    assert_eq!(found["first_scores"][0]["row"], 2);
    assert_eq!(found["first_scores"][1]["row"], 4);
    let of = |place: usize| found["features"][place].clone();
    let expected = |feature: &str, row: usize, logged: &str, offline: &str| {
        let first = serde_json::json!([{"row": row, "logged": logged, "offline": offline}]);
        serde_json::json!({"feature": feature, "differing": 1, "first": first})
    };
    assert_eq!(of(0), expected("brand", 2, "2", "3"));
    assert_eq!(of(1), expected("price", 3, "3", "1"));
    assert_eq!(of(2), expected("tags", 4, "2 0", "2 3"));
    let said = String::from_utf8(done.stderr).unwrap();
    assert!(said.contains("2 of 4 scores differ") && said.contains("brand, price, tags"), "{said}");
    // Scores alone.
    let said = failure(here, 3, &SKEW);
    assert!(said.contains("2 of 4 scores differ") && said.contains("no feature"), "{said}");
    let said = failure(here, 1, &[&SKEW[..], &["--score", "scored"]].concat());
    assert!(said.contains("`scored`") && said.contains("did you mean `score`"), "{said}");
}
