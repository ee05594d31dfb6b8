//! The page of a run and of a comparison: its figures, its links and its pictures, and how it looks in a browser.

use crate::{
    python::{FIX, python},
    world::{failure, json, output},
};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Where a program says that there is no browser.
const NO_BROWSER: i32 = 77;

/// What a report writes about `folder`, looked at in every way that finds something wrong; the page.
pub fn checked(here: &Path, folder: &str, page: &str) -> String {
    let path = here.join(page);
    let text = fs::read_to_string(&path).unwrap();
    figures_are_those_of_the_files(&text, &here.join(folder));
    it_loads_nothing_and_its_links_lead_somewhere(&text, path.parent().unwrap());
    looked_at(&[path]);
    text
}

/// The pieces of `text` between `before` and the next `behind`.
fn between<'t>(text: &'t str, before: &str, behind: &'t str) -> impl Iterator<Item = &'t str> {
    let pieces: Vec<&str> = text.split(before).skip(1).collect();
    pieces.into_iter().map(move |piece| piece.split(behind).next().unwrap())
}

/// Every figure that says where it is from is the number that stands there.
fn figures_are_those_of_the_files(page: &str, folder: &Path) {
    let mut files: BTreeMap<String, Value> = BTreeMap::new();
    let mut seen = 0;
    for tag in between(page, "<data value=\"", ">") {
        let (value, from) = tag.split_once('"').unwrap();
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("no number: {tag}"));
        let Some(from) = between(from, "data-from=\"", "\"").next() else { continue };
        let (file, pointer) = from.split_once('#').unwrap();
        let json = files.entry(file.to_owned()).or_insert_with(|| {
            serde_json::from_slice(&fs::read(folder.join(file)).unwrap_or_else(|e| panic!("{file}: {e}")))
                .unwrap()
        });
        let found = json.pointer(pointer).unwrap_or_else(|| panic!("{from} is not there")).as_f64();
        assert_eq!(found, Some(value), "{from}");
        seen += 1;
    }
    assert!(seen > 5, "only {seen} figures name their place");
}

fn it_loads_nothing_and_its_links_lead_somewhere(page: &str, folder: &Path) {
    let outside = page.replace("http://www.w3.org/2000/svg", "");
    for loads in ["http", "src=", "<script", "@import", "url(", "@font-face"] {
        assert!(!outside.contains(loads), "{loads}");
    }
    let links: Vec<&str> = between(page, "href=\"", "\"").collect();
    assert!(links.len() > 5, "{links:?}");
    for link in links {
        match link.strip_prefix('#') {
            Some(place) => assert!(page.contains(&format!("id=\"{place}\"")), "{link}"),
            None => assert!(link.starts_with("data:") || folder.join(link).exists(), "{link}"),
        }
    }
}

/// In a browser, where there is one.
fn looked_at(pages: &[PathBuf]) {
    let pages: Vec<&str> = pages.iter().map(|page| page.to_str().unwrap()).collect();
    let done = python("scripts/check_report.py", &pages);
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    match done.status.code() {
        Some(NO_BROWSER) => eprintln!("{said}"),
        code => assert_eq!(code, Some(0), "{}{said} ({FIX})", String::from_utf8_lossy(&done.stdout)),
    }
}

/// The page that `iterate` has left of the finished run in `run`, and what becomes of it when files go.
pub fn of_run(here: &Path, summary: &Value) {
    let page = checked(here, "run", "run/report.html");
    assert!(page.matches("data-from=").count() > 100);
    for picture in
        ["supernet", "time", "auc-latency", "rounds", "residuals", "responses", "theta-1", "alpha-2"]
    {
        let svg = fs::read_to_string(here.join(format!("run/report/{picture}.svg"))).unwrap();
        assert!(page.contains(&svg), "{picture} is in the page as it is in its file");
    }
    let auc = summary["winner"]["auc"].as_f64().unwrap();
    assert!(page.contains(&format!("data-from=\"summary.json#/winner/auc\">{auc:.4}<")));
    for feature in summary["winner"]["features"].as_array().unwrap() {
        assert!(page.contains(&format!("<td>{}</td>", feature.as_str().unwrap())), "{feature}");
    }
    assert!(!page.contains("not finished") && page.contains("autofas-bench report --run run"));

    let error = summary["teacher"]["auc_standard_error"].as_f64().unwrap();
    assert!(page.contains(&format!(
        "±<data value=\"{error}\" data-from=\"summary.json#/teacher/auc_standard_error\">"
    )));
    the_teacher_is_doubted_first(here);
    the_engine_that_is_paid_for_stands_first(here, &page);
    training_had_the_last_word(here, summary);
    nothing_judges_the_table(here, summary);

    // Elsewhere, with links back.
    let written = json(here, &["report", "--run", "run", "--out", "pages/my run.html"]);
    assert_eq!((&written["html"], &written["missing"]), (&"pages/my run.html".into(), &Value::Array(vec![])));
    assert_eq!(written["pictures"][0], "pages/my run/auc-latency.svg");
    let elsewhere = fs::read_to_string(here.join("pages/my run.html")).unwrap();
    assert!(
        elsewhere.contains("href=\"../run/summary.json\"")
            && elsewhere.contains("href=\"my%20run/time.svg\"")
    );
    figures_are_those_of_the_files(&elsewhere, &here.join("run"));

    // A run that was stopped before its end, between a search and a training, and before its first search.
    let report = ["report", "--run", "run"];
    fs::remove_file(here.join("run/summary.json")).unwrap();
    fs::remove_file(here.join("run/rounds/2/residuals.json")).unwrap();
    let said = output(here, &report);
    assert!(said.contains("the measurements of round 2; the last replays and the summary"), "{said}");
    let page = checked(here, "run", "run/report.html");
    assert!(page.contains("This run is not finished") && page.contains("Not there yet"), "{page}");
    fs::remove_dir_all(here.join("run/tensorboard")).unwrap();
    output(here, &report);
    let page = fs::read_to_string(here.join("run/report.html")).unwrap();
    assert!(page.contains("it is kept under tensorboard/"), "{page}");
    fs::remove_dir_all(here.join("run/rounds")).unwrap();
    assert!(output(here, &report).contains("the first network that a search derives"));
}

