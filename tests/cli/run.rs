//! A whole run, and the verbs that take one.

use crate::{
    python::{FIX, check_onnx, python},
    report,
    world::{self, failure, json, output, program},
};
use serde_json::Value;
use std::{fs, path::Path};

/// Small enough for seconds; measured by both engines in child processes.
pub const EXPERIMENT: &str = r#"
[data]
schema = "log/schema.toml"
path = "log/log.parquet"
[space]
mixops = [[16, 8], [16, 8, "zero"]]
[teacher]
shared = [16]
partition = [8]
max_epochs = 1
batch_size = 512
[search]
epochs = 1
batch_size = 512
[derive]
rule = "top_k"
k = 9
[retrain]
max_epochs = 1
batch_size = 64
[baseline]
widths = [32, 16]
max_epochs = 1
[target]
candidates = 50
[traffic]
requests = 60
candidates = 50
qps = 300
[probe]
passes = 2
block_ms = 1
repeats = 0
[rounds]
diverse = 2
held_out = 2
"#;

pub fn synth(folder: &Path) {
    output(folder, &["data", "synth", "--requests", "200", "--candidates", "10", "--out", "log"]);
    fs::write(folder.join("e.toml"), EXPERIMENT).unwrap();
}

pub fn texts(values: &Value) -> Vec<&str> {
    values.as_array().unwrap().iter().map(|value| value.as_str().unwrap()).collect()
}

