//! `evaluate`: the metrics of the network, of every group, and of the teacher's favourites.

use crate::world::{MODEL, World, failure, json, output};
use autofas_bench::{
    learn::metrics::{TopLists, auc},
    measure::evaluate::Evaluation,
};
use std::{collections::BTreeMap, fs, path::Path};

#[test]
fn evaluate_gives_the_reference_networks_auc_on_either_engine() {
    let world = World::new();
    let rows: Vec<u32> = (0..world.data.rows() as u32).collect();
    let expected = auc(&world.network.score(&world.data, &rows).unwrap(), &world.data.labels).unwrap();
    for engine in ["tract", "onnxruntime"] {
        let found = json(world.path(), &[&["evaluate"], &MODEL[..], &["--engine", engine]].concat());
        assert_eq!((&found["rows"], &found["engine"]), (&600.into(), &engine.into()));
        assert_eq!(found["label"], "click");
        assert!((found["auc"].as_f64().unwrap() - expected).abs() < 1e-3, "{found} {expected}");
    }
}

#[test]
fn evaluate_compares_the_top_of_every_request_with_the_teachers() {
    let world = World::new();
    let without = json(world.path(), &[&["evaluate"], &MODEL[..], &["--engine", "tract"]].concat());
    assert!(without.get("recall_at").is_none() && without.get("overlap_at").is_none(), "{without}");

    // Of ten candidates 4 and 7 are cut, 10 are not.
    world.teach();
    let options = ["--engine", "tract", "--schema", "taught.toml", "--at", "4,7,10"];
    let found = json(world.path(), &[&["evaluate"], &MODEL[..], &options].concat());
    let rows: Vec<u32> = (0..world.data.rows() as u32).collect();
    let scores = world.network.score(&world.data, &rows).unwrap();
    let (_, teacher) = &world.data.other_labels[0];
    let requests = world.data.requests.as_ref().unwrap();
    let wanted = TopLists::of(&scores, &teacher[..], &requests[..], &[4, 7]);
    for (name, wanted) in [("recall_at", &wanted.recall_at), ("overlap_at", &wanted.overlap_at)] {
        let found = found[name].as_object().unwrap();
        assert!(found.keys().eq(["4", "7"]), "{found:?}");
        for (k, wanted) in wanted {
            let found = found[&k.to_string()].as_f64().unwrap();
            assert!(
                *wanted > 0.0 && *wanted < 1.0 && (found - wanted).abs() < 1e-6,
                "{name} {k}: {found} {wanted}"
            );
        }
    }
    let text = output(world.path(), &[&["evaluate"], &MODEL[..], &options].concat());
    assert!(text.contains("top 4") && text.contains("overlap"), "{text}");
    let refused = failure(world.path(), 2, &[&["evaluate"], &MODEL[..], &["--at", "0"]].concat());
    assert!(refused.contains("--at"), "{refused}");
}

#[test]
fn evaluate_with_an_experiment_takes_its_validation_rows() {
    let world = World::new();
    let text = "[data]\nschema = \"log/schema.toml\"\n[split]\nby = \"shuffle\"\nvalid_fraction = 0.25";
    fs::write(world.file("e.toml"), text).unwrap();
    let args = [&["evaluate"], &MODEL[..], &["--engine", "tract", "--config", "e.toml"]].concat();
    assert_eq!(json(world.path(), &args)["rows"], 150);
}

#[test]
fn evaluate_refuses_an_engine_that_scores_nothing() {
    let world = World::new();
    let message = failure(world.path(), 2, &[&["evaluate"], &MODEL[..], &["--engine", "null"]].concat());
    assert!(message.contains("--engine tract"), "{message}");
}

#[test]
fn evaluate_takes_the_options_of_its_engine_and_refuses_those_of_another() {
    let world = World::new();
    let tract = [&["evaluate"], &MODEL[..], &["--engine", "tract"]].concat();
    let with = |option| [&tract[..], &["--engine-option", option]].concat();
    assert_eq!(json(world.path(), &with("plan=symbolic"))["auc"], json(world.path(), &tract)["auc"]);
    let refused = failure(world.path(), 2, &with("spinning=on"));
    assert!(refused.contains("option of onnxruntime"), "{refused}");
}

