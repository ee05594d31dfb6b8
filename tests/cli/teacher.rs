//! A teacher that was made elsewhere: a ranking model as ONNX, or its scores as a column.

use crate::{
    python::python,
    run::csv_log,
    world::{failure, json, program},
};
use std::{fs, path::Path};

const PROGRAM: &str = "fixtures/teacher/ranking_model.py";

/// The experiment of `csv_log` on one engine.
const SEARCH: [&str; 9] = [
    "search",
    "--config",
    "c.toml",
    "--set",
    "target.engines=[\"tract\"]",
    "--set",
    "target.engine=tract",
    "--set",
    "derive.k=2",
];

/// A log with columns that only the teacher reads, that teacher, and what it says of every row by Python's onnxruntime.
fn taught(folder: &Path, fixed_rows: Option<&str>) -> Vec<f32> {
    csv_log(folder, "0");
    let log = fs::read_to_string(folder.join("log.csv")).unwrap();
    let mut lines = log.lines();
    let mut wide = format!("{},age,price,kind\n", lines.next().unwrap());
    for (i, line) in lines.enumerate() {
        wide += &format!("{line},{},{}.5,{}\n", i % 5, i % 3, i % 4);
    }
    fs::write(folder.join("log.csv"), wide).unwrap();
    let model = folder.join("teacher.onnx");
    let made = [&["make", model.to_str().unwrap()][..], fixed_rows.as_slice()].concat();
    assert!(python(PROGRAM, &made).status.success());
    let free = folder.join("free.onnx");
    assert!(python(PROGRAM, &["make", free.to_str().unwrap()]).status.success());
    let rows = folder.join("log.csv");
    let scored = python(PROGRAM, &["score", free.to_str().unwrap(), rows.to_str().unwrap()]);
    assert!(scored.status.success(), "{}", String::from_utf8_lossy(&scored.stderr));
    let scores = String::from_utf8(scored.stdout).unwrap();
    scores.lines().map(|line| line.parse().unwrap()).collect()
}

/// Gives the experiment this teacher.
fn teach(folder: &Path, teacher: &str) {
    let text = fs::read_to_string(folder.join("c.toml")).unwrap();
    let inputs = "[[teacher.inputs]]\nname = \"input.1\"\ncolumns = [\"age\", \"price\"]\n\
                  [[teacher.inputs]]\nname = \"ids\"\ncolumns = [\"kind\"]\n";
    fs::write(
        folder.join("c.toml"),
        format!("{}\n{inputs}", text.replace("[teacher]\n", &format!("[teacher]\n{teacher}\n"))),
    )
    .unwrap();
}

