//! One search, by itself and followed by the rest of a run.

use crate::{
    report,
    run::{csv_log, texts},
    world::{failure, json, output},
};
use autofas_bench::app::iterate::Pareto;
use serde_json::Value;
use std::{fs, path::Path};

/// The experiment of `csv_log`, on one engine.
const SEARCH: [&str; 11] = [
    "search",
    "--config",
    "c.toml",
    "--out",
    "run",
    "--set",
    "target.engines=[\"tract\"]",
    "--set",
    "target.engine=tract",
    "--set",
    "derive.k=2",
];

#[test]
fn the_help_shows_every_option() {
    insta::assert_snapshot!(output(Path::new("."), &["search", "--help"]));
}

#[test]
fn a_search_names_its_network_and_the_command_that_goes_on_from_it() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    csv_log(here, "0");
    let search = [&SEARCH[..], &["--set", "rounds.count=1"]].concat();
    let found = json(here, &search);
    assert_eq!(found["schema_version"], 1);
    assert_eq!(texts(&found["features"]).len(), 2);
    assert_eq!(found["operators"].as_array().unwrap().len(), 2);
    assert!(found["predicted_ms"]["tract"].as_f64().unwrap() > 0.0, "{found}");
    assert!(found["teacher"]["auc_standard_error"].as_f64().unwrap() > 0.0, "{found}");
    assert!(found["teacher"].get("warnings").is_none(), "{found}");
    let written = fs::read(here.join("run").join(found["files"]["subnet"].as_str().unwrap())).unwrap();
    let written: serde_json::Value = serde_json::from_slice(&written).unwrap();
    assert_eq!(written["result"]["subnet"]["operators"], found["operators"]);
    assert!(!here.join("run/networks").exists());

    assert!(failure(here, 2, &search).contains("--resume"));
    let said = output(here, &[&search[..], &["--resume"]].concat());
    let subnet = found["subnet"].as_str().unwrap();
    for expected in
        [subnet, "predicted service time, tract: ", "run/rounds/1/subnet.json", "run/tables/v1.json"]
    {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    let next = said.split('`').nth(1).unwrap();
    assert!(next.contains(" iterate --config c.toml --out run ") && next.ends_with(" --resume"), "{next}");
    let done = std::process::Command::new("sh").args(["-c", next]).current_dir(here).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let summary: serde_json::Value =
        serde_json::from_slice(&fs::read(here.join("run/summary.json")).unwrap()).unwrap();
    let first = &summary["rounds"][0];
    assert_eq!((&first["subnet"], &first["features"]), (&found["subnet"], &found["features"]));
    assert_eq!(first["engines"]["tract"]["predicted_ms"], found["predicted_ms"]["tract"]);
    // The teacher was read, not trained.
    assert_eq!(summary["teacher"], found["teacher"]);
}

#[test]
fn a_teacher_that_knows_nothing_is_warned_of_wherever_it_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    csv_log(here, "0");
    let log = fs::read_to_string(here.join("log.csv")).unwrap();
    let mut lines = log.lines().map(str::to_owned);
    let mut noise = lines.next().unwrap() + "\n";
    for (at, line) in lines.enumerate() {
        // Of nothing that the features say.
        let click = (at as u32).wrapping_mul(2_654_435_761) >> 9 & 7 == 0;
        noise += &format!("{}{}\n", u32::from(click), &line[1..]);
    }
    fs::write(here.join("log.csv"), noise).unwrap();
    let found = json(here, &SEARCH);
    let warnings = texts(&found["teacher"]["warnings"]);
    assert!(warnings[0].starts_with("its AUC is not told apart from chance"), "{found}");
    assert_eq!(json(here, &[&SEARCH[..], &["--resume"]].concat())["teacher"], found["teacher"]);
}

#[test]
fn a_search_may_pay_with_a_given_table() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    csv_log(here, "0");
    let probe = ["table", "probe", "--config", "c.toml", "--engine", "tract", "--out", "t.json"];
    json(here, &[&probe[..], &["--cardinality", "20"]].concat());
    let refused = failure(here, 2, &[&SEARCH[..], &["--table", "t.json"]].concat());
    for expected in ["other features or embedding tables", "table probe", "--encoders ENCODERS.json"] {
        assert!(refused.contains(expected), "{expected}: {refused}");
    }
    assert!(!here.join("run").exists());
    output(here, &["data", "encode", "--config", "c.toml", "--out", "encoded"]);
    json(here, &[&probe[..], &["--encoders", "encoded/encoders.json"]].concat());
    let found = json(here, &[&SEARCH[..], &["--table", "t.json"]].concat());
    assert_eq!(found["files"]["table"], "tables/given.json");
    assert_eq!(fs::read(here.join("run/tables/given.json")).unwrap(), fs::read(here.join("t.json")).unwrap());
}

