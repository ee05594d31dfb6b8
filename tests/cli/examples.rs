//! What the library's examples do, called as their `main` calls it.

use crate::{
    python::{FIX, python},
    run::{EXPERIMENT, synth},
    world::{output, program},
};
use autofas_bench::{
    base::stop::Stop,
    data::draft::Named,
    measure::child::{GRACE, Launcher},
};
use std::{path::PathBuf, time::Duration};

#[path = "../../examples/price_subnet.rs"]
#[expect(dead_code, reason = "the test calls what `main` calls")]
mod price_subnet;
#[path = "../../examples/replay_onnx.rs"]
#[expect(dead_code, reason = "the test calls what `main` calls")]
mod replay_onnx;
#[path = "../../examples/search_parquet.rs"]
#[expect(dead_code, reason = "the test calls what `main` calls")]
mod search_parquet;

/// The settings of the small experiment that are not of its data.
fn small() -> Vec<String> {
    let mut table = "";
    let mut settings = Vec::new();
    for line in EXPERIMENT.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            table = name;
        } else if let (true, Some((key, value))) = (table != "data", line.split_once(" = ")) {
            settings.push(format!("{table}.{key}={value}"));
        }
    }
    settings
}

#[test]
fn a_file_that_nobody_described_is_searched_and_the_network_of_a_run_has_prices() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    synth(here);
    let named = Named {
        label: "click".into(),
        time: Some("time_ms".into()),
        user: "user_id".into(),
        item: "item_id".into(),
        request: Some("request_id".into()),
    };
    let measuring = program(here).get_program().into();
    let launcher =
        Launcher { program: measuring, timeout: Duration::from_secs(600), stop: Stop::never(), grace: GRACE };
    let data = here.join("log/log.parquet");
    let out = here.join("searched");
    let found = search_parquet::searched(&data, &named, &out, &small(), launcher).unwrap();
    assert_eq!(found.features.len(), 9, "{:?}", found.features);
    assert!(here.join("searched.schema.toml").is_file());

    output(here, &["iterate", "--config", "e.toml", "--out", "run", "--rounds", "1"]);
    output(here, &["export", "--run", "run", "--out", "package"]);
    let model = here.join("package/model.onnx");
    let priced = price_subnet::priced(&here.join("run/tables/v1.json"), &model, 50).unwrap();
    let (name, whole) = &priced[0];
    assert!(name.starts_with("f9-") && *whole > 0.0, "{priced:?}");
    let cheaper = priced[1..].iter().filter(|(_, ms)| ms < whole).count();
    assert!(priced.len() > 9 && cheaper > 0, "{priced:?}");
}

#[test]
fn a_model_from_elsewhere_answers_every_request_of_the_schedule() {
    let folder = tempfile::tempdir().unwrap();
    let model: PathBuf = folder.path().join("ranker.onnx");
    let made = python("fixtures/teacher/ranking_model.py", &["make", model.to_str().unwrap()]);
    assert!(made.status.success(), "{} ({FIX})", String::from_utf8_lossy(&made.stderr));
    let recorded = replay_onnx::replayed(&model, 500.0, 40, 10).unwrap();
    assert_eq!((recorded.errors, recorded.response.count()), (0, 40), "{:?}", recorded.first_error);
    assert!(recorded.response.mean_us() >= recorded.service.mean_us());
}