/// As if finals had exchanged one feature of what θ and α derived for another.
fn training_had_the_last_word(here: &Path, summary: &Value) {
    let file = here.join(format!("run/rounds/{}/derived.json", summary["winner"]["round"]));
    let kept = fs::read(&file).unwrap();
    let mut derived: Value = serde_json::from_slice(&kept).unwrap();
    let features = derived["result"]["subnet"]["features"].as_array_mut().unwrap();
    let missing = (0..).find(|place| !features.contains(&Value::from(*place))).unwrap();
    features.pop();
    features.insert(missing, missing.into());
    fs::write(&file, derived.to_string()).unwrap();
    output(here, &["report", "--run", "run", "--out", "trained.html"]);
    let page = fs::read_to_string(here.join("trained.html")).unwrap();
    for reason in [
        "taken in by an exchange that did not stand up to training",
        "kept by its θ: the exchange of it did not stand up to training",
    ] {
        assert_eq!(page.matches(reason).count(), 1, "{reason}: {page}");
    }
    fs::write(&file, kept).unwrap();
}

/// As if the teacher knew nothing and a replay were invalid, and as if an earlier program had left the summary.
fn the_teacher_is_doubted_first(here: &Path) {
    let file = here.join("run/summary.json");
    let kept = fs::read(&file).unwrap();
    let mut summary: Value = serde_json::from_slice(&kept).unwrap();
    summary["teacher"]["warnings"] = serde_json::json!(["it knows nothing"]);
    let replay = summary["winner"]["replays"].as_object_mut().unwrap().values_mut().next().unwrap();
    (replay["valid"], replay["reasons"]) = (false.into(), serde_json::json!(["too late"]));
    let page = |summary: &Value| {
        fs::write(&file, summary.to_string()).unwrap();
        output(here, &["report", "--run", "run", "--out", "doubted.html"]);
        fs::read_to_string(here.join("doubted.html")).unwrap()
    };
    let doubted = page(&summary);
    let doubts = between(&doubted, "What may not be believed</h3>", "</ul>").next().unwrap();
    assert!(doubts.starts_with("<ul><li>teacher r(x): it knows nothing</li>"), "{doubts}");
    assert!(doubts.contains("too late"), "{doubts}");

    let teacher = summary["teacher"].as_object_mut().unwrap();
    for field in ["auc_standard_error", "warnings"] {
        assert!(teacher.remove(field).is_some(), "{field}");
    }
    let earlier = page(&summary);
    assert!(!earlier.contains("auc_standard_error") && !earlier.contains("teacher r(x): "), "{earlier}");
    fs::write(&file, kept).unwrap();
}

/// In the table of networks.
fn the_engine_that_is_paid_for_stands_first(here: &Path, page: &str) {
    let config = fs::read_to_string(here.join("run/config.toml")).unwrap();
    let paid = between(&config, "\nengine = \"", "\"").next().unwrap().to_owned();
    let engines: Vec<&str> =
        between(page, ">multiply-adds</th>", "</tr>").next().unwrap().split("</th>").collect();
    assert_eq!(engines.len(), 3, "two engines and the end of the row: {engines:?}");
    assert!(engines[0].ends_with(&format!(">{paid}, ms")), "{paid}: {engines:?}");
}

/// As if every measurement had been too noisy to correct a table or to judge it.
fn nothing_judges_the_table(here: &Path, summary: &Value) {
    let rounds = summary["rounds"].as_array().unwrap().iter().map(|round| &round["round"]);
    let files: Vec<PathBuf> =
        rounds.map(|round| here.join(format!("run/rounds/{round}/residuals.json"))).collect();
    let kept: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    for (file, bytes) in files.iter().zip(&kept) {
        let mut residuals: Value = serde_json::from_slice(bytes).unwrap();
        for engine in residuals["result"].as_object_mut().unwrap().values_mut() {
            for networks in ["fitted_networks", "held_out_networks"] {
                engine["calibration"]["before"][networks] = Value::Array(Vec::new());
            }
        }
        fs::write(file, residuals.to_string()).unwrap();
    }
    output(here, &["report", "--run", "run", "--out", "noisy.html"]);
    let page = fs::read_to_string(here.join("noisy.html")).unwrap();
    assert!(
        page.contains("No network corrects or judges a table") && !page.contains("residuals.svg"),
        "{page}"
    );
    files.iter().zip(kept).for_each(|(file, bytes)| fs::write(file, bytes).unwrap());
}

/// What is said of files that are not of this program, and of folders that hold nothing.
pub fn refusals(here: &Path) {
    let summary = here.join("run/summary.json");
    let text = fs::read_to_string(&summary).unwrap();
    fs::write(&summary, text.replacen("\"schema_version\": 4", "\"schema_version\": 3", 1)).unwrap();
    let said = failure(here, 1, &["report", "--run", "run"]);
    assert!(said.contains("summary.json, `schema_version`: is 3, this program reads 4"), "{said}");
    fs::write(&summary, text).unwrap();
    let said = failure(here, 1, &["report", "--run", "log"]);
    assert!(said.contains("log: holds no run") && said.contains("name the --out"), "{said}");
}
