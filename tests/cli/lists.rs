//! Distillation within lists, and candidates that were not shown.

use crate::{
    run::synth,
    world::{failure, program},
};
use serde_json::Value;
use std::fs;

const ITERATE: [&str; 16] = [
    "iterate",
    "--config",
    "e.toml",
    "--out",
    "run",
    "--rounds",
    "1",
    "--set",
    "target.engines=[\"tract\"]",
    "--set",
    "target.engine=tract",
    "--set",
    "search.distillation_loss=pairwise",
    "--set",
    "retrain.distillation_loss=listwise",
    "--json",
];
const UNSEEN: [&str; 2] = ["--set", "retrain.unseen=3"];

#[test]
fn a_run_compares_within_requests_and_learns_from_candidates_that_were_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    synth(here);
    let done = program(here).args(ITERATE).args(UNSEEN).assert().success().get_output().clone();
    let summary: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert!(summary["winner"]["auc"].as_f64().is_some(), "{summary}");
    let said = String::from_utf8(done.stderr).unwrap();
    // Of the 200 requests the latest fifth validates.
    assert!(said.contains("480 candidates that were not shown teach"), "{said}");
}

#[test]
fn without_lists_or_with_a_given_teacher_the_run_is_refused_before_it_begins() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    synth(here);
    let schema = fs::read_to_string(here.join("log/schema.toml")).unwrap();
    let taught = schema.replace("other_labels = [\"purchase\"]", "teacher_score = \"purchase\"");
    let listless: Vec<&str> =
        schema.lines().filter(|line| !line.starts_with("request") && !line.starts_with("group")).collect();
    fs::write(here.join("taught.toml"), taught).unwrap();
    fs::write(here.join("listless.toml"), listless.join("\n")).unwrap();
    for (schema, expected) in
        [("taught.toml", "r(x) is given for its rows alone"), ("listless.toml", "the data have no lists")]
    {
        let schema = format!("data.schema={schema}");
        let message = failure(here, 2, &[&ITERATE[..], &UNSEEN, &["--set", &schema]].concat());
        assert!(message.contains(expected), "{message}");
        assert!(!here.join("run").exists(), "{schema}");
    }
}
