//! `skew`: a log of what was served, in agreement and not.

use crate::world::{failure, json, program};
use autofas_bench::{
    base::names::{Embeddings, Layout},
    data::{
        self,
        encode::Encoders,
        schema::{Refresh, Schema},
        table::RawTable,
    },
    export::{self, Form, Metadata},
    learn::network::{Body, Dense, Embedding, Network, NetworkInput},
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
    package_of(folder, &["brand", "price", "tags"], Layout::UserOnce.into());
}

/// The same of a network that reads these features.
fn package_of(folder: &Path, read: &[&str], form: Form) {
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
    let mut inputs = vec![
        input("brand", Embedding::Table { rows: vec![0.0, 0.1, 0.2, 0.4] }),
        input("price", Embedding::Number { scale: vec![0.5], missing: vec![0.0] }),
        input("tags", Embedding::Pooled { rows: vec![0.0, 0.1, 0.2, 0.4], length: 2 }),
    ];
    inputs.retain(|input| read.contains(&input.feature.as_str()));
    let layer = Dense { inputs: inputs.len(), outputs: 1, weight: vec![1.0; inputs.len()], bias: vec![0.0] };
    let network = Network { inputs, body: Body::Mlp(vec![layer]) };
    let metadata = Metadata { encoder_hash: encoders.hash(), ..Metadata::default() };
    let model = export::onnx(&network, form, &metadata).unwrap();
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

#[test]
fn the_log_of_a_derived_network_holds_what_was_fetched_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    package_of(here, &["brand", "tags"], Layout::UserOnce.into());
    let (right, other) = (sigmoid(0.4 + 0.3), sigmoid(0.5));
    let log = format!("brand,tags,score,in_brand,in_tags\nb,x|y,{right},3,2|3\nb,x|y,{other},2,2|3\n");
    fs::write(here.join("log.csv"), log).unwrap();
    let done = program(here).args(SKEW).args(["--inputs", "in_", "--json"]).output().unwrap();
    let found: serde_json::Value = serde_json::from_slice(&done.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&done.stderr)));
    assert_eq!((&found["rows"], &found["differing_scores"]), (&2.into(), &1.into()));
    let features: Vec<_> = found["features"].as_array().unwrap().iter().map(|f| &f["feature"]).collect();
    assert_eq!(features, ["brand", "tags"]);
    assert_eq!(found["features"][0]["first"][0]["row"], 2);
}

#[test]
fn a_model_with_an_item_table_and_tables_beside_it_is_compared_with_their_help() {
    for (layout, tolerance) in [(Layout::ItemCached, "1e-5"), (Layout::ItemCachedI8, "1e-2")] {
        for embeddings in [Embeddings::Inside, Embeddings::Outside] {
            let folder = tempfile::tempdir().unwrap();
            let here = folder.path();
            let cacheable = ["brand", "tags"].map(|feature| (feature.to_owned(), Refresh::Static)).into();
            package_of(here, &["brand", "price", "tags"], Form { cacheable, embeddings, ..layout.into() });
            assert!(here.join("model/item.onnx").exists());
            let right = sigmoid(1.2);
            let log = format!("brand,price,tags,score\nb,3,x|y,{right}\nb,3,x|y,0.5\na,3,,{right}\n");
            fs::write(here.join("log.csv"), log).unwrap();
            for engine in ["tract", "onnxruntime"] {
                let args = ["--engine", engine, "--tolerance", tolerance, "--json"];
                let done = program(here).args(SKEW).args(args).output().unwrap();
                let found: serde_json::Value = serde_json::from_slice(&done.stdout)
                    .unwrap_or_else(|_| panic!("{layout}: {}", String::from_utf8_lossy(&done.stderr)));
                let rows: Vec<_> =
                    found["first_scores"].as_array().unwrap().iter().map(|first| &first["row"]).collect();
                assert_eq!(rows, [2, 3], "{layout}, {embeddings:?}, {engine}");
            }
        }
    }
}