const UPDATE: &str = "AUTOFAS_UPDATE_SCHEMAS=1 cargo test --release --test cli the_schema_in_docs";

#[test]
fn the_schema_in_docs_of_fronts_is_that_of_the_types_and_of_what_is_written() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schemas/pareto.schema.json");
    let schema = serde_json::to_string_pretty(&schemars::schema_for!(Pareto)).unwrap() + "\n";
    if std::env::var_os("AUTOFAS_UPDATE_SCHEMAS").is_some() {
        fs::write(&path, &schema).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == schema, "docs/schemas/pareto.schema.json is out of date: {UPDATE}");
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    csv_log(here, "0");
    let evolution = ["--set", "evolution.population=8", "--set", "evolution.parents=3"];
    let asked = [&SEARCH[..], &evolution, &["--pareto", "2"]].concat();
    let found = json(here, &asked);
    let validator = jsonschema::validator_for(&serde_json::from_str(&kept).unwrap()).unwrap();
    let wrong: Vec<String> = validator.iter_errors(&found).map(|error| error.to_string()).collect();
    assert_eq!(wrong, Vec::<String>::new());
    let written: serde_json::Value =
        serde_json::from_slice(&fs::read(here.join("run/pareto.json")).unwrap()).unwrap();
    assert_eq!(written, found);
    let mut broken = found.clone();
    broken["points"][0]["won"] = "luck".into();
    assert!(!validator.is_valid(&broken));
    // The finished front again, as text.
    let said = output(here, &[&asked[..], &["--resume"]].concat());
    for expected in
        ["budget ms", "by evolution", "run/pareto.json", found["points"][0]["subnet"].as_str().unwrap()]
    {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    assert!(said.ends_with("\nas a page: `autofas-bench report --run run`\n"), "{said}");
    assert_eq!(json(here, &["report", "--run", "run"])["missing"], serde_json::json!([]));
    let page = report::checked(here, "run", "run/report.html");
    assert!(page.contains("Networks for several budgets") && !page.contains("Not there yet"), "{page}");
    what_may_not_be_believed_is_said(here, found, &asked);
}

/// Of a finished front, as if one time had been too noisy, another above its budget, and a search had warned.
fn what_may_not_be_believed_is_said(here: &Path, mut front: Value, asked: &[&str]) {
    let points = front["points"].as_array_mut().unwrap();
    for (point, void) in points.iter_mut().zip([true, false]) {
        point["measured_ms"] = (2.0 * point["budget_ms"].as_f64().unwrap()).into();
        (point["void"], point["within"]) = (void.into(), false.into());
    }
    fs::write(here.join("run/pareto.json"), front.to_string()).unwrap();
    let search = here.join("run/budgets/2/search.json");
    let mut searched: Value = serde_json::from_slice(&fs::read(&search).unwrap()).unwrap();
    searched["result"]["warnings"] = serde_json::json!(["every θ is the same"]);
    fs::write(&search, searched.to_string()).unwrap();

    let said = output(here, &[asked, &["--resume"]].concat());
    for (at, doubt) in ["VOID", "ABOVE"].into_iter().enumerate() {
        let budget = format!("{:.3}", front["points"][at]["budget_ms"].as_f64().unwrap());
        let line = said.lines().find(|line| line.contains(&format!(" {doubt} ")));
        assert!(line.is_some_and(|line| line.trim_start().starts_with(&budget)), "{doubt}: {said}");
    }
    output(here, &["report", "--run", "run"]);
    let page = report::checked(here, "run", "run/report.html");
    let budget_ms = front["points"][1]["budget_ms"].as_f64().unwrap();
    for expected in [
        ">VOID<".to_owned(),
        ">ABOVE<".to_owned(),
        "<li>service time of ".to_owned(),
        format!("<li>search within {budget_ms:.3} ms: every θ is the same</li>"),
        "budgets/2/search.json".to_owned(),
    ] {
        assert!(page.contains(&expected), "{expected}: {page}");
    }
}

#[test]
fn budgets_are_stated_in_one_way_and_need_rows_to_judge_on() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    csv_log(here, "0");
    let twice = failure(here, 2, &[&SEARCH[..], &["--budgets", "1,2", "--pareto", "2"]].concat());
    assert!(twice.contains("--budgets") && twice.contains("--pareto"), "{twice}");
    let nothing = failure(here, 2, &[&SEARCH[..], &["--budgets", "1,0"]].concat());
    assert!(nothing.contains("pareto.budgets_ms"), "{nothing}");
    let unjudged =
        failure(here, 2, &[&SEARCH[..], &["--budgets", "1,2", "--set", "search.held_out=0"]].concat());
    assert!(unjudged.contains("search.held_out") && unjudged.contains("never saw"), "{unjudged}");
    assert!(!here.join("run").exists());
}
