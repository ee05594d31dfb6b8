//! `importance`: what the features of a run's network are worth, beside what they cost.

use crate::{
    report,
    run::csv_log,
    world::{failure, json, output},
};
use autofas_bench::app::importance::FeatureImportance;
use serde_json::Value;
use std::{fs, path::Path};

const TRACT: [&str; 4] = ["--set", "target.engines=[\"tract\"]", "--set", "target.engine=tract"];

/// A run whose winner reads all of three features, of which the item alone tells the label.
fn run_in(here: &Path) -> Value {
    csv_log(here, "0");
    let row = |i: usize| format!("{},u{},i{},{}\n", i % 3 % 2, i % 17, i * 7 % 60, i / 3 % 24);
    let rows: String = (0..400).map(row).collect();
    fs::write(here.join("log.csv"), format!("click,user,item,hour\n{rows}")).unwrap();
    let set = ["derive.k=3", "retrain.max_epochs=20", "retrain.batch_size=32", "retrain.learning_rate=0.01"];
    let set = set.into_iter().flat_map(|set| ["--set", set]).collect::<Vec<_>>();
    let iterate = ["iterate", "--config", "c.toml", "--out", "run", "--rounds", "1"];
    json(here, &[&iterate[..], &TRACT, &set].concat())
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("no number: {value}"))
}

#[test]
fn the_help_shows_every_option() {
    insta::assert_snapshot!(output(Path::new("."), &["importance", "--help"]));
}

const UPDATE: &str = "AUTOFAS_UPDATE_SCHEMAS=1 cargo test --release --test cli the_schema_in_docs";

/// The schema as the docs have it.
fn schema_in_docs() -> jsonschema::Validator {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schemas/importance.schema.json");
    let schema = serde_json::to_string_pretty(&schemars::schema_for!(FeatureImportance)).unwrap() + "\n";
    if std::env::var_os("AUTOFAS_UPDATE_SCHEMAS").is_some() {
        fs::write(&path, &schema).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == schema, "docs/schemas/importance.schema.json is out of date: {UPDATE}");
    jsonschema::validator_for(&serde_json::from_str(&kept).unwrap()).unwrap()
}

#[test]
fn the_schema_in_docs_of_importance_is_that_of_the_types() {
    schema_in_docs();
}

#[test]
fn the_feature_that_tells_the_label_is_worth_most_and_the_others_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let summary = run_in(here);
    let winner = summary["winner"]["subnet"].as_str().unwrap();
    let ask = ["importance", "--run", "run", "--repeats", "3"];
    let found = json(here, &ask);
    let file = format!("run/importance/{winner}.json");
    assert_eq!(found, read(&here.join(&file)));
    let wrong: Vec<String> = schema_in_docs().iter_errors(&found).map(|error| error.to_string()).collect();
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!(found, json(here, &[&ask[..], &["--network", winner]].concat()), "the same draws again");

    assert_eq!((&found["network"], &found["rows"]), (&winner.into(), &100.into()));
    assert!((number(&found["auc"]) - number(&summary["winner"]["auc"])).abs() < 1e-6, "{found}");
    let features = found["features"].as_array().unwrap();
    assert_eq!(features.len(), 3);
    assert_eq!((&features[0]["feature"], &features[0]["kind"]), (&"item".into(), &"item".into()));
    let search = read(&here.join("run").join(found["search"].as_str().unwrap()));
    for feature in features {
        let name = feature["feature"].as_str().unwrap();
        let [left_out, permuted] = ["left_out", "permuted"].map(|way| number(&feature[way]["auc"]));
        let tells = name == "item";
        assert_eq!(feature["within_noise"], !tells, "{feature}");
        assert_eq!((left_out > 0.2, permuted > 0.2), (tells, tells), "{feature}");
        assert!(tells || (left_out.abs() < 0.05 && permuted.abs() < 0.05), "{feature}");
        assert!(number(&feature["permuted"]["deviation"]) > 0.0 || !tells, "{feature}");
        let place = ["user", "item", "hour"].iter().position(|known| *known == name).unwrap();
        assert_eq!(feature["theta"], search["result"]["theta"][place]);
        let saved_ms = number(&feature["saved_ms"]);
        if saved_ms > 0.0 {
            let per_ms = number(&feature["auc_lost_per_ms"]);
            assert!((per_ms * saved_ms - left_out).abs() < 1e-9, "{feature}");
        } else {
            assert!(feature.get("auc_lost_per_ms").is_none(), "{feature}");
        }
    }
    let predict = ["table", "predict", "--table", "run/tables/v2.json", "--run", "run", "--candidates", "50"];
    let predicted = json(here, &predict);
    assert_eq!(found["table"], predicted["table"]);
    let service_ms = number(&predicted["predictions"][0]["service_ms"]);
    assert!((number(&found["service_ms"]) - service_ms).abs() < 1e-9, "{found} {predicted}");
    assert_eq!(found["feature_ms"], summary["rounds"][0]["feature_ms"]);

    let text = output(here, &ask);
    for expected in [winner, "within noise", &file, "run/rounds/1/search.json"] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    for feature in features {
        let worth = format!("{:.5}", number(&feature["left_out"]["auc"]));
        let line = text.lines().find(|line| line.starts_with(feature["feature"].as_str().unwrap())).unwrap();
        assert!(line.contains(&worth), "{worth}: {line}");
    }
    the_page_shows_it(here, &found);
    the_plain_dnn_has_no_price_and_is_asked_all_the_same(here, &summary);
    let fewer = json(here, &[&ask[..], &["--rows", "40"]].concat());
    assert!((1..100).contains(&fewer["rows"].as_u64().unwrap()), "{fewer}");
    what_is_not_there_is_named(here);
}