fn scores(file: &Path) -> Vec<f32> {
    fs::read(file).unwrap().as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

#[test]
fn a_ranking_model_from_elsewhere_scores_every_row_once_and_teaches() {
    for fixed_rows in [None, Some("7")] {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path();
        let expected = taught(here, fixed_rows);
        teach(here, "onnx = \"teacher.onnx\"\noutput = \"37\"");
        let found = json(here, &[&SEARCH[..], &["--out", "run"]].concat());
        let given = scores(&here.join("run/teacher/given.bin"));
        assert_eq!(given.len(), 400);
        for (row, (a, b)) in given.iter().zip(&expected).enumerate() {
            assert!((a - b).abs() < 1e-6, "row {row}: {a} {b}");
        }
        // The same scores as a column.
        let log = fs::read_to_string(here.join("log.csv")).unwrap();
        let mut lines = log.lines();
        let mut scored = format!("{},r\n", lines.next().unwrap());
        lines.zip(&given).for_each(|(line, score)| scored += &format!("{line},{score}\n"));
        fs::write(here.join("log.csv"), scored).unwrap();
        let schema = fs::read_to_string(here.join("c.schema.toml")).unwrap();
        fs::write(here.join("c.schema.toml"), schema.replace("[data]\n", "[data]\nteacher_score = \"r\"\n"))
            .unwrap();
        let both = failure(here, 2, &[&SEARCH[..], &["--out", "both"]].concat());
        assert!(both.contains("two teachers") && both.contains("teacher_score"), "{both}");
        let text = fs::read_to_string(here.join("c.toml")).unwrap();
        let without: String = text.split("[[teacher.inputs]]").next().unwrap().to_owned();
        fs::write(here.join("c.toml"), without.replace("onnx = \"teacher.onnx\"\noutput = \"37\"\n", ""))
            .unwrap();
        let column = json(here, &[&SEARCH[..], &["--out", "column"]].concat());
        assert_eq!(column["teacher"], found["teacher"], "its metrics are those of r(x)");
        // The network of Loss1 learns from r(x) in both, and so do the masks and the supernet.
        let weights = |run: &str| fs::read(here.join(run).join("teacher/0.safetensors")).unwrap();
        assert!(weights("run") == weights("column"));
        let theta = |run: &str| fs::read(here.join(run).join("rounds/1/search.json")).unwrap();
        let theta = |run: &str| -> serde_json::Value { serde_json::from_slice(&theta(run)).unwrap() };
        assert_eq!(theta("run")["result"]["theta"], theta("column")["result"]["theta"]);
        let labels = [&SEARCH[..], &["--out", "labels", "--set", "teacher.distillation=0"]].concat();
        json(here, &labels);
        assert!(weights("labels") != weights("column"));
    }
}

#[test]
fn a_run_keeps_its_teacher() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    taught(here, None);
    teach(here, "onnx = \"teacher.onnx\"\noutput = \"37\"");
    let search = [&SEARCH[..], &["--out", "run"]].concat();
    let found = json(here, &search);
    let resumed = [&search[..], &["--resume"]].concat();
    assert_eq!(json(here, &resumed)["teacher"], found["teacher"]);
    assert!(python(PROGRAM, &["make", here.join("teacher.onnx").to_str().unwrap(), "5"]).status.success());
    let said = failure(here, 2, &resumed);
    assert!(said.contains("another teacher") && said.contains("--out"), "{said}");
}

#[test]
fn a_teacher_that_does_not_fit_its_columns_is_refused_before_anything_is_trained() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    taught(here, None);
    let whole = fs::read_to_string(here.join("c.toml")).unwrap();
    let model = "onnx = \"teacher.onnx\"\noutput = \"37\"";
    for (teacher, from, to, expected) in [
        ("onnx = \"gone.onnx\"", "", "", "gone.onnx"),
        ("onnx = \"teacher.onnx\"", "", "", "the outputs 37, 36"),
        ("onnx = \"teacher.onnx\"\noutput = \"38\"", "", "", "no output `38`"),
        ("onnx = \"teacher.onnx\"\noutput = \"36\"", "", "", "`score = \"logit\"`"),
        ("onnx = \"teacher.onnx\"\noutput = \"36\"", "", "", "log.csv, line "),
        (model, "\"ids\"", "\"id\"", "no input `id`"),
        (model, "\"age\", \"price\"", "\"age\"", "has the shape [?, 2], and 1 columns"),
        (model, "\"age\"", "\"aged\"", "`aged`"),
        (model, "\"kind\"", "\"user\"", "`u0` is no number"),
        (model, "\"kind\"", "\"hour\"", "failed to run"),
    ] {
        fs::write(here.join("c.toml"), &whole).unwrap();
        teach(here, teacher);
        let text = fs::read_to_string(here.join("c.toml")).unwrap();
        assert!(text.contains(from));
        fs::write(here.join("c.toml"), text.replace(from, to)).unwrap();
        let done = program(here).args(SEARCH).args(["--out", "run"]).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(!done.status.success() && said.contains(expected), "{expected}: {said}");
        assert!(!here.join("run/teacher/0.json").exists());
        let _ = fs::remove_dir_all(here.join("run"));
    }
    // The number before the sigmoid is taken where that is said.
    fs::write(here.join("c.toml"), &whole).unwrap();
    teach(here, "onnx = \"teacher.onnx\"\noutput = \"36\"\nscore = \"logit\"");
    json(here, &[&SEARCH[..], &["--out", "logit"]].concat());
    // Model and mapping come together.
    fs::write(here.join("c.toml"), &whole).unwrap();
    teach(here, "");
    let said = failure(here, 1, &[&SEARCH[..], &["--out", "run"]].concat());
    assert!(said.contains("teacher.inputs") && said.contains("onnx"), "{said}");
}