#[test]
fn two_rounds_end_with_a_winner_that_every_verb_can_use() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    synth(here);
    let schema = fs::read_to_string(here.join("log/schema.toml")).unwrap();
    let never = schema.replace("name = \"u_plan\"", "name = \"u_plan\"\nnever = true");
    fs::write(here.join("log/schema.toml"), &never).unwrap();
    let iterate = ["iterate", "--config", "e.toml", "--out", "run", "--rounds", "2"];
    let summary = json(here, &iterate);
    assert_eq!(texts(&summary["baseline"]["features"]).len(), 29);
    assert!(!texts(&summary["baseline"]["features"]).contains(&"u_plan"));
    let rounds = summary["rounds"].as_array().unwrap();
    let versions: Vec<_> = rounds.iter().map(|round| round["table_version"].as_u64().unwrap()).collect();
    assert_eq!(versions, [1, 2], "each round pays with the table that the one before it corrected");
    assert_eq!(texts(&summary["winner"]["features"]).len(), 9);
    for engine in ["tract", "onnxruntime"] {
        assert!(rounds[1]["engines"][engine]["measured_ms"].as_f64().unwrap() > 0.0, "{engine}");
        let replay = &summary["winner"]["replays"][engine];
        assert!(replay["response_us"]["mean"].as_f64().unwrap() > 0.0, "{engine}");
        assert!(replay["valid"].is_boolean() && replay["offered_qps"].as_f64().unwrap() > 200.0, "{replay}");
    }
    assert_eq!(json(here, &["table", "show", "run/tables/v3.json"])["version"], 3);

    let curves = |training: &str| {
        let folder = here.join("run/tensorboard").join(training);
        let file =
            fs::read_dir(&folder).unwrap_or_else(|e| panic!("{training}: {e}")).next().unwrap().unwrap();
        String::from_utf8_lossy(&fs::read(file.path()).unwrap()).into_owned()
    };
    for tag in
        ["loss1", "theta/", "alpha/mixop2/8", "latency/total_ms", "learning_rate/theta", "validation/auc"]
    {
        assert!(curves("search/round2").contains(tag), "{tag}");
    }
    let student = format!("networks/{}", summary["winner"]["subnet"].as_str().unwrap());
    for training in ["teacher/0", "search/warm-up", &student] {
        assert!(curves(training).contains("loss"), "{training}");
    }

    assert!(failure(here, 2, &iterate).contains("--resume"));
    assert_eq!(json(here, &[&iterate[..], &["--resume"]].concat()), summary);

    let winner = summary["winner"]["subnet"].as_str().unwrap();
    let checked = check_onnx(&here.join("run/networks").join(winner));
    assert!(checked.status.success(), "{} ({FIX})", String::from_utf8_lossy(&checked.stderr));
    let checked = String::from_utf8_lossy(&checked.stdout);
    assert!(checked.contains("\"candidates\": 16"), "{checked}");
    every_json_file_names_its_version(&here.join("run"));
    every_probed_price_is_counted(&here.join("run/tables/probed"), &summary);
    every_timed_shape_was_proved_in_both_engines(&here.join("run/shapes"));
    let exported = json(here, &["export", "--run", "run", "--layout", "concat", "--out", "concat"]);
    assert_eq!((exported["subnet"].as_str(), exported["layout"].as_str()), (Some(winner), Some("concat")));
    assert_eq!(exported["parity"]["rows"], 2000);
    assert_eq!(exported["parity"]["request_candidates"], serde_json::json!([1, 50, 10_000]));
    assert!(exported["parity"].get("gate").is_none(), "nothing is rounded");
    let served = ["export", "--run", "run", "--package", "triton", "--name", "shop", "--out", "repository"];
    for version in ["1", "2"] {
        let model = json(here, &served)["onnx"].as_str().unwrap().to_owned();
        assert_eq!(model, format!("repository/shop/{version}/model.onnx"));
    }
    let mut left: Vec<_> =
        fs::read_dir(here.join("repository")).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["shop"]);
    let checked = python("scripts/check_triton.py", &[here.join("repository/shop").to_str().unwrap()]);
    assert!(checked.status.success(), "{} ({FIX})", String::from_utf8_lossy(&checked.stderr));
    let checked: Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!(checked, serde_json::json!({"model": "shop", "versions": [1, 2], "warmups": 1}));
    assert!(here.join("repository/shop/1/parity.json").is_file());
    let other = [&served[..], &["--layout", "concat"]].concat();
    let refused = failure(here, 1, &other);
    assert!(refused.contains("another --name"), "{refused}");
    assert!(!here.join("repository/shop/3").exists());
    assert!(failure(here, 2, &[&served[..5], &["--name", "../x", "--out", "r"]].concat()).contains("../x"));
    assert!(
        failure(here, 2, &["export", "--run", "run", "--candidate", "f9", "--out", "x"])
            .contains(&winner[..3])
    );
    let cached = ["export", "--run", "run", "--layout", "item-cached", "--cache-rows", "i8"];
    let strict = ["--max-auc-change", "0", "--min-overlap", "1", "--out", "strict"];
    let said = failure(here, 3, &[&cached[..], &strict].concat());
    assert!(said.contains("fp32 with item rows in i8 within") && said.contains("keep f16 rows"), "{said}");
    assert!(!here.join("strict/model.onnx").exists());
    let wide = ["--max-auc-change", "0.2", "--min-overlap", "0.2", "--out", "cached"];
    let text = output(here, &[&cached[..], &wide].concat());
    assert!(text.contains("rows in i8 move scores by at most") && text.contains("against fp32"), "{text}");
    let cached = json(here, &[&cached[..], &wide].concat());
    assert_eq!(cached["parity"]["gate"]["lists"], "joined", "{cached}");
    assert_eq!(
        (cached["layout"].as_str(), cached["item_table"]["rows"].as_str()),
        (Some("item-cached-i8"), Some("i8"))
    );
    assert!(cached["item_table"]["bytes"].as_u64().unwrap() > 0, "{cached}");
    assert!(
        cached["parity"]["engines"][0]["item_table"]["max_abs_rounding"].as_f64().unwrap() > 0.0,
        "{cached}"
    );
    let refused = failure(here, 2, &["export", "--run", "run", "--cache-rows", "f16", "--out", "x"]);
    assert!(refused.contains("item-cached"), "{refused}");
    let (replayed, _) = world::replayed(
        here,
        &[
            "replay",
            "--model",
            "cached/model.onnx",
            "--data",
            "log/log.parquet",
            "--closed",
            "--engine",
            "onnxruntime",
        ],
    );
    assert_eq!(replayed["layout"], "item-cached-i8");
    assert!(replayed["outputs"]["max_abs_difference"].as_f64().unwrap() < 1e-5, "{}", replayed["outputs"]);
    let auc = |model: &str| {
        let model = format!("{model}/model.onnx");
        json(here, &["evaluate", "--model", &model, "--data", "log/log.parquet", "--config", "e.toml"])
    };
    let (own, other) = (auc(&format!("run/networks/{winner}")), auc("concat"));
    let rounded = auc("cached");
    let auc = |evaluation: &Value| evaluation["auc"].as_f64().unwrap();
    assert!((auc(&own) - summary["winner"]["auc"].as_f64().unwrap()).abs() < 1e-4, "{own}");
    assert!((auc(&own) - auc(&other)).abs() < 1e-4, "{own} {other}");
    assert!((auc(&own) - auc(&rounded)).abs() < 5e-3, "{own} {rounded}");
    let purchase = |of: &Value| of["other_labels"]["purchase"]["auc"].as_f64().unwrap();
    assert!((purchase(&own) - purchase(&summary["winner"])).abs() < 1e-4, "{own}");
    assert!(purchase(&summary["teacher"]) > 0.0 && purchase(&summary["baseline"]) > 0.0);
    let text = output(here, &[&iterate[..], &["--resume"]].concat());
    assert!(text.contains("AUC for the label purchase: teacher 0."), "{text}");
    assert!(text.contains("report:  run/report.html"), "{text}");
    report::refusals(here);
    report::of_run(here, &summary);
}