/// Beside the price of each feature; that figures are those of the file is looked at with the page.
fn the_page_shows_it(here: &Path, found: &Value) {
    let before = fs::read_to_string(here.join("run/report.html")).unwrap();
    assert!(!before.contains("AUC lost") && !before.contains("importance/"), "{before}");
    output(here, &["report", "--run", "run"]);
    let page = report::checked(here, "run", "run/report.html");
    let file = format!("importance/{}.json", found["network"].as_str().unwrap());
    assert!(page.contains(&format!("href=\"{file}\"")) && page.contains("AUC lost without it"), "{page}");
    for (at, feature) in found["features"].as_array().unwrap().iter().enumerate() {
        let lost =
            format!("\"{file}#/features/{at}/left_out/auc\">{:.4}<", number(&feature["left_out"]["auc"]));
        let row =
            page.split("<tr>").find(|row| row.contains(&lost)).unwrap_or_else(|| panic!("{lost}: {page}"));
        let name = feature["feature"].as_str().unwrap();
        assert!(row.contains(&format!("<td>{name}</td>")), "{row}");
        assert_eq!(row.contains("within noise"), feature["within_noise"] == true, "{row}");
    }
}

/// It is wider than the space, so that no table prices its layers.
fn the_plain_dnn_has_no_price_and_is_asked_all_the_same(here: &Path, summary: &Value) {
    let onnx = Path::new(summary["baseline"]["onnx"].as_str().unwrap());
    let plain = onnx.parent().unwrap().file_name().unwrap().to_str().unwrap();
    let ask = ["importance", "--run", "run", "--network", plain, "--repeats", "1"];
    let found = json(here, &ask);
    assert!(schema_in_docs().is_valid(&found) && found.get("service_ms").is_none(), "{found}");
    assert!((number(&found["feature_ms"]) - 0.1).abs() < 1e-9, "{found}");
    let features = found["features"].as_array().unwrap();
    assert_eq!(features.len(), 3);
    for feature in features {
        assert!(number(&feature["permuted"]["auc"]).is_finite(), "{feature}");
        assert!(feature.get("saved_ms").is_none() && feature.get("theta").is_none(), "{feature}");
    }
    assert!(output(here, &ask).contains("layers without a price on tract for 50 candidates in table v2-"));
}

fn what_is_not_there_is_named(here: &Path) {
    let refused = |code: i32, options: &[&str]| {
        failure(here, code, &[&["importance", "--run", "run"][..], options].concat())
    };
    let unknown = refused(2, &["--network", "f9"]);
    assert!(unknown.contains("run/networks: the run has no network `f9`"), "{unknown}");
    assert!(refused(2, &["--repeats", "0"]).contains("--repeats"));
    fs::rename(here.join("run/summary.json"), here.join("away.json")).unwrap();
    let unfinished = refused(2, &[]);
    assert!(unfinished.contains("no winner") && unfinished.contains("--resume"), "{unfinished}");
    fs::rename(here.join("away.json"), here.join("run/summary.json")).unwrap();
    fs::rename(here.join("run/tables"), here.join("tables")).unwrap();
    let unpriced = refused(1, &[]);
    assert!(unpriced.contains("run/tables: there is no latency table"), "{unpriced}");
    fs::rename(here.join("tables"), here.join("run/tables")).unwrap();
    let nowhere = failure(here, 1, &["importance", "--run", "elsewhere"]);
    assert!(nowhere.contains("cannot look at elsewhere; check the path"), "{nowhere}");
}