#[test]
fn evaluate_refuses_other_encoders_and_no_threads() {
    let world = World::new();
    let run =
        |options: &[&str], code| failure(world.path(), code, &[&["evaluate"], &MODEL[..], options].concat());
    assert!(run(&["--engine", "tract", "--threads", "0"], 2).contains("at least 1 thread"));
    let mut encoders = world.read_json("model/encoders.json");
    // Two values of a vocabulary change places: as many ids, other meanings.
    fn swap(json: &mut serde_json::Value) -> bool {
        match json {
            serde_json::Value::Array(items) if items.len() > 1 && items[0].is_string() => {
                items.swap(0, 1);
                true
            }
            serde_json::Value::Array(items) => items.iter_mut().any(swap),
            serde_json::Value::Object(fields) => fields.values_mut().any(swap),
            _ => false,
        }
    }
    assert!(swap(&mut encoders), "the log has a vocabulary");
    fs::write(world.file("other.json"), encoders.to_string()).unwrap();
    let message = run(&["--engine", "tract", "--encoders", "other.json"], 1);
    assert!(message.contains("model.onnx") && message.contains("other encoders"), "{message}");
}

/// Lines of a CSV file of groups by their first cell.
pub fn groups(path: &Path) -> BTreeMap<String, Vec<String>> {
    let mut lines = csv::Reader::from_path(path).unwrap();
    assert_eq!(lines.headers().unwrap(), &["group", "rows", "positives", "mean_score", "auc", "logloss"][..]);
    lines
        .records()
        .map(|line| {
            let cells: Vec<String> = line.unwrap().iter().map(str::to_owned).collect();
            (cells[0].clone(), cells[1..].to_vec())
        })
        .collect()
}

#[test]
fn groups_are_written_with_metrics_of_their_own_that_add_up_to_those_of_all() {
    let world = World::new();
    let evaluate =
        ["evaluate", "--model", "model/model.onnx", "--data", "log/log.parquet", "--per-group", "g.csv"];
    let found = json(world.path(), &evaluate);
    let groups = groups(&world.file("g.csv"));
    assert_eq!(groups.len(), 60, "a group is a request of the log");
    let sum = |of: &dyn Fn(&[String]) -> f64| groups.values().map(|cells| of(cells)).sum::<f64>();
    let number = |cells: &[String], cell: usize| cells[cell].parse::<f64>().unwrap();
    assert_eq!(sum(&|cells| number(cells, 0)), 600.0);
    assert_eq!(sum(&|cells| number(cells, 1)), world.data.labels.iter().map(|&y| f64::from(y)).sum::<f64>());
    let logloss = sum(&|cells| number(cells, 0) * number(cells, 4)) / 600.0;
    assert!((logloss - found["logloss"].as_f64().unwrap()).abs() < 1e-9);
    // GAUC is the mean of those that have one.
    let weight = |cells: &[String]| if cells[3].is_empty() { 0.0 } else { number(cells, 0) };
    let weighted =
        |cells: &[String]| if cells[3].is_empty() { 0.0 } else { number(cells, 0) * number(cells, 3) };
    assert!((sum(&weighted) / sum(&weight) - found["gauc"].as_f64().unwrap()).abs() < 1e-9);

    let text = fs::read_to_string(world.file("log/schema.toml")).unwrap();
    fs::write(world.file("alone.toml"), text.replace("group = \"request_id\"\n", "")).unwrap();
    // Before anything is read that takes long.
    let unread = evaluate.map(|arg| if arg.ends_with(".parquet") { "log/gone.parquet" } else { arg });
    let said = failure(world.path(), 2, &[&unread[..], &["--schema", "alone.toml"]].concat());
    assert!(said.contains("no group column") && said.contains("[data]"), "{said}");
}

/// Places of a list from the best on; of equal scores the earlier place is better.
fn best_first(scores: &[f32], places: &[usize]) -> Vec<usize> {
    let mut places = places.to_vec();
    places.sort_by(|&a, &b| scores[b].partial_cmp(&scores[a]).unwrap().then(a.cmp(&b)));
    places
}