#[test]
fn data_encoded_once_serve_in_place_of_their_file() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    synth(here);
    let encode = ["data", "encode", "--config", "e.toml", "--out", "encoded"];
    let header = json(here, &encode);
    assert_eq!((header["rows"].as_u64(), header["train_rows"].as_u64()), (Some(2000), Some(1600)));
    assert!(failure(here, 2, &encode).contains("holds encoded data already"));
    let iterate = |data: &str, out: &str| {
        json(here, &["iterate", "--config", "e.toml", "--data", data, "--out", out, "--rounds", "1"])
    };
    let [of_file, of_folder] = [iterate("log/log.parquet", "file"), iterate("encoded", "folder")];
    for file in
        ["teacher/0.safetensors", "teacher/soft.bin", "warmup.safetensors", "encoders.json", "data.json"]
    {
        assert!(
            fs::read(here.join("file").join(file)).unwrap()
                == fs::read(here.join("folder").join(file)).unwrap(),
            "{file}"
        );
    }
    assert_eq!(of_folder["teacher"], of_file["teacher"]);
    let model = format!("folder/networks/{}/model.onnx", of_folder["winner"]["subnet"].as_str().unwrap());
    let evaluate =
        |data: &str| json(here, &["evaluate", "--model", &model, "--data", data, "--config", "e.toml"]);
    assert_eq!(evaluate("encoded"), evaluate("log/log.parquet"));
    fs::write(here.join("e.toml"), format!("{EXPERIMENT}[split]\nby = \"shuffle\"\nvalid_fraction = 0.5\n"))
        .unwrap();
    let other = ["iterate", "--config", "e.toml", "--data", "encoded", "--out", "other"];
    assert!(failure(here, 1, &other).contains("another split"));
}

fn every_probed_price_is_counted(probed: &Path, summary: &Value) {
    for (engine, probes) in summary["probes"].as_object().unwrap() {
        let probed = fs::read(probed.join(format!("{engine}.json"))).unwrap();
        let probed: Value = serde_json::from_slice(&probed).unwrap();
        assert_eq!(probes["layers"], probed["result"]["values"].as_array().unwrap().len(), "{engine}");
    }
}

fn every_timed_shape_was_proved_in_both_engines(shapes: &Path) {
    let files = fs::read_dir(shapes).unwrap().map(|entry| entry.unwrap().path());
    let models: Vec<_> = files.filter(|path| path.extension().is_some_and(|e| e == "onnx")).collect();
    assert!(models.len() > 2, "two held out, and two that correct in each round: {models:?}");
    for model in models {
        let proof: Value = serde_json::from_slice(&fs::read(model.with_extension("json")).unwrap()).unwrap();
        assert_eq!((&proof["rows"], proof["engines"].as_array().unwrap().len()), (&400.into(), 2));
    }
}

pub fn every_json_file_names_its_version(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            every_json_file_names_its_version(&path);
        } else if path.extension().is_some_and(|extension| extension == "json") {
            let json: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            assert!(json["schema_version"].is_u64(), "{}", path.display());
        }
    }
}