#[test]
fn evaluate_tells_what_is_left_of_the_teachers_favourites_where_only_the_first_candidates_are_scored() {
    let world = World::new();
    world.teach();
    let options = ["--engine", "tract", "--schema", "taught.toml", "--at", "3,6"];
    let scored = ["--scored", "10,4,7", "--out", "e.json"];
    let args = [&["evaluate"], &MODEL[..], &options, &scored].concat();
    let found = json(world.path(), &args);
    assert_eq!(world.read_json("e.json"), found);
    let rows: Vec<u32> = (0..world.data.rows() as u32).collect();
    let scores = world.network.score(&world.data, &rows).unwrap();
    let (_, teacher) = &world.data.other_labels[0];
    let mut lists: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (row, &request) in world.data.requests.as_ref().unwrap().iter().enumerate() {
        lists.entry(request).or_default().push(row);
    }
    let curves = &found["candidates_scored"]["recalls"];
    assert_eq!(found["candidates_scored"]["order"], "data");
    assert_eq!(curves.as_array().unwrap().len(), 2);
    for (curve, k) in curves.as_array().unwrap().iter().zip([3, 6]) {
        assert_eq!(curve["points"].as_array().unwrap().len(), 3, "{curve}");
        assert_eq!((&curve["k"], &curve["requests"]), (&k.into(), &60.into()));
        for (point, n) in curve["points"].as_array().unwrap().iter().zip([4, 7, 10]) {
            let of_list = |list: &Vec<usize>| {
                let wanted = &best_first(teacher, list)[..k];
                let kept: Vec<usize> = best_first(&scores, &list[..n]).into_iter().take(k).collect();
                wanted.iter().filter(|place| kept.contains(place)).count() as f64 / k as f64
            };
            let wanted = lists.values().map(of_list).sum::<f64>() / 60.0;
            assert_eq!(point["scored"], n);
            let recall = point["recall"].as_f64().unwrap();
            assert!(recall < 1.0 && (recall - wanted).abs() < 1e-9, "{k} of {n}: {point} {wanted}");
        }
    }
    let drawn = json(world.path(), &[&args[..], &["--scored-seed", "5"]].concat());
    let drawn = &drawn["candidates_scored"];
    assert_eq!((&drawn["order"], &drawn["seed"]), (&"random".into(), &5.into()));
    assert_eq!(drawn["lists_hash"], found["candidates_scored"]["lists_hash"]);
    assert_ne!(drawn["recalls"], *curves);
    let text = output(world.path(), &args);
    assert!(text.contains("the first in the data's order") && text.contains("standard error"), "{text}");
}

#[test]
fn candidates_scored_without_a_teacher_or_beyond_every_list_are_refused() {
    let world = World::new();
    world.teach();
    let refused = |options: &[&str]| {
        failure(world.path(), 2, &[&["evaluate"], &MODEL[..], &["--engine", "tract"], options].concat())
    };
    assert!(refused(&["--scored", "4"]).contains("teacher_score"));
    assert!(refused(&["--scored", "4,0"]).contains("from 1"));
    assert!(refused(&["--scored-seed", "4"]).contains("--scored"));
    let beyond = refused(&["--schema", "taught.toml", "--scored", "4,11"]);
    assert!(beyond.contains("no request has 11 candidates"), "{beyond}");
}

const UPDATE: &str = "AUTOFAS_UPDATE_SCHEMAS=1 cargo test --release --test cli the_schema_in_docs";

#[test]
fn the_schema_in_docs_of_evaluations_is_that_of_the_types_and_of_what_is_written() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schemas/evaluation.schema.json");
    let schema = serde_json::to_string_pretty(&schemars::schema_for!(Evaluation)).unwrap() + "\n";
    if std::env::var_os("AUTOFAS_UPDATE_SCHEMAS").is_some() {
        fs::write(&path, &schema).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == schema, "docs/schemas/evaluation.schema.json is out of date: {UPDATE}");
    let world = World::new();
    world.teach();
    let options = ["--engine", "tract", "--schema", "taught.toml", "--at", "3", "--scored", "4,7"];
    let args = [&["evaluate"], &MODEL[..], &options, &["--out", "e.json"]].concat();
    let mut found = json(world.path(), &args);
    let validator = jsonschema::validator_for(&serde_json::from_str(&kept).unwrap()).unwrap();
    let wrong: Vec<String> = validator.iter_errors(&found).map(|error| error.to_string()).collect();
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!(serde_json::to_value(Evaluation::load(&world.file("e.json")).unwrap()).unwrap(), found);
    found["candidates_scored"]["recalls"][0]["points"][0]["recall"] = "much".into();
    assert!(!validator.is_valid(&found));
}