#[test]
fn a_finished_run_is_not_taken_for_one_on_changed_data() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    csv_log(here, "0");
    let small =
        ["--set", "target.engines=[\"tract\"]", "--set", "target.engine=tract", "--set", "derive.k=2"];
    let run = ["iterate", "--config", "c.toml", "--out", "run", "--rounds", "1", "--resume"];
    let run = [&run[..], &small].concat();
    let summary = json(here, &run);
    let environment = fs::read(here.join("run/environment.json")).unwrap();
    assert_eq!(json(here, &run), summary);
    // One label of 400: neither rows nor encoders nor schema tell.
    csv_log(here, "1");
    let message = failure(here, 2, &run);
    assert!(message.contains("other data than"), "{message}");
    assert_eq!(fs::read(here.join("run/environment.json")).unwrap(), environment);
    // The plain DNN has a folder of its own: a search may derive the same network.
    let networks: Vec<_> = fs::read_dir(here.join("run/networks")).unwrap().collect();
    assert_eq!(networks.len(), 2);
    assert!(here.join("run").join(summary["baseline"]["onnx"].as_str().unwrap()).is_file());
    assert!(summary["baseline"]["onnx"].as_str().unwrap().contains("/baseline-"));
}

/// A log of three features whose first label is `first`, and an experiment for it.
pub fn csv_log(folder: &Path, first: &str) {
    let mut rows = format!("click,user,item,hour\n{first},u0,i0,0\n");
    (1..400).for_each(|i| rows += &format!("{},u{},i{},{}\n", i % 3 % 2, i % 17, i * 7 % 60, i % 24));
    fs::write(folder.join("log.csv"), rows).unwrap();
    let feature = |name: &str, kind: &str| {
        format!("[[feature]]\nname = \"{name}\"\nkind = \"{kind}\"\ntype = \"categorical\"\nfetch_ms = 0.1\n")
    };
    let features =
        [("user", "user"), ("item", "item"), ("hour", "item")].map(|(n, k)| feature(n, k)).concat();
    let keys = "[data]\nlabel = \"click\"\nuser_key = \"user\"\nitem_key = \"item\"\n";
    fs::write(folder.join("c.schema.toml"), format!("{keys}{features}")).unwrap();
    let split = "[split]\nby = \"shuffle\"\nvalid_fraction = 0.25\n";
    let text = EXPERIMENT.replace("log/schema.toml", "c.schema.toml").replace("log/log.parquet", "log.csv");
    fs::write(folder.join("c.toml"), format!("{split}{text}")).unwrap();
}

#[test]
fn what_is_wrong_shows_before_anything_is_trained_and_leaves_no_run() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    csv_log(here, "0");
    fs::write(here.join("a.csv"), "T\n5\n5\n5\n").unwrap();
    fs::write(
        here.join("table.json"),
        "{\"schema_version\": 3, \"version\": 1, \"parents\": [], \"created_from\": \"\", \"buckets\": []}",
    )
    .unwrap();
    let tract =
        ["--set", "target.engines=[\"tract\"]", "--set", "target.engine=tract", "--set", "derive.k=2"];
    let run = [&["iterate", "--config", "c.toml", "--out", "run"][..], &tract].concat();
    let clicks = |clicked: &dyn Fn(u32) -> bool| {
        let row = |i| format!("{},u{},i{},{},{i}\n", u8::from(clicked(i)), i % 17, i * 7 % 60, i % 24);
        "click,user,item,hour,T\n".to_owned() + &(0..400).map(row).collect::<String>()
    };
    fs::write(here.join("early.csv"), clicks(&|i| i < 300 && i % 3 == 0)).unwrap();
    fs::write(here.join("rare.csv"), clicks(&|i| [10, 20, 390].contains(&i))).unwrap();
    let by_time = |data| ["--set", "split.by=time", "--set", "split.column=T", "--data", data];
    let schema = fs::read_to_string(here.join("c.schema.toml")).unwrap();
    fs::write(here.join("users.toml"), schema.replace("kind = \"item\"", "kind = \"user\"")).unwrap();
    fs::write(here.join("never.toml"), schema.replace("fetch_ms = 0.1\n", "fetch_ms = 0.1\nnever = true\n"))
        .unwrap();
    for (wrong, expected) in [
        (&["--set", "data.schema=users.toml"][..], "would score alike"),
        (&["--set", "data.schema=never.toml"], "without `never`"),
        (
            &["--set", "traffic.arrivals=a.csv", "--set", "traffic.time_column=T"],
            "a.csv: 3 arrivals at one moment",
        ),
        (&["--set", "traffic.arrivals=gone.csv"], "gone.csv"),
        (&["--data", "gone.csv"], "gone.csv"),
        (
            &by_time("early.csv"),
            "early.csv, `click`: all 100 validation rows are of one class; choose other bounds",
        ),
        (
            &by_time("rare.csv"),
            "rare.csv, `click`: 2 of the training rows are of the rarer class, so of the 3 folds",
        ),
        (&by_time("rare.csv"), "fold 3 has none of it; set [finals] folds = 2"),
        (
            &[&by_time("rare.csv")[..], &["--set", "finals.layers=false"]].concat(),
            "training rows that the supernet judges networks on are of one class; raise [search] held_out",
        ),
        (&["--table", "table.json"], "--table TABLE.json"),
        (&["--set", "retrain.distillation_loss=pairwise"], "the data have no lists"),
    ] {
        let failed = program(here).args(&run).args(wrong).assert().failure().get_output().stderr.clone();
        let message = String::from_utf8(failed).unwrap();
        assert!(message.contains(expected), "{message}");
        assert!(!here.join("run").exists(), "{wrong:?}");
    }
    let missing = ["iterate", "--config", "c.toml", "--out", "run", "--set", "derive.k=2"];
    let failed = program(here).env("ORT_DYLIB_PATH", "/nowhere/lib.so").args(missing).assert().code(2);
    let message = String::from_utf8(failed.get_output().stderr.clone()).unwrap();
    assert!(message.contains("/nowhere/lib.so") && message.contains("setup-runtime"), "{message}");
    assert!(!here.join("run").exists());
}

#[test]
fn a_probed_table_pays_for_the_first_round() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    csv_log(here, "0");
    let probe = ["table", "probe", "--config", "c.toml", "--engine", "tract", "--out", "t.json"];
    output(here, &["data", "encode", "--config", "c.toml", "--out", "encoded"]);
    json(here, &[&probe[..], &["--encoders", "encoded/encoders.json"]].concat());
    let run = ["iterate", "--config", "c.toml", "--out", "run", "--rounds", "1", "--table", "t.json"];
    let tract =
        ["--set", "target.engines=[\"tract\"]", "--set", "target.engine=tract", "--set", "derive.k=2"];
    let summary = json(here, &[&run[..], &tract].concat());
    assert_eq!(summary["rounds"][0]["table_version"], 1);
    assert_eq!(fs::read(here.join("run/tables/given.json")).unwrap(), fs::read(here.join("t.json")).unwrap());
    assert!(!here.join("run/tables/v1.json").exists());
}

#[test]
fn a_probed_table_holds_every_layer_of_the_space_and_joins_with_another() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    synth(here);
    for (candidates, out) in [("20", "a.json"), ("30", "b.json")] {
        let probe = ["table", "probe", "--config", "e.toml", "--engine", "tract", "--candidates", candidates];
        let table = json(here, &[&probe[..], &["--out", out]].concat());
        let entries = table["buckets"][0]["entries"].as_array().unwrap();
        for (from, to) in [(16, 8), (8, 16), (16, 1), (8, 1), (16, 16), (8, 8)] {
            let layer = serde_json::json!({ "layer": { "from": from, "to": to } });
            assert!(entries.iter().any(|entry| entry["operation"] == layer), "{from} {to}");
        }
    }
    let shown = output(here, &["table", "show", "a.json"]);
    assert!(shown.contains("held-out networks: ") && shown.contains("\ncall "), "{shown}");
    let joined = json(here, &["table", "merge", "a.json", "b.json", "--out", "ab.json"]);
    let candidates: Vec<_> = joined["buckets"].as_array().unwrap().iter().map(|b| &b["candidates"]).collect();
    assert_eq!(candidates, [20, 30]);
}
